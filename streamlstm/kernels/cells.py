"""The pointwise part of each cell: pre-activations in, new state out.

The matrix product has been taken (matmul.py); what is left is a few vector operations, written
as the equations stand in layers.py. A new cell is a function like these. ``Z[z]`` is where the
pre-activations of ``LANES`` hidden units of one stream stand, one vector a gate.

Cells with branches are inlined by Numba, not by LLVM: where a function with array arguments has
branches, Numba keeps the counting of references to them, atomic operations that cost more than the
cell itself (measured: 160 ns a call).
"""

import numpy as np
from numba import njit

from . import layout
from .activations import activate, clip, sigmoid, tanh
from .layout import CELL_CLIP, GATE_CLIP
from .simd import LANES, fma, load, maximum, minimum, splat, store, where_greater

f32 = np.float32
SIGMOID, TANH = layout.ACTIVATIONS.index("sigmoid"), layout.ACTIVATIONS.index("tanh")


@njit(forceinline=True)
def lstm_cell(Z, z, state, h, c, out, o):
    """Apply the gates of a plain LSTM.

    Parameters
    ----------
    Z, z : float32[...], int
        Pre-activations of the gates i, f, g, o.
    state, h, c : float32[...], int, int
        Hidden and cell state stand at ``state[h]`` and ``state[c]`` and are replaced.
    out, o : float32[...], int
        The new hidden state goes to ``out[o]`` as well: the next layer's input.
    """
    input_gate = sigmoid(load(Z, z))
    forget_gate = sigmoid(load(Z, z + LANES))
    candidate = tanh(load(Z, z + 2 * LANES))
    output_gate = sigmoid(load(Z, z + 3 * LANES))
    cell = fma(forget_gate, load(state, c), input_gate * candidate)
    store(state, c, cell)
    hidden = output_gate * tanh(cell)
    store(state, h, hidden)
    store(out, o, hidden)


@njit(inline="always")
def _gate(kind, weights, constants, x):
    """Activate a gate: the usual one inline, any other by a call."""
    usual = kind == SIGMOID
    return sigmoid(x) if usual else activate(kind, weights[constants], weights[constants + 1], x)


@njit(inline="always")
def _candidate(kind, weights, constants, x):
    """Activate a candidate or cell, likewise."""
    usual = kind == TANH
    return tanh(x) if usual else activate(kind, weights[constants], weights[constants + 1], x)


@njit(inline="always")
def lstm_options_cell(weights, program, layer, Z, z, unit, state, c, out, o):
    """Apply the gates of an LSTM with any of its options, but norm and projection.

    ``unit`` is the number of the first hidden unit; the hidden state goes to ``out[o]`` only.
    """
    constants = program[layer + layout.CONSTANTS]
    gate = program[layer + layout.ACTIVATION]
    bound = weights[constants + GATE_CLIP]
    i, f, g, y = load(Z, z), load(Z, z + LANES), load(Z, z + 2 * LANES), load(Z, z + 3 * LANES)
    cell = load(state, c)
    units = (program[layer + layout.UNITS] + layout.PAD - 1) // layout.PAD * layout.PAD
    peephole = program[layer + layout.PEEPHOLE] + unit
    i = fma(load(weights, peephole), cell, i)
    f = fma(load(weights, peephole + units), cell, f)
    i = _gate(gate, weights, constants, clip(i, bound))
    if program[layer + layout.COUPLED]:
        f = splat(f32(1.0)) - i
    else:
        f = _gate(gate, weights, constants, clip(f, bound))
    kind = program[layer + layout.CANDIDATE_ACTIVATION]
    g = _candidate(kind, weights, constants + 2, clip(g, bound))
    cell = clip(fma(f, cell, i * g), weights[constants + CELL_CLIP])
    y = fma(load(weights, peephole + 2 * units), cell, y)
    y = _gate(gate, weights, constants, clip(y, bound))
    kind = program[layer + layout.CELL_ACTIVATION]
    store(state, c, cell)
    store(out, o, y * _candidate(kind, weights, constants + 4, cell))


@njit(forceinline=True)
def lstm_usual_cell(Z, z, state, c, out, o, weights, peephole, units, coupled, hard, a, b, clips):
    """Apply the gates of an LSTM with options but the usual activations, without a branch.

    Where there are no peepholes ``weights[peephole]`` holds zeros; ``coupled`` and ``hard`` are 1
    or 0: whether the forget gate is coupled, and whether gates are ``a x + b`` bound to [0, 1].
    ``clips`` is where the bounds stand.
    """
    bound, hard = weights[clips], splat(hard)
    cell = load(state, c)
    i = fma(load(weights, peephole), cell, load(Z, z))
    f = fma(load(weights, peephole + units), cell, load(Z, z + LANES))
    i = _sigmoid_or_hard(clip(i, bound), hard, a, b)
    f = _sigmoid_or_hard(clip(f, bound), hard, a, b)
    f = where_greater(splat(coupled), splat(f32(0.5)), splat(f32(1.0)) - i, f)
    g = tanh(clip(load(Z, z + 2 * LANES), bound))
    cell = clip(fma(f, cell, i * g), weights[clips + 1])
    y = fma(load(weights, peephole + 2 * units), cell, load(Z, z + 3 * LANES))
    y = _sigmoid_or_hard(clip(y, bound), hard, a, b)
    store(state, c, cell)
    store(out, o, y * tanh(cell))


@njit(forceinline=True)
def _sigmoid_or_hard(x, hard, a, b):
    straight = minimum(maximum(fma(splat(a), x, splat(b)), splat(f32(0.0))), splat(f32(1.0)))
    return where_greater(hard, splat(f32(0.5)), straight, sigmoid(x))


@njit(forceinline=True)
def gru_cell(Z, z, state, h, out, o, hard, a, b, bound):
    """Apply the gates of a GRU whose reset gate acts after the recurrent product.

    ``Z[z]`` holds r, z, and what the candidate gets from the input and from the state. ``hard``
    is 1 if gates are ``a x + b`` bound to [0, 1], else 0.
    """
    reset = _sigmoid_or_hard(clip(load(Z, z), bound), splat(hard), a, b)
    update = _sigmoid_or_hard(clip(load(Z, z + LANES), bound), splat(hard), a, b)
    candidate = tanh(clip(fma(reset, load(Z, z + 3 * LANES), load(Z, z + 2 * LANES)), bound))
    hidden = fma(update, load(state, h) - candidate, candidate)
    store(state, h, hidden)
    store(out, o, hidden)


@njit(inline="always")
def gru_options_cell(weights, program, layer, Z, z, state, h, out, o):
    """Apply the gates of such a GRU with any activations."""
    constants = program[layer + layout.CONSTANTS]
    gate, kind = program[layer + layout.ACTIVATION], program[layer + layout.CANDIDATE_ACTIVATION]
    bound = weights[constants + GATE_CLIP]
    reset = _gate(gate, weights, constants, clip(load(Z, z), bound))
    update = _gate(gate, weights, constants, clip(load(Z, z + LANES), bound))
    n = fma(reset, load(Z, z + 3 * LANES), load(Z, z + 2 * LANES))
    candidate = _candidate(kind, weights, constants + 2, clip(n, bound))
    hidden = fma(update, load(state, h) - candidate, candidate)
    store(state, h, hidden)
    store(out, o, hidden)
