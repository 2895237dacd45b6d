"""The online stage behind the layers, of tiles of streams; called by address.

They go together through what writes their forecasts (forecast_block.py), and through intervals, the
test for drift (tiles.py) and anomalies (anomaly_block.py). What is left of a group, and a single
stream, does so one by one (behind.py), with the same bits.
"""

import numpy as np
from numba import float64, int64

from .. import layout
from ..arguments import UNBOUNDED
from ..cache import by_address, inlined
from ..pointers import doubles_in, floats_at, floats_in, int64s_at, int64s_in
from ..simd import LANES
from ..transpose import scatter_first_columns
from . import table
from .anomaly_block import COLUMNS, DOUBLES, anomaly_tile, begin_tile, first_verdicts, merge_tile
from .anomaly_columns import ALARM_RATE, LOG_ALARM_RATE
from .arguments import place_of, time_of, unpack, work_at
from .drift import PACE
from .drift import SIZE as DRIFT_SIZE
from .forecast import bounds_at, group_at
from .forecast_block import forecast_tile
from .judge import watched
from .labelled import tell_labels
from .tiles import (
    FOUND,
    HIGH,
    LOW,
    RESIDUAL,
    TILE,
    TIME,
    VALUE,
    drift_tile,
    fill_all,
    intervals_tile,
    take,
)

# Floats of working memory: columns; vectors of float64; offsets and addresses of rows, steps, and
# which of the forecasts are due; and a row that nobody reads. Behind them are the results, side by
# side.
WIDEST = 48  # columns that any part lays side by side
PICKED = WIDEST * TILE  # behind them are some of one input
T_SIZE, D_SIZE, R_SIZE = PICKED + 16 * TILE, 2 * DOUBLES, 2 * TILE
TILE_SCRATCH = T_SIZE + D_SIZE + 4 * R_SIZE + COLUMNS


@inlined
def memory_at(group, at):
    """Return T, D, rows, addresses, counts, positions, nowhere and R, from ``at`` on in scratch."""
    columns = int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_SCRATCH] + 4 * at
    T, numbers = floats_at(columns, UNBOUNDED), 4 * T_SIZE
    integers = numbers + 4 * D_SIZE
    nowhere = integers + 32 * TILE
    return (
        T,
        doubles_in(T, numbers, UNBOUNDED),
        int64s_in(T, integers, TILE),
        int64s_in(T, integers + 8 * TILE, TILE),
        int64s_in(T, integers + 16 * TILE, TILE),
        int64s_in(T, integers + 24 * TILE, TILE),
        columns + nowhere,
        floats_in(T, nowhere + 4 * COLUMNS, UNBOUNDED),
    )


@inlined
def _intervals(weights, program, group, S, rows, addresses, positions, T, D, R):
    stage, O = program[layout.STAGE], program[layout.OUTPUTS]
    k, ring = program[group + table.INTERVAL_CONSTANTS], program[group + table.RING]
    first = program[group + table.FIRST]
    for n in range(first, first + program[group + table.SIZE]):
        take(R, TILE * (program[stage + table.ERROR] + n), D, RESIDUAL)
        take(R, TILE * n, D, VALUE)
        at = program[group + table.INTERVALS] + (n - first) * program[group + table.INTERVAL_SIZE]
        low, high = program[stage + table.LOW] + n, program[stage + table.HIGH] + n
        largest = program[group + table.LARGEST] + n - first
        intervals_tile(
            S, rows, addresses, positions, ring, at, largest, T, D, weights, k, R, low, high, O
        )
        for m in range(TILE):
            shown = bounds_at(program, group, rows[m], positions[m], n)
            S[shown], S[shown + 1] = D[LOW + m], D[HIGH + m]


@inlined
def _drifts(weights, program, group, addresses, T, D, R):
    stage = program[layout.STAGE]
    pace = float64(weights[program[group + table.DRIFT_CONSTANTS] + PACE])
    for n in range(program[group + table.SIZE]):
        error = program[stage + table.ERROR] + program[group + table.FIRST] + n
        take(R, TILE * error, D, RESIDUAL)
        drift_tile(addresses, program[group + table.DRIFTS] + DRIFT_SIZE * n, T, D, pace)
        for m in range(TILE):
            if D[FOUND + m] > 0.0:
                R[TILE * program[stage + table.DRIFT] + m] = 1


@inlined
def _anomalies(task, first, weights, program, S, rows, addresses, nowhere, X, T, D, R):
    """Judge what came to the streams of a tile."""
    stage, V = program[layout.STAGE], program[layout.WIDTH]
    k, count = program[stage + table.ANOMALY_CONSTANTS], program[stage + table.WATCHED_COUNT]
    rate, log_rate = float64(weights[k + ALARM_RATE]), float64(weights[k + LOG_ALARM_RATE])
    fields = int64s_at(task, layout.TASK)
    base, timed = fields[layout.TASK_ROWS], fields[layout.TASK_TIMES] != 0
    first_verdicts(program, S, rows, D)
    for n in range(count):
        source, output, at = watched(program, n)
        for m in range(TILE):
            D[VALUE + m] = float64(X[(first + m) * V + source])
        if timed:
            for m in range(TILE):
                D[TIME + m] = time_of(task, first + m) if D[VALUE + m] == D[VALUE + m] else np.nan
        if output >= 0:
            take(R, TILE * (program[stage + table.ERROR] + output), D, RESIDUAL)
        else:
            fill_all(D, RESIDUAL, np.nan)
        begin_tile(S, rows, addresses, base, nowhere, at, T, D)
        anomaly_tile(S, rows, addresses, at, T, D, timed, rate, log_rate)
        merge_tile(program, S, rows, addresses, nowhere, at, D, R)


@inlined
def _judge(task, first, weights, program, S, memory, X):
    """Do for a tile of streams what :func:`.judge.judge` does for one."""
    stage = program[layout.STAGE]
    T, D, rows, addresses, counts, positions, nowhere, R = memory
    for m in range(TILE):
        addresses[m] = int64s_at(task, layout.TASK)[layout.TASK_ROWS] + 4 * rows[m]
    for g in range(program[stage + table.GROUP_COUNT]):
        group = group_at(program, g)
        for m in range(TILE):
            positions[m] = place_of(counts[m], program[group + table.RING])
        if program[stage + table.LEVELS] > 0:
            _intervals(weights, program, group, S, rows, addresses, positions, T, D, R)
        if program[group + table.DRIFTS] != 0:
            _drifts(weights, program, group, addresses, T, D, R)
    if program[stage + table.ANOMALY] != 0:
        _anomalies(task, first, weights, program, S, rows, addresses, nowhere, X, T, D, R)
    for m in range(TILE if program[stage + table.LABELLED] != 0 else 0):
        tell_labels(program, S, rows[m], R, m, TILE)


@inlined
def _write_results(R, addresses, address, W):
    """Write the results, which are side by side, one behind the other from an address on."""
    for m in range(TILE):
        addresses[m] = address + 4 * m * W
    for column in range(0, W, LANES):
        for m in range(0, TILE, LANES):
            scatter_first_columns(
                addresses[m:], column, R, column * TILE + m, int64(TILE), W - column
            )


@by_address
def behind_tiles(task, group, begin, end):
    """Do what :func:`.behind.behind` does for ``end - begin`` streams, a multiple of TILE."""
    weights, program, S, slots, X, _, Z = unpack(task, group)
    streams, Y = int64s_at(group, layout.GROUP_SIZE), int64s_at(task, layout.TASK)[layout.TASK_Y]
    V, W, start = program[layout.WIDTH], program[layout.RESULT], streams[layout.GROUP_FIRST]
    places, stride = work_at(program), program[layout.STRIDE]
    memory = memory_at(group, places[2] + program[program[layout.STAGE] + table.SCRATCH])
    _, D, rows, addresses, counts, positions, _, R = memory
    z = streams[layout.GROUP_INPUTS] + begin * stride
    for first in range(start + begin, start + end, TILE):
        for m in range(TILE):
            rows[m] = slots[first + m] * program[layout.ROW_SIZE]
        forecast_tile(
            weights, program, S, rows, counts, positions, X, first * V, Z, z, R, places, D
        )
        _judge(task, first, weights, program, S, memory, X)
        _write_results(R, addresses, Y + 4 * first * W, W)
        z += TILE * stride
