"""How sure the forecasts of one stream are, and how unusual what came."""

import numpy as np
from numba import float64

from .. import layout
from ..cache import inlined
from . import table
from .anomaly import anomaly_step
from .anomaly_columns import GAP
from .arguments import place_of
from .drift import PACE, drift_step
from .drift import SIZE as DRIFT_SIZE
from .forecast import bounds_at, group_at
from .intervals import interval_bounds, interval_update
from .labelled import first_verdict, tell_labels
from .verdicts import kind_of, merge


@inlined
def _intervals(weights, program, group, S, row, position, n, Y, y):
    """Learn from the error of output ``n``, and write the bounds of its new forecast."""
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    of_group = n - program[group + table.FIRST]
    columns = program[group + table.INTERVALS] + of_group * program[group + table.INTERVAL_SIZE]
    k, levels = program[group + table.INTERVAL_CONSTANTS], program[stage + table.LEVELS]
    error = float64(Y[y + program[stage + table.ERROR] + n])
    largest = row + program[group + table.LARGEST] + of_group
    interval_update(S, row + columns, weights, k, position, error, largest)
    low = high = np.nan
    for level in range(levels):
        forecast = float64(Y[y + n])
        low, high = interval_bounds(S, row + columns, weights, k, position, forecast, level)
        Y[y + program[stage + table.LOW] + level * O + n] = low
        Y[y + program[stage + table.HIGH] + level * O + n] = high
    shown = bounds_at(program, group, row, position, n)
    S[shown], S[shown + 1] = low, high  # of the last level, which is the widest


@inlined
def _drifts(weights, program, group, S, row, Y, y):
    """Tell whether the forecasts of any output of a group have become worse."""
    stage, k = program[layout.STAGE], program[group + table.DRIFT_CONSTANTS]
    error_at = y + program[stage + table.ERROR] + program[group + table.FIRST]
    for n in range(program[group + table.SIZE]):
        error = float64(Y[error_at + n])
        at = row + program[group + table.DRIFTS] + DRIFT_SIZE * n
        if drift_step(S, at, 1, float64(weights[k + PACE]), error):
            Y[y + program[stage + table.DRIFT]] = 1


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
    shares, most = float64(program[stage + table.SHARES]), first_verdict(program, S, row)
    for n in range(program[stage + table.WATCHED_COUNT]):
        source, output, columns = watched(program, n)
        residual = np.nan
        if output >= 0:
            residual = float64(Y[y + program[stage + table.ERROR] + output])
        value, at = float64(X[x + source]), row + columns
        verdict = anomaly_step(S, at, value, residual, time, weights, k)
        most = merge(verdict, most, shares, float64(S[at + GAP]))
    Y[y + program[stage + table.SCORE]] = most[0]
    Y[y + program[stage + table.P_VALUE]] = most[1]
    Y[y + program[stage + table.ALARM]] = most[2]
    Y[y + program[stage + table.KIND]] = kind_of(most[3], absent)


@inlined
def judge(weights, program, S, row, X, x, time, count, absent, Y, y):
    """Write to the result of one stream how sure its forecast is, and how unusual what came.

    ``count`` and ``absent`` are what :func:`forecast` returned.
    """
    stage = program[layout.STAGE]
    for g in range(program[stage + table.GROUP_COUNT]):
        group = group_at(program, g)
        first, position = program[group + table.FIRST], place_of(count, program[group + table.RING])
        if program[stage + table.LEVELS] > 0:
            for n in range(first, first + program[group + table.SIZE]):
                _intervals(weights, program, group, S, row, position, n, Y, y)
        if program[group + table.DRIFTS] != 0:
            _drifts(weights, program, group, S, row, Y, y)
    if program[stage + table.ANOMALY] != 0:
        _anomalies(weights, program, S, row, X, x, time, absent, Y, y)
    tell_labels(program, S, row, Y, y, 1)
