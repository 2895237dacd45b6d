"""How fast is a window model? Against its steps without a window, PyTorch and ONNX Runtime.

    python -m benchmarks.windows [--json FILE]

One thread, T = 30 rows, H = 64, F = 8, one stream and 256. A step of a window model runs the
network over the last T rows, so it is compared with T steps of the same network that keeps its
state, both inside compiled code; and with a call of the peers for the same windows, which they get
ready made. Predictions are compared before anything is timed. Targets are for one LSTM with weights
of float32; further rows have other networks, and weights of bfloat16, which only the step of a
single stream reads.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamlstm import GRU, LSTM, Attention, Conv1D, Dense, Engine, Model
from streamlstm.backends.warmup import compile_for
from streamlstm.network.layers import Layer

from .harness import Row, interleaved, parser, report, steps
from .kernels import BLOCK, compiled

ROWS, F, H = 30, 8, 64
ONE, HEAD = LSTM(F, H), Dense(H, 1)
NETWORKS: dict[str, Sequence[Layer]] = {
    "LSTM": [ONE, HEAD],
    "two LSTMs": [ONE, LSTM(H, H), HEAD],
    "GRU": [GRU(F, H), HEAD],
    "Conv1D, LSTM": [Conv1D(F, 32, 3, pad_left=2, activation="relu"), LSTM(32, H), HEAD],
    "LSTM, Attention": [ONE, Attention(H), HEAD],
}
CASES = [(name, B, "float32") for name in NETWORKS for B in (1, BLOCK)]
CASES.insert(2, ("LSTM", 1, "bfloat16"))
TARGETS = {f"of T engine steps, B={B}": 0.6 for B in (1, BLOCK)}
TARGETS |= {f"times {peer}, B=1": 8.0 for peer in ("PyTorch", "ONNX Runtime")}
TARGETS |= {f"times {peer}, B={BLOCK}": 2.5 for peer in ("PyTorch", "ONNX Runtime")}
TOLERANCE = {"float32": 1e-5, "bfloat16": 1e-2}
Peer = Callable[[], Any]


def random_weights(layers: Sequence[Layer], units: int) -> list[dict[str, Any]]:
    """Return weights as PyTorch begins with for so many units."""
    rng = np.random.default_rng(units)
    return [
        {n: rng.uniform(-1, 1, s) / units**0.5 for n, s in layer.parameters().items()}
        for layer in layers
    ]


def network(layers: Sequence[Layer]) -> Model:
    """Return the network with random weights, over windows."""
    return Model(layers, random_weights(layers, H), window=ROWS)


def torch_layer(layer: Layer, weights: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return what takes X[B, T, F] through a layer; the head takes the last row."""
    import torch

    own = {name: torch.tensor(array) for name, array in weights.items()}
    if isinstance(layer, LSTM):
        lstm = torch.nn.LSTM(layer.input_size, layer.hidden_size, batch_first=True)
        with torch.no_grad():
            lstm.weight_ih_l0.copy_(own["weight_ih"])
            lstm.weight_hh_l0.copy_(own["weight_hh"])
            lstm.bias_ih_l0.copy_(own["bias"])
            lstm.bias_hh_l0.zero_()
        return lambda X: lstm(X)[0]
    if isinstance(layer, GRU):
        gru = torch.nn.GRU(layer.input_size, layer.hidden_size, batch_first=True)
        with torch.no_grad():
            for name in layer.parameters():
                getattr(gru, f"{name}_l0").copy_(own[name])
        return lambda X: gru(X)[0]
    if isinstance(layer, Conv1D):
        weight, padding = own["weight"].transpose(1, 2).contiguous(), (layer.pad_left, 0)
        functional = torch.nn.functional

        def convolve(X: Any) -> Any:
            rows = functional.pad(X.transpose(1, 2), padding)
            return functional.conv1d(rows, weight, own["bias"]).relu().transpose(1, 2)

        return convolve
    if isinstance(layer, Attention):
        return lambda X: torch.softmax(X[:, -1:] @ X.transpose(1, 2), -1) @ X
    return lambda X: torch.nn.functional.linear(X[:, -1], own["weight"], own["bias"])


def torch_windows(model: Model, windows: Any) -> Peer | None:
    """Return what runs windows[B, T, F] in PyTorch."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    layers = [torch_layer(*pair) for pair in zip(model.layers, model.weights, strict=True)]
    given = torch.tensor(windows)

    def run() -> Any:
        with torch.inference_mode():
            Y = given
            for layer in layers:
                Y = layer(Y)
            return Y.numpy()

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


def measure(name: str, B: int, weights: str) -> tuple[dict[str, float], list[str]]:
    """Return the seconds of one step of B streams in every way, and the peers that are missing."""
    model = network(NETWORKS[name])
    windows = np.random.default_rng(2).standard_normal((B, ROWS, F)).astype(np.float32)
    engine, ids = Engine(model, B, threads=1, weights=weights), list(range(B))
    for t in range(ROWS):
        Y = engine.step_many(ids, windows[:, t])
    cases: dict[str, Callable[[], object]] = {}
    missing = []
    makers = {"PyTorch": torch_windows, "ONNX Runtime": onnxruntime_windows}
    for peer_name, make in makers.items():
        peer = make(model, windows)
        if peer is None:
            missing.append(peer_name)
            continue
        difference = float(np.max(np.abs(peer().reshape(Y.shape) - Y)))
        if difference > TOLERANCE[weights]:
            raise SystemExit(f"{peer_name} differs by {difference:.1e}: nothing was timed")
        cases[peer_name] = peer
    last = np.ascontiguousarray(windows[:, -1])
    window = compiled(model, last, weights)
    window(ROWS)  # fills the windows
    cases["window"] = lambda: window(1)
    cases["engine"] = _engine_step(engine, ids, last)
    if not any(layer.over_rows and not layer.can_step for layer in model.layers):
        plain = Model(model.layers, model.weights)
        step, stateful = compiled(plain, last, weights), Engine(plain, B, threads=1)
        stateful.step_many(ids, last)
        cases["step"] = lambda: step(ROWS)
        cases["engine step"] = _engine_step(stateful, ids, last)
    return interleaved(cases, rounds=15), missing


def _engine_step(engine: Engine, ids: list[int], X: Any) -> Callable[[], object]:
    if len(ids) == 1:
        x = X[0]
        return lambda: engine.step(0, x)
    return lambda: engine.step_many(ids, X)


def _row(name: str, B: int, weights: str, times: dict[str, float]) -> tuple[Row, dict[str, float]]:
    """Return a line of the table, and its ratios by name."""
    row: Row = {"network": name, "streams": str(B), "weights": weights}
    own = {}
    if "step" in times:
        row["T steps us"] = times["step"] * 1e6
    row["window us"], row["engine us"] = times["window"] * 1e6, times["engine"] * 1e6
    if "step" in times:
        own["of T steps"] = times["window"] / times["step"]
        own["of T engine steps"] = times["engine"] / (ROWS * times["engine step"])
    for peer in ("PyTorch", "ONNX Runtime"):
        if peer in times:
            row[f"{peer} us"] = times[peer] * 1e6
            own[f"times {peer}"] = times[peer] / times["engine"]
    case = f"B={B}" if weights == "float32" else f"B={B} {weights}"
    of = "" if name == "LSTM" else f"{name}: "
    return row | own, {f"{of}{ratio}, {case}": value for ratio, value in own.items()}


def main() -> None:
    """Measure every network for one stream and a block, and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    for layers in NETWORKS.values():
        compile_for(network(layers))
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    missing: list[str] = []
    for name, B, weights in steps(CASES, "windows"):
        times, missing = measure(name, B, weights)
        row, own = _row(name, B, weights, times)
        rows.append(row)
        ratios |= own
    note = f"T = {ROWS}, H = {H}, F = {F}; times PEER: how many times quicker the engine is."
    if missing:
        note += f"\nNot installed, left out: {', '.join(missing)} (pip install -e '.[bench]')."
    report("windows", rows, ratios, arguments.json, note, TARGETS)


if __name__ == "__main__":
    main()
