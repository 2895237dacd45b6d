"""Outputs and errors of a tile of streams: what behind.forecast does for one, with the same bits.

What the program says of an output is read once for all streams of the tile: for one stream that
takes longer than the arithmetic.
"""

import numpy as np
from numba import float64

from .. import layout
from ..cache import inlined
from ..simd import LANES, splat, store
from . import table
from .adaptation import sizes_of
from .anomaly import MISSING, NONE
from .arguments import count_step
from .behind import (
    absences,
    adapt,
    bounds_at,
    covered,
    group_at,
    held_at,
    is_absent,
    network_output,
    output_of,
    relate,
)
from .differences import write_levels
from .lags import add_lags
from .persistence import bounded_error
from .tiles import TILE, VECTORS, place_of
from .unit import from_training, unit_of

f32 = np.float32

# Vectors of TILE float64 behind those of tiles.py: whether an input of each stream is absent, and
# whether one is that no output forecasts.
ABSENT, UNFORECAST = VECTORS, VECTORS + TILE
END = VECTORS + 2 * TILE


@inlined
def _network(weights, program, S, rows, Z, z):
    """Bring the network's outputs to the unit of training, in their places."""
    inputs, stride = program[program[layout.STAGE] + table.INPUTS], program[layout.STRIDE]
    for n in range(program[layout.OUTPUTS]):
        output = output_of(weights, program, n)
        for m in range(TILE):
            at = z + m * stride + n
            Z[at] = network_output(S, rows[m], inputs, output, float64(Z[at]))


@inlined
def _absences(weights, program, S, rows, D):
    for m in range(TILE):
        D[ABSENT + m] = D[UNFORECAST + m] = 0.0
    if program[program[layout.STAGE] + table.FILL] != 0:
        for m in range(TILE):
            absent, unforecast = absences(weights, program, S, rows[m])
            D[ABSENT + m], D[UNFORECAST + m] = float64(absent), float64(unforecast)


@inlined
def _adapt(weights, program, group, S, rows, counts, X, x, Z, z, places):
    V, first = program[layout.WIDTH], program[group + table.FIRST]
    sizes = sizes_of(weights, program[group + table.ADAPTATION_CONSTANTS])
    for m in range(TILE):
        out = z + m * program[layout.STRIDE] + first
        adapt(
            weights, program, group, sizes, S, rows[m], X, x + m * V, counts[m], Z, out,
            places[1], places[2],
        )  # fmt: skip


@inlined
def _errors(program, group, S, rows, counts, positions, n, target, due, X, x, Y, y):
    """Write the errors of the forecasts of output ``n`` that are due, where what they told came."""
    stage, V, W = program[layout.STAGE], program[layout.WIDTH], program[layout.RESULT]
    came, size = program[stage + table.INPUTS] + target, program[group + table.SIZE]
    error_at = y + program[stage + table.ERROR] + n
    for m in range(TILE):
        row, position = rows[m], positions[m]
        if X[x + m * V + target] == X[x + m * V + target]:
            error = float64(S[row + came]) - float64(S[row + due + position * size])
            Y[error_at + m * W] = bounded_error(error)
            relate(program, group, S, row, position, n, row + came, counts[m], Y, y + m * W)
        S[held_at(program, group, row, position, n)] = S[row + came]


@inlined
def _write(weights, program, S, rows, target, due, size, positions, Z, z, Y, y, D):
    """Write the new forecasts of one output."""
    stride, W, unit = program[layout.STRIDE], program[layout.RESULT], unit_of(weights, program, 0)
    if target >= 0:
        unit = unit_of(weights, program, target)
    for m in range(TILE):
        value, unknown = float64(Z[z + m * stride]), D[ABSENT + m] > 0.0
        if target >= 0:
            value = from_training(S, rows[m], unit, value)
            if unknown and D[UNFORECAST + m] == 0.0:
                unknown = is_absent(weights, program, S, rows[m], target)
        Y[y + m * W] = np.nan if unknown else value
        S[rows[m] + due + positions[m] * size] = Y[y + m * W]


@inlined
def _forecasts(weights, program, group, S, rows, counts, positions, X, x, Z, z, Y, y, D):
    """Write the outputs of a group, and the errors of those that were due."""
    stage, W = program[layout.STAGE], program[layout.RESULT]
    first, size = program[group + table.FIRST], program[group + table.SIZE]
    for n in range(first, first + size):
        target, error_at = program[stage + table.TARGETS + n], y + program[stage + table.ERROR] + n
        due = program[group + table.FORECASTS] + n - first
        came = program[stage + table.INPUTS] + max(target, 0)
        if target >= 0:
            _errors(program, group, S, rows, counts, positions, n, target, due, X, x, Y, y)
        _write(weights, program, S, rows, target, due, size, positions, Z, z + n, Y, y + n, D)
        if program[stage + table.LEVELS] > 0:
            inside = y + program[stage + table.COVERED] + n
            for m in range(TILE):
                shown = bounds_at(program, group, rows[m], positions[m], n)
                Y[inside + m * W] = covered(S, rows[m] + came, shown, Y[error_at + m * W])


@inlined
def _flags(program, X, x, Y, y, D):
    """Write how many inputs are missing, and that nothing else is known yet."""
    stage, V, W = program[layout.STAGE], program[layout.WIDTH], program[layout.RESULT]
    for m in range(TILE):
        missing = 0
        for n in range(x + m * V, x + m * V + program[layout.INPUTS]):
            if X[n] != X[n]:
                missing += 1
        at = y + m * W
        Y[at + program[stage + table.FILLED]] = missing
        Y[at + program[stage + table.DRIFT]] = 0
        Y[at + program[stage + table.ALARM]] = 0
        Y[at + program[stage + table.KIND]] = MISSING if D[ABSENT + m] > 0.0 else NONE


@inlined
def forecast_tile(weights, program, S, rows, counts, positions, X, x, Z, z, Y, y, places, D):
    """Write outputs and errors of a tile to ``Y[y]``, and all else as not known.

    Parameters
    ----------
    rows, counts, positions : int64[TILE]
        Where the row of each stream begins in S; how many steps it has made before, which is
        written; working memory.
    X, x, Y, y : float32[...], int64
        Observations and results, those of a stream behind those of the one before.
    Z, z : float32[...], int64
        The network's outputs, not scaled back, a stride apart; changed.
    places : (int64, int64, int64)
        As for :func:`.behind.write_result`.
    D : float64[...]
        ``D[ABSENT]`` then tells of which streams an input is absent.
    """
    stage = program[layout.STAGE]
    for n in range(y, y + TILE * program[layout.RESULT], LANES):
        store(Y, n, splat(f32(np.nan)))
    for m in range(TILE):
        counts[m] = count_step(S, rows[m] + program[stage + table.COUNT])
    if program[stage + table.LAGS] != 0:
        for m in range(TILE):
            at = z + m * program[layout.STRIDE]
            add_lags(weights, program, S, rows[m], counts[m], Z, at, places[2])
    _network(weights, program, S, rows, Z, z)
    _absences(weights, program, S, rows, D)
    for g in range(program[stage + table.GROUP_COUNT]):
        group = group_at(program, g)
        if program[group + table.ADAPTATION] != 0:
            _adapt(weights, program, group, S, rows, counts, X, x, Z, z, places)
        for m in range(TILE):
            positions[m] = place_of(counts[m], program[group + table.RING])
        _forecasts(weights, program, group, S, rows, counts, positions, X, x, Z, z, Y, y, D)
    _flags(program, X, x, Y, y, D)
    if program[stage + table.LEVEL] != 0:
        for m in range(TILE):
            write_levels(program, S, rows[m], Y, y + m * program[layout.RESULT])
