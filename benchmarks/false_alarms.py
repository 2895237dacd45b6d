"""False alarms of the anomaly stage on streams that do not change.

    python -m benchmarks.false_alarms [--json FILE] [--rows N] [--rate R]

Simulated streams: noise, autoregressions, a random walk, seasons, heavy tails; the residuals are
the innovations, as of a perfect forecast. Aim: between a third and once the rate. The last columns
are the share of rows whose p-value is at most 0.1, 0.01 and so on, divided by that number.
"""

import time
from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .harness import Row, parser, report, steps
from .nab import judge

Array = NDArray[np.float64]
DAY = 288  # rows
LEVELS = (0.1, 0.01, 0.001, 0.0001)


@njit(error_model="numpy")
def autoregression(noise: Array, a: float, b: float) -> Array:
    """Return ``x[t] = a x[t-1] + b x[t-2] + noise[t]``."""
    x = np.zeros(noise.size)
    for t in range(noise.size):
        x[t] = noise[t] + a * x[t - 1] + b * x[t - 2]
    return x


def seasonal(noise: Array, a: float) -> Array:
    """Return an autoregression plus a day and a week."""
    turns = 2 * np.pi * np.arange(noise.size) / DAY
    return np.asarray(autoregression(noise, a, 0.0) + 8 * np.sin(turns) + 3 * np.sin(turns / 7))


CASES: dict[str, Callable[[Array], Array]] = {
    "noise": lambda e: e,
    "autoregression 0.9": lambda e: autoregression(e, 0.9, 0.0),
    "autoregression 0.99": lambda e: autoregression(e, 0.99, 0.0),
    "autoregression 1.6, -0.8": lambda e: autoregression(e, 1.6, -0.8),
    "random walk": lambda e: autoregression(e, 1.0, 0.0),
    "season and noise": lambda e: seasonal(e, 0.0),
    "season and autoregression 0.8": lambda e: seasonal(e, 0.8),
    "Student t, 3 degrees": lambda e: e,
}


def case(name: str, rows: int, rate: float, seed: int) -> Row:
    """Return how many alarms there were, over the rate, and how true the p-values are."""
    random = np.random.default_rng(seed)
    heavy = name.startswith("Student")
    noise: Array = np.asarray(
        random.standard_t(3, rows) if heavy else random.standard_normal(rows), np.float64
    )
    values: Array = CASES[name](noise)
    times: Array = 1.4e9 + 300.0 * np.arange(rows, dtype=np.float64)
    start = time.process_time()
    made = judge(values, noise, times, rate)
    nanoseconds = (time.process_time() - start) / rows * 1e9
    row: Row = {"stream": name, "alarms / rate": float(made[:, 2].mean() / rate)}
    row["in the first 10,000 rows"] = float(made[:10_000, 2].sum())
    for level in LEVELS:
        row[f"p <= {level:g}"] = float(np.mean(made[:, 1] <= level) / level)
    return {**row, "ns a row": nanoseconds}


def main() -> None:
    """Simulate everything and print the table."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--rows", type=int, default=1_000_000, metavar="N")
    arguments.add_argument("--rate", type=float, default=1e-4, metavar="R")
    options = arguments.parse_args()
    case("noise", 1_000, options.rate, 0)  # compiles
    names = list(CASES)
    rows = [
        case(name, options.rows, options.rate, seed)
        for seed, name in enumerate(steps(names, "streams"))
    ]
    found = [float(row["alarms / rate"] or 0) for row in rows]
    ratios = {"least of alarms / rate": min(found), "most of alarms / rate": max(found)}
    note = f"{options.rows:,} rows, alarm rate {options.rate:g}. Aim: between 1/3 and 1."
    report("false_alarms", rows, ratios, options.json, note)


if __name__ == "__main__":
    main()
