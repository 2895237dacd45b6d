"""The kernels of forks: branches that take the same rows, and whose outputs are merged.

Over the rows of a window each branch is a chain of stages as in whole_window.py; step by step it is
one of layers as in step.py. backends/branches.py writes the table of branches.
"""

import numpy as np
from numba import int64

from . import layout
from .arguments import ROWS_AT, arrays, span
from .cache import by_address, internal
from .layout import GROUP, HEADER, ROW, STAGE_SIZE
from .pointers import call_at, int64s_at
from .simd import LANES, load, splat, store, store_first
from .whole_window import run_stages

f32 = np.float32


@by_address
def parallel(task, layer, group, rows):
    """Take the ``rows`` rows of a group of windows through all branches, and merge them."""
    _weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    fields, streams = int64s_at(task, layout.TASK), int64s_at(group, layout.GROUP_SIZE)
    here, spacing = streams[layout.GROUP_PROGRAM], program[layer + layout.ROWS_IN]
    out, width = program[layer + layout.ROWS_OUT], program[layer + layout.LAYER_OUTPUTS]
    mode = program[layer + layout.ROWS_MODE]
    room = fields[layout.TASK_SCRATCH_SIZE] - program[layer + layout.BRANCH_ROOM]
    spare = room + program[layer + layout.BRANCH_SEQUENCE]
    table = layer + program[layer + layout.BRANCH_TABLE]
    made, column = int64(0), int64(0)
    for b in range(program[layer + layout.BRANCHES]):
        line = table + b * layout.BRANCH_LINE
        layers, own = program[line + layout.BRANCH_LAYERS], program[line + layout.BRANCH_WIDTH]
        source, n, between = a, rows, spacing
        if layers > 0:
            start = table + program[line + layout.BRANCH_START]
            last = start + (layers - 1) * STAGE_SIZE + HEADER
            if program[start + HEADER + layout.ROWS_IN] != spacing:
                between = program[start + HEADER + layout.ROWS_IN]
                for t in range(rows * count):
                    for k in range(0, program[layer + layout.LAYER_INPUTS], LANES):
                        store(S, room + t * between + k, load(S, a + t * spacing + k))
                source = room
            first = spare if source == room else room
            second = room if source == room else spare
            source = run_stages(
                task, group, here + 8 * start, layers, n, count, source, first, second
            )
            n, between = streams[layout.GROUP_ROWS], program[last + layout.ROWS_OUT]
        if n > made:
            for t in range(max(made, int64(1)), n if made > 0 else int64(0)):
                for m in range(count):
                    target = o + (t * count + m) * out
                    for k in range(0, width, LANES):
                        store(S, target + k, load(S, o + m * out + k))
            made = n
        for t in range(made):
            row = t if n > 1 else int64(0)
            for m in range(count):
                target = o + (t * count + m) * out
                _merge(S, source + (row * count + m) * between, own, target, width, mode, b, column)
        column += own
    streams[layout.GROUP_PROGRAM] = here
    streams[layout.GROUP_ROWS] = made


@internal
def _merge(S, source, own, target, width, mode, branch, column):
    """Write the ``own`` outputs of a branch to a row of ``width``, or merge them with its."""
    if mode == layout.CONCATENATE:
        for n in range(0, own, LANES):
            store_first(S, target + column + n, load(S, source + n), own - n)
        return
    for n in range(0, width, LANES):
        value = load(S, source + n) if own == width else splat(S[source])
        if branch > 0:
            held = load(S, target + n)
            value = held * value if mode == layout.MULTIPLY else held + value
        store(S, target + n, value)


@by_address
def parallel_step(task, layer, group, _):
    """Take the rows at ``S[a]`` through all branches, and merge them to the rows at ``S[o]``."""
    _weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    streams = int64s_at(group, layout.GROUP_SIZE)
    functions = task + 8 * (layout.TASK_SINGLES if count == 1 else layout.TASK_LAYERS)
    kernels = int64s_at(functions, layout.TASK_SINGLES - layout.TASK_LAYERS)
    stride, width = program[layout.STRIDE], program[layer + layout.LAYER_OUTPUTS]
    inputs, mode = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_MODE]
    room = ROWS_AT + GROUP * program[layer + layout.BRANCH_ROOM]
    spare = room + GROUP * stride
    table = layer + program[layer + layout.BRANCH_TABLE]
    column = int64(0)
    for b in range(program[layer + layout.BRANCHES]):
        line = table + b * layout.BRANCH_LINE
        layers, own = program[line + layout.BRANCH_LAYERS], program[line + layout.BRANCH_WIDTH]
        source, row = a, table + program[line + layout.BRANCH_START]
        if layers > 0:
            source = room  # a copy, which layers may change
            for m in range(count):
                for k in range(0, inputs, LANES):
                    store(S, room + m * stride + k, load(S, a + m * stride + k))
        for _n in range(layers):
            streams[layout.GROUP_INPUTS] = source
            source = room + spare - source
            streams[layout.GROUP_OUTPUTS] = source
            call_at(kernels[program[row + layout.KIND]], task, row, group, int64(0))
            row += ROW
        for m in range(count):
            place, target = source + m * stride, o + m * stride
            _merge(S, place, own, target, width, mode, b, column)
        column += own


# The kernel of each KIND.
LAYERS = {layout.PARALLEL: parallel, layout.PARALLEL_STEP: parallel_step}
