"""How fast is a step? One stream and 256, next to numpy's sgemm, PyTorch and ONNX Runtime.

    python -m benchmarks.kernels [--json FILE]

All on one thread. A step of an LSTM layer of H units over F features is 8 H (H + F) operations;
the rate of numpy's sgemm on 1024 x 1024 is what the machine can do. Peers get their state passed
in and out; streamlstm finds it by slot in its table. Results are compared before anything is timed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from streamlstm import LSTM, Engine, Model
from streamlstm.backends import CpuBackend
from streamlstm.kernels import compile
from streamlstm.kernels.memory import call_at
from streamlstm.precision import round_weights

from .harness import Row, interleaved, parser, report, steps
from .peers import onnxruntime_step, torch_step

SIZES = ((16, 8), (32, 8), (64, 8), (128, 16), (256, 32))
BLOCK = 256
REPEATS = 64  # steps of one stream inside one call, so that the call itself does not count


@njit
def _repeat(n: int, function: int, task: int, B: int) -> None:
    for _ in range(n):
        call_at(function, task, 0, B, 0)


def _model(H: int, F: int) -> Model:
    rng = np.random.default_rng(H)
    layer = LSTM(F, H)
    weights = {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
    return Model([layer], [weights])


def compiled(model: Model, X: Any, weights: str = "float32") -> Callable[[int], Any]:
    """Return a function that takes n steps inside compiled code and gives h[B, H]."""
    backend = CpuBackend(round_weights(model, weights), 1, weights)
    B = len(X)
    rows = np.zeros((B, backend.row_size), np.float32)
    slots = np.random.default_rng(1).permutation(B)
    Y = np.empty((B, model.output_size), np.float32)
    function, task = backend.prepare(rows, slots, X, Y)

    def run(n: int, _alive: object = (backend, rows, slots, X)) -> Any:
        _repeat(n, function, task, B)
        return Y

    return run


def _check(name: str, peer: Callable[[], tuple[Any, ...]], run: Callable[[int], Any]) -> None:
    for _ in range(3):
        theirs, ours = peer()[0], run(1)
    difference = float(np.max(np.abs(theirs - ours)))
    if difference > 1e-5:
        raise SystemExit(f"{name} and streamlstm differ by {difference:.1e}: nothing was timed")


def measure(H: int, F: int, B: int) -> dict[str, float]:
    """Return the seconds of one step of B streams for streamlstm, its peers and the engine."""
    model = _model(H, F)
    layer, weights = model.layers[0], model.weights[0]
    assert isinstance(layer, LSTM)
    X = np.random.default_rng(2).standard_normal((B, F)).astype(np.float32)
    cases: dict[str, Callable[[], object]] = {}
    for name, make in (("PyTorch", torch_step), ("ONNX Runtime", onnxruntime_step)):
        peer = make(layer, weights, X)
        if peer is not None:
            _check(name, peer, compiled(model, X))
            cases[name] = peer
    run = compiled(model, X)
    n = REPEATS if B == 1 else 1
    cases["compiled"] = lambda: run(n)
    engine = Engine(model, capacity=B, threads=1)
    if B == 1:
        x = X[0]
        cases["engine"] = lambda: engine.step("one", x)
    else:
        ids = [f"stream-{index}" for index in range(B)]
        cases["engine"] = lambda: engine.step_many(ids, X)
    size = 1024
    a = np.random.default_rng(3).standard_normal((size, size)).astype(np.float32)
    cases["sgemm"] = lambda: a @ a
    times = interleaved(cases)
    times["compiled"] /= n
    times["sgemm rate"] = 2 * size**3 / times.pop("sgemm")
    return times


def main() -> None:
    """Measure every size and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    compile.prepare()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    for B in (1, BLOCK):
        for H, F in steps(SIZES, f"{B} streams"):
            times = measure(H, F, B)
            rate = 8 * H * (H + F) * B / times["compiled"]
            row: Row = {
                "streams": str(B),
                "H": str(H),
                "F": str(F),
                "step us": times["compiled"] * 1e6,
                "GFLOP/s": rate / 1e9,
                "of sgemm": rate / times["sgemm rate"],
                "engine us": times["engine"] * 1e6,
            }
            ratios[f"compiled/sgemm B={B} H={H}"] = rate / times["sgemm rate"]
            # One stream is asked for from Python; a block of 256 is measured kernel to kernel.
            own = "engine" if B == 1 else "compiled"
            for peer in ("PyTorch", "ONNX Runtime"):
                taken = times.get(peer)
                row[f"{peer} us"] = None if taken is None else taken * 1e6
                row[f"times {peer}"] = None if taken is None else taken / times[own]
                if taken is not None:
                    ratios[f"{own}/{peer} B={B} H={H}"] = taken / times[own]
            rows.append(row)
    note = "times PEER: how many times faster engine.step (1 stream) or the kernel (256) is."
    missing = [p for p in ("PyTorch", "ONNX Runtime") if rows[0][f"{p} us"] is None]
    if missing:
        note += f"\nNot installed, left out: {', '.join(missing)} (pip install -e '.[bench]')."
    report("kernels", rows, ratios, arguments.json, note)


if __name__ == "__main__":
    main()
