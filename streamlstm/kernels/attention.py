"""The kernels of attention and of softmax over the rows of windows; see whole_window.py."""

import numpy as np
from numba import int64

from . import layout
from .activations import exp, exp_in_place
from .arguments import SUMS, arrays, span
from .cache import by_address, internal
from .layout import PAD
from .norms import add_cache_line
from .pointers import int64s_at
from .simd import LANES, fma, load, load_first, maximum, splat, store, store_first

f32 = np.float32


@by_address
def attention(task, layer, group, rows):
    """Attend from the last or from each of the ``rows`` rows of a group of windows to all."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    fields = int64s_at(task, layout.TASK)
    spacing, out = program[layer + layout.ROWS_IN], program[layer + layout.ROWS_OUT]
    scale = weights[program[layer + layout.CONSTANTS]]
    heads, width = program[layer + layout.HEADS], program[layer + layout.KEY_SIZE]
    size, causal = program[layer + layout.VALUE_SIZE], program[layer + layout.CAUSAL]
    last = program[layer + layout.ROWS_MODE] == layout.LAST
    made = int64(1) if last else rows
    shares = fields[layout.TASK_SCRATCH_SIZE] - (rows + PAD - 1) // PAD * PAD
    for m in range(count):
        for t in range(made):
            row = rows - 1 if last else t
            query, target = a + (row * count + m) * spacing, o + (t * count + m) * out
            seen = row + 1 if causal else rows
            for head in range(heads):
                keys = a + m * spacing + program[layer + layout.KEYS_AT] + head * width
                own = query + head * width
                _share(S, keys, count * spacing, own, shares, seen, width, scale)
                values = a + m * spacing + program[layer + layout.VALUES_AT] + head * size
                for n in range(0, size, LANES):
                    total = splat(f32(0.0))
                    for r in range(seen):
                        value = load(S, values + r * count * spacing + n)
                        total = fma(splat(S[shares + r]), value, total)
                    store_first(S, target + head * size + n, total, size - n)
            if program[layer + layout.ROWS_FLAG]:
                target += heads * size
                for n in range(0, heads * width, LANES):
                    store_first(S, target + n, load(S, query + n), heads * width - n)
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


@by_address
def rows_softmax(task, layer, group, rows):
    """Take the softmax of each feature over the ``rows`` rows of a group of windows."""
    _weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    width, spacing = program[layer + layout.LAYER_INPUTS], program[layer + layout.ROWS_IN]
    out = program[layer + layout.ROWS_OUT]
    for m in range(count):
        for n in range(0, width, LANES):
            source, target = a + m * spacing + n, o + m * out + n
            largest, total = load(S, source), splat(f32(0.0))
            for r in range(1, rows):
                largest = maximum(largest, load(S, source + r * count * spacing))
            for r in range(rows):
                share = exp(load(S, source + r * count * spacing) - largest)
                store(S, target + r * count * out, share)
                total = total + share
            for r in range(rows):
                place = target + r * count * out
                store(S, place, load(S, place) / total)
    int64s_at(group, layout.GROUP_SIZE)[layout.GROUP_ROWS] = rows


# The kernel of each KIND.
LAYERS = {layout.ATTENTION: attention, layout.ROWS_SOFTMAX: rows_softmax}
