"""The online stage before the layers: fill, calendar, scaling; called by address for a group."""

from numba import float64, int64

from .. import layout
from ..arguments import UNBOUNDED
from ..cache import by_address, internal
from ..pointers import doubles_at, int64s_at
from . import table
from .arguments import time_of, unpack
from .calendar import calendar_step
from .scaling import learn_scale, scale_value


@internal
def _fill(program, S, row, X, x, Z, z):
    """Write the inputs as they are filled to the row and to ``Z[z]``."""
    F, inputs = program[layout.INPUTS], row + program[program[layout.STAGE] + table.INPUTS]
    for n in range(F):
        value = X[x + n]
        if value == value:
            S[inputs + n] = value
        Z[z + n] = S[inputs + n]


@internal
def _scale(weights, program, S, row, X, x, Z, z):
    """Scale the filled inputs at ``Z[z]`` by the constants of training, or by the stream's own."""
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    if program[stage + table.SCALING] != 0:
        at, k = row + program[stage + table.SCALING], program[stage + table.SCALING_CONSTANTS]
        for n in range(F):
            unit = float64(weights[k + n])
            if X[x + n] == X[x + n]:
                learn_scale(S, at, F, n, float64(X[x + n]), unit)
            Z[z + n] = scale_value(S, at, F, n, float64(Z[z + n]), unit)
        return
    mean = program[layout.INPUT_SCALING]
    for n in range(F):
        Z[z + n] = (Z[z + n] - weights[mean + n]) * weights[mean + F + n]


@internal
def _derive(weights, program, base, S, row, time, Z, z):
    """Write the features of the event time behind the inputs."""
    stage = program[layout.STAGE]
    T = doubles_at(base + 8 * (stage + program[stage + table.TRANSITIONS]), UNBOUNDED)
    calendar_step(
        S,
        row + program[stage + table.CALENDAR],
        time,
        T,
        int64(0),
        program[stage + table.TRANSITION_COUNT],
        Z,
        z + program[layout.INPUTS],
        weights,
        program[stage + table.CALENDAR_CONSTANTS],
    )


@by_address
def before(task, group, _c, _d):
    """Fill the observations of a group, and write the inputs of the network to its rows."""
    weights, program, S, slots, X, _, Z = unpack(task, group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    first, stage = streams[layout.GROUP_FIRST], program[layout.STAGE]
    base = int64s_at(task, layout.TASK)[layout.TASK_PROGRAM]
    for m in range(streams[layout.GROUP_COUNT]):
        row = slots[first + m] * program[layout.ROW_SIZE]
        x = (first + m) * program[layout.INPUTS]
        z = streams[layout.GROUP_INPUTS] + m * program[layout.STRIDE]
        _fill(program, S, row, X, x, Z, z)
        _scale(weights, program, S, row, X, x, Z, z)
        if program[stage + table.CALENDAR] != 0:
            time = float64(time_of(task, first + m))
            _derive(weights, program, base, S, row, time, Z, z)
