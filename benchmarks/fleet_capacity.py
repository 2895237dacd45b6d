"""How many workers, and how much memory, do so many streams need? Derived, not measured.

    python -m benchmarks.fleet_capacity [--json FILE]

From results of other benchmarks on one machine: the rate of a worker for one STEP a message
(serving), with the arithmetic of another width in its place (kernels, blocks of 256), and the
memory of a million streams against rows and ids (streams). Workers are planned for half of that
rate, since p99 rises above it, and one more stands for one that has died.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Model
from streamlstm.backends.plan import initial_row
from streamlstm.network.layers import Layer

from .harness import Row, parser, report
from .live.messages import H as SERVED

STREAMS, INPUTS, ID_BYTES, BLOCK = 1_000_000, 8, 16, 256
WIDTHS = (16, 32, 64, 128, 256)
RESULTS = Path(__file__).parent / "results"


def read(name: str) -> dict[str, Any]:
    """Return the result of a benchmark."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def row_bytes(width: int) -> int:
    """Return the bytes of the state row of an LSTM with one output."""
    layers: list[Layer] = [LSTM(INPUTS, width), Dense(width, 1)]
    weights = [{n: np.zeros(s) for n, s in layer.parameters().items()} for layer in layers]
    return int(initial_row(Model(layers, weights)).nbytes)


def plan() -> list[Row]:
    """Return a row for each width."""
    rate = next(r["ours"] for r in read("serving")["rows"] if r["question"].startswith("one STEP"))
    more = next(r["ratio"] for r in read("streams")["rows"] if "memory" in r["question"])
    steps = {
        int(r["H"]): 1e-6 * r["step us"] / BLOCK
        for r in read("kernels")["rows"]
        if r["streams"] == str(BLOCK) and r["weights"] == "float32"
    }
    found: list[Row] = []
    for width in WIDTHS:
        one = 1 / (1 / rate - steps[SERVED] + steps[width])
        memory = more * (row_bytes(width) + ID_BYTES)
        found.append(
            {
                "H": str(width),
                "bytes a stream": memory,
                "observations a second of a worker": one,
                "a million streams: GB": memory * STREAMS / 1e9,
                "workers, one observation a second each": 1.0 + math.ceil(STREAMS / (one / 2)),
                "workers, one in ten seconds each": 1.0 + math.ceil(STREAMS / 10 / (one / 2)),
            }
        )
    return found


def main() -> None:
    """Derive and print."""
    options = parser(str(__doc__)).parse_args()
    report("fleet_capacity", plan(), {}, options.json, where=read("serving")["machine"])


if __name__ == "__main__":
    main()
