"""Outputs and errors of a tile of streams: what forecast.py does for one, with the same bits.

What the program says of an output is read once for all streams of the tile: for one stream that
takes longer than the arithmetic.
"""

import numpy as np
from numba import float32, float64, int64

from .. import layout
from ..cache import inlined, internal
from . import table
from .adaptation import sizes_of
from .anomaly_columns import MISSING, NONE
from .arguments import count_step, place_of
from .differences import write_levels
from .forecast import (
    absences,
    adapt,
    bounded_error,
    covered,
    group_at,
    is_absent,
    network_output,
    output_of,
)
from .lags import add_lags
from .persistence import relative_errors
from .tiles import TILE, VECTORS, fill_all, fill_floats, put
from .unit import from_training, unit_of

# Vectors of TILE float64 behind those of tiles.py: whether an input of each stream is absent, and
# whether one is that no output forecasts; how many steps it has made before.
ABSENT, UNFORECAST, STEPS = VECTORS, VECTORS + TILE, VECTORS + 2 * TILE
END = VECTORS + 3 * TILE
# Vectors in the place of those: what came, as it was filled, and as it was given; the forecast that
# was due, what came when it was made, and what persistence usually misses; the bounds shown.
CAME, GIVEN, DUE, HELD, USUAL, LOW, HIGH = range(0, 7 * TILE, TILE)
ERROR, OWN, NAIVE, INSIDE = range(7 * TILE, 11 * TILE, TILE)  # what is told of it


@inlined
def _read(S, rows, at, D, d):
    """Copy a column of each stream to a vector."""
    for m in range(TILE):
        D[d + m] = float64(S[rows[m] + at])


@inlined
def _write(D, d, S, rows, at):
    """Copy a vector to a column of each stream."""
    for m in range(TILE):
        S[rows[m] + at] = D[d + m]


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
def _missing(program, X, x, R):
    """Write how many inputs of each stream are missing; return how many of the tile."""
    V, F, any_of_tile = program[layout.WIDTH], program[layout.INPUTS], 0
    for m in range(TILE):
        missing = 0
        for n in range(x + m * V, x + m * V + F):
            if X[n] != X[n]:
                missing += 1
        R[TILE * program[program[layout.STAGE] + table.FILLED] + m] = missing
        any_of_tile += missing
    return any_of_tile


@inlined
def _absences(weights, program, S, rows, missing, D):
    """Tell of which streams an input has not come for too long: of none that has come now."""
    fill_all(D, ABSENT, 0.0)
    fill_all(D, UNFORECAST, 0.0)
    if missing > 0 and program[program[layout.STAGE] + table.FILL] != 0:
        for m in range(TILE):
            absent, unforecast = absences(weights, program, S, rows[m])
            D[ABSENT + m], D[UNFORECAST + m] = float64(absent), float64(unforecast)


@internal
def _adapt(weights, program, group, S, rows, counts, X, x, Z, z, places):
    """Adapt and mix the outputs of a group, one stream after another.

    Not inlined: beside the rest of what is done for a tile LLVM made slower code of it.
    """
    V, first = program[layout.WIDTH], program[group + table.FIRST]
    sizes = sizes_of(weights, program[group + table.ADAPTATION_CONSTANTS])
    for m in range(TILE):
        out = z + m * program[layout.STRIDE] + first
        adapt(
            weights, program, group, sizes, S, rows[m], X, x + m * V, counts[m], Z, out,
            places[1], places[2],
        )  # fmt: skip


@inlined
def _count(S, rows, at, counts, D):
    """Count a step, and write the number of those before to ``counts`` and ``D[STEPS]``."""
    for m in range(TILE):
        counts[m] = count_step(S, rows[m] + at)
        D[STEPS + m] = float64(counts[m])


@inlined
def _compare(D):
    """Compare what came with the forecasts that were due, their bounds, and persistence."""
    for m in range(TILE):
        given, came, before = D[GIVEN + m] == D[GIVEN + m], D[CAME + m], D[USUAL + m]
        error = float64(float32(bounded_error(came - D[DUE + m])))
        own, naive, usual = relative_errors(before, D[HELD + m], came, error, D[STEPS + m])
        inside = covered(came, D[LOW + m], D[HIGH + m], error)
        D[ERROR + m], D[OWN + m] = error if given else np.nan, own if given else np.nan
        D[NAIVE + m], D[INSIDE + m] = naive if given else np.nan, inside if given else np.nan
        D[USUAL + m] = usual if given else before


@inlined
def _errors(program, group, S, rows, places, n, target, due, X, x, R, D):
    """Write the errors of the forecasts of output ``n`` that are due, where what they told came."""
    stage, V = program[layout.STAGE], program[layout.WIDTH]
    of_group = n - program[group + table.FIRST]
    held, usual = program[group + table.HELD] + of_group, program[group + table.USUAL] + of_group
    for m in range(TILE):
        D[GIVEN + m] = float64(X[x + m * V + target])
    _read(S, places, due, D, DUE)
    _read(S, places, held, D, HELD)
    _read(S, rows, usual, D, USUAL)
    if program[stage + table.LEVELS] > 0:
        shown = program[group + table.BOUNDS] + 2 * of_group
        for m in range(TILE):
            at = 2 * places[m] - rows[m] + shown
            D[LOW + m], D[HIGH + m] = float64(S[at]), float64(S[at + 1])
    else:
        fill_all(D, LOW, np.nan)
    _compare(D)
    put(D, ERROR, R, TILE * (program[stage + table.ERROR] + n))
    put(D, OWN, R, TILE * (program[stage + table.OWN_ERROR] + n))
    put(D, NAIVE, R, TILE * (program[stage + table.NAIVE_ERROR] + n))
    put(D, INSIDE, R, TILE * (program[stage + table.COVERED] + n))
    _write(D, USUAL, S, rows, usual)
    _write(D, CAME, S, places, held)


@inlined
def _outputs(weights, program, S, rows, places, target, due, Z, z, R, r, D):
    """Write the new forecasts of one output."""
    stride, unit = program[layout.STRIDE], unit_of(weights, program, max(target, 0))
    for m in range(TILE):
        value, unknown = float64(Z[z + m * stride]), D[ABSENT + m] > 0.0
        if target >= 0:
            value = from_training(S, rows[m], unit, value)
            if unknown and D[UNFORECAST + m] == 0.0:
                unknown = is_absent(weights, program, S, rows[m], target)
        R[r + m] = np.nan if unknown else value
        S[places[m] + due] = R[r + m]


@inlined
def _forecasts(weights, program, group, S, rows, places, X, x, Z, z, R, D):
    """Write the outputs of a group, and the errors of those that were due."""
    stage, first = program[layout.STAGE], program[group + table.FIRST]
    size = program[group + table.SIZE]
    for n in range(first, first + size):
        target, due = (
            program[stage + table.TARGETS + n],
            program[group + table.FORECASTS] + n - first,
        )
        _read(S, rows, program[stage + table.INPUTS] + max(target, 0), D, CAME)
        if target >= 0:
            _errors(program, group, S, rows, places, n, target, due, X, x, R, D)
        _outputs(weights, program, S, rows, places, target, due, Z, z + n, R, n * TILE, D)


@inlined
def _flags(program, R, D):
    """Write that nothing is known yet but whether an input is absent."""
    stage = program[layout.STAGE]
    fill_floats(R, TILE * program[stage + table.DRIFT], TILE, 0.0)
    fill_floats(R, TILE * program[stage + table.ALARM], TILE, 0.0)
    for m in range(TILE):
        R[TILE * program[stage + table.KIND] + m] = MISSING if D[ABSENT + m] > 0.0 else NONE


@inlined
def forecast_tile(weights, program, S, rows, counts, places, X, x, Z, z, R, work, D):
    """Write outputs and errors of a tile to R, and all else as not known.

    Parameters
    ----------
    rows, counts, places : int64[TILE]
        Where the row of each stream begins in S; how many steps it has made before, which is
        written; working memory.
    X, x : float32[...], int64
        Observations, those of a stream behind those of the one before.
    Z, z : float32[...], int64
        The network's outputs, not scaled back, a stride apart; changed.
    R : float32[...]
        Number ``n`` of the result of stream ``m`` is ``R[n * TILE + m]``.
    work : (int64, int64, int64)
        As for :func:`.forecast.forecast`.
    D : float64[...]
        ``D[ABSENT]`` then tells of which streams an input is absent.
    """
    stage = program[layout.STAGE]
    fill_floats(R, int64(0), TILE * program[layout.RESULT], np.nan)
    _count(S, rows, program[stage + table.COUNT], counts, D)
    if program[stage + table.LAGS] != 0:
        for m in range(TILE):
            at = z + m * program[layout.STRIDE]
            add_lags(weights, program, S, rows[m], counts[m], Z, at, work[2])
    _network(weights, program, S, rows, Z, z)
    missing = _missing(program, X, x, R)
    _absences(weights, program, S, rows, missing, D)
    for g in range(program[stage + table.GROUP_COUNT]):
        group = group_at(program, g)
        if program[group + table.ADAPTATION] != 0:
            _adapt(weights, program, group, S, rows, counts, X, x, Z, z, work)
        ring, size = program[group + table.RING], program[group + table.SIZE]
        for m in range(TILE):
            places[m] = rows[m] + size * place_of(counts[m], ring)
        _forecasts(weights, program, group, S, rows, places, X, x, Z, z, R, D)
    _flags(program, R, D)
    if program[stage + table.LEVEL] != 0:
        for m in range(TILE):
            write_levels(program, S, rows[m], R, m, TILE)
