"""The linear part beside the network, of one stream; the equation is in online/lags.py."""

from numba import float64

from .. import layout
from ..cache import inlined
from . import table
from .unit import LARGEST_Z, to_training, unit_of

UNROLLED = 4  # sums in step, each of every fourth lag: a sum waits for the one before


@inlined
def _read(S, at, lags, program, count, ring, position, step, now, W, w):
    """Write the values of all lags to ``W[w]``, and zeros up to a multiple of UNROLLED."""
    for k in range(count):
        lag, value = program[lags + k], now
        if lag > 0:
            place = position - lag
            kept = S[at + (place if place >= 0 else place + ring) * step]
            if kept == kept:
                value = float64(kept)
        W[w + k] = value
    for k in range(count, (count + UNROLLED - 1) // UNROLLED * UNROLLED):
        W[w + k] = 0.0


@inlined
def _weighted(weights, k, W, w, count):
    """Return the sum of ``count`` values at ``W[w]``, weighted."""
    a = b = c = d = 0.0
    for n in range(0, count, UNROLLED):
        a += float64(weights[k + n]) * W[w + n]
        b += float64(weights[k + n + 1]) * W[w + n + 1]
        c += float64(weights[k + n + 2]) * W[w + n + 2]
        d += float64(weights[k + n + 3]) * W[w + n + 3]
    return (a + b) + (c + d)


@inlined
def add_lags(weights, program, S, row, steps, Z, z, work):
    """Add the linear part to the network's outputs at ``Z[z]``, which are not scaled back.

    Parameters
    ----------
    steps : int64
        How many steps the stream has made before.
    work : int64
        Offset in Z of working memory, for the values of all lags.
    """
    stage, F = program[layout.STAGE], program[layout.INPUTS]
    at, ring = row + program[stage + table.LAGS], program[stage + table.LAG_RING]
    lags, count = stage + program[stage + table.LAG_LIST], program[stage + table.LAG_COUNT]
    sources, of_inputs = lags + count, program[stage + table.LAG_INPUTS]
    size = (count + UNROLLED - 1) // UNROLLED * UNROLLED
    mean, position = program[layout.INPUT_SCALING], steps % ring
    for c in range(of_inputs):
        source = program[sources + c]
        value = float64(S[row + program[stage + table.INPUTS] + source])
        value = to_training(S, row, unit_of(weights, program, source), value)
        now = (value - weights[mean + source]) * weights[mean + F + source]
        now = min(max(now, -LARGEST_Z), LARGEST_Z)
        _read(S, at + c, lags, program, count, ring, position, of_inputs, now, Z, work)
        for n in range(program[layout.OUTPUTS]):
            if program[stage + table.TARGETS + n] == source:
                k = program[stage + table.LAG_CONSTANTS] + n * size
                Z[z + n] += _weighted(weights, k, Z, work, size)
        S[at + position * of_inputs + c] = now
