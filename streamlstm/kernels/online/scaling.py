"""Running mean and standard deviation of each input of a stream; specified in online/scaling.py."""

import math

from numba import float32, float64

from ..cache import inlined

# Columns of each input; column c of input i stands at ``at + c F + i``. The mean is two floats: a
# float32 alone would not notice the thousandth part of a small change of a large value.
MEAN, MEAN_LOW, SPREAD, COUNT, RUN = range(5)
COLUMNS = 5

START = 4  # the n-th value weighs START / (n + START - 1), the first 1 ...
SLOW = 1e-3  # ... and never less than this
BOUND = 8.0  # standard deviations from the mean: z and what is learned are clipped there
PATIENCE = 50  # values in a row beyond the bound, or half of all, after which it starts anew
CONSTANT = 1e-9  # a standard deviation below this fraction of the mean is that of a constant,
FRACTION, FLOOR = 1e-2, 1e-6  # for which this fraction of the mean and of the unit stands
WOKEN = 30.0  # values that a constant counts as when it changes, so that its spread is soon known
JUMP = 10.0  # what a constant's change may be, of the smaller value and the unit
MAX_COUNT = 2.0**24 - 1.0
MAX_SPREAD = 1e38


@inlined
def mean_of(S, at, F, i):
    """Return the running mean of an input."""
    return float64(S[at + MEAN * F + i]) + float64(S[at + MEAN_LOW * F + i])


@inlined
def width_of(S, at, F, i, unit):
    """Return the length, in the input's unit, that is 1 after scaling."""
    mean, spread = abs(mean_of(S, at, F, i)), float64(S[at + SPREAD * F + i])
    return spread if spread > CONSTANT * mean else FRACTION * mean + FLOOR * unit


@inlined
def learn_scale(S, at, F, i, value, unit):
    """Update the mean and the standard deviation of input ``i`` by one observed value."""
    mean, spread = mean_of(S, at, F, i), float64(S[at + SPREAD * F + i])
    count, run = float64(S[at + COUNT * F + i]) + 1.0, 0.0
    change = value - mean
    if count > 1.0:
        bound, constant = BOUND * spread, spread <= CONSTANT * abs(mean)
        if constant:
            bound = JUMP * (min(abs(value), abs(mean)) + unit)
        if abs(change) > bound:
            run = float64(S[at + RUN * F + i]) + 1.0
            change = 0.0 if constant else max(-bound, min(bound, change))
        if constant and change != 0.0:
            count = min(count, WOKEN)
    if run >= min(PATIENCE, 0.5 * count):
        mean, spread, count, run, change = value, 0.0, 1.0, 0.0, 0.0
    rate = max(START / (count + START - 1.0), SLOW)
    mean += rate * change
    spread = math.sqrt((1.0 - rate) * (spread * spread + rate * change * change))
    S[at + MEAN * F + i] = float32(mean)
    S[at + MEAN_LOW * F + i] = float32(mean - float64(float32(mean)))
    S[at + SPREAD * F + i] = min(spread, MAX_SPREAD)
    S[at + COUNT * F + i] = min(count, MAX_COUNT)
    S[at + RUN * F + i] = run


@inlined
def scale_value(S, at, F, i, value, unit):
    """Return a value of input ``i`` in running standard deviations from the mean, at most BOUND."""
    if S[at + COUNT * F + i] == 0.0:
        return 0.0
    z = (value - mean_of(S, at, F, i)) / width_of(S, at, F, i, unit)
    return max(-BOUND, min(BOUND, z))
