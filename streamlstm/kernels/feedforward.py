"""Kernels of the layers without state, and parts shared with recurrent ones; see arguments.py."""

import math

import numpy as np
from numba import int64

from . import layout
from .activations import activate, clip, exp_in_place, relu, sigmoid, tanh
from .arguments import SUMS, arrays, span
from .cache import by_address, internal
from .layout import COLUMNS, PAD
from .norms import moments
from .products import HALF, TILE, WIDE, half_panel, narrow_panel, one_product_pair, wide_panel
from .simd import LANES, fma, load, splat, store

f32 = np.float32


@internal
def product(weights, w, K, outputs, S, a, o, stride, z, count):
    """Multiply ``count`` rows at ``S[a]`` with all panels of a layer; sums to the rows at o."""
    vectors = (outputs + LANES - 1) // LANES
    column = 0
    if count == 1:
        while vectors - column >= 2 * COLUMNS:
            panel, target = (K + 1) * WIDE, o + column * LANES
            one_product_pair(S, a, S, a, 0, weights, w, WIDE, WIDE, panel, K, 0, S, target, WIDE)
            w += 2 * panel
            column += 2 * COLUMNS
    while vectors - column >= COLUMNS:
        for m in range(0, count, TILE):
            rows = min(TILE, count - m)
            target = o + m * stride + column * LANES
            wide_panel(S, a + m * stride, stride, weights, w, K, S, target, stride, rows)
        w += (K + 1) * WIDE
        column += COLUMNS
    if vectors - column >= 2:
        half_panel(S, a, stride, weights, w, K, S, o + column * LANES, stride, count)
        w += (K + 1) * HALF
        column += 2
    if column < vectors:
        narrow_panel(S, a, stride, weights, w, K, S, o + column * LANES, stride, count)


@internal
def activate_rows(kind, weights, constants, bound, S, o, width, stride, count):
    """Bound and activate ``count`` rows of ``width`` values in place."""
    if kind >= layout.SOFTMAX:
        for m in range(count):
            _softmax(S, o + m * stride, width, kind == layout.LOG_SOFTMAX)
        return
    if kind == layout.LINEAR and not math.isfinite(bound):
        return
    p0, p1 = weights[constants], weights[constants + 1]
    for m in range(count):
        start = o + m * stride
        if kind == layout.TANH:
            for n in range(start, start + width, LANES):
                store(S, n, tanh(clip(load(S, n), bound)))
        elif kind == layout.SIGMOID:
            for n in range(start, start + width, LANES):
                store(S, n, sigmoid(clip(load(S, n), bound)))
        elif kind == layout.RELU:
            for n in range(start, start + width, LANES):
                store(S, n, relu(clip(load(S, n), bound)))
        else:
            for n in range(start, start + width, LANES):
                store(S, n, activate(kind, p0, p1, clip(load(S, n), bound)))


@internal
def _softmax(S, o, width, logarithm):
    largest = S[o]
    for n in range(o, o + width):
        largest = max(largest, S[n])
    for n in range(o, o + width):
        S[n] -= largest
    if logarithm:
        total = f32(0.0)
        for n in range(o, o + width):
            total += f32(math.exp(S[n]))
        shift = f32(math.log(total))
        for n in range(o, o + width):
            S[n] -= shift
        return
    exp_in_place(S, o, o + width, LANES)
    total = f32(0.0)
    for n in range(o, o + width):
        total += S[n]
    for n in range(o, o + width):
        S[n] /= total


@by_address
def dense(task, layer, group, _):
    """Take rows at ``S[a]`` through a dense layer to the rows at ``S[o]``."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    z = int64(SUMS)
    stride = program[layout.STRIDE]
    K, outputs = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    product(weights, program[layer + layout.WEIGHTS], K, outputs, S, a, o, stride, z, count)
    kind, constants = program[layer + layout.ACTIVATION], program[layer + layout.CONSTANTS]
    activate_rows(kind, weights, constants, f32(np.inf), S, o, outputs, stride, count)


@by_address
def pointwise(task, layer, group, _):
    """Scale, shift and activate the rows at ``S[a]`` to the rows at ``S[o]``."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    stride, width = program[layout.STRIDE], program[layer + layout.LAYER_INPUTS]
    scale = program[layer + layout.VECTORS]
    shift = scale + (width + PAD - 1) // PAD * PAD
    for m in range(0, count * stride, stride):
        for n in range(0, width, LANES):
            y = fma(load(S, a + m + n), load(weights, scale + n), load(weights, shift + n))
            store(S, o + m + n, y)
    kind, constants = program[layer + layout.ACTIVATION], program[layer + layout.CONSTANTS]
    activate_rows(kind, weights, constants, f32(np.inf), S, o, width, stride, count)


@by_address
def layer_norm(task, layer, group, _):
    """Normalise the rows at ``S[a]`` to the rows at ``S[o]``."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    z = int64(SUMS)
    stride, width = program[layout.STRIDE], program[layer + layout.LAYER_INPUTS]
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    scale = program[layer + layout.VECTORS]
    shift = scale + (width + PAD - 1) // PAD * PAD
    for m in range(0, count * stride, stride):
        mean, factor = moments(S, a + m, width, int64(LANES), epsilon, z)
        for n in range(0, width, LANES):
            y = (load(S, a + m + n) - splat(mean)) * splat(factor)
            store(S, o + m + n, fma(y, load(weights, scale + n), load(weights, shift + n)))


@by_address
def embedding(task, layer, group, _):
    """Write the vector of the category in ``S[a]``, then the other features, to ``S[o]``."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    stride, features = program[layout.STRIDE], program[layer + layout.LAYER_INPUTS]
    dimension = program[layer + layout.LAYER_OUTPUTS] - features + 1
    width = (dimension + PAD - 1) // PAD * PAD
    for m in range(0, count * stride, stride):
        # The engine has refused invalid categories; this keeps the read inside the table.
        category = min(max(int(S[a + m]), 0), program[layer + layout.UNITS] - 1)
        start = program[layer + layout.VECTORS] + category * width
        for n in range(0, dimension, LANES):
            store(S, o + m + n, load(weights, start + n))
        for n in range(1, features):
            S[o + m + dimension + n - 1] = S[a + m + n]


# The kernel of each KIND.
LAYERS = {
    layout.DENSE: dense,
    layout.POINTWISE: pointwise,
    layout.LAYER_NORM: layer_norm,
    layout.EMBEDDING: embedding,
}
