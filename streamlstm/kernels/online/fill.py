"""Fills missing inputs of a stream; specified in online/fill.py."""

import math

from numba import float32, float64, int64

from ..cache import internal
from .scaling import learn_scale, mean_of

# Columns of each input; column c of input i stands at ``at + c F + i``. Those from ROOT on are
# there if an input is filled with "predict", those of running moments (scaling.py), from MOMENTS
# on, if one is filled with "mean".
LAST, FILLED, GAP, SEEN, ROOT, CROSS, SIZE, MOMENTS = range(8)

# Constants: rows that a gap may have, then the method of each input, its mean and its standard
# deviation in training.
MAX_GAP, METHOD = range(2)
REFUSE, REPEAT, MEAN, ZERO, PREDICT = range(5)

# Flags that a step returns, of all inputs together.
FILLED_SOME, ABSENT, REFUSED = 1, 2, 4

WEIGHT, WEIGHT_OF_GAP = 0.998, 0.9  # what older values still weigh after one more, and at a gap
PRIOR, PRIOR_TRUST = 5.0, 0.5  # of so many changes of the usual size, before there are any
USUAL, CLIP = 0.05, 10.0  # rate of the usual size of a change; larger ones weigh as this many
MAX_SIZE = 1e37
MAX_COUNT = 2.0**24 - 1.0


@internal
def trust_of(S, at, F, i):
    """Return how much of a forecast change is believed, from 0 to 1."""
    c = at + i
    root, size = float64(S[c + ROOT * F]), float64(S[c + SIZE * F])
    usual = PRIOR * size * size
    total = root * root + usual
    if not total > 0.0:
        return PRIOR_TRUST
    return max(0.0, min(1.0, (float64(S[c + CROSS * F]) * root + PRIOR_TRUST * usual) / total))


@internal
def _learn_trust(S, at, F, i, forecast, change, weight):
    """Compare the change that was forecast with the one that came, a large one shortened."""
    c = at + i
    size = float64(S[c + SIZE * F])
    if size == 0.0:  # the first change tells how large changes are, and nothing else
        S[c + SIZE * F] = min(abs(change), MAX_SIZE)
        return
    shorter = min(1.0, CLIP * size / max(max(abs(forecast), abs(change)), size))
    forecast, change = shorter * forecast, shorter * change
    root = float64(S[c + ROOT * F])
    products = weight * float64(S[c + CROSS * F]) * root + forecast * change
    root = math.sqrt(weight * root * root + forecast * forecast)
    S[c + ROOT * F] = root
    S[c + CROSS * F] = products / root if root > 0.0 else 0.0
    S[c + SIZE * F] = min(size + USUAL * (abs(change) - size), MAX_SIZE)


@internal
def _observe(S, at, F, i, value, own, K, k):
    """Store an observed value, and learn from it."""
    c, method = at + i, K[k + METHOD + i]
    gap = S[c + GAP * F]
    if method == PREDICT and S[c + SEEN * F] > 0.0 and math.isfinite(own) and gap <= K[k + MAX_GAP]:
        last = float64(S[c + LAST * F])
        weight = WEIGHT if gap == 0.0 else WEIGHT_OF_GAP
        _learn_trust(S, at, F, i, own - last, value - last, weight)
    if method == MEAN:
        learn_scale(S, at + MOMENTS * F, F, i, value, float64(K[k + METHOD + 2 * F + i]))
    S[c + LAST * F] = value
    S[c + FILLED * F] = value
    S[c + GAP * F] = 0.0
    S[c + SEEN * F] = min(float64(S[c + SEEN * F]) + 1.0, MAX_COUNT)


@internal
def _fill(S, at, F, i, own, K, k):
    """Return the value that stands for a missing one, and the flags."""
    c, method = at + i, K[k + METHOD + i]
    gap = min(float64(S[c + GAP * F]) + 1.0, MAX_COUNT)
    S[c + GAP * F] = gap
    if S[c + SEEN * F] == 0.0:
        return float64(K[k + METHOD + F + i]), FILLED_SOME | ABSENT
    value = float64(S[c + LAST * F])
    if gap > K[k + MAX_GAP]:
        S[c + FILLED * F] = value
        return value, FILLED_SOME | ABSENT
    if method == MEAN:
        value = mean_of(S, at + MOMENTS * F, F, i)
    elif method == ZERO:
        value = 0.0
    elif method == PREDICT:
        value = float64(S[c + FILLED * F])
        if math.isfinite(own):
            value += trust_of(S, at, F, i) * (own - value)
    S[c + FILLED * F] = value
    return value, FILLED_SOME


@internal
def fill_step(S, at, F, X, x, Y, y, K, k):
    """Fill the missing inputs of one stream in place, and learn from those that came.

    Parameters
    ----------
    S : float32[...]
        State rows.
    at : int64
        Offset of this part's first column.
    F : int64
        Inputs.
    X : float32[...]
        Observations; ``X[x : x + F]`` is filled where it is NaN.
    x : int64
    Y : float32[...]
        From ``Y[y]`` on the network's own forecast of each input for now; NaN where it has none.
    y : int64
    K : float32[...]
        Constants, from ``K[k]`` on.
    k : int64

    Returns
    -------
    int64
        A sum of FILLED_SOME, ABSENT (an input has not come for more rows than a gap may have, or
        never) and REFUSED (an input is missing that must not be: nothing was changed).
    """
    flags = int64(0)
    for i in range(F):
        if K[k + METHOD + i] == REFUSE and math.isnan(X[x + i]):
            return int64(REFUSED)
    for i in range(F):
        if math.isnan(X[x + i]):
            value, flag = _fill(S, at, F, i, float64(Y[y + i]), K, k)
            X[x + i] = float32(value)
            flags |= flag
        else:
            _observe(S, at, F, i, float64(X[x + i]), float64(Y[y + i]), K, k)
    return flags
