"""The head that learns by recursive least squares; specification: streamlstm/online/adaptation.py.

Functions take the state rows ``S``, the offset ``at`` of a stream's columns in it, constants ``K``
from ``k`` on and what :func:`sizes_of` made of them, and working memory ``W`` from ``w`` on, whose
content is undefined between calls. They are inlined: in functions that are called, Numba counts
references to arrays, which takes as long as much of the arithmetic.
"""

import math

from numba import float64, int64

from ..cache import inlined, internal
from ..layout import PAD
from . import mixing
from .elementary import one_by_one
from .least_squares import add_multiple, dot, downdate, gain, read, write
from .outcomes import APPLIED, NOT_YET, TOO_OLD, TWICE

# Constants: whole numbers, then the lags of the seasons, then the scale of each output.
UNITS, OUTPUTS, HORIZON, KEPT, ADAPTED, SEASONS, LAGS = range(7)

POSITION, PLACE, LEVELS = range(3)  # columns: places in the rings of steps and of values
NUMBER_HIGH, NUMBER_LOW, FORECASTS = range(3)  # of each step that is kept; numbers plus 1
OPEN, EXPERTS = range(2)  # of each of its forecasts: 1 until its label has come, 0 after


FORGETTING = 0.9995
FIRST_P = 0.01  # P begins as this times the identity
LARGEST_P = 1.0  # on P's diagonal: from twice this it is scaled back to this. Not at once, as that
# would be work of D^2 in every step where many units tell nothing, and is once in 1,400 steps so.
NEWS = 2 * (1 - FORGETTING)  # phi . P phi below which a vector of features tells nothing new
HEAD_CLIP = 0.5  # errors are clipped at this times what counts in the mix
LARGEST_FEATURE = 64.0
MEMORY = 200  # values over which the level of a series is averaged
LARGEST = 3e38  # of a forecast: float32 ends at 3.4e38
DIGITS = 1 << 24  # whole numbers that float32 holds


@inlined
def sizes_of(K, k):
    """Return O, the number of experts, D, how many values of an output are kept; H; seasons; steps.

    That is the number of seasons, and of steps to a label and of those that are kept. They are the
    same for all streams.
    """
    O, seasons = int64(K[k + OUTPUTS]), int64(K[k + SEASONS])
    experts, D = 2 + seasons, int64(0)
    if K[k + ADAPTED] != 0:
        experts, D = experts + 1, int64(K[k + UNITS]) + 1 + (3 + seasons) * O
    values = int64(2)
    for n in range(seasons):
        one_by_one()
        values = max(values, int64(K[k + LAGS + n]))
    units, horizon, kept = int64(K[k + UNITS]), int64(K[k + HORIZON]), int64(K[k + KEPT])
    return (O, experts, D, values), units, seasons, horizon, kept


@inlined
def _step_size(O, experts, D):
    """Return the floats of a step that is kept."""
    return FORECASTS + O * (experts + 2) + D


@inlined
def _history(at, O, D):
    """Return the offset of the latest values; levels are kept for a head only."""
    return at + LEVELS + (O if D > 0 else 0)


@inlined
def _places(at, O, experts, D, values):
    """Return the offsets of the mix, of the head's weights, of P and of the kept steps."""
    mixed = _history(at, O, D) + values * O
    weights = mixed + O * (mixing.LOSSES + experts)
    P = weights + O * D
    return mixed, weights, P, P + D * (D + 1) // 2


@inlined
def _padded(D):
    return (D + PAD - 1) // PAD * PAD


@inlined
def _bounded(value, bound):
    """Clip to [-bound, bound]; zero for NaN."""
    return min(max(value, -bound), bound) if value == value else 0.0


@inlined
def _wrapped(place, length):
    """Return a place in a ring that is less than a round away."""
    if place < 0:
        return place + length
    return place - length if place >= length else place


@inlined
def _past(S, at, O, D, values, o, lag):
    """Return the value of ``lag`` steps before the one that is about to be stored."""
    place = _wrapped(int64(S[at + PLACE]) - lag, values)
    return float(S[_history(at, O, D) + place * O + o])


@inlined
def _deviation(S, level, now, per_scale):
    """Return how far a value is from its running mean at ``S[level]``, after that has followed it.

    What is too far to be a feature is a new level.
    """
    far = (now - S[level]) * per_scale
    if now == now:
        if abs(far) <= LARGEST_FEATURE:
            S[level] += (now - S[level]) / MEMORY
        else:
            S[level] = now
    return _bounded((now - S[level]) * per_scale, LARGEST_FEATURE)


@inlined
def _features(S, at, sizes, K, k, hidden, X, x, W, w):
    """Write the vector of features to ``W[w]``: h, 1, and each output's changes and level."""
    (O, _, D, values), H, seasons, horizon, _ = sizes
    read(S, hidden, W, w, H, LARGEST_FEATURE)
    W[w + H] = 1.0
    place = w + H + 1
    for o in range(O):
        one_by_one()
        now, per_scale = float(X[x + o]), 1.0 / K[k + LAGS + seasons + o]
        for lag in range(1, 3):
            one_by_one()
            change = (now - _past(S, at, O, D, values, o, lag)) * per_scale
            W[place] = _bounded(change, LARGEST_FEATURE)
            place += 1
        W[place] = _deviation(S, at + LEVELS + o, now, per_scale)
        place += 1
        for n in range(seasons):
            one_by_one()
            lag = int64(K[k + LAGS + n])
            after = now if lag == horizon else _past(S, at, O, D, values, o, lag - horizon)
            change = (after - _past(S, at, O, D, values, o, lag)) * per_scale
            W[place] = _bounded(change, LARGEST_FEATURE)
            place += 1
    for n in range(place, w + _padded(D)):
        one_by_one()
        W[n] = 0.0


@inlined
def predict(S, at, sizes, K, k, hidden, X, x, Y, y, number, W, w):
    """Adapt and mix the network's forecasts, and keep them until their label comes.

    Parameters
    ----------
    hidden : int
        Offset in S of the last hidden state, h[H].
    X, x : float32[...], int
        The value now of what each output forecasts, O of them; NaN if it is not known.
    Y, y : float32[...], int
        The network's O forecasts, in the unit of the series; replaced by those of the mix.
    number : int
        Sequence number of the observation, from 0, below 2**48 - 1.
    """
    (O, experts, D, values), _, seasons, horizon, kept = sizes
    mixed, weights, _, ring = _places(at, O, experts, D, values)
    row = ring + int64(S[at + POSITION]) * _step_size(O, experts, D)
    phi = row + FORECASTS + O * (experts + 2)
    S[row + NUMBER_HIGH] = (number + 1) // DIGITS
    S[row + NUMBER_LOW] = (number + 1) % DIGITS
    if D > 0:
        _features(S, at, sizes, K, k, hidden, X, x, W, w)
        write(W, w, S, phi, D)
    for o in range(O):
        one_by_one()
        forecasts = row + FORECASTS + o * (experts + 2) + EXPERTS
        S[forecasts - EXPERTS + OPEN] = 1.0
        S[forecasts] = X[x + o]
        S[forecasts + 1] = Y[y + o]
        for n in range(seasons):
            one_by_one()
            lag = int64(K[k + LAGS + n]) - horizon
            S[forecasts + 2 + n] = X[x + o] if lag == 0 else _past(S, at, O, D, values, o, lag)
        if D > 0:
            change = dot(S, weights + o * D, W, w, D, w + 2 * _padded(D))
            adapted = Y[y + o] + change * float(K[k + LAGS + seasons + o])
            S[forecasts + experts - 1] = _bounded(adapted, LARGEST)
        told = mixing.mix(S, mixed + o * (mixing.LOSSES + experts), experts, forecasts)
        S[forecasts + experts] = told
        Y[y + o] = told
    place = int64(S[at + PLACE])
    for o in range(O):
        one_by_one()
        S[_history(at, O, D) + place * O + o] = X[x + o]
    S[at + PLACE] = _wrapped(place + 1, values)
    S[at + POSITION] = _wrapped(int64(S[at + POSITION]) + 1, kept)


@inlined
def _learn(S, at, sizes, K, k, row, Y, y, W, w):
    """Learn from the labels ``Y[y:y+O]``, NaN where there is none, of the step kept at ``row``.

    Returns whether there was one that had not come before.
    """
    (O, experts, D, values), _, seasons, _, _ = sizes
    mixed, weights, P, _ = _places(at, O, experts, D, values)
    if not _is_news(S, row, O, experts, Y, y):
        return False
    gains, z, news = w + _padded(D), w + 2 * _padded(D), 0.0
    if D > 0:
        read(S, row + FORECASTS + O * (experts + 2), W, w, D, LARGEST_FEATURE)
        for _ in range(2):
            news = gain(S, P, W, w, gains, D, z)
            if news >= 0:
                break
            _reset(S, P, D)  # rounding has made P indefinite
    share = 1.0 / (news + FORGETTING)
    for o in range(O):
        one_by_one()
        label, per_scale = float(Y[y + o]), 1.0 / K[k + LAGS + seasons + o]
        place = row + FORECASTS + o * (experts + 2)
        if label == label and S[place + OPEN] != 0:
            S[place + OPEN] = 0.0
            losses = mixed + o * (mixing.LOSSES + experts)
            if D > 0:
                error = (label - S[place + EXPERTS + 1]) * per_scale
                error -= dot(S, weights + o * D, W, w, D, z)
                error = _bounded(error, HEAD_CLIP * mixing.limit(S, losses))
                add_multiple(S, weights + o * D, error * share, W, gains, D)
            mixing.score(S, losses, experts, place + EXPERTS, label, per_scale)
    if D > 0 and news > NEWS:
        most, grows = 2.0 * LARGEST_P, 1.0 / FORGETTING
        beyond = downdate(S, P, W, gains, D, z, share, grows, most)
        if beyond:
            _bound_diagonal(S, P, D)
    return True


@inlined
def _is_news(S, row, O, experts, Y, y):
    """Tell whether any of the labels is of a forecast that is still open."""
    for o in range(O):
        one_by_one()
        if Y[y + o] == Y[y + o] and S[row + FORECASTS + o * (experts + 2) + OPEN] != 0:
            return True
    return False


@internal
def _bound_diagonal(S, P, D):
    """Scale rows and columns of P whose diagonal has grown to twice LARGEST_P back to it."""
    for i in range(D):
        diagonal = S[P + i * (i + 3) // 2]
        if diagonal > 2.0 * LARGEST_P:
            factor = math.sqrt(LARGEST_P / diagonal)
            for j in range(D):
                row, column = max(i, j), min(i, j)
                S[P + row * (row + 1) // 2 + column] *= factor
            S[P + i * (i + 3) // 2] = LARGEST_P


@internal
def _reset(S, P, D):
    """Write the P of a new stream."""
    for n in range(D * (D + 1) // 2):
        S[P + n] = 0.0
    for i in range(D):
        S[P + i * (i + 3) // 2] = FIRST_P


@inlined
def update(S, at, sizes, K, k, Y, y, W, w):
    """Learn from the values that have come, ``Y[y:y+O]``: labels of the forecast due now."""
    (O, experts, D, values), _, _, horizon, kept = sizes
    ring = _places(at, O, experts, D, values)[3]
    row = ring + _wrapped(int64(S[at + POSITION]) - horizon, kept) * _step_size(O, experts, D)
    _learn(S, at, sizes, K, k, row, Y, y, W, w)


@internal
def find_step(S, at, K, k, number):
    """Return where the observation ``number`` is kept, and APPLIED if a label may come for it.

    Else TOO_OLD (not kept any more, or never seen) or NOT_YET.
    """
    (O, experts, D, values), _, _, _, kept = sizes_of(K, k)
    ring, position = _places(at, O, experts, D, values)[3], int64(S[at + POSITION])
    for n in range(1, kept + 1):
        row = ring + _wrapped(position - n, kept) * _step_size(O, experts, D)
        there = int64(S[row + NUMBER_HIGH]) * DIGITS + int64(S[row + NUMBER_LOW]) - 1
        if there == number:
            return row, int64(APPLIED)
        if n == 1 and number > there:
            return row, int64(NOT_YET)
    return ring, int64(TOO_OLD)


@inlined
def told_of(S, step, experts, o):
    """Return whether the label of output ``o`` is still to come, and what was forecast for it."""
    place = step + FORECASTS + o * (experts + 2)
    return S[place + OPEN] != 0.0, float64(S[place + EXPERTS + experts])


@internal
def learn_step(S, at, K, k, step, Y, y, W, w):
    """Learn from labels that come from outside, of what is kept at ``step``: APPLIED or TWICE."""
    return APPLIED if _learn(S, at, sizes_of(K, k), K, k, step, Y, y, W, w) else TWICE
