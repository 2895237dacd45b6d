"""What stands for a missing value: per input one of five methods.

========= =========================================================================================
refuse    the observation is refused, and nothing changes
last      the last value that came
mean      the stream's running mean (:mod:`streamlstm.online.scaling`)
zero      0, in the input's own unit: for counts, where no message means no event
predict   ``f + a (own - f)``
========= =========================================================================================

"predict" goes on from ``f``, the last value of the input, seen or filled, by the part ``a`` of the
change that the network itself forecasts: ``own`` is its forecast of this input for now, ``f`` if it
has none. The trust ``a`` in [0, 1] is earned where a value came (least squares with forgetting,
through the origin)::

    a = clip(Sxy / Sxx, 0, 1),    x = own - last,  y = value - last
    Sxx <- w Sxx + x^2,   Sxy <- w Sxy + x y,   w = 0.998, at the end of a gap 0.9

``last`` is the last value that was seen, so every observed row tells how good the forecast of one
step is, and the end of a gap how good the whole path through it was: there older evidence is soon
outweighed. Before there is evidence, five changes of the usual size say a = 0.5. ``x`` and ``y``
are shortened alike if one is above 10 times the usual size of a change: one spike is not evidence
for long. The state holds ``sqrt(Sxx)`` and ``Sxy / sqrt(Sxx)``, which do not overflow.

**A gap has an end.** After ``max_gap`` rows the input counts as absent: the last value that came
stands for it, and the step says so, until one comes. An input that never came is its mean in
training, and absent too.

What it promises: the filled value lies between the value before and the network's forecast; it is
finite; gaps do not change running means. What it does not: a stream whose network forecasts worse
than the last value over long gaps is filled like "last" only after the first few of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.fill import (
    ABSENT,
    CLIP,
    FILLED_SOME,
    MAX_COUNT,
    MAX_SIZE,
    MEAN,
    PREDICT,
    PRIOR,
    PRIOR_TRUST,
    REFUSE,
    REFUSED,
    REPEAT,
    USUAL,
    WEIGHT,
    WEIGHT_OF_GAP,
    ZERO,
)
from . import scaling

Array = NDArray[Any]
State = dict[str, Array]

METHODS = {"refuse": REFUSE, "last": REPEAT, "mean": MEAN, "zero": ZERO, "predict": PREDICT}
_MOMENTS = "moments_"


def columns(methods: Sequence[str]) -> dict[str, int]:
    """Return the columns of a state row and how many floats each has, in order.

    Parameters
    ----------
    methods : sequence of str
        Of each of the F inputs, one of :data:`METHODS`.
    """
    names = ["last", "filled", "gap", "seen"]
    if "predict" in methods or "mean" in methods:
        names += ["root", "cross", "size"]
    if "mean" in methods:
        names += [_MOMENTS + name for name in scaling.columns(1)]
    return dict.fromkeys(names, len(methods))


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
    """Return ``a``: how much of a forecast change is believed.

    Parameters
    ----------
    state : dict
        ``root``, ``cross`` and ``size`` of float[B, F].
    """
    root, cross, size = (state[name].astype(np.float64) for name in ("root", "cross", "size"))
    usual = PRIOR * size * size
    total = root * root + usual
    some = total > 0
    a = (cross * root + PRIOR_TRUST * usual) / np.where(some, total, 1)
    return np.where(some, np.clip(a, 0, 1), PRIOR_TRUST)


def _learn_trust(x: Array, y: Array, weight: Array, state: State) -> State:
    """Return the columns of trust after the forecast changes ``x`` and those that came, ``y``."""
    root, cross, size = (state[name].astype(np.float64) for name in ("root", "cross", "size"))
    first = size == 0
    largest = np.maximum(np.maximum(np.abs(x), np.abs(y)), np.where(first, 1, size))
    shorter = np.minimum(1, CLIP * size / largest)
    size = np.where(first, np.abs(y), size + USUAL * (np.abs(shorter * y) - size))
    x, y, weight = shorter * x, shorter * y, np.where(first, 1, weight)
    products = weight * cross * root + x * y
    root = np.sqrt(weight * root * root + x * x)
    cross = np.where(root > 0, products / np.where(root > 0, root, 1), 0)
    return {"root": root, "cross": cross, "size": np.minimum(size, MAX_SIZE)}


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
    has_own = np.isfinite(own)
    last, filled, gap, seen = (
        state[name].astype(np.float64) for name in ("last", "filled", "gap", "seen")
    )
    after: State = {}
    if "root" in state:
        learns = ~missing & (codes == PREDICT) & (seen > 0) & has_own & (gap <= max_gap)
        forecast = np.where(learns, own - last, 0)
        weight = np.where(gap == 0, WEIGHT, WEIGHT_OF_GAP)
        learned = _learn_trust(forecast, np.where(learns, value - last, 0), weight, state)
        after |= {name: np.where(learns, new, state[name]) for name, new in learned.items()}
    if _MOMENTS + "mean" in state:
        moments = {name: state[_MOMENTS + name] for name in scaling.columns(1)}
        means = moments["mean"].astype(np.float64) + moments["mean_low"]
        learned = scaling.learn(value, ~missing & (codes == MEAN), unit, moments)
        after |= {_MOMENTS + name: new for name, new in learned.items()}
    gap = np.where(missing, np.minimum(gap + 1, MAX_COUNT), 0)
    absent = missing & ((seen == 0) | (gap > max_gap))
    path = filled
    if "root" in state:
        path = filled + np.where(has_own, trust(state) * (np.where(has_own, own, 0) - filled), 0)
    choices = {"last": last, "predict": path, "zero": np.zeros_like(value)}
    if _MOMENTS + "mean" in state:
        choices["mean"] = means
    fill = np.select([codes == METHODS[name] for name in choices], list(choices.values()), last)
    fill = np.where(seen == 0, mean.astype(np.float64), np.where(absent, last, fill))
    after |= {
        "last": np.where(missing, last, value),
        "filled": np.where(missing & (seen == 0), filled, np.where(missing, fill, value)),
        "gap": gap,
        "seen": np.where(missing, seen, np.minimum(seen + 1, MAX_COUNT)),
    }
    flags = np.where(missing, FILLED_SOME, 0) | np.where(absent, ABSENT, 0)
    state = {
        name: np.where(refused, old, after[name]).astype(old.dtype) for name, old in state.items()
    }
    return (
        np.where(refused, x, np.where(missing, fill, x)).astype(x.dtype),
        np.where(refused, np.where(missing, REFUSED, 0), flags),
        state,
    )
