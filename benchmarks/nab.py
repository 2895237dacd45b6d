"""The Numenta Anomaly Benchmark: labelled anomalies found in one pass.

    python -m benchmarks.nab --data DIR [--json FILE] [--seeds N]

DIR holds the `data/` and `labels/` of the benchmark; all files that are there are scored, with one
setting, without looking ahead, with a threshold as the benchmark sets it (nab_scorer.py).

"detector" is what `streamlstm.detector()` says, stepped through an engine. "stage" is the anomaly
stage alone, on the errors of a stand-in (stand_in.py) with a random network: the mean over several
of them. The stage's setting was chosen on the "tuned" files with such stand-ins: every other one,
in the order of names, of four of the benchmark's folders. The others were looked at twice, by two
stand-ins.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamlstm import Engine, detector
from streamlstm.kernels.online.anomaly import anomaly_step
from streamlstm.online import anomaly

from .harness import Row, parser, report, steps
from .nab_scorer import PROFILES, Series, all_profiles, load
from .stand_in import residuals

Array = NDArray[np.float64]
TUNED_FOLDERS = ("artificialNoAnomaly", "artificialWithAnomaly", "realKnownCause", "realTweets")
PUBLISHED = {"HTM": 70.1, "ARTime": 74.9, "windowed Gaussian": 39.6}  # all 58 files, standard


@njit(error_model="numpy")
def _judge(S, values, errors, times, K, made):
    for n in range(len(values)):
        made[n] = anomaly_step(S, 0, values[n], errors[n], times[n], K, 0)


def judge(values: Array, errors: Array, times: Array, rate: float = anomaly.ALARM_RATE) -> Array:
    """Return score, p-value, alarm and kind of each row, float64[T, 4]."""
    made = np.empty((len(values), 4))
    _judge(anomaly.initial(), values, errors, times, anomaly.constants(rate), made)
    return made


def detect(one: Series, weights: str = "float32") -> Array:
    """Return the detector's score of each row, float64[T]."""
    stream = Engine(detector(intervals=()), weights=weights).stream("series")
    rows = zip(one.values[:, None].astype(np.float32), one.times.tolist(), strict=True)
    return np.nan_to_num([stream.observe(x, time=time).score for x, time in rows])


def tuned(series: Sequence[Series]) -> set[str]:
    """Return the names of the files on which the setting was chosen."""
    names = [one.name for one in series if one.name.split("/")[0] in TUNED_FOLDERS]
    return set(sorted(names)[::2])


def main() -> None:
    """Score all files and print the table."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--data", type=Path, required=True, metavar="DIR")
    arguments.add_argument("--seeds", type=int, default=5, metavar="N", help="networks, 5")
    options = arguments.parse_args()
    series = load(options.data)
    scores: list[list[Array]] = []  # by seed and file
    for seed in steps(range(options.seeds), "networks"):
        errors = [residuals(one.values, one.times, seed) for one in series]
        scores.append(
            [judge(s.values, e, s.times)[:, 0] for s, e in zip(series, errors, strict=True)]
        )
    detected = [[detect(one) for one in steps(series, "detector")]]
    known = tuned(series)
    parts = {
        "all": range(len(series)),
        "tuned": [n for n, one in enumerate(series) if one.name in known],
        "unseen": [n for n, one in enumerate(series) if one.name not in known],
    }
    rows = [
        _row(
            f"{who}, {name}", [series[n] for n in part], [[made[n] for n in part] for made in all_]
        )
        for who, all_ in (("detector", detected), ("stage", scores))
        for name, part in parts.items()
    ]
    ratios = {name: float(rows[0][name] or 0) for name in PROFILES}
    published = ", ".join(f"{name} {value}" for name, value in PUBLISHED.items())
    note = f"Published, of all 58 files, standard: {published}. Silence has 0, perfection 100."
    report("nab", rows, ratios, options.json, note, {"standard": 70.0})


def _row(name: str, series: list[Series], scores: list[list[Array]]) -> Row:
    found = [all_profiles(series, made) for made in scores]
    row: Row = {
        "files": name,
        "number": float(len(series)),
        "windows": float(sum(len(one.windows) for one in series)),
    }
    for profile in found[0]:
        row[profile] = float(np.mean([made[profile] for made in found]))
    row["standard, +-"] = float(np.std([made["standard"] for made in found]))
    return row


if __name__ == "__main__":
    main()
