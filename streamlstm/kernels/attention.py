"""The kernel of dot-product attention over the rows of windows; see whole_window.py."""

import numpy as np
from numba import int64

from . import layout
from .activations import exp_in_place
from .arguments import SUMS, arrays, span
from .cache import by_address, internal
from .layout import PAD
from .norms import add_cache_line
from .pointers import int64s_at
from .simd import LANES, fma, load, load_first, splat, store, store_first

f32 = np.float32


@by_address
def attention(task, layer, group, rows):
    """Attend from the last or from each of the ``rows`` rows of a group of windows to all."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    fields = int64s_at(task, layout.TASK)
    width, spacing = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_IN]
    out, scale = program[layer + layout.ROWS_OUT], weights[program[layer + layout.CONSTANTS]]
    last = program[layer + layout.ROWS_MODE] == layout.LAST
    made = int64(1) if last else rows
    shares = fields[layout.TASK_SCRATCH_SIZE] - (rows + PAD - 1) // PAD * PAD
    for m in range(count):
        for t in range(made):
            row = rows - 1 if last else t
            query, target = a + (row * count + m) * spacing, o + (t * count + m) * out
            _share(S, a + m * spacing, count * spacing, query, shares, rows, width, scale)
            for n in range(0, width, LANES):
                total = splat(f32(0.0))
                for r in range(rows):
                    value = load(S, a + (r * count + m) * spacing + n)
                    total = fma(splat(S[shares + r]), value, total)
                store_first(S, target + n, total, width - n)
            if program[layer + layout.ROWS_FLAG]:
                for n in range(0, width, LANES):
                    store_first(S, target + width + n, load(S, query + n), width - n)
    int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_ROWS] = made


@internal
def _share(S, keys, spacing, query, shares, rows, width, scale):
    """Write the share of each row, a softmax over scores, to ``S[shares]``."""
    largest = f32(-np.inf)
    for r in range(rows):
        score = _dot(S, query, keys + r * spacing, width) * scale
        S[shares + r] = score
        largest = max(largest, score)
    for r in range(rows):
        S[shares + r] -= largest
    exp_in_place(S, shares, shares + rows, LANES)
    total = f32(0.0)
    for r in range(rows):
        total += S[shares + r]
    for r in range(rows):
        S[shares + r] /= total


@internal
def _dot(S, a, b, width):
    """Multiply two vectors; sums are of every 16th product, then by halves (norms.py)."""
    z = int64(SUMS)
    for begin in range(0, PAD, LANES):
        total = splat(f32(0.0))
        for n in range(begin, width, PAD):
            x, y = load_first(S, a + n, width - n), load_first(S, b + n, width - n)
            total = fma(x, y, total)
        store(S, z + begin, total)
    return add_cache_line(S, z)


# The kernel of each KIND.
LAYERS = {layout.ATTENTION: attention}
