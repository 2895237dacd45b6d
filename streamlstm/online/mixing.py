"""The mix of experts: the mean of several forecasts, weighted by how well each has done.

An expert is a forecast: persistence, the value of a season ago, the network, the adapted head. A
loss ``L`` is the running mean of an expert's absolute error ``|e|``, over some 1,000 labels:

    L <- L + a (min(|e|, 4 s) - L),    a = max(1 / labels, 1 / 1000)
    weight = exp(-20 (L - min L) / min L)

An expert whose loss is 5 % above the best's has 1 / e of its weight. Weights of exponentials of
losses are those of the aggregating algorithm of Vovk (1990); that the losses forget is due to
Cesa-Bianchi and Lugosi, Prediction, Learning, and Games (2006), chapter 2.11. ``s`` is the running
error of the mix itself; errors above 4 s count as 4 s, or one outlier would decide for hundreds of
steps. ``s`` follows such errors twenty times as quickly, so that a series that has changed its
size is not taken for outliers.

It promises that the mix is hardly worse than its best expert over a few hundred steps, and often
better, since errors of different experts cancel. It promises nothing for the next step.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.online.mixing import CLIP, LARGEST, MEMORY, SHARPNESS, SMALLEST, SURPRISE

Array = NDArray[Any]


def limit(error: Array, count: Array) -> Array:
    """Return the largest errors that count, in units of the target's scale, of [...]."""
    return np.where(count == 0, CLIP, CLIP * np.clip(error, SMALLEST, LARGEST))


def score(
    missed: Array, told_missed: Array, error: Array, count: Array, losses: Array
) -> tuple[Array, Array, Array]:
    """Score forecasts by the labels that have come.

    Parameters
    ----------
    missed : float[B, O, E]
        Absolute error of each expert, in units of the target's scale; NaN where it had no forecast.
        Such an expert begins with the largest loss of the others.
    told_missed : float[B, O]
        The same of the mix; NaN where no label has come: nothing changes there.
    error, count : float[B, O]
        Running error of the mix, and number of labels.
    losses : float[B, O, E]

    Returns
    -------
    error, count, losses
        After the labels.
    """
    due, there = ~np.isnan(told_missed), ~np.isnan(missed)
    bound = limit(error, count)
    counted = np.minimum(count + 1, MEMORY)
    share = 1 / counted
    scored = losses + share[..., None] * (np.minimum(missed, bound[..., None]) - losses)
    worst = np.where(there, scored, 0).max(axis=-1, keepdims=True)
    scored = np.where(there, scored, worst)
    share = np.where(told_missed > bound, np.maximum(share, 1 / SURPRISE), share)
    followed = error + share * (np.minimum(told_missed, bound) - error)
    return (
        np.where(due, followed, error),
        np.where(due, counted, count),
        np.where(due[..., None], scored, losses),
    )


def mix(forecasts: Array, losses: Array) -> Array:
    """Return the weighted mean of forecasts[B, O, E], NaN where there is none, by their losses."""
    there = ~np.isnan(forecasts)
    best = np.where(there, losses, np.inf).min(axis=-1, keepdims=True)
    weights = np.where(there, np.exp(-SHARPNESS * (losses - best) / (best + 1e-30)), 0)
    total = (weights * np.where(there, forecasts, 0)).sum(axis=-1)
    return np.asarray(total / weights.sum(axis=-1))
