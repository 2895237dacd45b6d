"""The mix of experts of one output; the specification is streamlstm/online/mixing.py.

An expert is a forecast: persistence, the value of a season ago, the network, the adapted head.
``S[at]`` holds the running error of the mix, the number of labels, and each expert's loss.
"""

import math

from ..cache import inlined
from .elementary import one_by_one

ERROR, COUNT, LOSSES = range(3)  # offsets of an output's columns

MEMORY = 1000  # labels over which losses and errors are averaged
SHARPNESS = 20.0  # of the weights
CLIP = 4.0  # times the running error, above which an error counts no more
SURPRISE = 50  # labels over which the running error follows errors that were clipped
SMALLEST, LARGEST = 0.01, 1e4  # bounds of the running error, in units of the target's scale


@inlined
def limit(S, at):
    """Return the largest error that counts, in units of the target's scale."""
    if S[at + COUNT] == 0:
        return CLIP
    return CLIP * min(max(S[at + ERROR], SMALLEST), LARGEST)


@inlined
def score(S, at, experts, forecasts, label, per_scale):
    """Score the forecasts that were made for a label: of each expert, and behind them the mix's.

    ``per_scale`` is 1 / the target's scale. An expert that had no forecast, NaN, begins with the
    largest loss of the others.
    """
    bound = limit(S, at)
    S[at + COUNT] = min(S[at + COUNT] + 1, MEMORY)
    share = 1.0 / S[at + COUNT]
    worst = 0.0
    for n in range(experts):
        one_by_one()
        error = abs(S[forecasts + n] - label) * per_scale
        if error == error:
            loss = S[at + LOSSES + n] + share * (min(error, bound) - S[at + LOSSES + n])
            S[at + LOSSES + n] = loss
            worst = max(worst, loss)
    for n in range(experts):
        one_by_one()
        if S[forecasts + n] != S[forecasts + n]:
            S[at + LOSSES + n] = worst
    error = abs(S[forecasts + experts] - label) * per_scale
    if error > bound:
        error, share = bound, max(share, 1.0 / SURPRISE)
    S[at + ERROR] += share * (error - S[at + ERROR])


@inlined
def mix(S, at, experts, forecasts):
    """Return the mean of the experts' forecasts, weighted by their losses."""
    best = math.inf
    for n in range(experts):
        one_by_one()
        if S[forecasts + n] == S[forecasts + n]:
            best = min(best, S[at + LOSSES + n])
    sharpness = -SHARPNESS / (best + 1e-30)
    total = 0.0
    weights = 0.0
    for n in range(experts):
        one_by_one()
        forecast = S[forecasts + n]
        if forecast == forecast:
            behind = S[at + LOSSES + n] - best
            weight = 1.0 if behind == 0.0 else math.exp(sharpness * behind)
            total += weight * forecast
            weights += weight
    return total / weights
