"""The online stage before and behind the layers, called by address for a group of streams."""

import numpy as np
from numba import float64, int64

from .. import layout
from ..arguments import UNBOUNDED
from ..cache import by_address, internal
from ..pointers import floats_at, int64s_at
from . import table
from .intervals import interval_bounds, interval_update

_NAN = np.nan


@internal
def _scaled(weights, program, S, row, Z, place):
    """Write the filled inputs of a stream, scaled by the constants of training, to Z[place]."""
    F, mean = program[layout.INPUTS], program[layout.INPUT_SCALING]
    for n in range(F):
        Z[place + n] = (S[row + n] - weights[mean + n]) * weights[mean + F + n]


@by_address
def before(task, group, _c, _d):
    """Fill the observations of a group, and write the inputs of the network to its rows."""
    fields, streams = int64s_at(task, layout.TASK), int64s_at(group, layout.GROUP_SIZE)
    weights = floats_at(fields[layout.TASK_WEIGHTS], UNBOUNDED)
    program = int64s_at(fields[layout.TASK_PROGRAM], UNBOUNDED)
    S = floats_at(fields[layout.TASK_ROWS], UNBOUNDED)
    slots = int64s_at(fields[layout.TASK_SLOTS], UNBOUNDED)
    X = floats_at(fields[layout.TASK_X], UNBOUNDED)
    Z = floats_at(streams[layout.GROUP_SCRATCH], UNBOUNDED)
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    first = streams[layout.GROUP_FIRST]
    for m in range(streams[layout.GROUP_COUNT]):
        row = slots[first + m] * program[layout.ROW_SIZE]
        inputs = row + program[stage + table.INPUTS]
        for n in range(F):
            value = X[(first + m) * F + n]
            if value == value:
                S[inputs + n] = value
        place = streams[layout.GROUP_INPUTS] + m * program[layout.STRIDE]
        _scaled(weights, program, S, inputs, Z, place)


@internal
def _outputs(weights, program, S, inputs, Z, place, Y, y):
    """Scale the outputs of the network back, and add the skip."""
    O, scale = program[layout.OUTPUTS], program[layout.OUTPUT_SCALING]
    skip, factor = program[layout.SKIP], program[layout.SKIP_SCALE]
    for n in range(O):
        Y[y + n] = Z[place + n] * weights[scale + n] + weights[scale + O + n]
        if skip >= 0 and program[skip + n] >= 0:
            Y[y + n] += S[inputs + program[skip + n]] * weights[factor + n]


@internal
def _intervals(weights, program, S, row, position, n, Y, y):
    """Learn from the error of output ``n``, and write the bounds of its new forecast."""
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    columns = program[stage + table.INTERVALS] + n * program[stage + table.INTERVAL_SIZE]
    k, levels = program[stage + table.INTERVAL_CONSTANTS], program[stage + table.LEVELS]
    error = float64(Y[y + program[stage + table.ERROR] + n])
    interval_update(S, row + columns, weights, k, position, error)
    for level in range(levels):
        forecast = float64(Y[y + n])
        low, high = interval_bounds(S, row + columns, weights, k, position, forecast, level)
        Y[y + program[stage + table.LOW] + level * O + n] = low
        Y[y + program[stage + table.HIGH] + level * O + n] = high


@by_address
def behind(task, group, _c, _d):
    """Write the results of a group: outputs, and what the stage says of them."""
    fields, streams = int64s_at(task, layout.TASK), int64s_at(group, layout.GROUP_SIZE)
    weights = floats_at(fields[layout.TASK_WEIGHTS], UNBOUNDED)
    program = int64s_at(fields[layout.TASK_PROGRAM], UNBOUNDED)
    S = floats_at(fields[layout.TASK_ROWS], UNBOUNDED)
    slots = int64s_at(fields[layout.TASK_SLOTS], UNBOUNDED)
    X = floats_at(fields[layout.TASK_X], UNBOUNDED)
    Y = floats_at(fields[layout.TASK_Y], UNBOUNDED)
    Z = floats_at(streams[layout.GROUP_SCRATCH], UNBOUNDED)
    stage, F, O = program[layout.STAGE], program[layout.INPUTS], program[layout.OUTPUTS]
    W, first = program[layout.RESULT], streams[layout.GROUP_FIRST]
    length = program[stage + table.RING]
    for m in range(streams[layout.GROUP_COUNT]):
        row = slots[first + m] * program[layout.ROW_SIZE]
        inputs = row + program[stage + table.INPUTS]
        x, y = (first + m) * F, (first + m) * W
        place = streams[layout.GROUP_INPUTS] + m * program[layout.STRIDE]
        for n in range(W):
            Y[y + n] = _NAN
        _outputs(weights, program, S, inputs, Z, place, Y, y)
        position = row + program[stage + table.POSITION]
        at = int64(S[position])
        due = row + program[stage + table.FORECASTS] + at * O
        S[position] = (at + 1) % length
        for n in range(O):
            target = program[stage + table.TARGETS + n]
            if target >= 0 and X[x + target] == X[x + target]:
                Y[y + program[stage + table.ERROR] + n] = S[inputs + target] - S[due + n]
            S[due + n] = Y[y + n]
            if program[stage + table.LEVELS] > 0:
                _intervals(weights, program, S, row, at, n, Y, y)
        missing = 0
        for n in range(F):
            if X[x + n] != X[x + n]:
                missing += 1
        Y[y + program[stage + table.FILLED]] = missing
        Y[y + program[stage + table.ALARM]] = 0
        Y[y + program[stage + table.KIND]] = 0
