"""The online stage behind the layers: outputs, adaptation, intervals; called by address.

A network that is scaled by the stream's own mean and deviation works in the unit of training: there
inputs and outputs are what they would be if the stream had the level and the spread of that series.
"""

import numpy as np
from numba import float64

from .. import layout
from ..cache import by_address, inlined
from ..denormals import flush_denormals, restore
from ..pointers import int64s_at
from . import adaptation, fill, table
from .anomaly import GAP, GAP_ALARM, MISSING, NONE, anomaly_step
from .arguments import count_step, time_of, unpack, work_at
from .drift import SIZE as DRIFT_SIZE
from .drift import drift_step
from .intervals import interval_bounds, interval_update
from .lags import add_lags
from .unit import from_training, to_training


@inlined
def _network(weights, program, S, row, Z, z, out):
    """Write the network's outputs in the unit of training to ``Z[out]``."""
    O, scale = program[layout.OUTPUTS], program[layout.OUTPUT_SCALING]
    skip, factor = program[layout.SKIP], program[layout.SKIP_SCALE]
    inputs = row + program[program[layout.STAGE] + table.INPUTS]
    for n in range(O):
        y = float64(Z[z + n]) * weights[scale + n] + weights[scale + O + n]
        if skip >= 0 and program[skip + n] >= 0:
            source = program[skip + n]
            x = to_training(weights, program, S, row, source, float64(S[inputs + source]))
            y += x * weights[factor + n]
        Z[out + n] = y


@inlined
def _is_absent(weights, program, S, row, n):
    """Tell whether input ``n`` has not come for longer than a gap may be, or never."""
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    if program[stage + table.FILL] == 0:
        return False
    at, k = row + program[stage + table.FILL], program[stage + table.FILL_CONSTANTS]
    return S[at + fill.SEEN * F + n] == 0.0 or S[at + fill.GAP * F + n] > weights[k + fill.MAX_GAP]


@inlined
def _absent(weights, program, S, row):
    """Tell whether any input is absent, and whether one is that no output forecasts."""
    stage, any_input, unforecast = program[layout.STAGE], False, False
    for n in range(program[layout.INPUTS]):
        if _is_absent(weights, program, S, row, n):
            any_input, forecast = True, False
            for output in range(program[layout.OUTPUTS]):
                if program[stage + table.TARGETS + output] == n:
                    forecast = True
            if not forecast:
                unforecast = True
    return any_input, unforecast


@inlined
def _adapt(weights, program, group, S, row, X, x, count, Z, out, came, work):
    """Learn from what has come, and replace the group's outputs at ``Z[out]`` by the mix's."""
    stage, first = program[layout.STAGE], program[group + table.FIRST]
    O = program[group + table.SIZE]
    at, k = row + program[group + table.ADAPTATION], program[group + table.ADAPTATION_CONSTANTS]
    inputs, hidden = row + program[stage + table.INPUTS], row + program[stage + table.HIDDEN]
    for n in range(O):
        target = program[stage + table.TARGETS + first + n]
        Z[came + n] = np.nan
        if target >= 0 and X[x + target] == X[x + target]:
            value = float64(S[inputs + target])
            Z[came + n] = to_training(weights, program, S, row, target, value)
    adaptation.update(S, at, weights, k, Z, came, Z, work)
    for n in range(O):  # a missing value's place is taken by what it was filled with
        target = program[stage + table.TARGETS + first + n]
        if target >= 0:
            value = float64(S[inputs + target])
            Z[came + n] = to_training(weights, program, S, row, target, value)
    adaptation.predict(S, at, weights, k, hidden, Z, came, Z, out, count, Z, work)


@inlined
def _intervals(weights, program, group, S, row, position, n, Y, y):
    """Learn from the error of output ``n``, and write the bounds of its new forecast."""
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    of_group = n - program[group + table.FIRST]
    columns = program[group + table.INTERVALS] + of_group * program[group + table.INTERVAL_SIZE]
    k, levels = program[group + table.INTERVAL_CONSTANTS], program[stage + table.LEVELS]
    error = float64(Y[y + program[stage + table.ERROR] + n])
    shown = position * program[group + table.SIZE] + of_group
    shown = row + program[group + table.BOUNDS] + 2 * shown
    if error == error and S[shown] == S[shown]:
        value = S[row + program[stage + table.INPUTS] + program[stage + table.TARGETS + n]]
        inside = S[shown] <= value and value <= S[shown + 1]
        Y[y + program[stage + table.COVERED] + n] = 1.0 if inside else 0.0
    interval_update(S, row + columns, weights, k, position, error)
    low = high = np.nan
    for level in range(levels):
        forecast = float64(Y[y + n])
        low, high = interval_bounds(S, row + columns, weights, k, position, forecast, level)
        Y[y + program[stage + table.LOW] + level * O + n] = low
        Y[y + program[stage + table.HIGH] + level * O + n] = high
    S[shown], S[shown + 1] = low, high  # of the last level, which is the widest


@inlined
def _drifts(weights, program, group, S, row, Y, y):
    """Tell whether the forecasts of any output of a group have become worse."""
    stage, k = program[layout.STAGE], program[group + table.DRIFT_CONSTANTS]
    error_at = y + program[stage + table.ERROR] + program[group + table.FIRST]
    for n in range(program[group + table.SIZE]):
        error = float64(Y[error_at + n])
        at = row + program[group + table.DRIFTS] + DRIFT_SIZE * n
        if drift_step(S, at, weights, k, error):
            Y[y + program[stage + table.DRIFT]] = 1


@inlined
def _anomalies(weights, program, S, row, X, x, time, Y, y):
    """Judge what came: the most unusual of what is watched is told, and any alarm."""
    stage, k = program[layout.STAGE], program[program[layout.STAGE] + table.ANOMALY_CONSTANTS]
    count, pairs = program[stage + table.WATCHED_COUNT], stage + program[stage + table.WATCHED]
    score, p_value, alarm, kind = 0.0, 1.0, 0.0, 0.0
    best, of_kind = -1, 2.0
    for n in range(count):
        at = row + program[stage + table.ANOMALY] + n * program[stage + table.ANOMALY_SIZE]
        output, residual = program[pairs + 2 * n + 1], np.nan
        if output >= 0:
            residual = float64(Y[y + program[stage + table.ERROR] + output])
        value = float64(X[x + program[pairs + 2 * n]])
        s, p, a, what = anomaly_step(S, at, value, residual, time, weights, k)
        p = min(p * count, 1.0)
        # The kind of an alarm that begins, else of one that stands, else that values are missing.
        rank = 3 if a > 0.0 else 0 if what == NONE else 2
        if what == MISSING and a == 0.0:
            rank = 1 if S[at + GAP] >= GAP_ALARM else 0
        if rank > best or (rank == best and p < of_kind):
            best, of_kind, kind = rank, p, what if rank > 0 else float64(NONE)
        score, p_value, alarm = max(score, s), min(p_value, p), max(alarm, a)
    Y[y + program[stage + table.SCORE]] = score
    Y[y + program[stage + table.P_VALUE]] = p_value
    Y[y + program[stage + table.ALARM]] = alarm
    Y[y + program[stage + table.KIND]] = kind


@inlined
def _judge_group(weights, program, group, S, row, X, x, count, absent, Z, Y, y, places):
    """Write the outputs of a group, the errors of those that were due, and the new intervals.

    ``absent`` tells whether any input is absent, and whether one is that no output forecasts.
    """
    stage, first = program[layout.STAGE], program[group + table.FIRST]
    size, out = program[group + table.SIZE], places[0] + first
    inputs = row + program[stage + table.INPUTS]
    if program[group + table.ADAPTATION] != 0:
        _adapt(weights, program, group, S, row, X, x, count, Z, out, places[1], places[2])
    position = count % program[group + table.RING]
    due = row + program[group + table.FORECASTS] + position * size
    for n in range(first, first + size):
        target = program[stage + table.TARGETS + n]
        value = float64(Z[out + n - first])
        if target >= 0:
            value = from_training(weights, program, S, row, target, value)
            if X[x + target] == X[x + target]:
                Y[y + program[stage + table.ERROR] + n] = S[inputs + target] - S[due + n - first]
        unknown = absent[0]
        if target >= 0 and not absent[1]:
            unknown = _is_absent(weights, program, S, row, target)
        if unknown:
            value = np.nan
        Y[y + n] = value
        S[due + n - first] = value
        if program[stage + table.LEVELS] > 0:
            _intervals(weights, program, group, S, row, position, n, Y, y)
    if program[group + table.DRIFTS] != 0:
        _drifts(weights, program, group, S, row, Y, y)


@inlined
def write_result(weights, program, S, row, X, x, time, Z, z, Y, y, places):
    """Write the result of one stream to ``Y[y]``.

    Parameters
    ----------
    row : int64
        Offset in S of the stream's state row.
    time : float64
        Event time, NaN if there is none.
    z : int64
        Offset in Z of the network's outputs, which are not scaled back.
    places : (int64, int64, int64)
        Offsets in Z of working memory, as of :func:`.arguments.work_at`.
    """
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    for n in range(program[layout.RESULT]):
        Y[y + n] = np.nan
    count = count_step(S, row + program[stage + table.COUNT])
    if program[stage + table.LAGS] != 0:
        add_lags(weights, program, S, row, count, Z, z, places[2])
    _network(weights, program, S, row, Z, z, places[0])
    absent = _absent(weights, program, S, row)
    Y[y + program[stage + table.DRIFT]] = 0
    for g in range(program[stage + table.GROUP_COUNT]):
        group = stage + program[stage + table.GROUPS] + g * table.GROUP_SIZE
        _judge_group(weights, program, group, S, row, X, x, count, absent, Z, Y, y, places)
    missing = 0
    for n in range(F):
        if X[x + n] != X[x + n]:
            missing += 1
    Y[y + program[stage + table.FILLED]] = missing
    Y[y + program[stage + table.ALARM]] = 0
    Y[y + program[stage + table.KIND]] = 0
    if program[stage + table.ANOMALY] != 0:
        _anomalies(weights, program, S, row, X, x, time, Y, y)
    if absent[0] and Y[y + program[stage + table.KIND]] == NONE:
        Y[y + program[stage + table.KIND]] = MISSING


@by_address
def behind(task, group, _c, _d):
    """Write the results of a group: outputs, and what the stage says of them."""
    weights, program, S, slots, X, Y, Z = unpack(task, group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    F, W, first = program[layout.INPUTS], program[layout.RESULT], streams[layout.GROUP_FIRST]
    places = work_at(program)
    denormals = flush_denormals()
    for m in range(streams[layout.GROUP_COUNT]):
        row = slots[first + m] * program[layout.ROW_SIZE]
        x, y = (first + m) * F, (first + m) * W
        z = streams[layout.GROUP_INPUTS] + m * program[layout.STRIDE]
        time = float64(time_of(task, first + m))
        write_result(weights, program, S, row, X, x, time, Z, z, Y, y, places)
    restore(denormals)
