"""Anomalies of a tile of streams: what anomaly.py says of one stream, with the same bits.

What few of the streams need in a row, or what fills vectors by itself, is done one by one.
"""

from numba import float32, float64, int64

from .. import layout
from ..cache import inlined
from . import anomaly, anomaly_exceptions, season, table
from .anomaly_columns import (
    COUNT,
    GAP,
    HUGE,
    LAST,
    MISSING,
    REPEATS,
    SEASON,
    SEASON_ERROR,
    STRANGE,
    STRANGE_ROWS,
)
from .forecast_block import ABSENT, END
from .labelled import told_by_labels
from .nine import nine_of, put_nine, take_nine
from .tiles import (
    ALARM,
    KIND,
    MISS,
    NOVEL,
    NOVEL_SIZE,
    OUTSIDE,
    P_VALUE,
    RESIDUAL,
    SCORE,
    SPREAD,
    STUCK,
    TILE,
    TIME,
    VALUE,
    WAVES,
    U,
    Z,
    fill_all,
    gather,
    put,
    scatter,
)
from .verdicts import NOTHING, kind_of, merge

COLUMNS = 32  # of a stream that are laid side by side
assert SEASON == COLUMNS
# Vectors of D behind those of forecast_block.py: what is known of the inputs that were judged, one
# for each number; and how many rows ago there was something unusual about a value.
MOST = END
UNUSUAL = MOST + TILE * len(NOTHING)
# Of the season: its vectors, and gains of each stream.
ERROR, LEARNS, SIZE, DIAGONAL, ROOT = range(UNUSUAL + TILE, UNUSUAL + 6 * TILE, TILE)
GAINS = UNUSUAL + 6 * TILE
DOUBLES = GAINS + TILE * TILE
GAPS = STUCK  # at the end of an input that is missing: values missing in succession


@inlined
def _compare(T, D):
    for m in range(TILE):
        spread, z, u, outside = anomaly.compare(T, m, TILE, D[VALUE + m], D[RESIDUAL + m])
        D[SPREAD + m], D[Z + m], D[MISS + m], D[U + m] = spread, z, z, u
        D[OUTSIDE + m], D[NOVEL + m], D[NOVEL_SIZE + m] = outside, 0.0, 0.0


@inlined
def _conclude(T, D, rate, log_rate):
    for m in range(TILE):
        score, p_value, alarm, kind = anomaly.conclude(
            T, m, TILE, D[VALUE + m], D[SPREAD + m], D[Z + m], D[U + m], D[MISS + m],
            D[NOVEL + m], D[NOVEL_SIZE + m], D[STUCK + m], rate, log_rate,
        )  # fmt: skip
        D[SCORE + m], D[P_VALUE + m], D[ALARM + m], D[KIND + m] = score, p_value, alarm, kind


@inlined
def _novelties(T, D):
    """Learn from values outside the range so far: there are few."""
    for m in range(TILE):
        if D[OUTSIDE + m] > 0.0:
            D[NOVEL + m], D[NOVEL_SIZE + m] = anomaly_exceptions.novelty(
                T, m, TILE, D[VALUE + m], D[SPREAD + m], D[OUTSIDE + m]
            )


@inlined
def _features(D):
    for m in range(TILE):
        time = D[TIME + m]
        f = season.features(time if time == time else 0.0)
        w = WAVES + m
        D[w], D[w + TILE], D[w + 2 * TILE], D[w + 3 * TILE] = f[1], f[2], f[3], f[4]
        w += 4 * TILE
        D[w], D[w + TILE], D[w + 2 * TILE], D[w + 3 * TILE] = f[5], f[6], f[7], f[8]


@inlined
def _features_of(D, m):
    w = WAVES + m
    return (
        1.0, D[w], D[w + TILE], D[w + 2 * TILE], D[w + 3 * TILE], D[w + 4 * TILE],
        D[w + 5 * TILE], D[w + 6 * TILE], D[w + 7 * TILE],
    )  # fmt: skip


@inlined
def _season_errors(S, rows, at, D):
    for m in range(TILE):
        if D[TIME + m] == D[TIME + m]:
            nine = nine_of(_features_of(D, m))
            D[MISS + m] = season.error_of(S, rows[m] + at, D[Z + m], nine)


@inlined
def _season_gains(S, rows, at, T, D):
    """Begin to learn: the gains, of each stream one behind the other."""
    for m in range(TILE):
        bound, learns = anomaly.season_learning(
            float64(T[COUNT * TILE + m]), float64(T[SEASON_ERROR * TILE + m])
        )
        D[ERROR + m] = min(max(D[MISS + m], -bound), bound)
        D[LEARNS + m] = 1.0 if learns & (D[TIME + m] == D[TIME + m]) else 0.0
    for m in range(TILE):
        if D[LEARNS + m] > 0.0:
            nine = nine_of(_features_of(D, m))
            g, D[SIZE + m], D[DIAGONAL + m] = season.gain_of(S, rows[m] + at, nine)
            put_nine(D, GAINS + m * TILE, g)


@inlined
def _season_learns(S, rows, at, D):
    """Learn from the gains."""
    for m in range(TILE):
        sound, of_weights, root, grow = season.factors_of(
            D[SIZE + m], D[DIAGONAL + m], D[ERROR + m]
        )
        D[SIZE + m], D[ERROR + m] = 1.0 if sound else 0.0, of_weights
        D[ROOT + m], D[DIAGONAL + m] = root, grow
    for m in range(TILE):
        if D[LEARNS + m] > 0.0:
            g, factors = (
                take_nine(D, GAINS + m * TILE),
                (D[ERROR + m], D[ROOT + m], D[DIAGONAL + m]),
            )
            season.learn(S, rows[m] + at, g, D[SIZE + m] > 0.0, factors)


@inlined
def _seasons(S, rows, at, T, D):
    """Write the errors of the season where the time is known, and learn from them.

    What is not the same for all streams is done for one after another, since rows of the inverse
    fill vectors by themselves; in turns, so that a stream does not wait for a chain of sums and
    divisions of the one before.
    """
    _features(D)
    _season_errors(S, rows, at, D)
    _season_gains(S, rows, at, T, D)
    _season_learns(S, rows, at, D)


@inlined
def _is_any_rare(T, D):
    """Bound the values; tell whether anything has to be done before any of them is judged."""
    rare = int64(0)
    for m in range(TILE):
        value, before = D[VALUE + m], D[UNUSUAL + m]
        value = min(max(value, -HUGE), HUGE) if value == value else 0.0
        usual = (before == 0.0) & (float32(value) != T[LAST * TILE + m])
        usual &= (T[COUNT * TILE + m] > 0.0) & (T[STRANGE * TILE + m] < STRANGE_ROWS)
        rare += int64(0) if usual else int64(1)
        D[VALUE + m], D[STUCK + m] = value, 0.0
    return rare > 0


@inlined
def begin_tile(S, rows, addresses, base, nowhere, at, T, D):
    """Lay the columns side by side, of streams without a value what nobody reads; let it begin.

    Parameters
    ----------
    base : int64
        Address of S.
    nowhere : int64
        Address of room for columns that nobody reads.
    """
    for m in range(TILE):
        D[UNUSUAL + m] = float64(S[rows[m] + at + GAP]) + float64(S[rows[m] + at + REPEATS])
        came = D[VALUE + m] == D[VALUE + m]
        addresses[m] = base + 4 * (rows[m] + at) if came else nowhere
    gather(addresses, 0, COLUMNS, T)
    if _is_any_rare(T, D):
        for m in range(TILE):
            if addresses[m] != nowhere:
                D[STUCK + m] = anomaly_exceptions.begin(S, rows[m] + at, D[VALUE + m])
        gather(addresses, 0, COLUMNS, T)


@inlined
def anomaly_tile(S, rows, addresses, at, T, D, timed, rate, log_rate):
    """Judge ``D[VALUE]``, and write score, p-value, alarm and kind to vectors of D.

    Parameters
    ----------
    rows : int64[TILE]
        Where the row of each stream begins in S.
    addresses : int64[TILE]
        Of the columns in these rows, which :func:`begin_tile` has laid side by side in T.
    at : int64
        Of the columns, in a row.
    timed : bool
        Whether ``D[TIME]`` holds any time; it is NaN where none is known or no value came.
    """
    _compare(T, D)
    _novelties(T, D)
    if timed:
        _seasons(S, rows, at + SEASON, T, D)
    _conclude(T, D, rate, log_rate)
    scatter(addresses, 0, COLUMNS, T)


@inlined
def first_verdicts(program, S, rows, D):
    """Forget what is known of the inputs; what labels have shown comes before these."""
    labelled = program[program[layout.STAGE] + table.LABELLED]
    for n in range(len(NOTHING)):
        fill_all(D, MOST + n * TILE, NOTHING[n])
    for m in range(TILE if labelled != 0 else 0):
        most, d = told_by_labels(S, rows[m] + labelled), MOST + m
        D[d], D[d + TILE], D[d + 2 * TILE] = most[0], most[1], most[2]
        D[d + 3 * TILE], D[d + 4 * TILE], D[d + 5 * TILE] = most[3], most[4], most[5]


@inlined
def _merge(D, count):
    for m in range(TILE):
        verdict, d = (D[SCORE + m], D[P_VALUE + m], D[ALARM + m], D[KIND + m]), MOST + m
        known = (
            D[d], D[d + TILE], D[d + 2 * TILE], D[d + 3 * TILE], D[d + 4 * TILE], D[d + 5 * TILE]
        )  # fmt: skip
        most = merge(verdict, known, count, D[GAPS + m])
        D[d], D[d + TILE], D[d + 2 * TILE] = most[0], most[1], most[2]
        D[d + 3 * TILE], D[d + 4 * TILE], D[d + 5 * TILE] = most[3], most[4], most[5]
        D[KIND + m] = kind_of(most[3], D[ABSENT + m] > 0.0)


@inlined
def merge_tile(program, S, rows, addresses, nowhere, at, D, R):
    """Add the verdicts on one input of each stream to those on its others; write them to R."""
    stage = program[layout.STAGE]
    for m in range(TILE):
        if addresses[m] == nowhere:
            D[SCORE + m], D[P_VALUE + m], D[KIND + m] = 0.0, 1.0, float64(MISSING)
            D[ALARM + m] = anomaly_exceptions.missing(S, rows[m] + at)
            D[GAPS + m] = float64(S[rows[m] + at + GAP])
    _merge(D, float64(program[stage + table.SHARES]))
    put(D, MOST, R, TILE * program[stage + table.SCORE])
    put(D, MOST + TILE, R, TILE * program[stage + table.P_VALUE])
    put(D, MOST + 2 * TILE, R, TILE * program[stage + table.ALARM])
    put(D, KIND, R, TILE * program[stage + table.KIND])
