"""One step of a block of streams through all layers of a model, on the CPU.

``step_range`` runs any model: it reads its layers from the program (layout.py). Streams go through
in groups whose activations stay in cache from the first layer to the last. It is compiled once and
called by address from everything else that steps, so that no caller compiles it again.

It gets its arrays by address too. Such an array is owned by nobody, and LLVM sees that: around
calls with arrays of Python, Numba counts references, with atomic operations.
"""

import numpy as np
from numba import int64, prange
from numpy.typing import NDArray

from . import feedforward, layout, recurrent, single_stream
from .arguments import ENDLESS, ROWS_AT
from .cache import by_address, kernel, part
from .layout import GROUP, HEADER, ROW
from .memory import call_at, floats_at, int64s_at
from .products import TILE
from .simd import LANES, load, load_first, store, store_first

f32 = np.float32

# What steps a group of streams through a layer of each kind, and what a single stream.
LAYERS = {
    layout.LSTM: recurrent.lstm,
    layout.LSTM_OPTIONS: recurrent.lstm_options,
    layout.LSTM_NORM: recurrent.lstm_norm,
    layout.GRU: recurrent.gru,
    layout.GRU_BEFORE: recurrent.gru_before,
    layout.RNN: recurrent.rnn,
    layout.DENSE: feedforward.dense,
    layout.POINTWISE: feedforward.pointwise,
    layout.LAYER_NORM: feedforward.layer_norm,
    layout.EMBEDDING: feedforward.embedding,
}
SINGLES = LAYERS | {
    layout.LSTM: single_stream.lstm_single,
    layout.LSTM_OPTIONS: single_stream.lstm_options_single,
    layout.LSTM_NORM: single_stream.lstm_norm_single,
    layout.GRU: single_stream.gru_single,
}
# With weights of 16 bits a single stream goes through a plain LSTM by another way.
SHORT = {
    "float16": single_stream.lstm_single_float16,
    "bfloat16": single_stream.lstm_single_bfloat16,
}


def scratch_size(program: NDArray[np.int64]) -> int:
    """Return how many float32 of scratch one thread needs to run ``program``."""
    rows = GROUP * (2 * program[layout.STRIDE] + program[layout.WORKSPACE])
    return layout.padded(int(ROWS_AT + rows))


@part
def _scale_inputs(weights, program, X, S, a, first, count):
    """Put the scaled observations of a group into the rows at ``S[a]``."""
    F, mean = program[layout.INPUTS], program[layout.INPUT_SCALING]
    for m in range(count):
        x, place = (first + m) * F, a + m * program[layout.STRIDE]
        for n in range(0, F, LANES):
            value = load_first(X, x + n, F - n) - load(weights, mean + n)
            store(S, place + n, value * load(weights, mean + F + n))


@part
def _scale_outputs(weights, program, X, Y, S, a, first, count):
    """Put what stands in the rows at ``S[a]`` into the unit of the series, and add the skip."""
    F, O = program[layout.INPUTS], program[layout.OUTPUTS]
    scale = program[layout.OUTPUT_SCALING]
    skip, skip_scale = program[layout.SKIP], program[layout.SKIP_SCALE]
    for m in range(count):
        x, y, place = (first + m) * F, (first + m) * O, a + m * program[layout.STRIDE]
        for n in range(0, O, LANES):
            value = load(S, place + n) * load(weights, scale + n) + load(weights, scale + O + n)
            store_first(Y, y + n, value, O - n)
        if skip >= 0:
            for k in range(O):
                if program[skip + k] >= 0:
                    Y[y + k] += X[x + program[skip + k]] * weights[skip_scale + k]


@by_address
def step_range(task, first, last, thread):
    """Step the streams ``first`` to ``last`` of a task's block once.

    Parameters
    ----------
    task : int
        Address of the task (layout.py). Its arrays are

        - the model's weight block and integer table (streamlstm.backends.plan),
        - float32[S, R], the state rows; those of the block are advanced in place,
        - int64[B], slots: row numbers, each at most once,
        - float32[B, F] and float32[B, O], observations, and where predictions go,
        - float32[threads, scratch_size(program)], working memory; its content means nothing
          between calls; and int64[threads, GROUP_SIZE], likewise.
    first, last : int
        Within B.
    thread : int
        Whose working memory is used.
    """
    fields = int64s_at(task, layout.TASK)
    weights = floats_at(fields[layout.TASK_WEIGHTS], ENDLESS)
    program = int64s_at(fields[layout.TASK_PROGRAM], ENDLESS)
    X = floats_at(fields[layout.TASK_X], ENDLESS)
    Y = floats_at(fields[layout.TASK_Y], ENDLESS)
    scratch = fields[layout.TASK_SCRATCH] + 4 * fields[layout.TASK_SCRATCH_SIZE] * thread
    S = floats_at(scratch, ENDLESS)
    address = fields[layout.TASK_GROUPS] + 8 * layout.GROUP_SIZE * thread
    group = int64s_at(address, layout.GROUP_SIZE)
    group[layout.GROUP_SCRATCH] = scratch
    functions = int64(layout.TASK_LAYERS)
    if last - first == 1:
        functions = int64(layout.TASK_SINGLES)
        fields[layout.TASK_TURN] ^= 1
        group[layout.GROUP_TURN] = fields[layout.TASK_TURN]
    while first < last:
        count = min(int64(GROUP), last - first)
        group[layout.GROUP_FIRST] = first
        group[layout.GROUP_COUNT] = count
        a = int64(ROWS_AT)
        o = a + GROUP * program[layout.STRIDE]
        _scale_inputs(weights, program, X, S, a, first, count)
        layer = int64(HEADER)
        for _ in range(program[layout.LAYERS]):
            group[layout.GROUP_INPUTS] = a
            group[layout.GROUP_OUTPUTS] = o
            call_at(fields[functions + program[layer + layout.KIND]], task, layer, address, 0)
            a, o = o, a
            layer += ROW
        _scale_outputs(weights, program, X, Y, S, a, first, count)
        first += count


@part
def _point(task, slots, X, Y):
    """Let a task step these arrays."""
    fields = int64s_at(task, layout.TASK)
    fields[layout.TASK_SLOTS] = slots.ctypes.data
    fields[layout.TASK_X] = X.ctypes.data
    fields[layout.TASK_Y] = Y.ctypes.data
    return fields[layout.TASK_STEP]


@kernel()
def step_block(task, slots, X, Y):
    """Step slots[B] by X[B, F] on one thread; predictions go to Y[B, O]."""
    function = _point(task, slots, X, Y)
    call_at(function, task, 0, len(slots), 0)


@kernel(parallel=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def step_shared(task, first, last, threads):
    """Do what :func:`step_range` does on so many threads; results are the same, bit for bit."""
    function = int64s_at(task, layout.TASK)[layout.TASK_STEP]
    tiles = (last - first + TILE - 1) // TILE
    for thread in prange(threads):
        begin = first + tiles * thread // threads * TILE
        end = first + tiles * (thread + 1) // threads * TILE
        call_at(function, task, begin, min(end, last), thread)


@kernel()
def step_parallel(task, slots, X, Y, threads):
    """Do what :func:`step_block` does on so many threads."""
    _point(task, slots, X, Y)
    shared = int64s_at(task, layout.TASK)[layout.TASK_SHARED]
    call_at(shared, task, 0, len(slots), threads)
