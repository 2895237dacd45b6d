"""An engine on a software GPU without free memory; AssertionError if a stream is harmed."""

from typing import Any

import numpy as np
import pytest
from numba import cuda

from streamlstm import LSTM, Engine
from streamlstm.errors import CapacityError
from tests.contract.models import random_model


def fill_memory() -> list[Any]:
    """Take all memory of the device."""
    taken, size = [], 1 << 30
    while size:
        try:
            taken.append(cuda.device_array(size, np.uint8))
        except Exception as error:
            if "OUT_OF_MEMORY" not in str(error):
                raise
            size //= 2
    return taken


def main() -> None:
    """Refuse what needs memory, changing nothing, and go on with the rest."""
    model = random_model([LSTM(2, 5)])
    X = np.random.default_rng(0).standard_normal((9_000, 2)).astype(np.float32)
    engine, host = Engine(model, 20_000, "cuda"), Engine(model, 20_000)
    known = [*range(500)]
    for each in (engine, host):
        each.step_many(known, X[:500])
    blob = engine.export_stream(7)
    full = fill_memory()

    for step in (engine.step_many, engine.step_each):
        with pytest.raises(CapacityError, match="no memory left"):
            step([*range(9_000)], X)
    assert len(engine) == 500
    assert 501 not in engine
    assert engine.export_stream(7) == blob

    # Smaller blocks go through what is there, in several rounds too, and rows are moved.
    ids = [n % 200 for n in range(300)]
    assert np.allclose(engine.step_many(ids, X[:300]), host.step_many(ids, X[:300]), atol=1e-5)
    rows = engine._table.rows
    slots = np.arange(500)
    found = rows[slots]
    rows[slots] = found
    assert np.array_equal(rows[slots], found)
    assert np.allclose(engine.step_many(known, X[:500]), host.step_many(known, X[:500]), atol=1e-5)

    full.clear()
    cuda.current_context().deallocations.clear()
    assert np.allclose(
        engine.step_many([*range(9_000)], X), host.step_many([*range(9_000)], X), atol=1e-5
    )


if __name__ == "__main__":
    main()
    print("as it should be")
