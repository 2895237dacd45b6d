"""Layers without state on CUDA, and products and activations that recurrent ones share.

Positions are those of lstm.py.
"""

import math

from numba import cuda, float32, int64, uint64

from .. import layout
from ..layout import COLUMNS, PAD
from .activations import activate, clip, lower, upper
from .sizes import FEW, LANES, TILE
from .streams import shift_of
from .thread import moments, softmax, up
from .tiles import SPACE, SUMS, add_four, add_one, add_two, set_biases, store_sums

device = cuda.jit(device=True)


@device
def _few(weights, w, K, outputs, S, a, o, spacing):
    """Multiply for at most FEW outputs: a thread has one output of one stream."""
    bits = shift_of(spacing)
    for n in range(cuda.threadIdx.x, outputs << bits, cuda.blockDim.x):
        c, m = n >> bits, n & ((1 << bits) - 1)
        y0, y1, y2, y3 = weights[uint64(w + c)], float32(0.0), float32(0.0), float32(0.0)
        at, x = w + LANES + c, a + m
        for _ in range(K // 4):
            y0 += weights[uint64(at)] * S[uint64(x)]
            y1 += weights[uint64(at + LANES)] * S[uint64(x + spacing)]
            y2 += weights[uint64(at + 2 * LANES)] * S[uint64(x + 2 * spacing)]
            y3 += weights[uint64(at + 3 * LANES)] * S[uint64(x + 3 * spacing)]
            at += 4 * LANES
            x += 4 * spacing
        for _ in range(K % 4):
            y0 += weights[uint64(at)] * S[uint64(x)]
            at += LANES
            x += spacing
        S[uint64(o + c * spacing + m)] = (y0 + y1) + (y2 + y3)


@device
def product(weights, w, K, outputs, S, a, o, spacing):
    """Multiply the rows from ``a`` on with panels of packing.pack_product into those from ``o``."""
    if outputs <= FEW:
        _few(weights, w, K, outputs, S, a, o, spacing)
        return
    sums = cuda.local.array(SUMS, float32)
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    vectors, groups = (outputs + LANES - 1) // LANES, (spacing - SPACE) // TILE
    whole = vectors // COLUMNS
    # Panels of four vectors, then at most one of two and one of one.
    panels = whole + (vectors % COLUMNS) // 2 + vectors % 2
    for item in range(warp, groups * panels, cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        columns, done = int64(COLUMNS), panel * COLUMNS
        if panel >= whole:
            columns, done = int64(1), vectors - 1
            if panel == whole and vectors % COLUMNS >= 2:
                columns, done = int64(2), whole * COLUMNS
        at = w + done * LANES * (1 + K) + lane
        set_biases(weights, at, columns, sums)
        at += columns * LANES
        if columns == COLUMNS:
            add_four(weights, at, S, a + begins, spacing, K, sums)
        elif columns == 2:
            add_two(weights, at, S, a + begins, spacing, K, sums)
        else:
            add_one(weights, at, S, a + begins, spacing, K, sums)
        for c in range(COLUMNS):
            n = (done + c) * LANES + lane
            if c < columns and n < outputs:
                store_sums(S, o + n * spacing + begins, sums, c)


@device
def bound_all(weights, program, layer, S, a, o, spacing):
    """Bound the projection at ``a`` into the rows from ``o`` on."""
    bound = weights[program[layer + layout.CONSTANTS] + layout.PROJECTION_CLIP]
    size, bits = program[layer + layout.LAYER_OUTPUTS], shift_of(spacing)
    for n in range(cuda.threadIdx.x, size << bits, cuda.blockDim.x):
        at = (n >> bits) * spacing + (n & ((1 << bits) - 1))
        S[uint64(o + at)] = clip(S[uint64(a + at)], bound)


@device
def activate_all(weights, program, layer, S, o, spacing):
    """Activate the rows from ``o`` on; in a softmax a thread has a stream."""
    kind, constants = program[layer + layout.ACTIVATION], program[layer + layout.CONSTANTS]
    size, bits = program[layer + layout.LAYER_OUTPUTS], shift_of(spacing)
    if kind >= layout.SOFTMAX:
        for m in range(cuda.threadIdx.x, spacing - SPACE, cuda.blockDim.x):
            softmax(S, o, size, spacing, m, kind > layout.SOFTMAX)
        return
    first, second, bound = weights[constants], weights[constants + 1], float32(math.inf)
    if program[layer + layout.KIND] == layout.RNN:
        bound = weights[constants + layout.GATE_CLIP]
    for n in range(cuda.threadIdx.x, size << bits, cuda.blockDim.x):
        at = uint64(o + (n >> bits) * spacing + (n & ((1 << bits) - 1)))
        S[at] = activate(kind, first, second, clip(S[at], bound))


@device
def _scale(weights, program, layer, S, a, o, spacing):
    """Scale and shift; the activation of a pointwise layer follows later."""
    size, gain = program[layer + layout.LAYER_INPUTS], program[layer + layout.VECTORS]
    shift, bits = gain + up(size, PAD), shift_of(spacing)
    for n in range(cuda.threadIdx.x, size << bits, cuda.blockDim.x):
        row = n >> bits
        at = row * spacing + (n & ((1 << bits) - 1))
        S[uint64(o + at)] = S[uint64(a + at)] * weights[gain + row] + weights[shift + row]


@device
def _normalise(weights, program, layer, S, a, o, spacing):
    """Normalise over the values of a stream, a thread a stream."""
    size, gain = program[layer + layout.LAYER_INPUTS], program[layer + layout.VECTORS]
    shift = gain + up(size, PAD)
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    for m in range(cuda.threadIdx.x, spacing - SPACE, cuda.blockDim.x):
        mean, factor = moments(S, a + m, spacing, size, epsilon)
        for n in range(size):
            y = (S[uint64(a + n * spacing + m)] - mean) * factor
            S[uint64(o + n * spacing + m)] = y * weights[gain + n] + weights[shift + n]


@device
def _embed(weights, program, layer, S, a, o, spacing):
    """Write the vector of the category, then the other inputs."""
    features, outputs = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    dimension, bits = outputs - features + 1, shift_of(spacing)
    for k in range(cuda.threadIdx.x, outputs << bits, cuda.blockDim.x):
        n, m = k >> bits, k & ((1 << bits) - 1)
        if n < dimension:
            # The engine has refused invalid categories; this keeps the read inside the table.
            category = upper(int64(S[uint64(a + m)]), int64(0))
            category = lower(category, program[layer + layout.UNITS] - 1)
            start = program[layer + layout.VECTORS] + category * up(dimension, PAD)
            S[uint64(o + n * spacing + m)] = weights[start + n]
        else:
            S[uint64(o + n * spacing + m)] = S[uint64(a + (n - dimension + 1) * spacing + m)]


@device
def transform(weights, program, layer, S, a, o, spacing):
    """Take the rows from ``a`` on through a layer without a product to those from ``o`` on."""
    kind = program[layer + layout.KIND]
    if kind == layout.POINTWISE:
        _scale(weights, program, layer, S, a, o, spacing)
    elif kind == layout.LAYER_NORM:
        _normalise(weights, program, layer, S, a, o, spacing)
    elif kind == layout.EMBEDDING:
        _embed(weights, program, layer, S, a, o, spacing)
