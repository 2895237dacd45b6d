"""Continue the streams of stores and exports in a process with vectors of another width.

    python -m tests.contract.carried LANES FOLDER FIRST LAST NAME ...

In the root of the repository. For each named model (models.py) opens the store FOLDER/NAME, imports
what FOLDER/NAME.exports has into an engine beside it, steps both by the observations FIRST to LAST,
and leaves both there. Both engines must have the same states, bit for bit, before and after.
"""

import pickle
import sys
from pathlib import Path

import numpy as np

from streamlstm.engine.ids import StreamId

from .forced import force
from .models import MODELS

STREAMS: list[StreamId] = ["a", "123456789", 7]


def observations(inputs: int, categories: int, first: int, last: int) -> np.ndarray:
    """Return the numbered observations of all streams, float32[T, B, F]."""
    made = []
    for seq in range(first, last + 1):
        X = np.random.default_rng(seq).standard_normal((len(STREAMS), inputs))
        if categories:
            X[:, 0] = np.arange(len(STREAMS)) * seq % categories
        made.append(X)
    return np.array(made, np.float32)


def main(folder: Path, first: int, last: int, names: list[str]) -> None:
    """Continue the streams of each model."""
    from streamlstm import Engine
    from streamlstm.serving.stores.open import open_checkpointer

    for name in names:
        model, place = MODELS[name], folder / f"{name}.exports"
        stored, imported = (Engine(model, threads=1) for _ in range(2))
        exports = pickle.loads(place.read_bytes()) if place.exists() else {}
        for stream, blob in exports.items():
            imported.import_stream(stream, blob)
            assert imported.export_stream(stream) == blob, (name, stream)
        checkpointer = open_checkpointer(stored, f"lmdb:{folder / name}", 60.0)
        assert checkpointer is not None
        with checkpointer:
            checkpointer.stored.preload(lambda done, total: None)
            assert {s: stored.export_stream(s) for s in stored.streams()} == exports, name
            X = observations(model.input_size, model.categories, first, last)
            for engine in (stored, imported):
                for n, x in enumerate(X):
                    seqs = [first + n] * len(STREAMS)
                    engine.step_many(STREAMS, x, seqs=seqs, times=[0.5 * (first + n)] * len(seqs))
                for stream in STREAMS:
                    engine._table.producers[engine._table.slot(stream)] = 2**64 - last
            checkpointer.finish()
        exports = {s: stored.export_stream(s) for s in STREAMS}
        assert exports == {s: imported.export_stream(s) for s in STREAMS}, name
        place.write_bytes(pickle.dumps(exports))


if __name__ == "__main__":
    force(int(sys.argv[1]))
    main(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
