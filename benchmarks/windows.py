"""How fast is a window model? Against its steps without a window, PyTorch and ONNX Runtime.

    python -m benchmarks.windows [--json FILE]

One thread, T = 30 rows, H = 64, F = 8, one stream and 256. A step of a window model runs the
network over the last T rows, so it is compared with T steps of the same network that keeps its
state, both inside compiled code; and with a call of the peers for the same windows, which they get
ready made. Predictions are compared before anything is timed.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Engine, Model
from streamlstm.backends.warmup import compile_for

from .harness import Row, interleaved, parser, report
from .kernels import BLOCK, compiled

ROWS, F, H = 30, 8, 64
TARGETS = {f"of T engine steps, B={B}": 0.6 for B in (1, BLOCK)}
TARGETS |= {"times PyTorch, B=1": 8.0, f"times PyTorch, B={BLOCK}": 2.5}
Peer = Callable[[], Any]


def network() -> Model:
    """Return the network with random weights, without a window."""
    rng = np.random.default_rng(H)
    layers = [LSTM(F, H), Dense(H, 1)]
    weights = [
        {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]
    return Model(layers, weights)


def torch_windows(model: Model, windows: Any) -> Peer | None:
    """Return what runs windows[B, T, F] in PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    lstm, head = torch.nn.LSTM(F, H, batch_first=True), torch.nn.Linear(H, 1)
    own = {name: torch.tensor(array) for name, array in model.weights[0].items()}
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(own["weight_ih"])
        lstm.weight_hh_l0.copy_(own["weight_hh"])
        lstm.bias_ih_l0.copy_(own["bias"])
        lstm.bias_hh_l0.zero_()
        head.weight.copy_(torch.tensor(model.weights[1]["weight"]))
        head.bias.copy_(torch.tensor(model.weights[1]["bias"]))
    given = torch.tensor(windows)

    def run() -> Any:
        with torch.inference_mode():
            return head(lstm(given)[0][:, -1]).numpy()

    return run


def onnxruntime_windows(model: Model, windows: Any) -> Peer | None:
    """Return what runs windows[B, T, F] in ONNX Runtime, from the graph that to_onnx writes."""
    try:
        import onnx  # noqa: F401 - to_onnx needs it
        import onnxruntime
    except ImportError:
        return None
    from streamlstm.convert.onnx.exporter import to_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "window.onnx"
        to_onnx(model, path)
        session = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    return lambda: session.run(None, {"window": windows})[0]


def measure(B: int) -> tuple[dict[str, float], list[str]]:
    """Return the seconds of one step of B streams in every way, and the peers that are missing."""
    plain = network()
    model = plain.with_window(ROWS)
    windows = np.random.default_rng(2).standard_normal((B, ROWS, F)).astype(np.float32)
    engine, ids = Engine(model, B, threads=1), list(range(B))
    for t in range(ROWS):
        Y = engine.step_many(ids, windows[:, t])
    cases: dict[str, Callable[[], object]] = {}
    missing = []
    makers = {"PyTorch": torch_windows, "ONNX Runtime": onnxruntime_windows}
    for name, make in makers.items():
        peer = make(model, windows)
        if peer is None:
            missing.append(name)
            continue
        difference = float(np.max(np.abs(peer() - Y)))
        if difference > 1e-5:
            raise SystemExit(f"{name} and streamlstm differ by {difference:.1e}: nothing was timed")
        cases[name] = peer
    last = np.ascontiguousarray(windows[:, -1])
    step, window = compiled(plain, last), compiled(model, last)
    window(ROWS)  # fills the windows
    cases["step"] = lambda: step(ROWS)
    cases["window"] = lambda: window(1)
    x = last[0]
    stateful = Engine(plain, B, threads=1)
    stateful.step_many(ids, last)
    if B == 1:
        cases["engine"], cases["engine step"] = (
            (lambda e=e: e.step(0, x)) for e in (engine, stateful)
        )
    else:
        cases["engine"], cases["engine step"] = (
            (lambda e=e: e.step_many(ids, last)) for e in (engine, stateful)
        )
    return interleaved(cases, rounds=15), missing


def main() -> None:
    """Measure one stream and a block, and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    compile_for(network())
    compile_for(network().with_window(ROWS))
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    missing: list[str] = []
    for B in (1, BLOCK):
        times, missing = measure(B)
        row: Row = {"streams": str(B), "T steps us": times["step"] * 1e6}
        row["window us"], row["engine us"] = times["window"] * 1e6, times["engine"] * 1e6
        own = {
            "of T steps": times["window"] / times["step"],
            "of T engine steps": times["engine"] / (ROWS * times["engine step"]),
        }
        row |= own
        ratios |= {f"{name}, B={B}": ratio for name, ratio in own.items()}
        for peer in ("PyTorch", "ONNX Runtime"):
            if peer in times:
                ratios[f"times {peer}, B={B}"] = times[peer] / times["engine"]
                row[f"{peer} us"], row[f"times {peer}"] = (
                    times[peer] * 1e6,
                    ratios[f"times {peer}, B={B}"],
                )
        rows.append(row)
    note = f"T = {ROWS}, H = {H}, F = {F}; times PEER: how many times quicker the engine is."
    if missing:
        note += f"\nNot installed, left out: {', '.join(missing)} (pip install -e '.[bench]')."
    report("windows", rows, ratios, arguments.json, note, TARGETS)


if __name__ == "__main__":
    main()
