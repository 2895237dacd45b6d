"""One step of a block of streams through all layers of a model, on the CPU.

``step_range`` runs any model: it reads the layers from the program (layout.py). Streams are
processed in groups whose activations stay in cache from the first layer to the last. It is compiled
once and called by address from everything else that steps, so that no caller compiles it again.

It gets its arrays by address too: such an array has no owner. Around calls with arrays of Python,
Numba counts references, with atomic operations.
"""

import numpy as np
from numba import int64, prange
from numpy.typing import NDArray

from . import (
    attention,
    convolution,
    feedforward,
    layout,
    over_rows,
    parallel,
    recurrent,
    recurrent_rows,
    recurrent_single,
    whole_window,
    window,
)
from .arguments import ROWS_AT, UNBOUNDED
from .cache import by_address, inlined, internal, kernel
from .denormals import flush_denormals, restore
from .layout import GROUP, HEADER, ROW
from .online import table
from .online.behind_block import TILE_SCRATCH
from .online.tiles import TILE as STREAMS
from .pointers import call_at, floats_at, int64s_at
from .products import TILE
from .simd import LANES, load, load_first, store, store_first

f32 = np.float32
RUN = 2 * TILE  # rows of one stream that go through a layer before the next one takes them

# The kernels by KIND: of a group of streams, and of a single stream.
LAYERS = recurrent.LAYERS | feedforward.LAYERS | window.LAYERS | whole_window.LAYERS
LAYERS |= convolution.LAYERS | over_rows.LAYERS | attention.LAYERS | parallel.LAYERS
LAYERS |= recurrent_rows.LAYERS
SINGLES = LAYERS | recurrent_single.LAYERS


def scratch_size(program: NDArray[np.int64]) -> int:
    """Return how many float32 of scratch one thread needs to run ``program``."""
    rows = GROUP * (2 * program[layout.STRIDE] + program[layout.WORKSPACE])
    stage = program[layout.STAGE]
    if stage:
        rows += 2 * layout.padded(int(program[layout.OUTPUTS])) + program[stage + table.SCRATCH]
        rows += TILE_SCRATCH + STREAMS * layout.padded(int(program[layout.RESULT]))
    if program[HEADER + layout.KIND] == layout.WHOLE_WINDOW:
        rows += program[HEADER + layout.SEQUENCE_FLOATS] + 2 * layout.PAD
    return layout.padded(int(ROWS_AT + rows))


@inlined
def _scale_inputs(weights, program, X, S, a, first, count):
    """Write the scaled observations of a group to the rows at ``S[a]``."""
    F, mean = program[layout.INPUTS], program[layout.INPUT_SCALING]
    for m in range(count):
        x, place = (first + m) * F, a + m * program[layout.STRIDE]
        for n in range(0, F, LANES):
            value = load_first(X, x + n, F - n) - load(weights, mean + n)
            store(S, place + n, value * load(weights, mean + F + n))


@inlined
def _scale_outputs(weights, program, X, Y, S, a, first, count):
    """Scale the rows at ``S[a]`` back to the unit of the series, and add the skip, into Y."""
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


@inlined
def _stage(fields, place, task, address, count):
    """Call the kernels of the online stage before or behind the layers: of tiles, of a stream."""
    tiled = count // STREAMS * STREAMS
    if tiled > 0:
        call_at(fields[place + 1], task, address, int64(0), tiled)
    for m in range(tiled, count):
        call_at(fields[place], task, address, m, int64(0))


@inlined
def _begin(program, group, first, count):
    """Say which streams a group has; return where the outputs of its first layer go."""
    group[layout.GROUP_FIRST] = first
    group[layout.GROUP_COUNT] = count
    return int64(ROWS_AT) + GROUP * program[layout.STRIDE]


@inlined
def _run_layers(task, fields, program, group, address, functions, a, o):
    """Call the kernel of every layer, from rows at ``S[a]`` to rows at ``S[o]`` and back."""
    layer = int64(HEADER)
    for _ in range(program[layout.LAYERS]):
        group[layout.GROUP_INPUTS] = a
        group[layout.GROUP_OUTPUTS] = o
        call_at(fields[functions + program[layer + layout.KIND]], task, layer, address, 0)
        layer += ROW
        a, o = o, a
    return a


@inlined
def _opened(task, thread):
    """Return the arrays of a task; of a thread the scratch, the group and the address of that."""
    fields = int64s_at(task, layout.TASK)
    scratch = fields[layout.TASK_SCRATCH] + 4 * fields[layout.TASK_SCRATCH_SIZE] * thread
    address = fields[layout.TASK_GROUPS] + 8 * layout.GROUP_SIZE * thread
    group = int64s_at(address, layout.GROUP_SIZE)
    group[layout.GROUP_SCRATCH] = scratch
    group[layout.GROUP_PROGRAM] = fields[layout.TASK_PROGRAM]
    return (
        fields,
        floats_at(fields[layout.TASK_WEIGHTS], UNBOUNDED),
        int64s_at(fields[layout.TASK_PROGRAM], UNBOUNDED),
        floats_at(fields[layout.TASK_X], UNBOUNDED),
        floats_at(fields[layout.TASK_Y], UNBOUNDED),
        floats_at(scratch, UNBOUNDED),
        group,
        address,
    )


@inlined
def _step_row(task, fields, weights, program, X, Y, S, group, address, stream, row):
    """Step one stream by a row of X into that of Y, by itself.

    What loops over groups and rows prepare would take longer.
    """
    fields[layout.TASK_PARITY] ^= 1
    group[layout.GROUP_PARITY] = fields[layout.TASK_PARITY]
    a, o = int64(ROWS_AT), _begin(program, group, stream, 1)
    _scale_inputs(weights, program, X, S, a, row, 1)
    a = _run_layers(task, fields, program, group, address, int64(layout.TASK_SINGLES), a, o)
    _scale_outputs(weights, program, X, Y, S, a, row, 1)


@inlined
def _goes_by_layers(program):
    """Tell whether a layer can take several rows of one stream before the next one does."""
    layer = int64(HEADER)
    if program[layout.LAYERS] == 1:
        return False
    for _ in range(program[layout.LAYERS]):
        kind = program[layer + layout.KIND]
        if kind not in (layout.LSTM, layout.GRU) and not layout.DENSE <= kind <= layout.EMBEDDING:
            return False
        layer += ROW
    return True


@inlined
def _step_rows(task, fields, weights, program, X, Y, S, group, address, first, count):
    """Step one stream by some rows of X into those of Y, layer by layer.

    A layer with a state takes them one after the other, one without takes them together.
    """
    a, o = int64(ROWS_AT), _begin(program, group, int64(0), count)
    _scale_inputs(weights, program, X, S, a, first, count)
    stride, layer = program[layout.STRIDE], int64(HEADER)
    for _ in range(program[layout.LAYERS]):
        kind = program[layer + layout.KIND]
        together = kind >= layout.DENSE
        group[layout.GROUP_COUNT] = count if together else int64(1)
        kernel = fields[(layout.TASK_LAYERS if together else layout.TASK_SINGLES) + kind]
        for m in range(int64(1) if together else count):
            group[layout.GROUP_PARITY] = m & 1
            group[layout.GROUP_INPUTS] = a + m * stride
            group[layout.GROUP_OUTPUTS] = o + m * stride
            call_at(kernel, task, layer, address, 0)
        layer += ROW
        a, o = o, a
    _scale_outputs(weights, program, X, Y, S, a, first, count)


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
        - float32[B, F] and float32[B, W], observations, and where results go: predictions, and
          what the online stage says, if the model has one (online/stage.py),
        - float64[B], event times, NaN for none, which only the online stage reads,
        - float32[threads, scratch_size(program)] and int64[threads, GROUP_SIZE], working memory,
          whose content is undefined between calls.
    first, last : int
        Within B.
    thread : int
        Whose working memory is used.
    """
    fields, weights, program, X, Y, S, group, address = _opened(task, thread)
    group[layout.GROUP_LAST] = last
    staged = fields[layout.TASK_BEFORE] != 0
    functions = int64(layout.TASK_LAYERS)
    if last - first == 1:
        if not staged:
            _step_row(task, fields, weights, program, X, Y, S, group, address, first, first)
            return
        functions = int64(layout.TASK_SINGLES)
        fields[layout.TASK_PARITY] ^= 1
        group[layout.GROUP_PARITY] = fields[layout.TASK_PARITY]
    denormals = int64(0)
    if staged:  # once for all kernels: it takes 4 ns
        denormals = flush_denormals()
    while first < last:
        count = min(int64(GROUP), last - first)
        a, o = int64(ROWS_AT), _begin(program, group, first, count)
        if staged:
            group[layout.GROUP_INPUTS] = a
            _stage(fields, layout.TASK_BEFORE, task, address, count)
        else:
            _scale_inputs(weights, program, X, S, a, first, count)
        a = _run_layers(task, fields, program, group, address, functions, a, o)
        if staged:
            group[layout.GROUP_INPUTS] = a
            _stage(fields, layout.TASK_BEHIND, task, address, count)
        else:
            _scale_outputs(weights, program, X, Y, S, a, first, count)
        first += count
    if staged:
        restore(denormals)


@internal
def _point(task, slots, X, Y, times):
    """Point a task to these arrays; return the address of its function."""
    fields = int64s_at(task, layout.TASK)
    fields[layout.TASK_SLOTS] = slots.ctypes.data
    fields[layout.TASK_X] = X.ctypes.data
    fields[layout.TASK_Y] = Y.ctypes.data
    fields[layout.TASK_TIMES] = times
    return fields[layout.TASK_STEP]


@kernel()
def step_block(task, slots, X, Y, times):
    """Step slots[B] by X[B, F] on one thread; results go to Y[B, W].

    ``times`` is the address of float64[B], event times, NaN for none; 0 if there are none.
    """
    function = _point(task, slots, X, Y, times)
    call_at(function, task, 0, len(slots), 0)


@kernel()
def step_run(task, slot, X, Y, times):
    """Step one stream, that of slot[1], by X[T, F] row by row; results go to Y[T, W].

    ``times`` is the address of float64[T], event times, NaN for none; 0 if there are none.
    """
    function = _point(task, slot, X, Y, times)
    fields, weights, program, inputs, results, S, group, address = _opened(task, int64(0))
    if fields[layout.TASK_BEFORE] == 0:
        group[layout.GROUP_LAST] = 1
        if _goes_by_layers(program):
            for first in range(0, len(X), RUN):
                count = min(int64(RUN), len(X) - first)
                _step_rows(
                    task, fields, weights, program, inputs, results, S, group, address, first, count
                )
        else:
            at = int64(0)
            for row in range(len(X)):
                _step_row(
                    task, fields, weights, program, inputs, results, S, group, address, at, row
                )
        return
    for _ in range(len(X)):
        call_at(function, task, int64(0), int64(1), int64(0))
        fields[layout.TASK_X] += 4 * X.shape[1]
        fields[layout.TASK_Y] += 4 * Y.shape[1]
        if times != 0:
            fields[layout.TASK_TIMES] += 8


@kernel(parallel=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def step_shared(task, first, last, threads):
    """Do the same as :func:`step_range` on several threads; results are the same, bit for bit."""
    function = int64s_at(task, layout.TASK)[layout.TASK_STEP]
    tiles = (last - first + TILE - 1) // TILE
    for thread in prange(threads):
        begin = first + tiles * thread // threads * TILE
        end = first + tiles * (thread + 1) // threads * TILE
        call_at(function, task, begin, min(end, last), thread)


@kernel()
def step_parallel(task, slots, X, Y, times, threads):
    """Do the same as :func:`step_block`, on several threads where that is quicker (sharing.py)."""
    _point(task, slots, X, Y, times)
    shared = int64s_at(task, layout.TASK)[layout.TASK_SHARED]
    call_at(shared, task, 0, len(slots), threads)
