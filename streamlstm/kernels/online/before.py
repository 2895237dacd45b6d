"""The online stage before the layers, of one stream: fill, calendar, scaling; called by address."""

import numpy as np
from numba import float64

from .. import layout
from ..arguments import UNBOUNDED
from ..cache import by_address, inlined
from ..pointers import doubles_at, int64s_at
from . import table
from .arguments import place_of, steps_of, time_of, unpack, work_at
from .calendar import calendar_step
from .differences import advance_levels, take_changes
from .fill import fill_step
from .scaling import learn_scale, scale_value


@inlined
def _own_forecasts(program, S, row, Z, own):
    """Write the forecast of each input for this step, made earlier, to ``Z[own]``."""
    stage = program[layout.STAGE]
    for n in range(program[layout.INPUTS]):
        Z[own + n] = np.nan
    steps, of_inputs = steps_of(S, row + program[stage + table.COUNT]), program[stage + table.OWN]
    for g in range(program[stage + table.GROUP_COUNT]):
        group = stage + program[stage + table.GROUPS] + g * table.GROUP_SIZE
        first, size = program[group + table.FIRST], program[group + table.SIZE]
        position = place_of(steps, program[group + table.RING])
        due = row + program[group + table.FORECASTS] + position * size
        for n in range(size):
            target = program[stage + table.TARGETS + first + n]
            if target >= 0 and program[stage + of_inputs + target] == first + n:
                Z[own + target] = S[due + n]


@inlined
def fill_stream(weights, program, S, row, X, x, Z, z, own):
    """Write the inputs as they are filled to ``Z[z]`` and to the row."""
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    for n in range(F):
        Z[z + n] = X[x + n]
    if program[stage + table.FILL] != 0:
        at, k = row + program[stage + table.FILL], program[stage + table.FILL_CONSTANTS]
        _own_forecasts(program, S, row, Z, own)
        fill_step(S, at, F, Z, z, Z, own, weights, k)
    for n in range(F):
        S[row + program[stage + table.INPUTS] + n] = Z[z + n]


@inlined
def scale_inputs(weights, program, S, row, X, x, Z, z):
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


@inlined
def derive(weights, program, doubles, S, row, time, Z, z):
    """Write the features of the event time behind the inputs."""
    stage = program[layout.STAGE]
    calendar_step(
        S,
        row + program[stage + table.CALENDAR],
        time,
        doubles,
        stage + program[stage + table.TRANSITIONS],
        program[stage + table.TRANSITION_COUNT],
        Z,
        z + program[layout.INPUTS],
        weights,
        program[stage + table.CALENDAR_CONSTANTS],
    )


@inlined
def network_inputs(weights, program, doubles, S, row, X, x, time, Z, z, own):
    """Write the inputs of the network for one stream to ``Z[z]`` and behind.

    Parameters
    ----------
    doubles : float64[...]
        The program once more, of which a time zone's table is read.
    row : int64
        Offset in S of the stream's state row.
    time : float64
        Event time, NaN if there is none.
    own : int64
        Offset in Z of working memory, F floats.

    Of counters, X holds the changes afterwards.
    """
    counters = program[program[layout.STAGE] + table.DIFFERENCE_COUNT] != 0
    if counters:
        take_changes(program, S, row, X, x)
    fill_stream(weights, program, S, row, X, x, Z, z, own)
    if counters:
        advance_levels(program, S, row, Z, z)
    scale_inputs(weights, program, S, row, X, x, Z, z)
    if program[program[layout.STAGE] + table.CALENDAR] != 0:
        derive(weights, program, doubles, S, row, time, Z, z)


@by_address
def before(task, group, m, _):
    """Fill the observation of stream ``m`` of a group, and write the inputs of the network."""
    weights, program, S, slots, X, _, Z = unpack(task, group)
    streams, fields = int64s_at(group, layout.GROUP_SIZE), int64s_at(task, layout.TASK)
    n = streams[layout.GROUP_FIRST] + m
    row = slots[n] * program[layout.ROW_SIZE]
    z = streams[layout.GROUP_INPUTS] + m * program[layout.STRIDE]
    doubles = doubles_at(fields[layout.TASK_PROGRAM], UNBOUNDED)
    x, time, own = n * program[layout.WIDTH], float64(time_of(task, n)), work_at(program)[1]
    network_inputs(weights, program, doubles, S, row, X, x, time, Z, z, own)
