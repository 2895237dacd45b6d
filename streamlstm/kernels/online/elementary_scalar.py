"""What elementary.py does, by the functions of the machine: for a GPU. The last bits differ."""

import math

from numba import float64

from ..cache import internal


@internal
def one_by_one():
    """Do nothing."""


@internal
def floor(x):
    """Return the largest whole number that is not above x."""
    return float64(math.floor(x))


@internal
def write_unknown(Y, y, count):
    """Write ``count`` times that a number is not known: NaN."""
    for n in range(y, y + count):
        Y[n] = math.nan


@internal
def log(x):
    """Return the natural logarithm."""
    return math.log(x)


@internal
def exp(x):
    """Return e to the power of a number."""
    return math.exp(x)
