"""Drift of one output of one stream: are its forecasts worse than before? See online/drift.py."""

import math

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
def drift_step(S, at, K, k, residual):
    """Compare one error with those before.

    Parameters
    ----------
    S : float32[N]
        State rows.
    at : int64
        Of the first column of this output and stream.
    K : float32[M]
        Constants.
    k : int64
        Of the constant of this output.
    residual : float64
        Label less forecast; NaN (or infinite): not known, nothing changes.

    Returns
    -------
    bool
        Whether drift was found; the test has then begun anew.
    """
    size, pace = min(abs(residual), LARGEST), K[k + PACE]
    if not abs(residual) < math.inf:
        return False
    scale, mean, count = float(S[at + SCALE]), float(S[at + MEAN]), S[at + COUNT] + 1.0
    if scale == 0.0:
        if size > 0.0:
            S[at + SCALE], S[at + MEAN], S[at + COUNT] = max(size, SMALLEST), 1.0, 1.0
        return False
    error, total = min(size / scale, MOST), float(S[at + SUM])
    if pace * count > ROWS:
        total = max(total + error - mean - SLACK, 0.0)
        if pace * total > LIMIT:
            S[at + SCALE] = S[at + MEAN] = S[at + COUNT] = S[at + SUM] = 0.0
            return True
    S[at + SCALE] = max(scale + (min(size, OUTLIER * scale) - scale) / count, SMALLEST)
    S[at + MEAN] = mean + (error - mean) / count
    S[at + COUNT], S[at + SUM] = min(count, COUNTED / pace), total
    return False
