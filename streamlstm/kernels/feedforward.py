"""Layers without a memory, and what they share with others. How one is called: arguments.py."""

import math

import numpy as np
from numba import int64

from . import layout
from .activations import RELU, SIGMOID, TANH, activate, clip, exp_in_place, relu, sigmoid, tanh
from .arguments import SUMS, arrays, span
from .cache import by_address, inlined, part
from .layout import COLUMNS, PAD
from .products import HALF, TILE, WIDE, half_panel, narrow_panel, one_product_pair, wide_panel
from .simd import LANES, add_lanes, first_lanes, fma, load, splat, store

f32 = np.float32
LINEAR = layout.ACTIVATIONS.index("linear")
SOFTMAX = layout.ACTIVATIONS.index("softmax")
LOG_SOFTMAX = layout.ACTIVATIONS.index("log_softmax")


@part
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


@part
def activate_rows(kind, weights, constants, bound, S, o, width, stride, count):
    """Bound and activate ``count`` rows of ``width`` values in place."""
    if kind >= SOFTMAX:
        for m in range(count):
            _softmax(S, o + m * stride, width, kind == LOG_SOFTMAX)
        return
    if kind == LINEAR and not math.isfinite(bound):
        return
    p0, p1 = weights[constants], weights[constants + 1]
    for m in range(count):
        start = o + m * stride
        if kind == TANH:
            for n in range(start, start + width, LANES):
                store(S, n, tanh(clip(load(S, n), bound)))
        elif kind == SIGMOID:
            for n in range(start, start + width, LANES):
                store(S, n, sigmoid(clip(load(S, n), bound)))
        elif kind == RELU:
            for n in range(start, start + width, LANES):
                store(S, n, relu(clip(load(S, n), bound)))
        else:
            for n in range(start, start + width, LANES):
                store(S, n, activate(kind, p0, p1, clip(load(S, n), bound)))


@part
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


@part
def moments(S, a, width, spacing, epsilon, z):
    """Return mean and inverse standard deviation of ``width`` values.

    The values stand from ``S[a]``, LANES together, ``spacing`` from one such run to the next;
    ``S[z]`` has room for one cache line. Sums are taken over every 16th value and then by halves,
    so that the result does not depend on the width of the vectors.
    """
    mean = _sum(S, a, width, spacing, z, f32(0.0), False) / f32(width)
    variance = _sum(S, a, width, spacing, z, mean, True) / f32(width)
    return mean, f32(1.0) / f32(math.sqrt(variance + epsilon))


@part
def _sum(S, a, width, spacing, z, mean, squared):
    """Sum ``x - mean`` or its square."""
    for begin in range(0, PAD, LANES):
        total = splat(f32(0.0))
        for n in range(begin, width, PAD):
            x = load(S, a + n // LANES * spacing) - splat(mean)
            if n + LANES > width:
                x = first_lanes(x, width - n)
            total = fma(x, x, total) if squared else total + x
        store(S, z + begin, total)
    return add_cache_line(S, z)


@inlined
def add_cache_line(S, z):
    """Sum the cache line at ``S[z]`` by halves, whatever the width of vectors."""
    half = PAD // 2
    while half >= LANES:
        for n in range(z, z + half, LANES):
            store(S, n, load(S, n) + load(S, n + half))
        half //= 2
    return add_lanes(load(S, z))


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
    """Put the vector of the category in ``S[a]`` before the other features, to ``S[o]``."""
    weights, program, _rows, _slots, S = arrays(task, group)
    _first, count, a, o = span(group)
    stride, features = program[layout.STRIDE], program[layer + layout.LAYER_INPUTS]
    dimension = program[layer + layout.LAYER_OUTPUTS] - features + 1
    width = (dimension + PAD - 1) // PAD * PAD
    for m in range(0, count * stride, stride):
        # The engine has refused what is no category; this keeps the read inside the table.
        category = min(max(int(S[a + m]), 0), program[layer + layout.UNITS] - 1)
        start = program[layer + layout.VECTORS] + category * width
        for n in range(0, dimension, LANES):
            store(S, o + m + n, load(weights, start + n))
        for n in range(1, features):
            S[o + m + dimension + n - 1] = S[a + m + n]
