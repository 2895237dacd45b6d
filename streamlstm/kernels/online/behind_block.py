"""The online stage behind the layers, of a group of streams; called by address.

Tiles of streams go through intervals, the test for drift and anomalies together (tiles.py); what is
left of a group, and a single stream, does so one by one. The bits are the same.
"""

import numpy as np
from numba import float64

from .. import layout
from ..cache import by_address, inlined, internal
from ..denormals import flush_denormals, restore
from ..pointers import doubles_at, floats_at, int64s_at
from . import table
from .anomaly import ALARM_RATE, GAP, HUGE, LOG_ALARM_RATE, MISSING, begin, missing
from .arguments import time_of, unpack, work_at
from .behind import NOTHING, forecast, judge, merge, watched, write_verdict
from .drift import PACE
from .drift import SIZE as DRIFT_SIZE
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
    TILE,
    TIME,
    VALUE,
    VECTORS,
    anomaly_tile,
    drift_tile,
    intervals_tile,
)

# Vectors behind those of tiles.py: whether an input of each stream is absent, and what is known of
# the inputs that were judged, a vector for each number.
ABSENT, MOST = VECTORS, VECTORS + TILE
DOUBLES = MOST + TILE * len(NOTHING)
# Floats of working memory: columns; those numbers; offsets and addresses of rows, and which of the
# forecasts are due; and a row that nobody reads.
T_SIZE, D_SIZE, R_SIZE = COLUMNS * TILE, 2 * DOUBLES, 2 * TILE
TILE_SCRATCH = T_SIZE + D_SIZE + 3 * R_SIZE + COLUMNS


@inlined
def _memory(group, at):
    """Return T, D, rows, addresses, positions and nowhere, from ``at`` on in the scratch."""
    columns = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_SCRATCH] + 4 * at
    address = columns + 4 * T_SIZE
    integers = address + 4 * D_SIZE
    return (
        floats_at(columns, T_SIZE),
        doubles_at(address, DOUBLES),
        int64s_at(integers, TILE),
        int64s_at(integers + 8 * TILE, TILE),
        int64s_at(integers + 16 * TILE, TILE),
        integers + 24 * TILE,
    )


@inlined
def _read(A, a, stride, D, d):
    """Write a number of each stream to a vector."""
    for m in range(TILE):
        D[d + m] = float64(A[a + m * stride])


@internal
def _intervals(weights, program, S, rows, addresses, positions, T, D, Y, y):
    stage, O, W = program[layout.STAGE], program[layout.OUTPUTS], program[layout.RESULT]
    k, ring = program[stage + table.INTERVAL_CONSTANTS], program[stage + table.RING]
    for n in range(O):
        _read(Y, y + program[stage + table.ERROR] + n, W, D, RESIDUAL)
        _read(Y, y + n, W, D, VALUE)
        columns = program[stage + table.INTERVALS] + n * program[stage + table.INTERVAL_SIZE]
        low, high = y + program[stage + table.LOW] + n, y + program[stage + table.HIGH] + n
        intervals_tile(
            S, rows, addresses, positions, ring, columns, T, D, weights, k, Y, low, high, W, O
        )
        for m in range(TILE):
            shown = rows[m] + program[stage + table.BOUNDS] + 2 * (positions[m] * O + n)
            S[shown], S[shown + 1] = D[LOW + m], D[HIGH + m]


@internal
def _drifts(weights, program, addresses, T, D, Y, y):
    stage, W = program[layout.STAGE], program[layout.RESULT]
    pace = float64(weights[program[stage + table.DRIFT_CONSTANTS] + PACE])
    for n in range(program[layout.OUTPUTS]):
        _read(Y, y + program[stage + table.ERROR] + n, W, D, RESIDUAL)
        drift_tile(addresses, program[stage + table.DRIFTS] + DRIFT_SIZE * n, T, D, pace)
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
            begin(S, rows[m] + at, D[VALUE + m])
        else:
            addresses[m] = nowhere
            D[VALUE + m], D[TIME + m] = 0.0, np.nan


@inlined
def _merge(S, rows, addresses, nowhere, at, count, D):
    """Add the verdicts on one input of each stream to those on its others."""
    for m in range(TILE):
        verdict = D[SCORE + m], D[P_VALUE + m], D[ALARM + m], D[KIND + m]
        if addresses[m] == nowhere:
            verdict = 0.0, 1.0, missing(S, rows[m] + at), float64(MISSING)
        gap = float64(S[rows[m] + at + GAP])
        most = merge(verdict, _most(D, m), count, gap)
        for n in range(len(NOTHING)):
            D[MOST + n * TILE + m] = most[n]


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
    stage, F, W = program[layout.STAGE], program[layout.INPUTS], program[layout.RESULT]
    k, count = program[stage + table.ANOMALY_CONSTANTS], program[stage + table.WATCHED_COUNT]
    rate, log_rate = float64(weights[k + ALARM_RATE]), float64(weights[k + LOG_ALARM_RATE])
    fields = int64s_at(task, layout.TASK)
    base, timed = fields[layout.TASK_ROWS], fields[layout.TASK_TIMES] != 0
    for m in range(TILE):
        for n in range(len(NOTHING)):
            D[MOST + n * TILE + m] = NOTHING[n]
    for n in range(count):
        source, output, at = watched(program, n)
        _read(X, first * F + source, F, D, VALUE)
        if output >= 0:
            _read(Y, y + program[stage + table.ERROR] + output, W, D, RESIDUAL)
        else:
            for m in range(TILE):
                D[RESIDUAL + m] = np.nan
        _begin(S, rows, addresses, base, nowhere, at, D, task, first)
        anomaly_tile(S, rows, addresses, at, T, D, timed, rate, log_rate)
        _merge(S, rows, addresses, nowhere, at, count, D)
    for m in range(TILE):
        write_verdict(program, _most(D, m), D[ABSENT + m] > 0.0, Y, y + m * W)


@internal
def _judge_tile(task, first, weights, program, S, memory, X, Y, y):
    """Do for a tile of streams what :func:`.behind.judge` does for one."""
    stage = program[layout.STAGE]
    T, D, rows, addresses, positions, nowhere = memory
    for m in range(TILE):
        addresses[m] = int64s_at(task, layout.TASK)[layout.TASK_ROWS] + 4 * rows[m]
    if program[stage + table.LEVELS] > 0:
        _intervals(weights, program, S, rows, addresses, positions, T, D, Y, y)
    if program[stage + table.DRIFTS] != 0:
        _drifts(weights, program, addresses, T, D, Y, y)
    if program[stage + table.ANOMALY] != 0:
        _anomalies(
            task, first, weights, program, S, rows, addresses, nowhere, X, T, D, Y, y
        )  # fmt: skip


@by_address
def behind(task, group, _c, _d):
    """Write the results of a group: outputs, and what the stage says of them."""
    weights, program, S, slots, X, Y, Z = unpack(task, group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    F, W, first = program[layout.INPUTS], program[layout.RESULT], streams[layout.GROUP_FIRST]
    places, last = work_at(program), first + streams[layout.GROUP_COUNT]
    t, z = places[2] + program[program[layout.STAGE] + table.SCRATCH], streams[layout.GROUP_INPUTS]
    memory = _memory(group, t)
    _, D, rows, _, positions, _ = memory
    denormals = flush_denormals()
    # Functions of many arrays are called at one place each: LLVM inlines these only.
    for start in range(first, last, TILE):
        count = min(last - start, TILE)
        for m in range(count):
            row, x, y = (
                slots[start + m] * program[layout.ROW_SIZE],
                (start + m) * F,
                (start + m) * W,
            )
            position, absent = forecast(weights, program, S, row, X, x, Z, z, Y, y, places)
            rows[m], positions[m], D[ABSENT + m] = row, position, 1.0 if absent else 0.0
            z += program[layout.STRIDE]
        if count == TILE:
            _judge_tile(task, start, weights, program, S, memory, X, Y, start * W)
            continue
        for m in range(count):
            x, y, time = (start + m) * F, (start + m) * W, float64(time_of(task, start + m))
            absent = D[ABSENT + m] > 0.0
            judge(weights, program, S, rows[m], X, x, time, positions[m], absent, Y, y)
    restore(denormals)
