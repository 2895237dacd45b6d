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
def _adapt(weights, program, S, row, X, x, count, Z, out, came, work):
    """Learn from what has come, and replace the outputs at ``Z[out]`` by those of the mix."""
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    at, k = row + program[stage + table.ADAPTATION], program[stage + table.ADAPTATION_CONSTANTS]
    inputs, hidden = row + program[stage + table.INPUTS], row + program[stage + table.HIDDEN]
    for n in range(O):
        target = program[stage + table.TARGETS + n]
        Z[came + n] = np.nan
        if target >= 0 and X[x + target] == X[x + target]:
            value = float64(S[inputs + target])
            Z[came + n] = to_training(weights, program, S, row, target, value)
    adaptation.update(S, at, weights, k, Z, came, Z, work)
    for n in range(O):  # a missing value's place is taken by what it was filled with
        target = program[stage + table.TARGETS + n]
        if target >= 0:
            value = float64(S[inputs + target])
            Z[came + n] = to_training(weights, program, S, row, target, value)
    adaptation.predict(S, at, weights, k, hidden, Z, came, Z, out, count, Z, work)


@inlined
def _intervals(weights, program, S, row, position, n, Y, y):
    """Learn from the error of output ``n``, and write the bounds of its new forecast."""
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    columns = program[stage + table.INTERVALS] + n * program[stage + table.INTERVAL_SIZE]
    k, levels = program[stage + table.INTERVAL_CONSTANTS], program[stage + table.LEVELS]
    error = float64(Y[y + program[stage + table.ERROR] + n])
    shown = row + program[stage + table.BOUNDS] + 2 * (position * O + n)
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
def _drifts(weights, program, S, row, Y, y):
    """Tell whether the forecasts of any output have become worse."""
    stage, k = program[layout.STAGE], program[program[layout.STAGE] + table.DRIFT_CONSTANTS]
    for n in range(program[layout.OUTPUTS]):
        error = float64(Y[y + program[stage + table.ERROR] + n])
        at = row + program[stage + table.DRIFTS] + DRIFT_SIZE * n
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
    stage, F, O = program[layout.STAGE], program[layout.INPUTS], program[layout.OUTPUTS]
    inputs = row + program[stage + table.INPUTS]
    for n in range(program[layout.RESULT]):
        Y[y + n] = np.nan
    out, came, work = places
    count = count_step(S, row + program[stage + table.COUNT])
    _network(weights, program, S, row, Z, z, out)
    if program[stage + table.ADAPTATION] != 0:
        _adapt(weights, program, S, row, X, x, count, Z, out, came, work)
    position = count % program[stage + table.RING]
    due = row + program[stage + table.FORECASTS] + position * O
    absent, unforecast = _absent(weights, program, S, row)
    for n in range(O):
        target = program[stage + table.TARGETS + n]
        value = float64(Z[out + n])
        if target >= 0:
            value = from_training(weights, program, S, row, target, value)
            if X[x + target] == X[x + target]:
                Y[y + program[stage + table.ERROR] + n] = S[inputs + target] - S[due + n]
        unknown = absent
        if target >= 0 and not unforecast:
            unknown = _is_absent(weights, program, S, row, target)
        if unknown:
            value = np.nan
        Y[y + n] = value
        S[due + n] = value
        if program[stage + table.LEVELS] > 0:
            _intervals(weights, program, S, row, position, n, Y, y)
    Y[y + program[stage + table.DRIFT]] = 0
    if program[stage + table.DRIFTS] != 0:
        _drifts(weights, program, S, row, Y, y)
    missing = 0
    for n in range(F):
        if X[x + n] != X[x + n]:
            missing += 1
    Y[y + program[stage + table.FILLED]] = missing
    Y[y + program[stage + table.ALARM]] = 0
    Y[y + program[stage + table.KIND]] = 0
    if program[stage + table.ANOMALY] != 0:
        _anomalies(weights, program, S, row, X, x, time, Y, y)
    if absent and Y[y + program[stage + table.KIND]] == NONE:
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
