"""Fills missing inputs of a stream; specified in online/fill.py."""

import math

from numba import float32, float64, int64

from ..cache import inlined
from .reversion import LONG, LONGEST, LOOKS, SHARES, is_look, look_back, next_median, share_of
from .scaling import learn_scale, mean_of

# Columns of each input; column c of input i stands at ``at + c F + i``. Those from PATH on are
# there if an input is filled with "predict", those of running moments (scaling.py), from MOMENTS
# on, if one is filled with "mean".
LAST, FILLED, GAP, SEEN, PATH, SIZE, TRUST_XY, TRUST_XX, WON, MEDIAN, AGE, KEEP_XY = range(12)
OCTAVES = LOOKS  # of the length of a gap, from LONG on
KEEP_XX = KEEP_XY + OCTAVES
THEN = KEEP_XX + OCTAVES
MOMENTS = THEN + 2 + SHARES * LOOKS

# Constants: rows that a gap may have, then the method of each input, its mean and its standard
# deviation in training.
MAX_GAP, METHOD = range(2)
REFUSE, REPEAT, MEAN, ZERO, PREDICT = range(5)

# Flags that a step returns, of all inputs together.
FILLED_SOME, ABSENT, REFUSED = 1, 2, 4

WEIGHT, WEIGHT_OF_GAP = 0.998, 0.9  # what older values still weigh after one more, and at a gap
TRUST, TRUST_PRIOR = 0.5, 5.0  # before there is evidence: as so many changes of the usual size
KEEP_PRIOR = 1.0  # gaps as this one that speak for what shorter ones said
WON_LEAST, BELIEF = 0.05, 4.0  # share of rows won, beyond half, from which on a path is kept
TIE = 0.01  # of the usual size of a change: a row won by less is a share of one
USUAL = 0.05  # rate of the usual size of a change
CLIP, CLIP_OF_GAP = 10.0, 100.0  # usual sizes that a change weighs at most
MAX_SIZE, MAX_VALUE = 1e33, 3e38
MAX_COUNT = 2.0**24 - 1.0


@inlined
def trust_of(S, at, F, i):
    """Return how much of a forecast change is believed, from 0 to 1."""
    prior = TRUST_PRIOR * float64(S[at + SIZE * F + i])
    total = float64(S[at + TRUST_XX * F + i]) + prior
    trust = TRUST
    if total > 0.0:
        trust = (float64(S[at + TRUST_XY * F + i]) + TRUST * prior) / total
    return max(0.0, min(1.0, trust))


@inlined
def _octave(gap):
    octave, longer = int64(0), 2.0 * LONG
    while octave < OCTAVES - 1 and gap >= longer:
        octave += 1
        longer *= 2.0
    return octave


@inlined
def _keep_of(S, at, F, i, gap, distance):
    """Return how much to keep of a path that has gone so far from where it could be, from LONG on.

    Before the ends of gaps tell, it is kept by the share of rows whose forecast was nearer to what
    came than the value before.
    """
    keep = max(0.0, min(1.0, BELIEF * (float64(S[at + WON * F + i]) - WON_LEAST)))
    prior = KEEP_PRIOR * abs(distance)
    for octave in range(_octave(gap) + 1):
        total = float64(S[at + (KEEP_XX + octave) * F + i]) + prior
        if total > 0.0:
            product = float64(S[at + (KEEP_XY + octave) * F + i])
            keep = max(0.0, min(1.0, (product + keep * prior) / total))
    return keep


@inlined
def _level_of(S, at, F, i, gap):
    """Return where a value is after a gap from LONG on if nothing is forecast (reversion.py)."""
    last, median = float64(S[at + LAST * F + i]), float64(S[at + MEDIAN * F + i])
    return last + share_of(S, at + THEN * F + i, F, _octave(gap)) * (median - last)


@inlined
def _learn(S, product, square, weight, longest, x, y):
    """Add a change that came, ``y``, and the one that was forecast to a regression."""
    largest = max(abs(x), abs(y))
    if largest > 0.0:
        shorter = min(1.0, longest / largest)
        S[product] = weight * float64(S[product]) + shorter * x * (y / largest)
        S[square] = weight * float64(S[square]) + shorter * x * (x / largest)


@inlined
def _next_on_path(S, at, F, i, own):
    c = at + i
    return float64(S[c + PATH * F]) + trust_of(S, at, F, i) * (own - float64(S[c + FILLED * F]))


@inlined
def _learn_trust(S, at, F, i, value, own):
    """Learn from a value that ends a gap and the forecast of it."""
    c = at + i
    size, gap, last = float64(S[c + SIZE * F]), float64(S[c + GAP * F]), float64(S[c + LAST * F])
    x, y = own - last, value - last
    if size > 0.0:
        if gap >= LONG:
            octave = _octave(gap)
            product, square = c + (KEEP_XY + octave) * F, c + (KEEP_XX + octave) * F
            level = _level_of(S, at, F, i, gap)
            distance = _next_on_path(S, at, F, i, own) - level
            longest = CLIP_OF_GAP * size
            _learn(S, product, square, WEIGHT_OF_GAP, longest, distance, value - level)
        _learn(S, c + TRUST_XY * F, c + TRUST_XX * F, WEIGHT_OF_GAP, CLIP * size, x, y)
    else:  # the first change tells how large changes are, and nothing else
        size = abs(y)
    S[c + SIZE * F] = min(size, MAX_SIZE)


@inlined
def is_usual(S, at, F, i, value):
    """Tell whether a value came, and the one before too if there was one."""
    return (value == value) & (S[at + i + GAP * F] == 0.0)


@inlined
def learn_usual(S, at, F, i, value, own):
    """Learn from such a value of an input that is filled with "predict".

    Here and in :func:`store_usual` there are no branches, so that LLVM can take the streams of a
    tile at once (before_block.py).
    """
    c = at + i
    size, last = float64(S[c + SIZE * F]), float64(S[c + LAST * F])
    xy, xx = float64(S[c + TRUST_XY * F]), float64(S[c + TRUST_XX * F])
    learns = (abs(own) < math.inf) & (S[c + SEEN * F] > 0.0)
    x, y = own - last, value - last
    largest = max(abs(x), abs(y))
    moves = learns & (size > 0.0) & (largest > 0.0)
    largest = largest if moves else 1.0
    shorter = min(1.0, CLIP * size / largest)
    S[c + TRUST_XY * F] = WEIGHT * xy + shorter * x * (y / largest) if moves else xy
    S[c + TRUST_XX * F] = WEIGHT * xx + shorter * x * (x / largest) if moves else xx
    usual = size + USUAL * (min(abs(y), CLIP * size) - size)
    first = abs(y)  # this change tells how large changes are, and nothing else
    won = float64(S[c + WON * F])
    nearer = (abs(y) - abs(value - own)) / (2.0 * TIE * (size if size > 0.0 else 1.0))
    half = min(max(nearer, -0.5), 0.5)
    S[c + WON * F] = won + (1.0 - WEIGHT) * (half - won) if learns & (size > 0.0) else won
    S[c + SIZE * F] = min(usual if size > 0.0 else first, MAX_SIZE) if learns else size
    S[c + PATH * F] = value


@inlined
def learn_median(S, at, F, i, value):
    """Move the median of such an input by a value that came, and count a row."""
    c = at + i
    age, median = float64(S[c + AGE * F]), float64(S[c + MEDIAN * F])
    size, seen = float64(S[c + SIZE * F]), float64(S[c + SEEN * F])
    S[c + MEDIAN * F] = next_median(median, value, size, seen, age == 0.0)
    S[c + AGE * F] = age + 1.0


@inlined
def is_level_due(S, at, F, i):
    """Tell whether :func:`learn_level` does anything."""
    return is_look(float64(S[at + i + AGE * F]) - 1.0)


@inlined
def learn_level(S, at, F, i, value):
    """Learn how far values go back to the median, if this row tells; after both of the above."""
    c, rows = at + i, float64(S[at + i + AGE * F]) - 1.0
    if is_look(rows):
        size, median = float64(S[c + SIZE * F]), float64(S[c + MEDIAN * F])
        S[c + AGE * F] = look_back(S, c + THEN * F, F, rows, value, size, median)


@inlined
def store_usual(S, at, F, i, value):
    """Store a value that came."""
    c = at + i
    S[c + LAST * F] = value
    S[c + FILLED * F] = value
    S[c + GAP * F] = 0.0
    S[c + SEEN * F] = min(float64(S[c + SEEN * F]) + 1.0, MAX_COUNT)


@inlined
def _observe(S, at, F, i, value, own, K, k):
    """Store an observed value, and learn from it."""
    c, method = at + i, K[k + METHOD + i]
    if method == PREDICT:
        if is_usual(S, at, F, i, value):
            learn_usual(S, at, F, i, value, own)
        elif S[c + SEEN * F] > 0.0 and math.isfinite(own) and S[c + GAP * F] <= K[k + MAX_GAP]:
            _learn_trust(S, at, F, i, value, own)
        learn_median(S, at, F, i, value)
        learn_level(S, at, F, i, value)
        S[c + PATH * F] = value
    elif method == MEAN:
        learn_scale(S, at + MOMENTS * F, F, i, value, float64(K[k + METHOD + 2 * F + i]))
    store_usual(S, at, F, i, value)


@inlined
def _predict(S, at, F, i, gap, own):
    """Return the filled value of "predict", one row further."""
    c = at + i
    path = float64(S[c + PATH * F])
    if math.isfinite(own):
        path = _next_on_path(S, at, F, i, own)
    path = max(-MAX_VALUE, min(MAX_VALUE, path))
    S[c + PATH * F] = path
    if gap < LONG:
        return path
    level = _level_of(S, at, F, i, gap)
    return level + _keep_of(S, at, F, i, gap, path - level) * (path - level)


@inlined
def _fill(S, at, F, i, own, K, k):
    """Return the value that stands for a missing one, and the flags."""
    c, method = at + i, K[k + METHOD + i]
    gap, seen = min(float64(S[c + GAP * F]) + 1.0, MAX_COUNT), S[c + SEEN * F] > 0.0
    S[c + GAP * F] = gap
    value, flags = float64(S[c + LAST * F]), int64(FILLED_SOME)
    if not seen:
        value = float64(K[k + METHOD + F + i])
    elif method == PREDICT and S[c + AGE * F] > 0.0 and S[c + AGE * F] <= LONGEST:
        S[c + AGE * F] = float64(S[c + AGE * F]) + 1.0
    if not seen or gap > K[k + MAX_GAP]:
        flags |= ABSENT
    elif method == MEAN:
        value = mean_of(S, at + MOMENTS * F, F, i)
    elif method == ZERO:
        value = 0.0
    elif method == PREDICT:
        value = _predict(S, at, F, i, gap, own)
    S[c + FILLED * F] = value
    return value, flags


@inlined
def _is_refused(F, X, x, K, k):
    refused = False
    for i in range(F):
        refused |= K[k + METHOD + i] == REFUSE and math.isnan(X[x + i])
    return refused


@inlined
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
    flags = int64(REFUSED)
    if not _is_refused(F, X, x, K, k):
        flags = int64(0)
        for i in range(F):
            value, own = float64(X[x + i]), float64(Y[y + i])
            if math.isnan(value):
                value, flag = _fill(S, at, F, i, own, K, k)
                X[x + i] = float32(value)
                flags |= flag
            else:
                _observe(S, at, F, i, value, own, K, k)
    return flags
