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

from numba import cuda, float32, int64, uint64

from .. import layout
from ..layout import HEADER, ROW
from . import window
from .activations import lower
from .jit import kernel
from .layers import step_layer
from .sizes import REGISTERS, STARTS
from .streams import find_rows, load_inputs, store_outputs
from .tiles import SPACE

device = cuda.jit(device=True)


@device
def _step(weights, program, rows, slots, X, Y, S, at, width):
    """Step a whole block, ``width`` streams at a time; values start at ``S[at]``.

    With a window the layers are stepped by each of its rows, from their initial state. Streams
    whose windows have fewer rows than others start anew where theirs begin.
    """
    starts = cuda.shared.array(0, int64)
    stride, spacing = program[layout.STRIDE], width + SPACE
    total = int64(slots[0])
    for first in range(cuda.blockIdx.x * width, total, cuda.gridDim.x * width):
        count = lower(width, total - first)
        a, o = at, at + stride * spacing
        z = o + stride * spacing
        find_rows(program, slots, first, count, starts, spacing)
        load_inputs(weights, program, X, first, count, S, a, spacing)
        layer, layers = int64(HEADER), program[layout.LAYERS]
        begin, end, windowed = int64(0), int64(1), program[layer + layout.KIND] == layout.WINDOW
        if windowed:
            window.put(program, HEADER, rows, starts, count, S, a, spacing)
            layer, layers = layer + ROW, program[HEADER + layout.WINDOW_LAYERS]
            end = program[HEADER + layout.WINDOW_ROWS]
            begin = end - window.longest(program, HEADER, rows, starts, count)
        for t in range(begin, end):
            number = layers
            if windowed:
                window.restart(weights, program, HEADER, rows, starts, count, end - t)
                window.take(program, HEADER, rows, starts, t, S, a, spacing)
                cuda.syncthreads()
                if t < end - 1:  # of layers behind the last recurrent one the last outputs count
                    number = program[HEADER + layout.WINDOW_RECURRENT]
            for n in range(number):
                step_layer(
                    weights, program, layer + n * ROW, rows, starts, count, S, a, o, z, spacing
                )  # fmt: skip
                a, o = o, a
        if windowed and program[HEADER + layout.WINDOW_START] == layout.START_WAIT:
            window.hide(program, HEADER, rows, starts, count, end, S, a, spacing)
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
        memory is for ``STARTS + layers.values(program) * (width + SPACE)`` floats.
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
