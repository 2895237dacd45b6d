"""Values in the unit of training, in which a network works whose inputs are scaled by stream."""

from numba import float64

from .. import layout
from ..cache import inlined
from . import table
from .scaling import mean_of, width_of

LARGEST_Z = 1e9  # deviations from the mean of a stream: what is further is taken as this far


@inlined
def to_training(weights, program, S, row, n, value):
    """Return a value of input ``n`` in the unit of training."""
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    columns = program[stage + table.SCALING]
    if columns == 0:
        return value
    at, mean = row + columns, program[layout.INPUT_SCALING]
    unit = float64(weights[program[stage + table.SCALING_CONSTANTS] + n])
    z = (value - mean_of(S, at, F, n)) / width_of(S, at, F, n, unit)
    return weights[mean + n] + min(max(z, -LARGEST_Z), LARGEST_Z) * unit


@inlined
def from_training(weights, program, S, row, n, value):
    """Return a value of input ``n`` in the stream's own unit."""
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    columns = program[stage + table.SCALING]
    if columns == 0:
        return value
    at, mean = row + columns, program[layout.INPUT_SCALING]
    unit = float64(weights[program[stage + table.SCALING_CONSTANTS] + n])
    z = (value - weights[mean + n]) / unit
    return mean_of(S, at, F, n) + z * width_of(S, at, F, n, unit)
