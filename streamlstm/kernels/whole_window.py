"""The kernel of a window whose layers look at several rows: layer after layer, over all rows.

What goes from one layer to the next is a sequence in the scratch: row t of stream m of a pass is at
``sequence + (t * count + m) * stride``, so that a layer that takes each row by itself is one call
over all rows of all streams, and a step of a recurrent layer finds its streams side by side. See
arguments.py for the arguments; a layer over rows gets the number of rows as the last one, and says
in the group how many it has made.
"""

import numpy as np
from numba import int64

from . import layout
from .arguments import ROWS_AT, UNBOUNDED, arrays, span
from .cache import by_address, internal
from .layout import GROUP, HEADER, PAD, ROW
from .pointers import call_at, int64s_at
from .simd import LANES, load, splat, store, store_first
from .window import length, put, restart, take

f32 = np.float32


@by_address
def whole_window(task, layer, group, _):
    """Put the inputs of a group into their windows, and run all layers over these.

    Streams that follow each other and have as many rows go together.
    """
    weights, program, rows, slots, S = arrays(task, group)
    first, count, a, o = span(group)
    fields = int64s_at(task, layout.TASK)
    streams = int64s_at(group, layout.GROUP_SIZE)
    stride = program[layout.STRIDE]
    row_size, O = program[layout.ROW_SIZE], program[layer + layout.LAYER_OUTPUTS]
    for m in range(count):
        start = slots[first + m] * row_size
        put(program, layer, rows, start, S, a + m * stride)
        restart(weights, program, layer, rows, start)
    results = fields[layout.TASK_SCRATCH_SIZE] - program[layer + layout.SEQUENCE_FLOATS]
    width = (O + PAD - 1) // PAD * PAD
    sequences = results + GROUP * width
    begin = int64(0)
    while begin < count:
        n = length(program, layer, rows, slots[first + begin] * row_size)
        end = begin + 1
        limit = min(count, begin + program[layer + layout.SEQUENCE_STREAMS])
        while end < limit and length(program, layer, rows, slots[first + end] * row_size) == n:
            end += 1
        streams[layout.GROUP_FIRST] = first + begin
        number = end - begin
        has_answer = n >= program[layer + layout.SEQUENCE_LEAST]
        source = sequences
        if has_answer:
            source = _through(task, layer, group, n, number, sequences)
        spacing = program[layer + layout.SEQUENCE_OUT]
        for m in range(number):
            for k in range(0, O, LANES):
                value = splat(f32(np.nan))
                if has_answer:
                    value = load(S, source + m * spacing + k)
                store(S, results + (begin + m) * width + k, value)
        begin = end
    for m in range(count):
        for k in range(0, O, LANES):
            store(S, o + m * stride + k, load(S, results + m * width + k))
    streams[layout.GROUP_FIRST] = first
    streams[layout.GROUP_COUNT] = count
    streams[layout.GROUP_INPUTS] = a
    streams[layout.GROUP_OUTPUTS] = o


@internal
def _through(task, layer, group, n, count, sequences):
    """Take windows of ``n`` rows of ``count`` streams through all layers.

    Returns
    -------
    int
        Offset in the scratch of the last row that comes out of the last layer.
    """
    _weights, program, rows, slots, S = arrays(task, group)
    fields = int64s_at(task, layout.TASK)
    streams = int64s_at(group, layout.GROUP_SIZE)
    T, first = program[layer + layout.WINDOW_ROWS], streams[layout.GROUP_FIRST]
    source = sequences
    target = (
        sequences + program[layer + layout.SEQUENCE_STREAMS] * program[layer + layout.SEQUENCE_SIZE]
    )
    stage = program[layer + layout.STAGES]
    stride = program[stage + HEADER + layout.ROWS_IN]
    for m in range(count):
        start = slots[first + m] * program[layout.ROW_SIZE]
        take(program, layer, rows, start, T - n, T, S, source + m * stride, count * stride)
    layers, address = program[layer + layout.WINDOW_LAYERS], fields[layout.TASK_PROGRAM]
    last = stage + (layers - 1) * layout.STAGE_SIZE + HEADER
    address += 8 * stage
    source = run_stages(task, group, address, layers, n, count, source, target, source)
    streams[layout.GROUP_PROGRAM] = fields[layout.TASK_PROGRAM]
    return source + (streams[layout.GROUP_ROWS] - 1) * count * program[last + layout.ROWS_OUT]


@internal
def run_stages(task, group, address, layers, n, count, source, target, spare):
    """Take sequences of ``n`` rows of ``count`` streams through a chain of layers.

    Parameters
    ----------
    task, group : int
    address : int
        Of the stage of the first layer.
    layers, n, count : int
    source, target, spare : int
        Offsets in the scratch of the sequence that comes in, which is not changed unless it is
        ``spare``, and of two that there is room for.

    Returns
    -------
    int
        Offset in the scratch of the sequence that comes out, of as many rows as the group says.
    """
    streams = int64s_at(group, layout.GROUP_SIZE)
    groups = int64s_at(task + 8 * layout.TASK_LAYERS, layout.TASK_SINGLES - layout.TASK_LAYERS)
    singles = int64s_at(task + 8 * layout.TASK_SINGLES, layout.TASK_SINGLES - layout.TASK_LAYERS)
    for _n in range(layers):
        program = int64s_at(address, UNBOUNDED)
        row = int64(HEADER)
        kind = program[row + layout.KIND]
        streams[layout.GROUP_PROGRAM] = address
        if kind <= layout.RNN:
            function = singles[kind] if count == 1 else groups[kind]
            streams[layout.GROUP_COUNT] = count
            _steps(task, function, group, n, source, target, False)
            if program[row + layout.ROWS_MODE] != layout.ONE_WAY:
                _steps(task, function, group, n, source, target, True)
            if program[row + layout.ROWS_FLAG]:
                n = int64(1)
        elif kind < layout.WINDOW:
            streams[layout.GROUP_COUNT] = n * count
            streams[layout.GROUP_INPUTS] = source
            streams[layout.GROUP_OUTPUTS] = target
            function = singles[kind] if n * count == 1 else groups[kind]
            call_at(function, task, int64(HEADER), group, int64(0))
        else:
            streams[layout.GROUP_COUNT] = count
            streams[layout.GROUP_INPUTS] = source
            streams[layout.GROUP_OUTPUTS] = target
            call_at(groups[kind], task, int64(HEADER), group, n)
            n = streams[layout.GROUP_ROWS]
        source, target, spare = target, spare, target
        address += 8 * layout.STAGE_SIZE
    streams[layout.GROUP_ROWS] = n
    return source


@internal
def _steps(task, function, group, n, source, target, backwards):
    """Take a sequence through a recurrent layer, row by row, in the rows where layers are stepped.

    The layer that runs backwards merges its outputs with what stands at ``S[target]``.
    """
    _weights, program, _rows, _slots, S = arrays(task, group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    count, stride = streams[layout.GROUP_COUNT], program[layout.STRIDE]
    row = HEADER + ROW if backwards else int64(HEADER)
    F, H = program[row + layout.LAYER_INPUTS], program[row + layout.LAYER_OUTPUTS]
    spacing, out = program[HEADER + layout.ROWS_IN], program[HEADER + layout.ROWS_OUT]
    mode = program[HEADER + layout.ROWS_MODE] if backwards else layout.ONE_WAY
    one = program[HEADER + layout.ROWS_FLAG]
    a, o = int64(ROWS_AT), ROWS_AT + GROUP * stride
    streams[layout.GROUP_INPUTS] = a
    streams[layout.GROUP_OUTPUTS] = o
    for step in range(n):
        t = n - 1 - step if backwards else step
        for m in range(count):
            place = source + (t * count + m) * spacing
            for k in range(0, F, LANES):
                store(S, a + m * stride + k, load(S, place + k))
        streams[layout.GROUP_PARITY] = step & 1
        call_at(function, task, row, group, int64(0))
        if one:
            if step < n - 1:
                continue
            t = int64(0)
        for m in range(count):
            _merge(S, o + m * stride, target + (t * count + m) * out, H, mode)


@internal
def _merge(S, source, target, H, mode):
    """Write H outputs to a row of a sequence, or merge them with those that it holds."""
    if mode == layout.CONCAT:
        target += H
    for n in range(0, H, LANES):
        value = load(S, source + n)
        if mode >= layout.SUM:
            held = load(S, target + n)
            value = held * value if mode == layout.MUL else held + value
            if mode == layout.AVE:
                value = value * splat(f32(0.5))
        store_first(S, target + n, value, H - n)


# The kernel of each KIND.
LAYERS = {layout.WHOLE_WINDOW: whole_window}
