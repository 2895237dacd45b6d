"""One step of a block of streams, a thread a stream: the readable kernel, for comparison.

It reads the same weight block and integer table as the CPU kernels (layout.py), packed for vectors
of ``lanes`` floats. Each thread has a column of working memory: float ``k`` of thread ``t`` is at
``S[k * T + t]``, so that neighbouring threads touch neighbouring addresses. Functions take ``S``,
``t``, ``T``, and positions ``k``.
"""

import math

import numpy as np
from numba import cuda, float32, int64
from numpy.typing import NDArray

from .. import layout
from ..layout import COLUMNS, HEADER, PAD, ROW
from .activations import activate, clip, exp, lower, upper
from .jit import kernel

device = cuda.jit(device=True)


@device
def _up(n, unit):
    return (n + unit - 1) // unit * unit


@device
def _dot(weights, w, step, S, k, count, t, T):
    """Multiply ``count`` weights, ``step`` apart, with the values from ``k`` on."""
    total = float32(0.0)
    for n in range(count):
        total += weights[w + n * step] * S[(k + n) * T + t]
    return total


@device
def _product(weights, w, K, outputs, lanes, S, a, o, t, T):
    """Multiply the values at ``a`` with panels of packing.pack_product; results go to ``o``."""
    columns = int64(COLUMNS)
    vectors = (outputs + lanes - 1) // lanes
    done = int64(0)
    while vectors > 0:
        while columns > vectors:
            columns //= 2
        width = columns * lanes
        for n in range(lower(width, outputs - done)):
            dot = _dot(weights, w + width + n, width, S, a, K, t, T)
            S[(o + done + n) * T + t] = weights[w + n] + dot
        done += width
        vectors -= columns
        w += width * (K + 1)


@device
def _load_hidden(program, layer, rows, row, S, a, t, T):
    """Copy the hidden state behind the layer's inputs at ``a``."""
    k, h = a + program[layer + layout.LAYER_INPUTS], row + program[layer + layout.HIDDEN]
    for n in range(program[layer + layout.LAYER_OUTPUTS]):
        S[(k + n) * T + t] = rows[h + n]


@device
def _store_hidden(program, layer, rows, row, S, o, t, T):
    h = row + program[layer + layout.HIDDEN]
    for n in range(program[layer + layout.LAYER_OUTPUTS]):
        rows[h + n] = S[(o + n) * T + t]


@device
def _activate_all(weights, program, layer, bound, S, o, width, t, T):
    kind, constants = program[layer + layout.ACTIVATION], program[layer + layout.CONSTANTS]
    if kind >= layout.SOFTMAX:  # over the whole layer, logarithm or not
        largest = S[o * T + t]
        for n in range(width):
            largest = upper(largest, S[(o + n) * T + t])
        total = float32(0.0)
        for n in range(width):
            total += exp(S[(o + n) * T + t] - largest)
        shift = float32(math.log(total))
        for n in range(width):
            x = S[(o + n) * T + t] - largest
            S[(o + n) * T + t] = exp(x) / total if kind == layout.SOFTMAX else x - shift
        return
    first, second = weights[constants], weights[constants + 1]
    for n in range(width):
        S[(o + n) * T + t] = activate(kind, first, second, clip(S[(o + n) * T + t], bound))


@device
def _moments(S, k, step, count, epsilon, t, T):
    """Return mean and inverse standard deviation of ``count`` values, ``step`` apart."""
    total = float32(0.0)
    for n in range(count):
        total += S[(k + n * step) * T + t]
    mean = total / float32(count)
    total = float32(0.0)
    for n in range(count):
        x = S[(k + n * step) * T + t] - mean
        total += x * x
    return mean, float32(1.0) / float32(math.sqrt(total / float32(count) + epsilon))


@device
def _lstm_gates(weights, program, layer, lanes, S, a, z, t, T):
    """Write the pre-activations of i, f, g, o of unit u to ``z + 4 u``."""
    H = program[layer + layout.UNITS]
    K = program[layer + layout.LAYER_INPUTS] + program[layer + layout.LAYER_OUTPUTS]
    coupled = program[layer + layout.COUPLED]
    width = (4 - coupled) * lanes
    for u in range(H):
        w = program[layer + layout.WEIGHTS] + u // lanes * (4 * lanes + K * width) + u % lanes
        for gate in range(4):
            total = weights[w + gate * lanes]
            if coupled == 0 or gate != 1:
                column = gate - 1 if coupled and gate > 1 else gate
                total += _dot(weights, w + (4 + column) * lanes, width, S, a, K, t, T)
            S[(z + 4 * u + gate) * T + t] = total


@device
def _norm_gates(weights, program, layer, lanes, S, z, t, T):
    """Normalise each gate over the units."""
    H = program[layer + layout.UNITS]
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    for gate in range(4):
        if gate == 1 and program[layer + layout.COUPLED]:
            continue
        mean, factor = _moments(S, z + gate, 4, H, epsilon, t, T)
        for u in range(H):
            n = program[layer + layout.NORM] + (u // lanes * 4 + gate) * lanes + u % lanes
            shift = weights[n + 4 * _up(H, lanes)]
            y = (S[(z + 4 * u + gate) * T + t] - mean) * factor
            S[(z + 4 * u + gate) * T + t] = y * weights[n] + shift


@device
def _lstm(weights, program, layer, lanes, rows, row, S, a, o, z, t, T):
    H, constants = program[layer + layout.UNITS], program[layer + layout.CONSTANTS]
    _load_hidden(program, layer, rows, row, S, a, t, T)
    _lstm_gates(weights, program, layer, lanes, S, a, z, t, T)
    if program[layer + layout.NORM] >= 0:
        _norm_gates(weights, program, layer, lanes, S, z, t, T)
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    bound = weights[constants + layout.GATE_CLIP]
    for u in range(H):
        i, f = S[(z + 4 * u) * T + t], S[(z + 4 * u + 1) * T + t]
        g, y = S[(z + 4 * u + 2) * T + t], S[(z + 4 * u + 3) * T + t]
        c = rows[row + program[layer + layout.CELL] + u]
        peephole = program[layer + layout.PEEPHOLE] + u
        if program[layer + layout.KIND] != layout.LSTM:
            i += weights[peephole] * c
            f += weights[peephole + _up(H, PAD)] * c
        i = activate(gate, a0, a1, clip(i, bound))
        if program[layer + layout.COUPLED]:
            f = float32(1.0) - i
        else:
            f = activate(gate, a0, a1, clip(f, bound))
        kind = program[layer + layout.CANDIDATE_ACTIVATION]
        g = activate(kind, weights[constants + 2], weights[constants + 3], clip(g, bound))
        c = clip(f * c + i * g, weights[constants + layout.CELL_CLIP])
        if program[layer + layout.KIND] != layout.LSTM:
            y += weights[peephole + 2 * _up(H, PAD)] * c
        y = activate(gate, a0, a1, clip(y, bound))
        rows[row + program[layer + layout.CELL] + u] = c
        kind = program[layer + layout.CELL_ACTIVATION]
        shown = activate(kind, weights[constants + 4], weights[constants + 5], c)
        S[(o + u) * T + t] = y * shown
    if program[layer + layout.PROJECTION] >= 0:
        P = program[layer + layout.LAYER_OUTPUTS]
        _product(weights, program[layer + layout.PROJECTION], H, P, lanes, S, o, a, t, T)
        bound = weights[constants + layout.PROJECTION_CLIP]
        for n in range(P):
            S[(o + n) * T + t] = clip(S[(a + n) * T + t], bound)
    _store_hidden(program, layer, rows, row, S, o, t, T)


@device
def _gru(weights, program, layer, lanes, rows, row, S, a, o, t, T):
    """Compute a GRU whose reset gate acts after the product with the hidden state."""
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants = program[layer + layout.CONSTANTS]
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    kind = program[layer + layout.CANDIDATE_ACTIVATION]
    bound = weights[constants + layout.GATE_CLIP]
    _load_hidden(program, layer, rows, row, S, a, t, T)
    step = 3 * lanes
    for u in range(H):
        w = program[layer + layout.WEIGHTS] + u // lanes * (4 * lanes + (F + H) * step) + u % lanes
        x = w + 4 * lanes
        h = x + F * step
        r = weights[w] + _dot(weights, x, step, S, a, F + H, t, T)
        update = weights[w + lanes] + _dot(weights, x + lanes, step, S, a, F + H, t, T)
        n = weights[w + 2 * lanes] + _dot(weights, x + 2 * lanes, step, S, a, F, t, T)
        m = weights[w + 3 * lanes] + _dot(weights, h + 2 * lanes, step, S, a + F, H, t, T)
        r = activate(gate, a0, a1, clip(r, bound))
        update = activate(gate, a0, a1, clip(update, bound))
        n = clip(n + r * m, bound)
        n = activate(kind, weights[constants + 2], weights[constants + 3], n)
        S[(o + u) * T + t] = n + update * (S[(a + F + u) * T + t] - n)
    _store_hidden(program, layer, rows, row, S, o, t, T)


@device
def _gru_before(weights, program, layer, lanes, rows, row, S, a, o, z, t, T):
    """Compute a GRU whose reset gate acts on the hidden state before the product."""
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants = program[layer + layout.CONSTANTS]
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    kind = program[layer + layout.CANDIDATE_ACTIVATION]
    bound, w = weights[constants + layout.GATE_CLIP], program[layer + layout.WEIGHTS]
    _load_hidden(program, layer, rows, row, S, a, t, T)
    apart = _up(H, PAD)
    _product(weights, w, F + H, 2 * apart, lanes, S, a, z, t, T)
    for u in range(H):
        reset = activate(gate, a0, a1, clip(S[(z + u) * T + t], bound))
        S[(a + F + u) * T + t] *= reset
    w = program[layer + layout.VECTORS]
    _product(weights, w, F + H, H, lanes, S, a, o, t, T)
    for u in range(H):
        update = activate(gate, a0, a1, clip(S[(z + apart + u) * T + t], bound))
        n = clip(S[(o + u) * T + t], bound)
        n = activate(kind, weights[constants + 2], weights[constants + 3], n)
        before = rows[row + program[layer + layout.HIDDEN] + u]
        S[(o + u) * T + t] = n + update * (before - n)
    _store_hidden(program, layer, rows, row, S, o, t, T)


@device
def _rnn_or_dense(weights, program, layer, lanes, rows, row, S, a, o, t, T):
    K, outputs = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    bound = float32(math.inf)
    recurrent = program[layer + layout.KIND] == layout.RNN
    if recurrent:
        K += outputs
        bound = weights[program[layer + layout.CONSTANTS] + layout.GATE_CLIP]
        _load_hidden(program, layer, rows, row, S, a, t, T)
    _product(weights, program[layer + layout.WEIGHTS], K, outputs, lanes, S, a, o, t, T)
    _activate_all(weights, program, layer, bound, S, o, outputs, t, T)
    if recurrent:
        _store_hidden(program, layer, rows, row, S, o, t, T)


@device
def _pointwise(weights, program, layer, S, a, o, t, T):
    """Compute a pointwise layer, or a layer norm."""
    width, scale = program[layer + layout.LAYER_INPUTS], program[layer + layout.VECTORS]
    mean, factor = float32(0.0), float32(1.0)
    norm = program[layer + layout.KIND] == layout.LAYER_NORM
    if norm:
        epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
        mean, factor = _moments(S, a, 1, width, epsilon, t, T)
    for n in range(width):
        x = (S[(a + n) * T + t] - mean) * factor
        S[(o + n) * T + t] = x * weights[scale + n] + weights[scale + _up(width, PAD) + n]
    if not norm:
        _activate_all(weights, program, layer, float32(math.inf), S, o, width, t, T)


@device
def _embedding(weights, program, layer, S, a, o, t, T):
    features = program[layer + layout.LAYER_INPUTS]
    dimension = program[layer + layout.LAYER_OUTPUTS] - features + 1
    # The engine has refused invalid categories; this keeps the read inside the table.
    category = lower(upper(int64(S[a * T + t]), int64(0)), program[layer + layout.UNITS] - 1)
    start = program[layer + layout.VECTORS] + category * _up(dimension, PAD)
    for n in range(dimension):
        S[(o + n) * T + t] = weights[start + n]
    for n in range(1, features):
        S[(o + dimension + n - 1) * T + t] = S[(a + n) * T + t]


@device
def _layer(weights, program, layer, lanes, rows, row, S, a, o, z, t, T):
    kind = program[layer + layout.KIND]
    if kind <= layout.LSTM_NORM:
        _lstm(weights, program, layer, lanes, rows, row, S, a, o, z, t, T)
    elif kind == layout.GRU:
        _gru(weights, program, layer, lanes, rows, row, S, a, o, t, T)
    elif kind == layout.GRU_BEFORE:
        _gru_before(weights, program, layer, lanes, rows, row, S, a, o, z, t, T)
    elif kind == layout.RNN or kind == layout.DENSE:
        _rnn_or_dense(weights, program, layer, lanes, rows, row, S, a, o, t, T)
    elif kind == layout.EMBEDDING:
        _embedding(weights, program, layer, S, a, o, t, T)
    else:
        _pointwise(weights, program, layer, S, a, o, t, T)


@kernel()
def step(weights, program, rows, slots, X, Y, scratch, lanes):
    """Step every stream of a block once, a thread each, as many at a time as there are threads.

    Parameters
    ----------
    weights, program : float32[...], int64[...]
        The model (streamlstm.backends.plan), packed for vectors of ``lanes`` floats.
    rows : float32[S * R]
        The state rows; those of the block are advanced in place.
    slots : int32[1 + B]
        First B itself, then row numbers, each at most once. The prediction of an inverted one
        (``~slot``) is not stored in the row.
    X, Y : float32[B * F], float32[B * O]
        Observations, and where predictions go.
    scratch : float32[threads * scratch_size(program)]
        Its content is undefined between calls.
    lanes : int64
    """
    F, O, R = program[layout.INPUTS], program[layout.OUTPUTS], program[layout.ROW_SIZE]
    stride, count = program[layout.STRIDE], int64(slots[0])
    mean, scale = program[layout.INPUT_SCALING], program[layout.OUTPUT_SCALING]
    skip, skip_scale = program[layout.SKIP], program[layout.SKIP_SCALE]
    t, T, S = cuda.grid(1), cuda.gridsize(1), scratch
    for n in range(t, count, T):
        slot = int64(slots[1 + n])
        numbered = slot >= 0
        row = (slot if numbered else ~slot) * R
        a, o = int64(0), stride
        for k in range(F):
            S[k * T + t] = (X[n * F + k] - weights[mean + k]) * weights[mean + F + k]
        for m in range(program[layout.LAYERS]):
            layer = HEADER + m * ROW
            _layer(weights, program, layer, lanes, rows, row, S, a, o, 2 * stride, t, T)
            a, o = o, a
        for k in range(O):
            y = S[(a + k) * T + t] * weights[scale + k] + weights[scale + O + k]
            if skip >= 0 and program[skip + k] >= 0:
                y += X[n * F + program[skip + k]] * weights[skip_scale + k]
            Y[n * O + k] = y
            if numbered:
                rows[row + program[layout.PREDICTION] + k] = y


def scratch_size(program: NDArray[np.int64]) -> int:
    """Return how many floats of working memory one thread needs."""
    layers = program[HEADER:][: ROW * int(program[layout.LAYERS])].reshape(-1, ROW)
    units = layers[layers[:, layout.KIND] < layout.DENSE, layout.UNITS]
    gates = layout.padded(int(units.max(initial=0)))
    return 2 * int(program[layout.STRIDE]) + 4 * gates
