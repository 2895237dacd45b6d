"""The online stage behind the layers, of a group of streams; called by address.

Tiles of streams go together through what writes their forecasts (forecast_block.py), and through
intervals, the test for drift and anomalies (tiles.py). What is left of a group, and a single
stream, does so one by one (behind.py), with the same bits.
"""

import numpy as np
from numba import float64

from .. import layout
from ..arguments import UNBOUNDED
from ..cache import by_address, inlined, internal
from ..denormals import flush_denormals, restore
from ..pointers import doubles_at, floats_at, int64s_at
from . import table
from .anomaly import ALARM_RATE, GAP, HUGE, LOG_ALARM_RATE, MISSING, begin, missing
from .arguments import time_of, unpack, work_at
from .behind import bounds_at, group_at, watched
from .drift import PACE
from .drift import SIZE as DRIFT_SIZE
from .forecast_block import ABSENT, END, forecast_tile
from .labelled import first_verdict, tell_labels
from .tiles import (
    ALARM,
    COLUMNS,
    FOUND,
    HIGH,
    KIND,
    LOW,
    P_VALUE,
    RESIDUAL,
    SCORE,
    STUCK,
    TILE,
    TIME,
    VALUE,
    anomaly_tile,
    drift_tile,
    intervals_tile,
    place_of,
)
from .verdicts import NOTHING, merge, write_verdict

# Vectors behind those of forecast_block.py: what is known of the inputs that were judged, one for
# each number.
MOST = END
DOUBLES = MOST + TILE * len(NOTHING)
GAPS = STUCK  # at the end of an input that is missing: values missing in succession
# Floats of working memory: columns; those numbers; offsets and addresses of rows, steps, and which
# of the forecasts are due; and a row that nobody reads.
WIDEST = 48  # columns that any part lays side by side
T_SIZE, D_SIZE, R_SIZE = WIDEST * TILE, 2 * DOUBLES, 2 * TILE
TILE_SCRATCH = T_SIZE + D_SIZE + 4 * R_SIZE + COLUMNS


@inlined
def memory_at(group, at):
    """Return T, D, rows, addresses, counts, positions and nowhere, from ``at`` on in scratch."""
    columns = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_SCRATCH] + 4 * at
    address = columns + 4 * T_SIZE
    integers = address + 4 * D_SIZE
    return (
        floats_at(columns, UNBOUNDED),
        doubles_at(address, UNBOUNDED),
        int64s_at(integers, TILE),
        int64s_at(integers + 8 * TILE, TILE),
        int64s_at(integers + 16 * TILE, TILE),
        int64s_at(integers + 24 * TILE, TILE),
        integers + 32 * TILE,
    )


@inlined
def _read(A, a, stride, D, d):
    """Write a number of each stream to a vector."""
    for m in range(TILE):
        D[d + m] = float64(A[a + m * stride])


@internal
def _intervals(weights, program, group, S, rows, addresses, positions, T, D, Y, y):
    stage, O, W = program[layout.STAGE], program[layout.OUTPUTS], program[layout.RESULT]
    k, ring = program[group + table.INTERVAL_CONSTANTS], program[group + table.RING]
    first = program[group + table.FIRST]
    for n in range(first, first + program[group + table.SIZE]):
        _read(Y, y + program[stage + table.ERROR] + n, W, D, RESIDUAL)
        _read(Y, y + n, W, D, VALUE)
        at = program[group + table.INTERVALS] + (n - first) * program[group + table.INTERVAL_SIZE]
        low, high = y + program[stage + table.LOW] + n, y + program[stage + table.HIGH] + n
        largest = program[group + table.LARGEST] + n - first
        intervals_tile(
            S, rows, addresses, positions, ring, at, largest, T, D, weights, k, Y, low, high, W, O
        )  # fmt: skip
        for m in range(TILE):
            shown = bounds_at(program, group, rows[m], positions[m], n)
            S[shown], S[shown + 1] = D[LOW + m], D[HIGH + m]


@internal
def _drifts(weights, program, group, addresses, T, D, Y, y):
    stage, W = program[layout.STAGE], program[layout.RESULT]
    pace = float64(weights[program[group + table.DRIFT_CONSTANTS] + PACE])
    for n in range(program[group + table.SIZE]):
        error = program[stage + table.ERROR] + program[group + table.FIRST] + n
        _read(Y, y + error, W, D, RESIDUAL)
        drift_tile(addresses, program[group + table.DRIFTS] + DRIFT_SIZE * n, T, D, pace)
        for m in range(TILE):
            if D[FOUND + m] > 0.0:
                Y[y + m * W + program[stage + table.DRIFT]] = 1


@inlined
def _begin(S, rows, addresses, base, nowhere, at, D, task, first):
    """Let streams without a value be passed by, and the others begin."""
    for m in range(TILE):
        value = D[VALUE + m]
        if value == value:
            addresses[m] = base + 4 * (rows[m] + at)
            D[VALUE + m] = min(max(value, -HUGE), HUGE)
            D[TIME + m] = time_of(task, first + m)
            D[STUCK + m] = begin(S, rows[m] + at, D[VALUE + m])
        else:
            addresses[m] = nowhere
            D[VALUE + m], D[TIME + m], D[STUCK + m] = 0.0, np.nan, 0.0


@inlined
def _merge(S, rows, addresses, nowhere, at, shares, D):
    """Add the verdicts on one input of each stream to those on its others."""
    for m in range(TILE):
        if addresses[m] == nowhere:
            D[SCORE + m], D[P_VALUE + m], D[KIND + m] = 0.0, 1.0, float64(MISSING)
            D[ALARM + m] = missing(S, rows[m] + at)
            D[GAPS + m] = float64(S[rows[m] + at + GAP])
    for m in range(TILE):
        verdict = D[SCORE + m], D[P_VALUE + m], D[ALARM + m], D[KIND + m]
        _keep(D, m, merge(verdict, _most(D, m), shares, D[GAPS + m]))


@inlined
def _keep(D, m, most):
    d = MOST + m
    D[d], D[d + TILE], D[d + 2 * TILE] = most[0], most[1], most[2]
    D[d + 3 * TILE], D[d + 4 * TILE], D[d + 5 * TILE] = most[3], most[4], most[5]


@inlined
def _most(D, m):
    d = MOST + m
    return (
        D[d], D[d + TILE], D[d + 2 * TILE], D[d + 3 * TILE], D[d + 4 * TILE], D[d + 5 * TILE]
    )  # fmt: skip


@internal
def _anomalies(
    task, first, weights, program, S, rows, addresses, nowhere, X, T, D, Y, y
):  # fmt: skip
    """Judge what came to the streams of a tile."""
    stage, V, W = program[layout.STAGE], program[layout.WIDTH], program[layout.RESULT]
    k, shares = program[stage + table.ANOMALY_CONSTANTS], program[stage + table.SHARES]
    rate, log_rate = float64(weights[k + ALARM_RATE]), float64(weights[k + LOG_ALARM_RATE])
    fields = int64s_at(task, layout.TASK)
    base, timed = fields[layout.TASK_ROWS], fields[layout.TASK_TIMES] != 0
    for m in range(TILE):
        _keep(D, m, first_verdict(program, S, rows[m]))
    for n in range(program[stage + table.WATCHED_COUNT]):
        source, output, at = watched(program, n)
        _read(X, first * V + source, V, D, VALUE)
        if output >= 0:
            _read(Y, y + program[stage + table.ERROR] + output, W, D, RESIDUAL)
        else:
            for m in range(TILE):
                D[RESIDUAL + m] = np.nan
        _begin(S, rows, addresses, base, nowhere, at, D, task, first)
        anomaly_tile(S, rows, addresses, at, T, D, timed, rate, log_rate)
        _merge(S, rows, addresses, nowhere, at, shares, D)
    for m in range(TILE):
        write_verdict(program, _most(D, m), D[ABSENT + m] > 0.0, Y, y + m * W)


@internal
def _judge(task, first, weights, program, S, memory, X, Y, y):
    """Do for a tile of streams what :func:`.behind.judge` does for one."""
    stage = program[layout.STAGE]
    T, D, rows, addresses, counts, positions, nowhere = memory
    for m in range(TILE):
        addresses[m] = int64s_at(task, layout.TASK)[layout.TASK_ROWS] + 4 * rows[m]
    for g in range(program[stage + table.GROUP_COUNT]):
        group = group_at(program, g)
        for m in range(TILE):
            positions[m] = place_of(counts[m], program[group + table.RING])
        if program[stage + table.LEVELS] > 0:
            _intervals(weights, program, group, S, rows, addresses, positions, T, D, Y, y)
        if program[group + table.DRIFTS] != 0:
            _drifts(weights, program, group, addresses, T, D, Y, y)
    if program[stage + table.ANOMALY] != 0:
        _anomalies(task, first, weights, program, S, rows, addresses, nowhere, X, T, D, Y, y)
    for m in range(TILE if program[stage + table.LABELLED] != 0 else 0):
        tell_labels(program, S, rows[m], Y, y + m * program[layout.RESULT])


@by_address
def behind_tiles(task, group, begin, end):
    """Do what :func:`.behind.behind` does for ``end - begin`` streams, a multiple of TILE."""
    weights, program, S, slots, X, Y, Z = unpack(task, group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    V, W, start = program[layout.WIDTH], program[layout.RESULT], streams[layout.GROUP_FIRST]
    places, stride = work_at(program), program[layout.STRIDE]
    memory = memory_at(group, places[2] + program[program[layout.STAGE] + table.SCRATCH])
    _, D, rows, _, counts, positions, _ = memory
    z = streams[layout.GROUP_INPUTS] + begin * stride
    denormals = flush_denormals()
    for first in range(start + begin, start + end, TILE):
        for m in range(TILE):
            rows[m] = slots[first + m] * program[layout.ROW_SIZE]
        forecast_tile(
            weights, program, S, rows, counts, positions, X, first * V, Z, z, Y, first * W,
            places, D,
        )  # fmt: skip
        _judge(task, first, weights, program, S, memory, X, Y, first * W)
        z += TILE * stride
    restore(denormals)
