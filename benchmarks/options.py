"""What does each option of the online stage cost a step, and a stream?

    python -m benchmarks.options [--json FILE]

A network of 32 units with one input, without adaptation forecasting it one step ahead: nanoseconds
that a step takes longer than the same model's without a stage, for one stream and in blocks of 256,
and bytes that a stream takes more. ``observe`` of one stream is called from Python, which costs
some hundred nanoseconds more than it does without a stage; that is the line "a stage".
"""

from typing import Any

import numpy as np

from .harness import Row, interleaved, parser, report
from streamlstm import LSTM, Dense, Engine, Model, Online
from streamlstm.backends.plan import row_layout

UNITS, BLOCK, ROWS = 32, 256, 600
OPTIONS: dict[str, dict[str, Any]] = {
    "a stage, nothing in it": {},
    'fill="last"': {"fill": "last"},
    'fill="mean"': {"fill": "mean"},
    'fill="predict"': {"fill": "predict"},
    "calendar, all four": {"calendar": ("hour", "weekday", "yearday", "since")},
    'scale="stream"': {"scale": "stream"},
    'adapt="mix"': {"adapt": "mix"},
    'adapt="rls"': {"adapt": "rls"},
    'adapt="rls", season=48': {"adapt": "rls", "season": 48},
    'adapt="rls", labels=100': {"adapt": "rls", "labels": 100},
    "intervals=(0.9,)": {"intervals": (0.9,)},
    "intervals=(0.5, 0.9)": {"intervals": (0.5, 0.9)},
    "anomaly=True": {"anomaly": True},
    "last, intervals, anomaly": {"fill": "last", "intervals": (0.9,), "anomaly": True},
    "the same and rls": {"fill": "last", "intervals": (0.9,), "anomaly": True, "adapt": "rls"},
}


def model_of(online: Online | None) -> Model:
    """Return a network with random weights and a stage."""
    rng = np.random.default_rng(1)
    inputs = 1 + (online.derived if online else 0)
    layers = [LSTM(inputs, UNITS), Dense(UNITS, 1)]
    weights = [
        {name: 0.3 * rng.standard_normal(shape) for name, shape in layer.parameters().items()}
        for layer in layers
    ]
    return Model(layers, weights, ["value"], ["value"], skip=[0], online=online)


def bytes_of(model: Model) -> int:
    """Return what a stream takes."""
    return 4 * row_layout(model)[1]


class Stepper:
    """Steps one stream, or a block, through a series again and again."""

    def __init__(self, model: Model, streams: int) -> None:
        t = np.arange(ROWS, dtype=np.float32)[:, None]
        noise = 0.2 * np.random.default_rng(2).standard_normal((ROWS, streams))
        self._X = (np.sin(0.1 * t) + noise).astype(np.float32)[..., None]
        self._engine, self._n = Engine(model, streams, threads=1), 0
        self._ids = np.arange(streams)
        self._stream = self._engine.stream(0)
        for _ in range(200):
            self.block()

    def one(self) -> None:
        """Observe one value of one stream."""
        self._n += 1
        self._stream.observe(self._X[self._n % ROWS, 0], time=60.0 * self._n)

    def block(self) -> None:
        """Observe one value of every stream."""
        self._n += 1
        moments = np.full(len(self._ids), 60.0 * self._n)
        self._engine.observe_many(self._ids, self._X[self._n % ROWS], times=moments)


def main() -> None:
    """Measure everything and print the table."""
    options = parser(__doc__ or "").parse_args()
    plain = model_of(None)
    models = {"plain": plain} | {name: model_of(Online(**o)) for name, o in OPTIONS.items()}
    single = interleaved({n: Stepper(m, 1).one for n, m in models.items()})
    blocks = interleaved({n: Stepper(m, BLOCK).block for n, m in models.items()})
    rows: list[Row] = [
        {
            "option": name,
            "one stream ns": 1e9 * (single[name] - single["plain"]),
            "in a block ns": 1e9 * (blocks[name] - blocks["plain"]) / BLOCK,
            "bytes a stream": float(bytes_of(models[name]) - bytes_of(plain)),
        }
        for name in OPTIONS
    ]
    ratios = {f"a block with {name}, against none": blocks[name] / blocks["plain"] for name in OPTIONS}
    plainly = f"Without a stage: {1e9 * single['plain']:.0f} and {1e9 * blocks['plain'] / BLOCK:.0f} ns"
    report("options", rows, ratios, options.json, f"{plainly}, {bytes_of(plain)} bytes.")


if __name__ == "__main__":
    main()
