"""One step of a block of streams through all layers in one launch: the fast kernel.

A block of threads takes some streams, a multiple of the tile, from their observations to their
predictions. Inputs and outputs of a layer are in shared memory, one row a value and one column a
stream (streams.py); for networks too large for that, in global memory, behind the caches. State
rows are gathered and scattered by slot, neighbouring threads taking neighbouring floats. Every warp
reads weights as one run of cache lines a vector: from shared memory where they fit beside the
values, otherwise mostly from the L1 cache.

Plain LSTM and standard GRU go from products to the new state in registers. All other layers write
their sums to memory and read them once more: every option of every layer is here.
"""

import numpy as np
from numba import cuda, float32, int64, uint64
from numpy.typing import NDArray

from .. import layout
from ..layout import HEADER, PAD, ROW
from . import feedforward, gru, lstm
from .activations import lower
from .jit import kernel
from .sizes import MAX_STREAMS, REGISTERS
from .streams import find_rows, gather, load_inputs, scatter, store_outputs
from .thread import up
from .tiles import SPACE

device = cuda.jit(device=True)

STARTS = 2 * MAX_STREAMS  # floats at the start of a block's shared memory, for streams.find_rows


@device
def _products(weights, program, layer, S, a, o, z, spacing):
    """Compute the products of a layer that does not keep all gates in registers.

    That of a dense layer or an RNN goes from ``a`` to ``o``, a projection from ``o`` to ``a``, and
    those of a GRU whose reset acts before the product from ``a`` to ``z``, then to ``o``. One call
    serves them all, since it is a thousand instructions long.
    """
    kind, source, target = program[layer + layout.KIND], a, o
    w, K = program[layer + layout.WEIGHTS], program[layer + layout.LAYER_INPUTS]
    size, count = program[layer + layout.LAYER_OUTPUTS], 1
    if kind < layout.GRU:
        source, target = o, a
        w, K = program[layer + layout.PROJECTION], program[layer + layout.UNITS]
        count = 1 if w >= 0 else 0
    elif kind == layout.GRU_BEFORE:
        K, target, size, count = K + size, z, 2 * up(size, PAD), 2
    elif kind == layout.RNN:
        K += size
    elif kind != layout.DENSE:
        count = 0
    for n in range(count):
        feedforward.product(weights, w, K, size, S, source, target, spacing)
        cuda.syncthreads()
        if n == 0 and count == 2:
            gru.reset(weights, program, layer, S, a, z, spacing)
            cuda.syncthreads()
            w, size, target = program[layer + layout.VECTORS], program[layer + layout.UNITS], o


@device
def _finish(weights, program, layer, rows, starts, count, S, a, o, z, spacing):
    """Turn sums into the output of the layer, and store it in the state of a recurrent one."""
    kind, hidden = program[layer + layout.KIND], program[layer + layout.HIDDEN]
    F, size = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    if kind == layout.GRU_BEFORE:
        # The reset gate was applied to the copy of the hidden state there.
        gather(rows, starts, hidden, size, S, a + F * spacing, spacing)
        cuda.syncthreads()
        z += up(size, PAD) * spacing
    if kind < layout.GRU:
        if program[layer + layout.PROJECTION] >= 0:
            feedforward.bound_all(weights, program, layer, S, a, o, spacing)
    elif kind <= layout.GRU_BEFORE:
        if kind == layout.GRU_BEFORE or not gru.is_standard(weights, program, layer):
            gru.apply(weights, program, layer, S, a, z, o, spacing)
    elif kind <= layout.POINTWISE:
        feedforward.activate_all(weights, program, layer, S, o, spacing)
    if kind <= layout.RNN:
        cuda.syncthreads()
        scatter(rows, starts, count, hidden, size, S, o, spacing)


@device
def _layer(weights, program, layer, rows, starts, count, S, a, o, z, spacing):
    """Take the values at ``a`` through a layer to ``o``."""
    kind, hidden = program[layer + layout.KIND], program[layer + layout.HIDDEN]
    F, size = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    if kind <= layout.RNN:
        gather(rows, starts, hidden, size, S, a + F * spacing, spacing)
        cuda.syncthreads()
    if kind == layout.LSTM:
        lstm.plain(weights, program, layer, rows, starts, count, S, a, o, spacing)
        cuda.syncthreads()
        return
    if kind <= layout.LSTM_NORM:
        lstm.with_options(weights, program, layer, rows, starts, count, S, a, o, z, spacing)
    elif kind == layout.GRU:
        gru.after(weights, program, layer, S, a, o, z, spacing)
    elif kind > layout.DENSE:
        feedforward.transform(weights, program, layer, S, a, o, spacing)
    cuda.syncthreads()
    _products(weights, program, layer, S, a, o, z, spacing)
    _finish(weights, program, layer, rows, starts, count, S, a, o, z, spacing)
    cuda.syncthreads()


@device
def _step(weights, program, rows, slots, X, Y, S, at, width):
    """Step a whole block, ``width`` streams at a time; values start at ``S[at]``."""
    starts = cuda.shared.array(0, int64)
    stride, spacing = program[layout.STRIDE], width + SPACE
    total = int64(slots[0])
    for first in range(cuda.blockIdx.x * width, total, cuda.gridDim.x * width):
        count = lower(width, total - first)
        a, o = at, at + stride * spacing
        z = o + stride * spacing
        find_rows(program, slots, first, count, starts, spacing)
        load_inputs(weights, program, X, first, count, S, a, spacing)
        for n in range(program[layout.LAYERS]):
            _layer(
                weights, program, HEADER + n * ROW, rows, starts, count, S, a, o, z, spacing
            )  # fmt: skip
            a, o = o, a
        store_outputs(weights, program, rows, slots, starts, X, Y, first, count, S, a, spacing)


@kernel(max_registers=REGISTERS)
def step_shared(weights, program, rows, slots, X, Y, scratch, width):
    """Step every stream of a block once, with values in dynamic shared memory.

    Parameters
    ----------
    weights, program, rows, slots, X, Y
        As for :func:`streamlstm.kernels.cuda.scalar.step`, packed for vectors of LANES floats.
    scratch : float32[0]
        Not used.
    width : int64
        Streams of a block of threads: TILE times a power of two, at most MAX_STREAMS. Shared
        memory is for ``STARTS + values(program) * (width + SPACE)`` floats.
    """
    S = cuda.shared.array(0, float32)[STARTS:]
    _step(weights, program, rows, slots, X, Y, S, int64(0), width)


@kernel()
def step_resident(weights, program, rows, slots, X, Y, scratch, width):
    """Step with a copy of all weights in shared memory, in front of the values."""
    S, size = cuda.shared.array(0, float32)[STARTS:], weights.shape[0]
    for n in range(cuda.threadIdx.x, size, cuda.blockDim.x):
        S[uint64(n)] = weights[uint64(n)]
    cuda.syncthreads()
    _step(S, program, rows, slots, X, Y, S, int64(size), width)


@kernel()
def step_global(weights, program, rows, slots, X, Y, scratch, width):
    """Step with values in ``scratch``, which the blocks of threads divide."""
    size = scratch.shape[0] // cuda.gridDim.x // 4 * 4
    _step(weights, program, rows, slots, X, Y, scratch, int64(cuda.blockIdx.x) * size, width)


def values(program: NDArray[np.int64]) -> int:
    """Return how many values of a stream are in memory at once."""
    layers = program[HEADER:][: ROW * int(program[layout.LAYERS])].reshape(-1, ROW)
    sums = 0
    for row in layers:
        units = int(row[layout.UNITS])
        if layout.LSTM < row[layout.KIND] <= layout.GRU:
            sums = max(sums, 4 * units)
        elif row[layout.KIND] == layout.GRU_BEFORE:
            sums = max(sums, 2 * layout.padded(units))
    return 2 * int(program[layout.STRIDE]) + sums
