"""One step of a block whose windows go through the layers row after row, layer after layer.

What goes from one layer to the next is a sequence in global memory: value k of row t of stream m is
at ``Q[sequence + (t * stride + k) * spacing + m]``, so that a row is laid out as the values of
streams.py. A layer with a state, and a convolution, is stepped between rows beside the sequences,
to which each row is copied and from which it is merged; a layer that takes each row by itself goes
from one sequence to the other.

Streams that follow each other and have as many rows go together: all, once their windows are full.
"""

import math

import numpy as np
from numba import cuda, float32, int64, uint64
from numpy.typing import NDArray

from .. import layout
from ..layout import HEADER, ROW
from . import window
from .activations import lower
from .attention import attention
from .convolution import rows_made, see
from .jit import kernel
from .layers import step_layer, values
from .over_rows import over_rows
from .streams import find_rows, load_inputs, shift_of, store_outputs
from .tiles import SPACE

device = cuda.jit(device=True)


@device
def _merge(Q, a, o, size, mode, spacing):
    """Copy ``size`` values of each stream, or merge them with those where they go."""
    bits = shift_of(spacing)
    if mode == layout.CONCAT:
        o += size * spacing
    for n in range(cuda.threadIdx.x, size << bits, cuda.blockDim.x):
        at = (n >> bits) * spacing + (n & ((1 << bits) - 1))
        value = Q[uint64(a + at)]
        if mode == layout.MUL:
            value *= Q[uint64(o + at)]
        elif mode >= layout.SUM:
            value += Q[uint64(o + at)]
        if mode == layout.AVE:
            value *= float32(0.5)
        Q[uint64(o + at)] = value


@device
def _row_by_row(weights, program, row, rows, starts, count, Q, between, source, target, n, spacing):
    """Take a sequence of ``n`` rows through a layer, row after row; return how many go out.

    A layer with a state and a convolution take each row at ``between`` and the floats behind.
    """
    kind, inputs = program[row + layout.KIND], program[row + layout.LAYER_INPUTS]
    copied = kind <= layout.RNN or kind == layout.CONV
    made, steps, one = n, n, False
    if kind == layout.CONV:
        made = rows_made(program, row, n)
        steps = made
    elif kind <= layout.RNN:
        one = program[row + layout.ROWS_FLAG] != 0
        if program[row + layout.ROWS_MODE] != layout.ONE_WAY:
            steps = 2 * n
    stride = program[layout.STRIDE] * spacing
    for step in range(steps):
        layer, mode, t = row, int64(layout.ONE_WAY), step
        if step >= made:  # of the layer that runs backwards
            layer, mode, t = row + ROW, program[row + layout.ROWS_MODE], 2 * made - 1 - step
        x = source + t * program[row + layout.ROWS_IN] * spacing
        y = target + t * program[row + layout.ROWS_OUT] * spacing
        a, o = x, y
        if copied:
            a, o = between, between + stride
            if kind == layout.CONV:
                see(program, row, Q, source, a, t, n, spacing)
            else:
                _merge(Q, x, a, inputs, int64(layout.ONE_WAY), spacing)
            cuda.syncthreads()
        z = between + 2 * stride
        step_layer(weights, program, layer, rows, starts, count, Q, a, o, z, spacing)
        if copied:
            if one:
                y = target
            if not one or step == made - 1 or step == 2 * made - 1:
                _merge(Q, o, y, program[row + layout.LAYER_OUTPUTS], mode, spacing)
    return int64(1) if one else made


@device
def _through(weights, program, rows, starts, count, Q, base, n, spacing):
    """Take windows of ``n`` rows through all layers; return where the last row is."""
    size = program[HEADER + layout.SEQUENCE_SIZE] * spacing
    source, target, between = base, base + size, base + 2 * size
    shares = between + 2 * program[layout.STRIDE] * spacing
    T, row = program[HEADER + layout.WINDOW_ROWS], program[HEADER + layout.STAGES] + HEADER
    stride = program[row + layout.ROWS_IN] * spacing
    for t in range(n):
        window.take(program, HEADER, rows, starts, T - n + t, Q, source + t * stride, spacing)
    cuda.syncthreads()
    for _ in range(program[HEADER + layout.WINDOW_LAYERS]):
        kind = program[row + layout.KIND]
        if kind == layout.ROWS:
            n = over_rows(program, row, Q, source, target, n, spacing)
        elif kind == layout.ATTENTION:
            n = attention(weights, program, row, Q, source, target, shares, n, spacing)
        else:
            n = _row_by_row(
                weights, program, row, rows, starts, count, Q, between, source, target, n, spacing
            )  # fmt: skip
        cuda.syncthreads()
        stride = program[row + layout.ROWS_OUT] * spacing
        source, target = target, source
        row += layout.STAGE_SIZE
    return source + (n - 1) * stride


@device
def _blank(program, Q, y, spacing):
    """Make all outputs NaN."""
    for n in range(cuda.threadIdx.x, program[layout.OUTPUTS] * spacing, cuda.blockDim.x):
        Q[uint64(y + n)] = float32(math.nan)
    cuda.syncthreads()


@kernel()
def step(weights, program, rows, slots, X, Y, scratch, width):
    """Step every stream of a block once.

    Parameters
    ----------
    weights, program, rows, slots, X, Y
        As for :func:`streamlstm.kernels.cuda.scalar.step`, packed for vectors of LANES floats.
    scratch : float32[blocks * memory(program) * (width + SPACE)]
        For values and sequences; the blocks of threads divide it.
    width : int64
        Streams of a block of threads: TILE times a power of two, at most MAX_STREAMS.
    """
    starts = cuda.shared.array(0, int64)
    spacing, total = width + SPACE, int64(slots[0])
    base = int64(cuda.blockIdx.x) * (scratch.shape[0] // cuda.gridDim.x // 4 * 4)
    least = program[HEADER + layout.SEQUENCE_LEAST]
    for first in range(cuda.blockIdx.x * width, total, cuda.gridDim.x * width):
        end = first + lower(width, total - first)
        find_rows(program, slots, first, end - first, starts, spacing)
        load_inputs(weights, program, X, first, end - first, scratch, base, spacing)
        window.put(program, HEADER, rows, starts, end - first, scratch, base, spacing)
        window.restart(weights, program, HEADER, rows, starts, end - first, int64(0))
        cuda.syncthreads()
        begin = int64(first)
        while begin < end:
            find_rows(program, slots, begin, end - begin, starts, spacing)
            n, count = window.length(program, HEADER, rows, starts[0]), int64(1)
            while (
                begin + count < end
                and window.length(program, HEADER, rows, starts[uint64(count)]) == n
            ):
                count += 1
            y = base
            if n >= least:
                y = _through(weights, program, rows, starts, count, scratch, base, n, spacing)
            else:
                _blank(program, scratch, y, spacing)
            store_outputs(
                weights, program, rows, slots, starts, X, Y, begin, count, scratch, y, spacing
            )  # fmt: skip
            begin += count


def memory(program: NDArray[np.int64]) -> int:
    """Return how many values of a stream are in memory at once."""
    size = int(program[HEADER + layout.SEQUENCE_SIZE])
    return 2 * size + values(program) + size // layout.PAD  # behind them the shares of all rows
