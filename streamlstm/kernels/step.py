"""One step of a block of streams through all layers of a model, on the CPU.

``step_block`` and ``step_parallel`` run any model: they read its layers from the program
(layout.py). Streams go through in groups whose activations stay in cache from the first layer
to the last.
"""

import numpy as np
from numba import int64, njit, prange
from numpy.typing import NDArray

from . import layout
from .cache import kernel
from .feedforward import dense, embedding, layer_norm, pointwise
from .layout import GROUP, HEADER, PAD, ROW
from .products import TILE, WIDE
from .recurrent import gru, gru_before, lstm, lstm_options, rnn
from .simd import LANES, load, store

SUMS = TILE * WIDE + PAD  # floats for the sums of one tile, and more than normalise asks for


def scratch_size(program: NDArray[np.int64]) -> int:
    """Return how many float32 of scratch one thread needs to run ``program``."""
    return int(GROUP * (2 * program[layout.STRIDE] + program[layout.WORKSPACE]) + SUMS)


@njit(inline="always")
def _step_layer(weights, program, layer, rows, slots, first, count, S, a, o, z, work):
    """Take a group through one layer, from the rows at ``S[a]`` to those at ``S[o]``."""
    kind = program[layer + layout.KIND]
    if kind == layout.LSTM:
        lstm(weights, program, layer, rows, slots, first, count, S, a, o, z)
    elif kind == layout.DENSE:
        dense(weights, program, layer, S, a, o, z, count)
    elif kind == layout.GRU:
        gru(weights, program, layer, rows, slots, first, count, S, a, o, z)
    elif kind == layout.LSTM_OPTIONS:
        lstm_options(weights, program, layer, rows, slots, first, count, S, a, o, z, work)
    elif kind == layout.GRU_BEFORE:
        gru_before(weights, program, layer, rows, slots, first, count, S, a, o, z)
    elif kind == layout.RNN:
        rnn(weights, program, layer, rows, slots, first, count, S, a, o, z)
    elif kind == layout.POINTWISE:
        pointwise(weights, program, layer, S, a, o, count)
    elif kind == layout.LAYER_NORM:
        layer_norm(weights, program, layer, S, a, o, z, count)
    else:
        embedding(weights, program, layer, S, a, o, count)


@njit
def _step_group(weights, program, rows, slots, X, Y, S, first, count):
    """Step streams ``first`` to ``first + count`` of the block in the scratch S."""
    F, O = program[layout.INPUTS], program[layout.OUTPUTS]
    stride = program[layout.STRIDE]
    # Not literals: Numba would compile every layer once for the number and once for any number.
    z = int64(0)
    a = int64(SUMS)
    o = a + GROUP * stride
    work = o + GROUP * stride
    mean = program[layout.INPUT_SCALING]
    for m in range(count):
        x, place = (first + m) * F, a + m * stride
        whole = F // LANES * LANES
        for n in range(0, whole, LANES):
            value = (load(X, x + n) - load(weights, mean + n)) * load(weights, mean + F + n)
            store(S, place + n, value)
        for n in range(whole, F):
            S[place + n] = (X[first + m, n] - weights[mean + n]) * weights[mean + F + n]
    layer = int64(HEADER)
    for _ in range(program[layout.LAYERS]):
        _step_layer(weights, program, layer, rows, slots, first, count, S, a, o, z, work)
        a, o = o, a
        layer += ROW
    scale = program[layout.OUTPUT_SCALING]
    skip, skip_scale = program[layout.SKIP], program[layout.SKIP_SCALE]
    for m in range(count):
        y, place = (first + m) * O, a + m * stride
        whole = O // LANES * LANES
        for n in range(0, whole, LANES):
            value = load(S, place + n) * load(weights, scale + n) + load(weights, scale + O + n)
            store(Y, y + n, value)
        for n in range(whole, O):
            Y[first + m, n] = S[place + n] * weights[scale + n] + weights[scale + O + n]
        if skip >= 0:
            for k in range(O):
                if program[skip + k] >= 0:
                    added = X[first + m, program[skip + k]] * weights[skip_scale + k]
                    Y[first + m, k] += added


@kernel()
def step_block(weights, program, rows, slots, X, Y, scratch):
    """Step every stream of a block once.

    Parameters
    ----------
    weights : float32[...]
        The model's weight block (streamlstm.plan).
    program : int64[...]
        The model's integer table (layout.py).
    rows : float32[S * R]
        The state rows, flat; those of the block are advanced in place.
    slots : int64[B]
        Row numbers, each at most once.
    X, Y : float32[B, F], float32[B, O]
        Observations, and where predictions go.
    scratch : float32[threads, scratch_size(program)]
        Working memory; its content means nothing between calls.
    """
    for first in range(0, slots.shape[0], GROUP):
        count = min(GROUP, slots.shape[0] - first)
        _step_group(weights, program, rows, slots, X, Y, scratch[0], first, count)


@kernel(parallel=True)
def step_parallel(weights, program, rows, slots, X, Y, scratch):
    """Step every stream of a block once, on as many threads as ``scratch`` has rows.

    Parameters are those of :func:`step_block`, and so are the results, bit for bit.
    """
    threads = scratch.shape[0]
    groups = (slots.shape[0] + GROUP - 1) // GROUP
    for thread in prange(threads):
        begin, end = groups * thread // threads, groups * (thread + 1) // threads
        for group in range(begin, end):
            first = group * GROUP
            count = min(GROUP, slots.shape[0] - first)
            _step_group(weights, program, rows, slots, X, Y, scratch[thread], first, count)
