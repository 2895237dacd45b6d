"""The online stage behind the layers, of one stream: outputs, adaptation, intervals, anomalies.

A network that is scaled by the stream's own mean and deviation works in the unit of training: there
inputs and outputs are what they would be if the stream had the level and the spread of that series.
"""

import numpy as np
from numba import float64

from .. import layout
from ..cache import inlined
from . import adaptation, fill, table
from .anomaly import GAP, GAP_ALARM, MISSING, NONE, anomaly_step
from .arguments import count_step
from .drift import PACE, drift_step
from .drift import SIZE as DRIFT_SIZE
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
def _covered(program, S, row, position, n, Y, y):
    """Tell whether what came was within the widest interval of the forecast that was due."""
    stage = program[layout.STAGE]
    shown = row + program[stage + table.BOUNDS] + 2 * (position * program[layout.OUTPUTS] + n)
    error = Y[y + program[stage + table.ERROR] + n]
    if error == error and S[shown] == S[shown]:
        value = S[row + program[stage + table.INPUTS] + program[stage + table.TARGETS + n]]
        inside = S[shown] <= value and value <= S[shown + 1]
        Y[y + program[stage + table.COVERED] + n] = 1.0 if inside else 0.0


@inlined
def _intervals(weights, program, S, row, position, n, Y, y):
    """Learn from the error of output ``n``, and write the bounds of its new forecast."""
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    columns = program[stage + table.INTERVALS] + n * program[stage + table.INTERVAL_SIZE]
    k, levels = program[stage + table.INTERVAL_CONSTANTS], program[stage + table.LEVELS]
    error = float64(Y[y + program[stage + table.ERROR] + n])
    shown = row + program[stage + table.BOUNDS] + 2 * (position * O + n)
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
        if drift_step(S, at, 1, float64(weights[k + PACE]), error):
            Y[y + program[stage + table.DRIFT]] = 1


@inlined
def merge(verdict, most, count, gap):
    """Add the verdict on one input to what is known of the others: the most unusual is told.

    Parameters
    ----------
    verdict : tuple of float64
        Score, p-value, alarm and kind.
    most : tuple of float64
        The same so far, and rank and p-value of its kind.
    count : int64
        Of the inputs that are watched.
    gap : float64
        Missing values of this input in succession.
    """
    score, p, alarm, kind = verdict
    most_score, least_p, any_alarm, told, best, of_kind = most
    p = min(p * count, 1.0)
    # The kind of an alarm that begins, else of one that stands, else that values are missing.
    rank = 3.0 if alarm > 0.0 else 0.0 if kind == NONE else 2.0
    if kind == MISSING and alarm == 0.0:
        rank = 1.0 if gap >= GAP_ALARM else 0.0
    if rank > best or (rank == best and p < of_kind):
        best, of_kind, told = rank, p, kind if rank > 0.0 else float64(NONE)
    return max(most_score, score), min(least_p, p), max(any_alarm, alarm), told, best, of_kind


NOTHING = (0.0, 1.0, 0.0, 0.0, -1.0, 2.0)  # what is known before the first verdict


@inlined
def write_verdict(program, most, absent, Y, y):
    """Write score, p-value, alarm and kind to the result."""
    stage = program[layout.STAGE]
    Y[y + program[stage + table.SCORE]] = most[0]
    Y[y + program[stage + table.P_VALUE]] = most[1]
    Y[y + program[stage + table.ALARM]] = most[2]
    Y[y + program[stage + table.KIND]] = float64(MISSING) if absent and most[3] == NONE else most[3]


@inlined
def watched(program, n):
    """Return the ``n``-th input that is watched, the output that forecasts it, and its columns."""
    stage = program[layout.STAGE]
    pair = stage + program[stage + table.WATCHED] + 2 * n
    columns = program[stage + table.ANOMALY] + n * program[stage + table.ANOMALY_SIZE]
    return program[pair], program[pair + 1], columns


@inlined
def _anomalies(weights, program, S, row, X, x, time, absent, Y, y):
    """Judge what came."""
    stage, k = program[layout.STAGE], program[program[layout.STAGE] + table.ANOMALY_CONSTANTS]
    count, most = program[stage + table.WATCHED_COUNT], NOTHING
    for n in range(count):
        source, output, columns = watched(program, n)
        residual = np.nan
        if output >= 0:
            residual = float64(Y[y + program[stage + table.ERROR] + output])
        value, at = float64(X[x + source]), row + columns
        verdict = anomaly_step(S, at, value, residual, time, weights, k)
        most = merge(verdict, most, count, float64(S[at + GAP]))
    write_verdict(program, most, absent, Y, y)


@inlined
def forecast(weights, program, S, row, X, x, Z, z, Y, y, places):
    """Write outputs and errors of one stream to ``Y[y]``, and all else as not known.

    Returns
    -------
    (int64, bool)
        Which of its forecasts was due, and whether an input is absent.
    """
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
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
            _covered(program, S, row, position, n, Y, y)
    missing = 0
    for n in range(program[layout.INPUTS]):
        if X[x + n] != X[x + n]:
            missing += 1
    Y[y + program[stage + table.FILLED]] = missing
    Y[y + program[stage + table.DRIFT]] = 0
    Y[y + program[stage + table.ALARM]] = 0
    Y[y + program[stage + table.KIND]] = MISSING if absent else NONE
    return position, absent


@inlined
def judge(weights, program, S, row, X, x, time, position, absent, Y, y):
    """Write to the result of one stream how sure its forecast is, and how unusual what came."""
    stage = program[layout.STAGE]
    if program[stage + table.LEVELS] > 0:
        for n in range(program[layout.OUTPUTS]):
            _intervals(weights, program, S, row, position, n, Y, y)
    if program[stage + table.DRIFTS] != 0:
        _drifts(weights, program, S, row, Y, y)
    if program[stage + table.ANOMALY] != 0:
        _anomalies(weights, program, S, row, X, x, time, absent, Y, y)


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
    position, absent = forecast(weights, program, S, row, X, x, Z, z, Y, y, places)
    judge(weights, program, S, row, X, x, time, position, absent, Y, y)
