"""How fast is a whole sequence of one stream? Against PyTorch, which gets all of it at once.

    python -m benchmarks.sequences [--json FILE]

A second of sound at 48 kHz, or a recording that is replayed: 48,000 observations of one value,
through an LSTM and a dense layer, on one thread. `engine.run` takes them in one call, as do
`step_many` with the same id for every row, and a loop of `engine.step` in Python; all three must
answer bit for bit the same, and what PyTorch answers, before anything is timed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from streamlstm import LSTM, Dense, Engine, Model

from .harness import Row, interleaved, parser, report, steps
from .windows import random_weights, torch_layer

OBSERVATIONS, F = 48_000, 1
SIZES = (16, 40, 128)
TARGETS = {"run, times PyTorch, H=40": 7.0}
TOLERANCE = 1e-4  # after the last of all steps


def torch_sequence(model: Model, X: Any) -> Callable[[], Any] | None:
    """Return what takes X[T, F] through an LSTM and a dense layer in PyTorch, from zero state."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    lstm = torch_layer(model.layers[0], model.weights[0])
    weight, bias = (torch.tensor(model.weights[1][name]) for name in ("weight", "bias"))
    given = torch.tensor(X[None])

    def run() -> Any:
        with torch.inference_mode():
            return torch.nn.functional.linear(lstm(given), weight, bias)[0].numpy()

    return run


def measure(units: int) -> tuple[Row, dict[str, float]]:
    """Return the row of LSTMs with so many units, and its ratios by name."""
    layers = [LSTM(F, units), Dense(units, 1)]
    model = Model(layers, random_weights(layers, units))
    X = np.random.default_rng(1).standard_normal((OBSERVATIONS, F)).astype(np.float32)
    engine, ids = Engine(model, 4, threads=1), ["block"] * OBSERVATIONS
    cases: dict[str, Callable[[], Any]] = {
        "run": lambda: engine.run("whole", X),
        "step_many": lambda: engine.step_many(ids, X),
        "step": lambda: [engine.step("alone", x) for x in X],
    }
    Y = cases["run"]()
    for name in ("step_many", "step"):
        if not np.array_equal(Y, np.reshape(cases[name](), Y.shape)):
            raise SystemExit(f"{name} differs from run: nothing was timed")
    peer = torch_sequence(model, X)
    if peer is not None:
        difference = float(np.max(np.abs(peer() - Y)))
        if difference > TOLERANCE:
            raise SystemExit(f"PyTorch differs by {difference:.1e}: nothing was timed")
        cases["PyTorch"] = peer
    times = interleaved(cases)
    row: Row = {"H": str(units)}
    row |= {f"{name} ms": seconds * 1e3 for name, seconds in times.items()}
    row["run, ns an observation"] = times["run"] / OBSERVATIONS * 1e9
    if peer is None:
        return row, {}
    own = {f"{name}, times PyTorch": times["PyTorch"] / times[name] for name in ("run", "step")}
    return row | own, {f"{name}, H={units}": value for name, value in own.items()}


def main() -> None:
    """Measure every size and print the table."""
    arguments = parser(__doc__ or "").parse_args()
    rows: list[Row] = []
    ratios: dict[str, float] = {}
    for units in steps(SIZES, "sequences"):
        row, own = measure(units)
        rows.append(row)
        ratios |= own
    note = "" if ratios else "Left out, PyTorch: not installed (pip install -e '.[bench]')."
    report("sequences", rows, ratios, arguments.json, note, TARGETS)


if __name__ == "__main__":
    main()
