"""Count what steps ask of the C library's allocator; started by test_allocation.py.

Prints as JSON for every case how often memory was asked for in a run of one step and in a run of
many: what the call itself needs is in both.
"""

import ctypes
import json
import os
from collections.abc import Callable

import numpy as np
from numba import njit

from streamlstm import Model
from streamlstm.backends.cpu import CpuBackend
from streamlstm.backends.precision import round_weights
from streamlstm.kernels.layout import GROUP
from streamlstm.kernels.pointers import call_at

from ..contract.models import MODELS

MANY = 1000
ALLOCATES = "not a step, but an array each"
BLOCK = 2 * GROUP + 1
Run = Callable[[int], object]


@njit
def repeat(n, function, task, B):
    """Step a block n times."""
    for _ in range(n):
        call_at(function, task, 0, B, 0)


@njit
def allocate(n):
    """Allocate an array n times: what would be seen if a step did."""
    total = 0.0
    for size in range(n):
        total += np.zeros(size + 1)[size]
    return total


def kernel(model: Model, B: int, weights: str = "float32") -> Run:
    """Return a run of so many steps of B streams, all of it compiled."""
    backend = CpuBackend(round_weights(model, weights), 1, weights)
    rows = np.zeros((B, backend.row_size), np.float32)
    X = np.ones((B, model.input_size), np.float32)
    arrays = (rows, np.arange(B), X, np.empty((B, model.result_size), np.float32))
    function, task = backend.prepare(*arrays)

    def run(n: int, _alive: object = (backend, arrays)) -> None:
        repeat(n, function, task, B)

    return run


def kernels() -> dict[str, Run]:
    """Return runs of every model, of one stream and of a block, and one that allocates."""
    runs = {f"{name}, {B}": kernel(model, B) for name, model in MODELS.items() for B in (1, BLOCK)}
    runs |= {name: kernel(MODELS["stack"], 1, name) for name in ("float16", "bfloat16")}
    return runs | {ALLOCATES: allocate}


def main() -> None:
    """Count everything."""
    asked = ctypes.CDLL(os.environ["LD_PRELOAD"]).times_asked
    asked.restype = ctypes.c_long
    counts = {}
    for name, run in kernels().items():
        run(1)
        places = [asked()]
        for steps in (1, MANY):
            run(steps)
            places.append(asked())
        counts[name] = [places[1] - places[0], places[2] - places[1]]
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
