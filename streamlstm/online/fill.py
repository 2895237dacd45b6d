"""What stands for a missing value: per input one of five methods.

========= =========================================================================================
refuse    the observation is refused, and nothing changes
last      the last value that came
mean      the stream's running mean (:mod:`streamlstm.online.scaling`)
zero      0, in the input's own unit: for counts, where no message means no event
predict   the last value, and what is believed of the network's forecasts since
========= =========================================================================================

"predict" adds up the changes that the network forecasts, ``own - f``, with ``own`` its forecast of
this input for now and ``f`` the value that it was given for the row before. In gaps below 8 rows
that is what it is given; in longer ones a part ``b`` of the way from a ``level`` to it::

    path <- path + a (own - f),    f = path,    from 8 rows on f = level + b (path - level)

``level`` is the last value that came, and as much of the way to the median as values have gone
back in so many rows (:mod:`streamlstm.online.reversion`). ``a`` and ``b`` are earned where a value
came, by least squares through the origin with forgetting, large changes weighing by their size::

    a = clip(Sxy / Sxx, 0, 1),  x = own - last,       y = value - last
    b = clip(Sxy / Sxx, 0, 1),  x = path - level,     y = value - level
    Sxx <- w Sxx + x^2 / m,     Sxy <- w Sxy + x y / m,     m = max(|x|, |y|)

- ``a`` learns from every row whose value came (w = 0.998), more from the end of a gap (w = 0.9).
  Before that, five changes of the usual size say a = 0.5.
- ``b`` is another from 8, 16, 32 and 64 rows on, which the ends of such gaps teach; before that it
  is that of the shorter ones, at first 4 times the share of rows beyond 55 % whose forecast was
  nearer to what came than the value before: means would trust a forecast that is right in a few
  jumps and drifts away where the stream rests. Nearer by less than 0.01 usual sizes is a share of
  a row: forecasts that are almost the value before would win or lose by rounding.
- ``x`` and ``y`` are shortened alike beyond 10 (at the end of a gap 100) usual sizes of a change.

**A gap has an end.** After ``max_gap`` rows the input counts as absent: the last value that came
stands for it, and the step says so, until one comes. An input that never came is its mean in
training, and absent too.

What it promises: a filled value is finite, and gaps do not change running means. What it does not:
that it is better than the last value in the first long gaps, where only one step has been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.fill import (
    ABSENT,
    BELIEF,
    CLIP,
    CLIP_OF_GAP,
    FILLED_SOME,
    KEEP_PRIOR,
    MAX_COUNT,
    MAX_SIZE,
    MAX_VALUE,
    MEAN,
    OCTAVES,
    PREDICT,
    REFUSE,
    REFUSED,
    REPEAT,
    TIE,
    TRUST,
    TRUST_PRIOR,
    USUAL,
    WEIGHT,
    WEIGHT_OF_GAP,
    WON_LEAST,
    ZERO,
)
from ..kernels.online.reversion import LONG
from . import reversion, scaling

Array = NDArray[Any]
State = dict[str, Array]

METHODS = {"refuse": REFUSE, "last": REPEAT, "mean": MEAN, "zero": ZERO, "predict": PREDICT}
_MOMENTS = "moments_"
SINCE_VERSION_4 = frozenset({"won", "median", "age", *reversion.columns(1)})  # of the columns


def columns(methods: Sequence[str]) -> dict[str, int]:
    """Return the columns of a state row and how many floats each has, in order.

    Parameters
    ----------
    methods : sequence of str
        Of each of the F inputs, one of :data:`METHODS`.
    """
    F = len(methods)
    sizes = dict.fromkeys(("last", "filled", "gap", "seen"), F)
    if "predict" in methods or "mean" in methods:
        sizes |= dict.fromkeys(("path", "size", "trust_xy", "trust_xx", "won", "median", "age"), F)
        sizes |= dict.fromkeys(("keep_xy", "keep_xx"), OCTAVES * F) | reversion.columns(F)
    if "mean" in methods:
        sizes |= {_MOMENTS + name: n for name, n in scaling.columns(F).items()}
    return sizes


def initial(methods: Sequence[str]) -> NDArray[np.float32]:
    """Return the columns before the first observation: zeros."""
    return np.zeros(sum(columns(methods).values()), np.float32)


def constants(
    methods: Sequence[str], max_gap: int, mean: Array, unit: Array
) -> NDArray[np.float32]:
    """Return what the kernel reads of the model.

    Parameters
    ----------
    methods : sequence of str
        Of each input.
    max_gap : int
        Rows after which a missing input counts as absent.
    mean, unit : float[F]
        Mean and standard deviation of each input in training.
    """
    codes = [METHODS[method] for method in methods]
    return np.concatenate([[max_gap], codes, mean, unit]).astype(np.float32)


def trust(state: State) -> Array:
    """Return ``a``: how much of a forecast change is believed, float64[B, F]."""
    product, square, size = _wide(state, "trust_xy", "trust_xx", "size")
    prior = TRUST_PRIOR * size
    return _ratio(product + TRUST * prior, square + prior, TRUST)


def level(state: State, gap: Array) -> Array:
    """Return the level from which a path is kept after gaps of 8 rows and more, float64[B, F]."""
    last, median = _wide(state, "last", "median")
    share = np.zeros_like(last)
    for octave in range(OCTAVES):
        share = np.where(gap >= LONG * 2**octave, reversion.share_of(state, octave), share)
    return np.asarray(last + share * (median - last))


def keep(state: State, gap: Array, distance: Array) -> Array:
    """Return ``b``: how much to keep of a path that has gone so far from the level."""
    products, squares = (_octaves(each) for each in _wide(state, "keep_xy", "keep_xx"))
    prior = KEEP_PRIOR * np.abs(distance)
    b = np.clip(BELIEF * (_wide(state, "won")[0] - WON_LEAST), 0, 1)
    for octave in range(OCTAVES):
        learned = _ratio(products[:, octave] + b * prior, squares[:, octave] + prior, b)
        b = np.where(gap >= LONG * 2**octave, learned, b)
    return b


def _wide(state: State, *names: str) -> list[Array]:
    return [state[name].astype(np.float64) for name in names]


def _octaves(column: Array) -> Array:
    return column.reshape(len(column), OCTAVES, -1)


def _ratio(above: Array, below: Array, otherwise: Array | float) -> Array:
    some = below > 0
    return np.where(some, np.clip(above / np.where(some, below, 1), 0, 1), otherwise)


def _regress(
    product: Array, square: Array, weight: Array | float, longest: Array, x: Array, y: Array
) -> tuple[Array, Array]:
    """Return the sums after a change that came, ``y``, and the one that was forecast."""
    largest = np.maximum(np.abs(x), np.abs(y))
    some, m = largest > 0, np.where(largest > 0, largest, 1)
    shorter = np.minimum(1, longest / m)
    return (
        np.where(some, weight * product + shorter * x * (y / m), product),
        np.where(some, weight * square + shorter * x * (x / m), square),
    )


def _learn_trust(value: Array, own: Array, learns: Array, state: State) -> State:
    """Return the columns of trust after the values that came, where ``learns`` says so."""
    last, filled, gap, path = _wide(state, "last", "filled", "gap", "path")
    size, won = _wide(state, "size", "won")
    own = np.where(learns, own, 0)
    x, y, first = own - last, value - last, size == 0
    after = {
        "size": np.where(gap == 0, size + USUAL * (np.minimum(np.abs(y), CLIP * size) - size), size)
    }
    after["size"] = np.minimum(np.where(first, np.abs(y), after["size"]), MAX_SIZE)
    unit = 2 * TIE * np.where(first, 1, size)
    nearer = np.clip((np.abs(y) - np.abs(value - own)) / unit, -0.5, 0.5)
    after["won"] = np.where((gap == 0) & ~first, won + (1 - WEIGHT) * (nearer - won), won)
    weight = np.where(gap == 0, WEIGHT, WEIGHT_OF_GAP)
    product, square = _wide(state, "trust_xy", "trust_xx")
    sums = _regress(product, square, weight, CLIP * size, x, y)
    after["trust_xy"] = np.where(first, product, sums[0])
    after["trust_xx"] = np.where(first, square, sums[1])
    start = level(state, gap)
    distance = path + trust(state) * (own - filled) - start
    products, squares = _wide(state, "keep_xy", "keep_xx")
    for octave in range(OCTAVES):
        top = LONG * 2 ** (octave + 1) if octave < OCTAVES - 1 else np.inf
        here = learns & ~first & (gap >= LONG * 2**octave) & (gap < top)
        product, square = _octaves(products)[:, octave], _octaves(squares)[:, octave]
        sums = _regress(product, square, WEIGHT_OF_GAP, CLIP_OF_GAP * size, distance, value - start)
        product[:], square[:] = np.where(here, sums[0], product), np.where(here, sums[1], square)
    after = {name: np.where(learns, new, state[name]) for name, new in after.items()}
    return after | {"keep_xy": products, "keep_xx": squares}


def _predict(own: Array, gap: Array, state: State) -> tuple[Array, Array]:
    """Return the filled value of "predict" and its path, one row further."""
    filled, path = _wide(state, "filled", "path")
    has_own = np.isfinite(own)
    ahead = path + trust(state) * (np.where(has_own, own, 0) - filled)
    path = np.clip(np.where(has_own, ahead, path), -MAX_VALUE, MAX_VALUE)
    start = level(state, gap)
    kept = start + keep(state, gap, path - start) * (path - start)
    return np.where(gap < LONG, path, kept), path


def _learn_level(value: Array, came: Array, counts: Array, state: State, size: Array) -> State:
    """Return median, age and what is learned of going back to it, after a row that ``counts``."""
    median, age, seen = _wide(state, "median", "age", "seen")
    moved = reversion.next_median(median, value, size, seen, age == 0)
    after: State = {"median": np.where(came, moved, median)}
    rounded = after["median"].astype(state["median"].dtype).astype(np.float64)
    rows, kept = reversion.look_back(age, value, came, size, rounded, state)
    return after | kept | {"age": np.where(counts, rows, age)}


def step(
    x: Array,
    own: Array,
    methods: Sequence[str],
    max_gap: int,
    mean: Array,
    unit: Array,
    state: State,
) -> tuple[Array, Array, State]:
    """Fill the missing inputs of a row, and learn from those that came.

    Parameters
    ----------
    x : float[B, F]
        Observations, NaN where a value is missing.
    own : float[B, F]
        The network's forecasts of the inputs for now, NaN where it has none.
    methods : sequence of str
        Of each input, one of :data:`METHODS`.
    max_gap : int
        Rows after which a missing input counts as absent.
    mean, unit : float[F]
        Mean and standard deviation of each input in training.
    state : dict
        By name, each float[B, F].

    Returns
    -------
    x : float[B, F]
        Filled. A row that is refused is returned as it came.
    flags : int[B, F]
        How each input was filled, a sum of FILLED_SOME, ABSENT and REFUSED: the kernel returns
        those of all inputs together.
    state : dict
        After the step.
    """
    codes = np.array([METHODS[method] for method in methods])
    missing = np.isnan(x)
    refused = (missing & (codes == REFUSE)).any(axis=1, keepdims=True)
    value, own = np.where(missing, 0, x).astype(np.float64), own.astype(np.float64)
    last, gap, seen = _wide(state, "last", "gap", "seen")
    after: State = dict(state)
    length = np.where(missing, np.minimum(gap + 1, MAX_COUNT), 0)
    absent = missing & ((seen == 0) | (length > max_gap))
    fill = np.where(codes == ZERO, 0.0, last)
    if "path" in state:
        predicts = codes == PREDICT
        learns = ~missing & predicts & (seen > 0) & np.isfinite(own) & (gap <= max_gap)
        ahead, path = _predict(own, length, state)
        fill = np.where(predicts, ahead, fill)
        after |= _learn_trust(value, own, learns, state)
        counts, came = predicts & (~missing | (seen > 0)), ~missing & predicts
        size = after["size"].astype(state["size"].dtype).astype(np.float64)
        after |= _learn_level(value, came, counts, state, size)
        after["path"] = np.select(
            [~missing & predicts, missing & predicts & ~absent], [value, path], state["path"]
        )
    if _MOMENTS + "mean" in state:
        moments = {name: state[_MOMENTS + name] for name in scaling.columns(1)}
        fill = np.where(codes == MEAN, sum(_wide(moments, "mean", "mean_low")), fill)
        learned = scaling.learn(value, ~missing & (codes == MEAN), unit, moments)
        after |= {_MOMENTS + name: new for name, new in learned.items()}
    fill = np.where(seen == 0, mean.astype(np.float64), np.where(absent, last, fill))
    after["filled"] = np.where(missing, fill, value)
    after["last"] = np.where(missing, last, value)
    after["gap"], after["seen"] = length, np.where(missing, seen, np.minimum(seen + 1, MAX_COUNT))
    flags = np.where(missing, FILLED_SOME, 0) | np.where(absent, ABSENT, 0)
    return (
        np.where(refused | ~missing, x, fill).astype(x.dtype),
        np.where(refused, np.where(missing, REFUSED, 0), flags),
        {
            name: np.where(refused, old, after[name]).astype(old.dtype)
            for name, old in state.items()
        },
    )
