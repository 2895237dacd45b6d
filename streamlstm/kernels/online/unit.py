"""Values in the unit of training, in which a network works whose inputs are scaled by stream."""

from numba import float64

from .. import layout
from ..cache import inlined
from . import table
from .scaling import mean_of, width_of

LARGEST_Z = 1e9  # deviations from the mean of a stream: what is further is taken as this far


@inlined
def unit_of(weights, program, n):
    """Return what the functions below need to know of input ``n``.

    Its number and that of all inputs; where the columns of the scaling are in a row, 0 if there is
    none; and mean and deviation in training.
    """
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    columns, mean, unit = program[stage + table.SCALING], 0.0, 1.0
    if columns != 0:
        mean = float64(weights[program[layout.INPUT_SCALING] + n])
        unit = float64(weights[program[stage + table.SCALING_CONSTANTS] + n])
    return n, F, columns, mean, unit


@inlined
def to_training(S, row, unit_of_input, value):
    """Return a value of an input in the unit of training."""
    n, F, columns, mean, unit = unit_of_input
    if columns == 0:
        return value
    at = row + columns
    z = (value - mean_of(S, at, F, n)) / width_of(S, at, F, n, unit)
    return mean + min(max(z, -LARGEST_Z), LARGEST_Z) * unit


@inlined
def from_training(S, row, unit_of_input, value):
    """Return a value of an input in the stream's own unit."""
    n, F, columns, mean, unit = unit_of_input
    if columns == 0:
        return value
    at = row + columns
    z = (value - mean) / unit
    return mean_of(S, at, F, n) + z * width_of(S, at, F, n, unit)
