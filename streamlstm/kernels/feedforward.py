"""Layers without a memory, for a group of streams whose values stand in rows of the scratch."""

import math

import numpy as np
from numba import int64, njit

from . import layout
from .activations import RELU, TANH, activate, clip, exp_in_place, relu, tanh
from .layout import COLUMNS, PAD
from .products import TILE, WIDE, narrow_panel, wide_panel
from .simd import LANES, fma, load, splat, store

f32 = np.float32
LINEAR = layout.ACTIVATIONS.index("linear")
SOFTMAX = layout.ACTIVATIONS.index("softmax")
LOG_SOFTMAX = layout.ACTIVATIONS.index("log_softmax")


@njit
def product(weights, w, K, outputs, S, a, o, stride, z, count):
    """Multiply ``count`` rows at ``S[a]`` with all panels of a layer; sums to the rows at o."""
    vectors = (outputs + LANES - 1) // LANES
    column = 0
    while vectors - column >= COLUMNS:
        for m in range(0, count, TILE):
            rows = min(TILE, count - m)
            target = o + m * stride + column * LANES
            wide_panel(S, a + m * stride, stride, weights, w, K, S, target, stride, rows)
        w += (K + 1) * WIDE
        column += COLUMNS
    while column < vectors:
        for m in range(0, count, TILE):
            rows = min(TILE, count - m)
            narrow_panel(S, a + m * stride, stride, weights, w, K, S, z, rows)
            for r in range(rows):
                store(S, o + (m + r) * stride + column * LANES, load(S, z + r * LANES))
        w += (K + 1) * LANES
        column += 1


@njit
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
        elif kind == RELU:
            for n in range(start, start + width, LANES):
                store(S, n, relu(clip(load(S, n), bound)))
        else:
            for n in range(start, start + width, LANES):
                store(S, n, activate(kind, p0, p1, clip(load(S, n), bound)))


@njit
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


@njit(inline="always")
def dense(weights, program, layer, S, a, o, z, count):
    """Take rows at ``S[a]`` through a dense layer to the rows at ``S[o]``."""
    stride = program[layout.STRIDE]
    K, outputs = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    product(weights, program[layer + layout.WEIGHTS], K, outputs, S, a, o, stride, z, count)
    kind, constants = program[layer + layout.ACTIVATION], program[layer + layout.CONSTANTS]
    activate_rows(kind, weights, constants, f32(np.inf), S, o, outputs, stride, count)


@njit(inline="always")
def pointwise(weights, program, layer, S, a, o, count):
    """Scale, shift and activate the rows at ``S[a]`` to the rows at ``S[o]``."""
    stride, width = program[layout.STRIDE], program[layer + layout.LAYER_INPUTS]
    scale = program[layer + layout.VECTORS]
    shift = scale + (width + PAD - 1) // PAD * PAD
    for m in range(0, count * stride, stride):
        for n in range(0, width, LANES):
            y = fma(load(S, a + m + n), load(weights, scale + n), load(weights, shift + n))
            store(S, o + m + n, y)
    kind, constants = program[layer + layout.ACTIVATION], program[layer + layout.CONSTANTS]
    activate_rows(kind, weights, constants, f32(np.inf), S, o, width, stride, count)


@njit
def normalise(S, a, width, spacing, epsilon, z):
    """Shift ``width`` values to mean 0 and scale them to variance 1, in place.

    The values stand from ``S[a]``, LANES together, ``spacing`` from one such run to the next;
    ``S[z]`` has room for one cache line. Sums are taken over every 16th value and then in order,
    so that the result does not depend on the width of the vectors.
    """
    whole = width // PAD * PAD
    mean = _sum(S, a, width, whole, spacing, z, f32(0.0), False) / f32(width)
    variance = _sum(S, a, width, whole, spacing, z, mean, True) / f32(width)
    scale = f32(1.0) / f32(math.sqrt(variance + epsilon))
    for n in range(0, width, LANES):
        place = a + n // LANES * spacing
        store(S, place, (load(S, place) - splat(mean)) * splat(scale))


@njit
def _sum(S, a, width, whole, spacing, z, mean, squared):
    """Sum ``x - mean`` or its square."""
    for part in range(0, PAD, LANES):
        total = splat(f32(0.0))
        for n in range(part, whole, PAD):
            x = load(S, a + n // LANES * spacing) - splat(mean)
            total = fma(x, x, total) if squared else total + x
        store(S, z + part, total)
    result = f32(0.0)
    for n in range(PAD):
        result += S[z + n]
    for n in range(whole, width):
        x = S[a + n // LANES * spacing + n % LANES] - mean
        result += x * x if squared else x
    return result


@njit(inline="always")
def layer_norm(weights, program, layer, S, a, o, z, count):
    """Normalise the rows at ``S[a]`` to the rows at ``S[o]``."""
    stride, width = program[layout.STRIDE], program[layer + layout.LAYER_INPUTS]
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    scale = program[layer + layout.VECTORS]
    shift = scale + (width + PAD - 1) // PAD * PAD
    for m in range(0, count * stride, stride):
        normalise(S, a + m, width, int64(LANES), epsilon, z)
        for n in range(0, width, LANES):
            y = fma(load(S, a + m + n), load(weights, scale + n), load(weights, shift + n))
            store(S, o + m + n, y)


@njit(inline="always")
def embedding(weights, program, layer, S, a, o, count):
    """Put the vector of the category in ``S[a]`` before the other features, to ``S[o]``."""
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
