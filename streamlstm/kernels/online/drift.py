"""Drift of one output of one stream: are its forecasts worse than before? See online/drift.py."""

import math

from numba import float64

from ..cache import inlined

SCALE, MEAN, COUNT, SUM = range(4)  # columns of the state
SIZE = 4
PACE = 0  # the constant of the owner

SLACK = 0.25  # by which the mean may grow
LIMIT = 100.0  # of the sum, divided by PACE
ROWS = 200.0  # before the test begins, divided by PACE
COUNTED = 5000.0  # where the count stops, divided by PACE: both means then forget at its reciprocal
MOST = 4.0  # an error counts as at most this many times SCALE,
OUTLIER = 50.0  # and as this many for SCALE itself
SMALLEST, LARGEST = 1e-30, 1e30


@inlined
def drift_step(S, at, w, pace, residual):
    """Compare one error with those before.

    Parameters
    ----------
    S : float32[N]
        State rows, or a tile of streams.
    at, w : int64
        Column ``c`` of this output and stream stands at ``S[at + w c]``.
    pace : float64
        The constant of the owner.
    residual : float64
        Label less forecast; NaN (or infinite): not known, nothing changes.

    Returns
    -------
    bool
        Whether drift was found; the test has then begun anew.
    """
    size, known = min(abs(residual), LARGEST), abs(residual) < math.inf
    scale, mean = float64(S[at + SCALE * w]), float64(S[at + MEAN * w])
    count, total = float64(S[at + COUNT * w]) + 1.0, float64(S[at + SUM * w])
    begins = scale == 0.0
    error = min(size / (1.0 if begins else scale), MOST)
    summed = max(total + error - mean - SLACK, 0.0)
    total = summed if pace * count > ROWS else total
    found = known & (not begins) & (pace * count > ROWS) & (pace * total > LIMIT)
    share = 1.0 / count
    scale_after = max(scale + (min(size, OUTLIER * scale) - scale) * share, SMALLEST)
    mean_after = mean + (error - mean) * share
    count_after = min(count, COUNTED / pace)
    # The first error that is not 0 is the scale; until then nothing is learned.
    first = size > 0.0
    scale_after = (max(size, SMALLEST) if first else 0.0) if begins else scale_after
    mean_after = (1.0 if first else mean) if begins else mean_after
    count_after = (1.0 if first else count - 1.0) if begins else count_after
    S[at + SCALE * w] = 0.0 if found else scale_after if known else scale
    S[at + MEAN * w] = 0.0 if found else mean_after if known else mean
    S[at + COUNT * w] = 0.0 if found else count_after if known else count - 1.0
    S[at + SUM * w] = 0.0 if found else total if known & (not begins) else S[at + SUM * w]
    return found
