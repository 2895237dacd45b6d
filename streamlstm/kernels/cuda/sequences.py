"""One step of a block by sequences: windows that go through the layers one after another; branches.

What goes from one layer to the next is a sequence in global memory: value k of row t of stream m is
at ``Q[sequence + (t * stride + k) * spacing + m]``, so that a row is laid out as the values of
streams.py. A layer with a state, and a convolution, is stepped between rows beside the sequences,
to which each row is copied and from which it is merged; a layer that takes each row by itself goes
from one sequence to the other. schedule.py says what is done in which order. Where layers see one
row only, step by step or row by row of a window, a sequence is of one row.

Streams that follow each other and have as many rows in their windows go together: all, once these
are full.
"""

import math

import numpy as np
from numba import cuda, float32, int64, uint64
from numpy.typing import NDArray

from .. import layout
from ..layout import HEADER, ROW
from . import schedule, window
from .activations import lower
from .attention import attention, softmax_over_rows
from .branches import begin_branch, merge_branch
from .convolution import rows_made, see
from .jit import kernel
from .layers import step_layer, sums
from .over_rows import over_rows
from .sizes import MAX_STREAMS
from .streams import find_rows, load_inputs, shift_of, store_outputs
from .tiles import SPACE

device = cuda.jit(device=True)


@device
def _write(Q, a, o, size, mode, spacing):
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
    copied = kind <= layout.RNN or kind == layout.CONV or kind == layout.CONV_STEP
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
                _write(Q, x, a, inputs, int64(layout.ONE_WAY), spacing)
            cuda.syncthreads()
        z = between + 2 * stride
        step_layer(weights, program, layer, rows, starts, count, Q, a, o, z, spacing)
        if copied:
            if one:
                y = target
            if not one or step == made - 1 or step == 2 * made - 1:
                _write(Q, o, y, program[row + layout.LAYER_OUTPUTS], mode, spacing)
    return int64(1) if one else made


@device
def _layer(weights, program, row, rows, starts, count, Q, between, source, target, n, spacing):
    """Take a sequence of ``n`` rows through a layer; return how many go out."""
    kind = program[row + layout.KIND]
    shares = between + 2 * program[layout.STRIDE] * spacing
    if kind == layout.ROWS:
        return over_rows(program, row, Q, source, target, n, spacing)
    if kind == layout.ROWS_SOFTMAX:
        return softmax_over_rows(program, row, Q, source, target, n, spacing)
    if kind == layout.ATTENTION:
        return attention(weights, program, row, Q, source, target, shares, n, spacing)
    return _row_by_row(
        weights, program, row, rows, starts, count, Q, between, source, target, n, spacing
    )  # fmt: skip


@device
def _through(weights, program, rows, starts, count, Q, base, n, operations, spacing):
    """Take the first sequence, of ``n`` rows, through a network; return how many rows come out."""
    head = program[program.shape[0] - 1]
    size = program[head + schedule.SIZE] * spacing
    between = base + program[head + schedule.SEQUENCES] * size
    for number in range(operations):
        at = head + schedule.HEAD + number * schedule.SIZE_OF_ONE
        code, row = program[at + schedule.CODE], program[at + schedule.LAYER]
        source = base + program[at + schedule.SOURCE] * size
        target = base + program[at + schedule.TARGET] * size
        # Of a fork: the rows that went in, and those that the branches so far have made.
        fork = MAX_STREAMS + 2 * program[at + schedule.LEVEL]
        if code == schedule.RUN:
            n = _layer(
                weights, program, row, rows, starts, count, Q, between, source, target, n, spacing
            )  # fmt: skip
        elif code == schedule.FORK:
            if cuda.threadIdx.x == 0:
                starts[uint64(fork)], starts[uint64(fork + 1)] = n, int64(0)
        elif code == schedule.BRANCH:
            n = starts[uint64(fork)]
            begin_branch(program, at, Q, source, target, n, spacing)
        elif code == schedule.MERGE:
            made = starts[uint64(fork + 1)]
            merge_branch(program, at, row, Q, source, target, n, made, spacing)
            cuda.syncthreads()
            if cuda.threadIdx.x == 0 and n > made:
                starts[uint64(fork + 1)] = n
        else:
            n = starts[uint64(fork + 1)]
        cuda.syncthreads()
    return n


@device
def _blank(program, Q, y, spacing):
    """Make all outputs NaN."""
    for n in range(cuda.threadIdx.x, program[layout.OUTPUTS] * spacing, cuda.blockDim.x):
        Q[uint64(y + n)] = float32(math.nan)
    cuda.syncthreads()


@device
def _alike(program, rows, starts, most):
    """Return how many of ``most`` windows, from the first on, have as many rows as the first."""
    n, count = window.length(program, HEADER, rows, starts[0]), int64(1)
    while count < most and window.length(program, HEADER, rows, starts[uint64(count)]) == n:
        count += 1
    return count


@kernel()
def step(weights, program, rows, slots, X, Y, scratch, width):
    """Step every stream of a block once.

    Parameters
    ----------
    weights, program, rows, slots, X, Y
        As for :func:`streamlstm.kernels.cuda.scalar.step`, packed for vectors of LANES floats; the
        program with its schedule.
    scratch : float32[blocks * memory(program) * (width + SPACE)]
        For sequences and values; the blocks of threads divide it.
    width : int64
        Streams of a block of threads: TILE times a power of two, at most MAX_STREAMS. Shared
        memory is for ``shared(program)`` bytes.
    """
    starts = cuda.shared.array(0, int64)
    spacing, total = width + SPACE, int64(slots[0])
    base = int64(cuda.blockIdx.x) * (scratch.shape[0] // cuda.gridDim.x // 4 * 4)
    head, kind = program[program.shape[0] - 1], program[HEADER + layout.KIND]
    whole = kind == layout.WHOLE_WINDOW
    windowed, least, hidden = whole or kind == layout.WINDOW, int64(1), int64(0)
    if whole:
        least = program[HEADER + layout.SEQUENCE_LEAST]
    elif windowed and program[HEADER + layout.WINDOW_START] == layout.START_WAIT:
        hidden = program[HEADER + layout.WINDOW_ROWS]
    for first in range(cuda.blockIdx.x * width, total, cuda.gridDim.x * width):
        end = first + lower(width, total - first)
        find_rows(program, slots, first, end - first, starts, spacing)
        load_inputs(weights, program, X, first, end - first, scratch, base, spacing)
        if windowed:
            window.put(program, HEADER, rows, starts, end - first, scratch, base, spacing)
            window.restart(weights, program, HEADER, rows, starts, end - first, int64(0))
            cuda.syncthreads()
        begin = int64(first)
        while begin < end:
            find_rows(program, slots, begin, end - begin, starts, spacing)
            count, length, T = end - begin, int64(1), int64(1)
            if windowed:
                count = _alike(program, rows, starts, end - begin)
                length = window.length(program, HEADER, rows, starts[0])
                T = program[HEADER + layout.WINDOW_ROWS]
            n = length if whole else int64(1)  # rows that go through the network together
            made = int64(1)
            for t in range(T - length, T if length >= least else T - length, n):
                operations = program[head + schedule.COUNT]
                if windowed:
                    for row in range(n):
                        x = base + row * program[head + schedule.ENTER] * spacing
                        window.take(program, HEADER, rows, starts, t + row, scratch, x, spacing)
                    cuda.syncthreads()
                    if t + n < T:  # behind the last recurrent layer the last outputs count
                        operations = program[head + schedule.EARLY]
                made = _through(
                    weights, program, rows, starts, count, scratch, base, n, operations, spacing
                )  # fmt: skip
            y = base + program[head + schedule.RESULT] * program[head + schedule.SIZE] * spacing
            y += (made - 1) * program[head + schedule.STRIDE] * spacing
            if length < least or length < hidden:
                _blank(program, scratch, y, spacing)
            store_outputs(
                weights, program, rows, slots, starts, X, Y, begin, count, scratch, y, spacing
            )  # fmt: skip
            begin += count


def memory(program: NDArray[np.int64]) -> int:
    """Return how many values of a stream are in memory at once."""
    head = program[program[-1] :]
    size = int(head[schedule.SIZE])
    sequences = int(head[schedule.SEQUENCES]) * size
    shares = size // layout.PAD + 1  # of all rows
    behind = max(sums(schedule.rows_run(program)), shares)
    return sequences + 2 * int(program[layout.STRIDE]) + behind


def shared(program: NDArray[np.int64]) -> int:
    """Return the bytes of shared memory of a block."""
    return 8 * (MAX_STREAMS + 2 * int(program[program[-1] + schedule.DEPTH]))
