"""How fast is a step? One stream and 256, next to sgemm and what others step LSTMs with.

    python -m benchmarks.kernels [--units H ...] [--rtneural DIR] [--json FILE]

All run on one thread. A step of an LSTM layer of H units over F features is 8 H (H + F)
operations; the rate of numpy's sgemm on 1024 x 1024 stands for the capacity of the machine. Peers
get their state as an argument; streamlstm finds it by slot in its table. Results are compared
before anything is timed. Peers compute in float32; OpenVINO, beside our narrow weights, in what it
chooses by itself: on processors that add products of bfloat16 that is bfloat16. "njit" is a step
with np.dot as most people would write it. RTNeural (C++) is compiled from its source in DIR.
"""

from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from streamlstm import LSTM, Engine, Model, check_precision
from streamlstm.backends.cpu import CpuBackend
from streamlstm.backends.precision import round_weights
from streamlstm.kernels import compile
from streamlstm.kernels.cache import kernel
from streamlstm.kernels.pointers import call_at
from streamlstm.lazy_arrays import lazy_zeros

from .harness import Row, interleaved, machine, parser, report, steps
from .peers import njit_step, onnxruntime_step, openvino_step, torch_step
from .rtneural import rtneural_run
from .tflite import tflite_step

SIZES = ((8, 8), (16, 8), (32, 8), (64, 8), (128, 16), (256, 32))
BLOCK = 256
SHORT = ("float16", "bfloat16", "int8")
FULL = "float32"
NARROW = "OpenVINO, narrow"
MAKERS: dict[str, Callable[..., Any]] = {
    "PyTorch": torch_step,
    "ONNX Runtime": onnxruntime_step,
    "OpenVINO": openvino_step,
    "TensorFlow Lite": tflite_step,
    "njit": njit_step,
}
RTNEURAL = "RTNeural"
PEERS = (RTNEURAL, *MAKERS)
# Target ratios by the peer and the number of streams.
TARGETS: dict[tuple[str, int], dict[tuple[int, str], float]] = {
    ("sgemm", 1): {
        (16, FULL): 0.35,
        (32, FULL): 0.5,
        (64, FULL): 0.6,
        (128, FULL): 0.6,
        **{(H, short): 0.7 for H in (128, 256) for short in ("float16", "bfloat16")},
    },
    ("sgemm", BLOCK): {(32, FULL): 0.55, (64, FULL): 0.75, (128, FULL): 0.8, (256, FULL): 0.9},
    ("PyTorch", 1): {(64, FULL): 15},
    ("PyTorch", BLOCK): {(16, FULL): 2.5, (32, FULL): 2.5, (64, FULL): 2.5, (256, FULL): 1.4},
    ("ONNX Runtime", 1): {(64, FULL): 12},
    ("OpenVINO", BLOCK): dict(
        zip(((H, "bfloat16") for H in (64, 128, 256)), (1.4, 1.25, 1.15), strict=True)
    ),
    ("ONNX Runtime", BLOCK): {(H, FULL): 1.6 if H <= 64 else 1.0 for H, _ in SIZES},
}
# Of peers without one: with float32, and with weights that are narrow enough to be quicker.
AHEAD, NARROW_AHEAD = 1.0, 1.3
REPEATS = 256  # steps of one stream in one call, so that the cost of the call does not matter


@kernel()
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
    rows = lazy_zeros(B * backend.row_size, np.float32).reshape(B, -1)  # aligned as an engine's
    slots = np.random.default_rng(1).permutation(B)
    Y = np.empty((B, model.output_size), np.float32)
    function, task = backend.prepare(rows, slots, X, Y)

    def run(n: int, _alive: object = (backend, rows, slots, X)) -> Any:
        _repeat(n, function, task, B)
        return Y

    return run


def _check(
    name: str, peer: Callable[[], tuple[Any, ...]], run: Callable[[int], Any], bound: float = 1e-5
) -> None:
    for _ in range(3):
        theirs, ours = peer()[0], run(1)
    difference = float(np.max(np.abs(theirs - ours)))
    if difference > bound:
        raise SystemExit(f"{name} and streamlstm differ by {difference:.1e}: nothing was timed")


def measure(H: int, F: int, B: int, rtneural: Path | None = None) -> dict[str, float]:
    """Return the seconds of one step of B streams for streamlstm, its peers and the engine."""
    model = _model(H, F)
    layer, weights = model.layers[0], model.weights[0]
    assert isinstance(layer, LSTM)
    X = np.random.default_rng(2).standard_normal((B, F)).astype(np.float32)
    n = REPEATS if B == 1 else 1
    cases: dict[str, Callable[[], object]] = {}
    for name, make in MAKERS.items():
        peer = make(layer, weights, X) if B == 1 or make is not njit_step else None
        if peer is not None:
            _check(name, peer, compiled(model, X))
            cases[name] = peer
    if (narrow := openvino_step(layer, weights, X, narrow=True)) is not None:
        _check(NARROW, narrow, compiled(model, X, "bfloat16"), 0.05)
        cases[NARROW] = narrow
    repeated = {precision: compiled(model, X, precision) for precision in _precisions(H, B)}
    for precision in repeated:
        cases[f"engine {precision}"] = _asked(Engine(model, B, threads=1, weights=precision), X)
    if B == 1 and rtneural is not None:
        repeated[RTNEURAL] = rtneural_run(rtneural, layer, weights, X)
        _check(RTNEURAL, lambda: (repeated[RTNEURAL](1),), compiled(model, X))
    cases |= {name: partial(run, n) for name, run in repeated.items()}
    size = 1024
    a = np.random.default_rng(3).standard_normal((size, size)).astype(np.float32)
    cases["sgemm"] = lambda: a @ a
    times = interleaved(cases, rounds=15)
    for name in repeated:
        times[name] /= n
    times["sgemm rate"] = 2 * size**3 / times.pop("sgemm")
    return times


def _precisions(H: int, B: int) -> list[str]:
    """Return the precisions that are worth measuring: narrow ones from H = 64 on."""
    both = [FULL, "bfloat16", "int8"] if H >= 64 else [FULL]
    return both + ["float16"] * (B == 1 and H >= 128)


def _asked(engine: Engine, X: Any) -> Callable[[], object]:
    """Return a step of an engine as it is asked for from Python."""
    if len(X) == 1:
        return partial(engine.step, "one", X[0])
    return partial(engine.step_many, [f"stream-{index}" for index in range(len(X))], X)


class Ratios:
    """Every ratio of the run by name, with its target where it has one."""

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}
        self.targets: dict[str, float] = {}

    def add(self, against: str, B: int, H: int, precision: str, value: float) -> str:
        """Keep a ratio and return it as the table shows it, the target in brackets."""
        name = f"{against} B={B} H={H} {precision}"
        self.measured[name] = value
        target = TARGETS.get((against, B), {}).get((H, precision))
        if target is None and against in PEERS:
            self.targets[name] = AHEAD if precision == FULL else NARROW_AHEAD
        if target is None:
            return f"{value:.3g}"
        self.targets[name] = target
        return f"{value:.3g} ({target:g})"


def _row(B: int, H: int, F: int, precision: str, times: dict[str, float], ratios: Ratios) -> Row:
    """Return a line of the table and add its ratios."""
    rate = 8 * H * (H + F) * B / times[precision]
    row: Row = {
        "streams": str(B),
        "H": str(H),
        "F": str(F),
        "weights": precision,
        "step us": times[precision] * 1e6,
        "GFLOP/s": rate / 1e9,
        "of sgemm": ratios.add("sgemm", B, H, precision, rate / times["sgemm rate"]),
        "engine us": times[f"engine {precision}"] * 1e6,
    }
    # One stream is asked for from Python; a block of 256 is measured kernel to kernel.
    asked = times[f"engine {precision}" if B == 1 else precision]
    for peer in PEERS:
        theirs = NARROW if peer == "OpenVINO" and precision != FULL else peer
        if theirs in times:
            own = times[precision] if peer == RTNEURAL else asked
            row[f"{peer} us"] = times[theirs] * 1e6
            row[f"times {peer}"] = ratios.add(peer, B, H, precision, times[theirs] / own)
    if precision != FULL:
        row["largest error"] = check_precision(_model(H, F), precision).largest
    return row


def _arguments() -> Namespace:
    options = parser(__doc__ or "")
    known = [H for H, _ in SIZES]
    options.add_argument(
        "--units", type=int, nargs="+", choices=known, default=known, help="only these sizes"
    )
    options.add_argument("--rtneural", type=Path, metavar="DIR", help="a clone of RTNeural")
    return options.parse_args()


def main() -> None:
    """Measure every size and print the table."""
    arguments = _arguments()
    compile.prepare()
    rows: list[Row] = []
    ratios = Ratios()
    for B in (1, BLOCK):
        sizes = [size for size in SIZES if size[0] in arguments.units]
        for H, F in steps(sizes, f"{B} streams"):
            times = measure(H, F, B, arguments.rtneural)
            for precision in (FULL, *SHORT):
                if precision in times:
                    rows.append(_row(B, H, F, precision, times, ratios))
    note = "times PEER: how many times faster engine.step (1 stream) or the kernel (256) is; the\n"
    note += "kernel beside RTNeural, whose steps follow each other in compiled code as ours.\n"
    note += f"In brackets: the target, where it is not {AHEAD} ({NARROW_AHEAD} for narrow weights)."
    missing = [peer for peer in PEERS if f"{peer} us" not in rows[0]]
    if missing:
        note += f"\nLeft out: {', '.join(missing)} (pip install -e '.[bench]'; --rtneural DIR)."
    where = machine("openvino", "ai-edge-litert")
    report("kernels", rows, ratios.measured, arguments.json, note, ratios.targets, where)


if __name__ == "__main__":
    main()
