"""Are faults of a sensor told, and why? Spikes, shifts, unrest, a stuck sensor, a slow rise.

    python -m benchmarks.faults [--data DIR] [--json FILE] [--rate R]

A fault is put into a stream at 60 % of its rows: simulated ones, and public ones below DIR (nab/
and ett/, those that are there). It is found if an alarm begins within the rows of the fault, and
named if the kind of one of them is right. Forecasts are those of a stand-in (stand_in.py), which
knows nothing of the fault. "without" tells in how many of the cases there was an alarm anyhow.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm.online.anomaly import ALARM_RATE, KINDS

from .false_alarms import autoregression, seasonal
from .harness import Row, parser, report, steps
from .nab import judge
from .stand_in import residuals

Array = NDArray[np.float64]
ROWS, SEEDS, AT = 10_000, 4, 0.6


class Fault(NamedTuple):
    """A kind of fault: within how many rows it is to be told, and by what word."""

    rows: int
    kind: str


FAULTS = {
    "spike": Fault(5, "spike"),
    "level": Fault(50, "level"),
    "unrest": Fault(100, "variance"),
    "stuck": Fault(100, "calm"),
    "ramp of 100 rows": Fault(200, "level"),
    "ramp of 300 rows": Fault(400, "level"),
    "ramp of 1,000 rows": Fault(1100, "level"),
}


def spoiled(x: Array, fault: str, start: int, seed: int) -> Array:
    """Return a series with a fault; sizes are in standard deviations of all before it."""
    x, spread = x.copy(), x[:start].std()
    end = start + FAULTS[fault].rows
    if fault == "spike":
        x[start] += 6 * spread
    elif fault == "level":
        x[start:] += 5 * spread
    elif fault == "unrest":
        x[start:end] += 2 * spread * np.random.default_rng(seed).standard_normal(end - start)
    elif fault == "stuck":
        x[start:end] = x[start - 1]
    else:
        length = int(fault.split()[2].replace(",", ""))
        x[start:] += 5 * spread * np.minimum(np.arange(1, len(x) - start + 1) / length, 1)
    return x


def simulated() -> Iterator[tuple[str, Array, Array]]:
    """Yield name, values and times of streams that are simulated."""
    times: Array = 1.4e9 + 300.0 * np.arange(ROWS, dtype=np.float64)
    for seed in range(SEEDS):
        noise = np.random.default_rng(seed).standard_normal(ROWS)
        for name, values in (
            ("noise", noise),
            ("autoregression 0.9", autoregression(noise, 0.9, 0.0)),
            ("autoregression 0.99", autoregression(noise, 0.99, 0.0)),
            ("autoregression 0.99, rounded", np.round(autoregression(noise, 0.99, 0.0))),
            ("season", seasonal(noise, 0.8)),
        ):
            yield name, values, times


def public(data: Path) -> Iterator[tuple[str, Array, Array]]:
    """Yield name, values and times of the columns of files below ``data``."""
    for path in sorted(data.glob("nab/data/real*/*.csv")) + sorted(data.glob("ett/*.csv")):
        with path.open(newline="") as file:
            head, *rows = csv.reader(file)
        times = [datetime.fromisoformat(row[0]).replace(tzinfo=UTC).timestamp() for row in rows]
        for column in range(1, len(head)):
            values = np.array([float(row[column]) for row in rows])
            yield path.parent.name, values, np.array(times)


def main() -> None:
    """Put every fault into every stream, and print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, default=Path("data"))
    options.add_argument("--rate", type=float, default=ALARM_RATE)
    arguments = options.parse_args()
    streams = [*simulated(), *public(arguments.data)]
    found: dict[tuple[str, str], list[tuple[bool, bool, bool, float]]] = {}
    for seed, (name, values, times) in enumerate(steps(streams, "streams")):
        start = int(AT * len(values))
        clean = judge(values, residuals(values, times), times, arguments.rate)
        for fault, (rows, kind) in FAULTS.items():
            x = spoiled(values, fault, start, seed)
            made = judge(x, residuals(x, times), times, arguments.rate)[start : start + rows]
            alarms = made[:, 2] > 0
            named = made[:, 3] == KINDS.index(kind)
            late = float(np.argmax(alarms)) if alarms.any() else np.nan
            without = bool((clean[start : start + rows, 2] > 0).any())
            found.setdefault((fault, name), []).append(
                (bool(alarms.any()), bool(named.any()), without, late)
            )
    table: list[Row] = []
    for (fault, name), cases in sorted(
        found.items(), key=lambda one: list(FAULTS).index(one[0][0])
    ):
        told, named_too, without_too, lates = np.array(cases, float).T
        table.append(
            {
                "fault": fault,
                "within": str(FAULTS[fault].rows),
                "stream": name,
                "cases": float(len(cases)),
                "found": told.mean(),
                "named": named_too.mean(),
                "without": without_too.mean(),
                "rows until": float(np.nanmedian(lates)) if told.any() else None,
            }
        )
    ratios = {
        f"{fault}, {word}": float(np.mean([row[word] for row in table if row["fault"] == fault]))
        for fault in FAULTS
        for word in ("found", "named", "without")
    }
    report("faults", table, ratios, arguments.json, f"Alarm rate {arguments.rate:g}.")


if __name__ == "__main__":
    main()
