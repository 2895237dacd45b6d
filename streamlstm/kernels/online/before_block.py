"""The online stage before the layers for tiles of streams; called by address.

What before.py does for one stream, with the same bits. What all streams have in common is read
once; and where no value of a tile is missing, the streams are laid side by side (tiles.py), and
LLVM takes several of them at a time through what fill.py does with a value that came.
"""

import numpy as np
from numba import float64, int64

from .. import layout
from ..arguments import UNBOUNDED
from ..cache import by_address, inlined
from ..pointers import doubles_at, int64s_at
from ..simd import LANES, load, store
from . import fill, table
from .arguments import place_of, steps_of, time_of, unpack, work_at
from .before import fill_stream, scale_inputs
from .behind_block import PICKED, WIDEST, memory_at
from .calendar_block import TIME, calendar_tile
from .differences import advance_levels, take_changes
from .tiles import TILE, fill_all, gather, scatter

# Vectors of D: the value of an input of each stream, and its own forecast of that.
VALUE, OWN = 0, TILE


@inlined
def _own_forecasts(program, S, rows, counts, n, D):
    """Write each stream's own forecast of input ``n`` to ``D[OWN]``, NaN where it has none."""
    stage = program[layout.STAGE]
    output = program[stage + program[stage + table.OWN] + n]
    fill_all(D, OWN, np.nan)
    for g in range(program[stage + table.GROUP_COUNT]):
        group = stage + program[stage + table.GROUPS] + g * table.GROUP_SIZE
        of_group, size = output - program[group + table.FIRST], program[group + table.SIZE]
        if of_group >= 0 and of_group < size:
            ring, at = program[group + table.RING], program[group + table.FORECASTS] + of_group
            for m in range(TILE):
                counts[m] = 0
                if ring > 1:
                    steps = steps_of(S, rows[m] + program[stage + table.COUNT])
                    counts[m] = place_of(steps, ring)
                D[OWN + m] = float64(S[rows[m] + at + counts[m] * size])


@inlined
def _read(X, x, V, D):
    for m in range(TILE):
        D[VALUE + m] = float64(X[x + m * V])


@inlined
def _are_usual(T, i, F, D):
    unusual = int64(0)
    for m in range(TILE):
        usual = fill.is_usual(T, i * TILE, F * TILE, m, D[VALUE + m])
        unusual += int64(0) if usual else int64(1)
    return unusual == 0


@inlined
def _move(T, i, F, count, back):
    """Copy the columns of input ``i`` to where LLVM knows how far they are apart, or back."""
    for c in range(count):
        there, here = (c * F + i) * TILE, PICKED + c * TILE
        for m in range(0, TILE, LANES):
            if back:
                store(T, there + m, load(T, here + m))
            else:
                store(T, here + m, load(T, there + m))


@inlined
def _learn(T, D):
    """Learn from values that came; return whether :func:`.fill.learn_level` is due for any."""
    dues = int64(0)
    for m in range(TILE):
        value = D[VALUE + m]
        fill.learn_usual(T, PICKED, TILE, m, value, D[OWN + m])
        fill.learn_median(T, PICKED, TILE, m, value)
        fill.store_usual(T, PICKED, TILE, m, value)
        due = fill.is_level_due(T, PICKED, TILE, m)
        dues += int64(1) if due else int64(0)
    return dues > 0


@inlined
def _store(T, D):
    for m in range(TILE):
        fill.store_usual(T, PICKED, TILE, m, D[VALUE + m])


@inlined
def _learn_levels(S, rows, at, T, F, i, X, x, V):
    for m in range(TILE):
        if fill.is_level_due(T, i * TILE, F * TILE, m):
            fill.learn_level(S, rows[m] + at, F, i, float64(X[x + m * V]))


@inlined
def _columns(F, K, k):
    """Return how many columns change where nothing is unusual, 0 if that is not for tiles."""
    count = F * fill.PATH
    for i in range(F):
        method = K[k + fill.METHOD + i]
        if method == fill.MEAN:
            return 0
        if method == fill.PREDICT:
            count = F * fill.KEEP_XY
    return count if count <= WIDEST else 0


@inlined
def _observe_tile(weights, program, S, rows, addresses, counts, X, x, T, D):
    """Learn from the values of a tile; return False, and nothing is done, if any is not usual."""
    stage, F, V = program[layout.STAGE], program[layout.INPUTS], program[layout.WIDTH]
    at, k = program[stage + table.FILL], program[stage + table.FILL_CONSTANTS]
    columns = _columns(F, weights, k)
    if columns == 0:
        return False
    gather(addresses, at, columns, T)
    for i in range(F):
        _read(X, x + i, V, D)
        if not _are_usual(T, i, F, D):
            return False
    due = False
    for i in range(F):
        _read(X, x + i, V, D)
        if weights[k + fill.METHOD + i] == fill.PREDICT:
            _own_forecasts(program, S, rows, counts, i, D)
            _move(T, i, F, fill.KEEP_XY, False)
            due |= _learn(T, D)
            _move(T, i, F, fill.KEEP_XY, True)
        else:
            _move(T, i, F, fill.PATH, False)
            _store(T, D)
            _move(T, i, F, fill.PATH, True)
    scatter(addresses, at, columns, T)
    for i in range(F if due else 0):
        if weights[k + fill.METHOD + i] == fill.PREDICT:
            _learn_levels(S, rows, at, T, F, i, X, x + i, V)
    return True


@inlined
def _copy(program, S, rows, X, x, Z, z):
    """Copy the inputs of a tile, of which none is missing, to the network and the rows."""
    F, inputs = program[layout.INPUTS], program[program[layout.STAGE] + table.INPUTS]
    for m in range(TILE):
        for n in range(F):
            value = X[x + m * program[layout.WIDTH] + n]
            Z[z + m * program[layout.STRIDE] + n] = value
            S[rows[m] + inputs + n] = value


@inlined
def _fill(weights, program, S, base, memory, X, x, Z, z, own):
    """Write the inputs as they are filled."""
    T, D, rows, addresses, counts, _, _, _ = memory
    for m in range(TILE):
        addresses[m] = base + 4 * rows[m]
    if _observe_tile(weights, program, S, rows, addresses, counts, X, x, T, D):
        _copy(program, S, rows, X, x, Z, z)
    else:
        V, stride = program[layout.WIDTH], program[layout.STRIDE]
        for m in range(TILE):
            fill_stream(weights, program, S, rows[m], X, x + m * V, Z, z + m * stride, own)


@inlined
def _scale(weights, program, S, rows, X, x, Z, z):
    """Scale the filled inputs."""
    F, mean, stride = program[layout.INPUTS], program[layout.INPUT_SCALING], program[layout.STRIDE]
    if program[program[layout.STAGE] + table.SCALING] == 0:
        for n in range(F):
            middle, per_unit = weights[mean + n], weights[mean + F + n]
            for m in range(TILE):
                Z[z + m * stride + n] = (Z[z + m * stride + n] - middle) * per_unit
    else:
        for m in range(TILE):
            scale_inputs(
                weights, program, S, rows[m], X, x + m * program[layout.WIDTH], Z, z + m * stride
            )


@inlined
def _derive(weights, program, doubles, task, S, rows, first, D, Z, z):
    """Write the features of the event times behind the inputs."""
    stage = program[layout.STAGE]
    for m in range(TILE):
        D[TIME + m] = time_of(task, first + m)
    calendar_tile(
        S, rows, program[stage + table.CALENDAR], doubles,
        stage + program[stage + table.TRANSITIONS], program[stage + table.TRANSITION_COUNT], D,
        Z, z + program[layout.INPUTS], program[layout.STRIDE],
        weights, program[stage + table.CALENDAR_CONSTANTS],
    )  # fmt: skip


@by_address
def before_tiles(task, group, begin, end):
    """Do what :func:`.before.before` does for ``end - begin`` streams, a multiple of TILE."""
    weights, program, S, slots, X, _, Z = unpack(task, group)
    streams, fields = int64s_at(group, layout.GROUP_SIZE), int64s_at(task, layout.TASK)
    stage, work, stride = program[layout.STAGE], work_at(program), program[layout.STRIDE]
    counters, V = program[stage + table.DIFFERENCE_COUNT] != 0, program[layout.WIDTH]
    memory = memory_at(group, work[2] + program[stage + table.SCRATCH])
    _, D, rows, _, _, _, _, _ = memory
    doubles = doubles_at(fields[layout.TASK_PROGRAM], UNBOUNDED)
    for tile in range(begin, end, TILE):
        first, z = streams[layout.GROUP_FIRST] + tile, streams[layout.GROUP_INPUTS] + tile * stride
        x = first * V
        for m in range(TILE):
            rows[m] = slots[first + m] * program[layout.ROW_SIZE]
        if counters:
            for m in range(TILE):
                take_changes(program, S, rows[m], X, x + m * V)
        if program[stage + table.FILL] == 0:
            _copy(program, S, rows, X, x, Z, z)
        else:
            _fill(weights, program, S, fields[layout.TASK_ROWS], memory, X, x, Z, z, work[1])
        if counters:
            for m in range(TILE):
                advance_levels(program, S, rows[m], Z, z + m * stride)
        _scale(weights, program, S, rows, X, x, Z, z)
        if program[stage + table.CALENDAR] != 0:
            _derive(weights, program, doubles, task, S, rows, first, D, Z, z)
