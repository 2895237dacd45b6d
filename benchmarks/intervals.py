"""Prediction intervals on public series: which share they hold, how wide they are, what they cost.

    python -m benchmarks.intervals --data DIR [--json FILE] [--forecast NAME]

DIR as in residuals.py. Intervals of 90 % around simple forecasts, one and 24 steps ahead. Settings
were chosen on every second series ("chosen"), the others are "unseen". Of every series windows are
taken from the 500th forecast on, of 500 rows one step ahead and of 2,000 rows 24 steps ahead. A
series is held well if every window's share differs by at most 3 points one step ahead (5 where
more than 5 % of the residuals are exactly 0) and 6 points 24 steps ahead; in windows where more
than 90 % of the residuals are exactly 0 that share is expected. Width (median over series) and
Winkler's score (mean) are told in multiples of those of the best constant, which knows the whole
series.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streamlstm.kernels.online.intervals import interval_bounds, interval_update
from streamlstm.online.intervals import Level, constants, initial

from .harness import Row, parser, report, steps
from .interval_peers import ALPHA, PEERS
from .residuals import Series, forecasts, series

Array = NDArray[np.float64]
Bounds = tuple[Array, Array]
Method = Callable[[Array, int], Bounds]

BURN = 500  # forecasts that are not judged
WINDOWS = {1: 500, 24: 2000}
TIES = 0.05
TOLERANCE = {1: (0.03, 0.05), 24: (0.06, 0.06)}  # without ties, with ties
OURS = "streamlstm"


class Judged(NamedTuple):
    """What was seen of one series and forecast."""

    ties: bool
    off: Array  # share held less share expected, in every window
    width: float  # in multiples of the best constant's
    winkler: float


@njit
def _run(S, K, residuals, horizon, levels, low, high):
    for t in range(residuals.size):
        known = residuals[t - horizon] if t >= horizon else np.nan
        interval_update(S, 0, K, 0, t % horizon, known, S.size - 1)
        for n in range(levels):
            low[t], high[t] = interval_bounds(S, 0, K, 0, t % horizon, 0.0, n)


def ours(residuals: Array, horizon: int) -> Bounds:
    """Return the bounds of 90 % around forecasts of 0; a second level is computed as well."""
    levels = (Level(0.5), Level(1 - ALPHA))
    low, high = np.empty((2, len(residuals)))
    S, K = np.append(initial(levels, horizon), np.float32(0)), constants(levels, horizon)
    _run(S, K, residuals, horizon, len(levels), low, high)
    return low, high


def _peer(half_widths: Callable[[Array, int], Array]) -> Method:
    def bounds(residuals: Array, horizon: int) -> Bounds:
        half = half_widths(np.abs(residuals), horizon)
        return -half, half

    return bounds


def winkler(residuals: Array, low: Array, high: Array) -> float:
    """Return the mean interval score: width, and misses by their distance times 2 / alpha."""
    missed = np.maximum(low - residuals, 0) + np.maximum(residuals - high, 0)
    return float(np.mean(high - low + 2 / ALPHA * missed))


def best_constant(residuals: Array) -> tuple[float, float]:
    """Return the width and the score of the best constant, symmetric or not."""
    half = np.quantile(np.abs(residuals), 1 - ALPHA)
    choices = [(-half, half), tuple(np.quantile(residuals, [ALPHA / 2, 1 - ALPHA / 2]))]
    score, low, high = min((winkler(residuals, *choice), *choice) for choice in choices)
    return float(high - low), score


def _moving_share(true: NDArray[np.bool_], rows: int) -> Array:
    total = np.concatenate([[0.0], np.cumsum(true)])
    share: Array = (total[rows:] - total[:-rows]) / rows
    return share


def judge(residuals: Array, bounds: Bounds, horizon: int) -> Judged:
    """Compare bounds with what came."""
    r, low, high = residuals[BURN:], bounds[0][BURN:], bounds[1][BURN:]
    low, high = np.maximum(low, -1e9), np.minimum(high, 1e9)
    rows = WINDOWS[horizon]
    expected = np.maximum(1 - ALPHA, _moving_share(r == 0, rows))
    off = _moving_share((low <= r) & (r <= high), rows) - expected
    width, score = best_constant(r)
    return Judged(
        bool(np.mean(r == 0) >= TIES),
        off,
        float(np.mean(high - low)) / max(width, 1e-12),
        winkler(r, low, high) / max(score, 1e-12),
    )


def _streams(every: list[Series], horizon: int, only: str | None) -> Iterator[Array]:
    for one in every:
        made = forecasts(one, horizon)
        if horizon == one.day:
            del made["seasonal"]  # is persistence
        for name, forecast in made.items():
            r = forecast.residual
            long = len(r) >= BURN + WINDOWS[horizon] + 300
            if long and np.mean(r == 0) <= 0.95 and only in (None, name):
                yield r


def row(name: str, horizon: int, judged: list[Judged], ties: bool) -> Row:
    """Return the row of one method over some series."""
    some = [one for one in judged if one.ties == ties]
    off, limit = np.concatenate([one.off for one in some]), TOLERANCE[horizon][ties] + 1e-9
    well = sum(bool(abs(one.off).max() <= limit) for one in some)
    within = {f"within {n} %": 100 * float(np.mean(abs(off) <= n / 100 + 1e-9)) for n in (1, 2, 3)}
    scores = [one.winkler for one in some]
    return {
        "method": name,
        "ahead": float(horizon),
        "series": "with ties" if ties else "without ties",
        "held well": f"{well} of {len(some)}",
        "lowest": 90 + 100 * float(off.min()),
        "highest": 90 + 100 * float(off.max()),
        **within,
        "width": float(np.median([one.width for one in some])),
        "winkler": float(np.mean(scores)),
        "worst winkler": float(np.max(scores)),
    }


def _measure(every: list[Series], half: str, only: str | None) -> Iterator[Row]:
    methods = {OURS: ours, **{name: _peer(peer) for name, peer in PEERS.items()}}
    for horizon in WINDOWS:
        streams = list(_streams(every, horizon, only))
        for name, method in methods.items():
            method(streams[0][:1000], horizon)
            start = time.perf_counter()
            bounds = [method(r, horizon) for r in streams]
            ns = (time.perf_counter() - start) * 1e9 / sum(map(len, streams))
            judged = [judge(*pair, horizon) for pair in zip(streams, bounds, strict=True)]
            for ties in sorted({one.ties for one in judged}):
                yield {"half": half, **row(name, horizon, judged, ties), "ns a step": ns}


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, required=True, metavar="DIR")
    options.add_argument("--forecast", metavar="NAME", help="of one of the forecasts alone")
    args = options.parse_args()
    every = list(series(args.data))
    rows: list[Row] = []
    halves = {"chosen": every[0::2], "unseen": every[1::2]}
    for half in steps(list(halves), "series"):
        rows += _measure(halves[half], half, args.forecast)
    ratios = {
        f"{row['half']}, {row['ahead']:.0f} ahead, {row['series']}: winkler": float(
            row["winkler"] or 0
        )
        for row in rows
        if row["method"] == OURS
    }
    report("intervals", rows, ratios, args.json, f"{len(every)} series")


if __name__ == "__main__":
    main()
