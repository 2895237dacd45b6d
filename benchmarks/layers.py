"""Measure each kind of layer next to the plain LSTM of the same size.

    python -m benchmarks.layers [--json FILE]

One thread, one stream and 256, called inside compiled code. The cost is that per multiply-add of
the layer's matrix products, relative to the plain LSTM, both interleaved in the same run. The
target is 1.25. The cost of layers without a product is that per value relative to an LSTM's step.
"""

import numpy as np

from streamlstm import GRU, LSTM, RNN, Dense, LayerNorm, Model, Pointwise
from streamlstm.kernels import compile
from streamlstm.network.layers import Layer

from .harness import Row, interleaved, parser, report, steps
from .kernels import BLOCK, REPEATS, compiled

F, H = 16, 64
LSTM_PLAIN = LSTM(F, H)
PRODUCTS: dict[str, Layer] = {
    "LSTM, peephole": LSTM(F, H, peephole=True),
    "LSTM, projection to H / 2": LSTM(F, H, projection_size=H // 2),
    "LSTM, coupled gates": LSTM(F, H, coupled=True),
    "LSTM, layer norm": LSTM(F, H, layer_norm=True),
    "LSTM, clipped": LSTM(F, H, gate_clip=5.0, cell_clip=5.0),
    "LSTM, hard sigmoid": LSTM(F, H, gate_activation="hard_sigmoid"),
    "GRU": GRU(F, H),
    "GRU, reset before": GRU(F, H, reset_after=False),
    "RNN": RNN(F, H),
    "Dense": Dense(H, H),
}
POINTWISE: dict[str, Layer] = {
    "LayerNorm": LayerNorm(H),
    "ReLU": Pointwise(H, "relu"),
    "GELU": Pointwise(H, "gelu"),
    "softmax": Pointwise(H, "softmax"),
}


def multiply_adds(layer: Layer) -> int:
    """Return the multiply-adds of a layer's matrix products in one step."""
    return sum(
        rows[0] * rows[1]
        for name, rows in layer.parameters().items()
        if name.startswith("weight") and len(rows) == 2
    )


def random_model(layer: Layer) -> Model:
    """Return a model of one layer."""
    rng = np.random.default_rng(0)
    weights = {n: rng.uniform(-1, 1, s) / H**0.5 for n, s in layer.parameters().items()}
    return Model([layer], [weights])


def measure(layer: Layer, B: int) -> tuple[float, float]:
    """Return the seconds of one step of B streams through a layer and through the plain LSTM."""
    cases = {}
    n = REPEATS if B == 1 else 1
    for name, kind in (("layer", layer), ("lstm", LSTM_PLAIN)):
        X = np.random.default_rng(1).standard_normal((B, kind.input_size)).astype(np.float32)
        run = compiled(random_model(kind), X)
        cases[name] = lambda run=run: run(n)
    times = interleaved(cases, rounds=21)
    return times["layer"] / n, times["lstm"] / n


def main() -> None:
    """Measure every layer and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    compile.prepare()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    for name, layer in steps(list((PRODUCTS | POINTWISE).items()), "layers"):
        row: Row = {"layer": name}
        for B in (1, BLOCK):
            own, plain = measure(layer, B)
            per = multiply_adds(layer) / multiply_adds(LSTM_PLAIN) if name in PRODUCTS else 1.0
            ratio = own / plain / per
            row[f"us, {B} streams"] = own * 1e6
            row[f"of LSTM's step, {B}"] = own / plain
            row[f"per multiply-add, {B}"] = ratio if name in PRODUCTS else None
            ratios[f"{name} B={B}"] = ratio
        rows.append(row)
    report(
        "layers", rows, ratios, arguments.json, f"H = {H}, F = {F}; target per multiply-add 1.25"
    )


if __name__ == "__main__":
    main()
