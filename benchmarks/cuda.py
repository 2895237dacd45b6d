"""Measure a tick of many streams on a GPU against PyTorch, cuDNN and what the device can do.

    python -m benchmarks.cuda [--json FILE] [--rows B ...] [--capacity S]

H = 64, F = 8, states on the device, each stream once in a tick, in a random order of slots.
``kernel`` is the launch alone, with the arrays on the device, of the default kernel and of each
other one; ``tick`` is the part of `step_many` after the look-up of ids, including the copies of
slots, observations and predictions, next to the same on the CPU. It shows from which number of
streams on the GPU is faster. PyTorch gathers the states of a tick, steps an LSTMCell and scatters
them back, eagerly and captured in a CUDA graph, and likewise with cuDNN's nn.LSTM over one time
step; its arrays are on the device too. The floor is the larger of bytes / bandwidth and
operations / rate, given by --bandwidth and --rate (by default an H100's). Before anything is timed,
predictions are compared with the reference.

Without a GPU, NUMBA_ENABLE_CUDASIM=1 and --rows 3 run our side in numba's simulator, only to check
that the program runs. Its times mean nothing.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Model
from streamlstm.backends.plan import initial_row, row_layout
from streamlstm.backends.reference import ReferenceBackend
from streamlstm.errors import ModelError
from streamlstm.network.layers import Layer

from .harness import Row, machine, parser, report

F, H = 8, 64
ROUNDS = 30
KERNELS = ("resident", "shared", "spilled", "scalar")
TARGETS = {  # of a device like an H100, by what is measured
    "of the floor, B=1000000": ("at most", 2.0),
    "PyTorch LSTMCell, B=1000000": ("at least", 2.0),
    "us of a tick, B=10000": ("at most", 60.0),
}


def network(inputs: int = F, units: int = H) -> Model:
    """Return an LSTM with a dense head of one output and random weights."""
    rng = np.random.default_rng(0)
    layers: list[Layer] = [LSTM(inputs, units), Dense(units, 1)]
    weights = [
        {n: rng.uniform(-1, 1, s) / units**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]
    return Model(layers, weights)


def floor(model: Model, B: int, bandwidth: float, rate: float) -> float:
    """Return the minimum seconds of a tick: each byte moved once, each operation done once.

    Rows of the LSTM are read and written, the prediction is only written; a multiply-add counts as
    two operations.
    """
    layer = model.layers[0]
    state = sum(layer.state.values())
    moved = 4 * B * (2 * state + model.input_size + model.output_size + 1)
    sums = sum(a.size for arrays in model.weights for n, a in arrays.items() if "weight" in n)
    return max(moved / bandwidth, 2 * B * sums / rate)


def check(backend: Any, model: Model) -> None:
    """Raise ValueError if a few steps on the device differ from the reference."""
    B = 5
    rows, slots = backend.make_rows(B, initial_row(model)), np.arange(B)
    truth, expected_rows = ReferenceBackend(model, np.float64), np.zeros((B, row_layout(model)[1]))
    Y, expected = np.empty((B, 1), np.float32), np.zeros((B, 1))
    for X in np.random.default_rng(1).standard_normal((3, B, model.input_size)):
        backend.step_block(rows, slots, X.astype(np.float32), Y)
        truth.step_block(expected_rows, slots, X.astype(np.float32).astype(float), expected)
    if np.max(np.abs(Y - expected)) > 5e-6:
        raise ValueError("the device does not compute what the reference does; nothing was timed")


def median(call: Callable[[], None], wait: Callable[[], None], rounds: int = ROUNDS) -> float:
    """Return the median of the seconds from a call to its end on the device."""
    for _ in range(3):
        call()
    wait()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        wait()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def ours(model: Model, B: int, capacity: int) -> dict[str, float]:
    """Return the seconds of our variants: each kernel alone, and whole ticks.

    ``kernel`` is the launch alone of the default kernel, the other names are those of kernels;
    ``tick`` is a block with its copies, as one CUDA graph where graphs are available, and
    ``tick, no graph`` in three calls.
    """
    from numba import cuda

    from streamlstm.backends.cuda.backend import CudaBackend

    rng = np.random.default_rng(2)
    slots = rng.permutation(capacity)[:B]
    X = rng.standard_normal((B, model.input_size)).astype(np.float32)
    Y, seqs = np.empty((B, 1), np.float32), np.ones(B, np.uint64)
    chosen = CudaBackend(model)
    check(chosen, model)
    rows = chosen.make_rows(capacity, initial_row(model))
    calls = {
        "kernel": chosen.launcher(rows, slots, X),
        "tick": lambda: chosen.step_block(rows, slots, X, Y, seqs),
    }
    if chosen.graphs:
        plain = CudaBackend(model, graphs=False)
        calls["tick, no graph"] = lambda: plain.step_block(rows, slots, X, Y, seqs)
    for name in KERNELS:
        backend = CudaBackend(model, kernel=name)
        check(backend, model)
        calls[f"{name} kernel"] = backend.launcher(rows, slots, X)
    rounds = 1 if simulated() else ROUNDS
    return {name: median(call, cuda.synchronize, rounds) for name, call in calls.items()}


def on_the_cpu(model: Model, B: int, capacity: int) -> float:
    """Return the seconds of the same tick on all cores of the host."""
    from streamlstm.backends.cpu import CpuBackend

    rng, backend = np.random.default_rng(2), CpuBackend(model)
    rows = np.tile(initial_row(model), (capacity, 1))
    slots = rng.permutation(capacity)[:B]
    X = rng.standard_normal((B, model.input_size)).astype(np.float32)
    Y = np.empty((B, 1), np.float32)
    rounds = 1 if simulated() else ROUNDS
    return median(lambda: backend.step_block(rows, slots, X, Y), lambda: None, rounds)


def simulated() -> bool:
    """Return whether kernels run in numba's simulator, where times mean nothing."""
    from streamlstm.kernels.cuda.sizes import SIMULATED

    return SIMULATED


def main() -> None:
    """Measure and print the table."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rows", type=int, nargs="+", default=[1, 100, 10_000, 1_000_000])
    arguments.add_argument("--capacity", type=int, help="streams in the table; as --rows")
    arguments.add_argument("--units", type=int, default=H, help="hidden units")
    arguments.add_argument("--bandwidth", type=float, default=3.35e12, help="bytes a second")
    arguments.add_argument("--rate", type=float, default=67e12, help="float32 operations a second")
    given = arguments.parse_args()
    if min(given.rows) < 1 or given.units < 1:
        arguments.error("--rows and --units: expected 1 or more")
    if given.capacity is not None and given.capacity < max(given.rows):
        arguments.error("--capacity: expected at least as many streams as --rows")
    model = network(units=given.units)
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    try:
        for B in given.rows:
            times = {f"streamlstm, {n}": t for n, t in ours(model, B, given.capacity or B).items()}
            best, least = (
                times["streamlstm, kernel"],
                floor(model, B, given.bandwidth, given.rate),
            )
            host = times["streamlstm on the CPU, tick"] = on_the_cpu(model, B, given.capacity or B)
            ratios[f"us of a tick, B={B}"] = 1e6 * times["streamlstm, tick"]
            ratios[f"CPU of our tick, B={B}"] = host / times["streamlstm, tick"]
            if host > times["streamlstm, tick"] and "quicker than the CPU from B" not in ratios:
                ratios["quicker than the CPU from B"] = B
            times |= peers(model, B, given.capacity or B)
            ratios[f"of the floor, B={B}"] = best / least
            for name, seconds in times.items():
                rows.append(
                    {
                        "streams": str(B),
                        "what": name,
                        "us": seconds * 1e6,
                        "of the floor": seconds / least,
                        "of our kernel": seconds / best,
                    }
                )
                if not name.startswith("streamlstm"):
                    ratios[f"{name}, B={B}"] = seconds / best
    except ModelError as error:
        sys.exit(f"nothing was measured. {error}")
    from numba import cuda

    device = "simulated, times mean nothing" if simulated() else str(cuda.get_current_device().name)
    for name, (bound, target) in TARGETS.items():
        if name in ratios:
            print(f"{name}: {ratios[name]:.2f}, target {bound} {target:g}")
    report("cuda", rows, ratios, given.json, where=machine() | {"processor": device})


def peers(model: Model, B: int, capacity: int) -> dict[str, float]:
    """Return the seconds of PyTorch's variants, as far as they are available."""
    from .cuda_peers import variants

    return {name: median(call, wait) for name, (call, wait) in variants(model, B, capacity).items()}


if __name__ == "__main__":
    main()
