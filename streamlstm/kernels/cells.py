"""The pointwise part of each cell: pre-activations in, new state out.

The matrix product has been taken (matmul.py); what is left is a few vector operations, written
as the equations stand in layers.py. A new cell is a function like these. ``Z[z]`` is where the
pre-activations of ``LANES`` hidden units of one stream stand, one vector a gate.
"""

import numpy as np
from numba import njit

from . import layout
from .activations import activate, clip, sigmoid, tanh
from .layout import CELL_CLIP, GATE_CLIP
from .simd import LANES, fma, load, splat, store

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


@njit(forceinline=True)
def _gate(kind, weights, constants, x):
    """Activate a gate: the usual one inline, any other by a call."""
    return sigmoid(x) if kind == SIGMOID else activate(kind, weights, constants, x)


@njit(forceinline=True)
def _candidate(kind, weights, constants, x):
    """Activate a candidate or cell, likewise."""
    return tanh(x) if kind == TANH else activate(kind, weights, constants, x)


@njit
def lstm_options_cell(weights, program, layer, Z, z, unit, state, c, out, o):
    """Apply the gates of an LSTM with any of its options, but norm and projection.

    ``unit`` is the number of the first hidden unit; the hidden state goes to ``out[o]`` only.
    """
    constants = program[layer + layout.CONSTANTS]
    gate = program[layer + layout.ACTIVATION]
    peephole = program[layer + layout.PEEPHOLE]
    bound = weights[constants + GATE_CLIP]
    i, f, g, y = load(Z, z), load(Z, z + LANES), load(Z, z + 2 * LANES), load(Z, z + 3 * LANES)
    cell = load(state, c)
    if peephole >= 0:
        units = (program[layer + layout.UNITS] + layout.PAD - 1) // layout.PAD * layout.PAD
        peephole += unit
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
    if peephole >= 0:
        y = fma(load(weights, peephole + 2 * units), cell, y)
    y = _gate(gate, weights, constants, clip(y, bound))
    kind = program[layer + layout.CELL_ACTIVATION]
    store(state, c, cell)
    store(out, o, y * _candidate(kind, weights, constants + 4, clip(cell, bound)))


@njit(forceinline=True)
def gru_cell(weights, program, layer, Z, z, state, h, out, o):
    """Apply the gates of a GRU whose reset gate acts after the recurrent product.

    ``Z[z]`` holds r, z, and what the candidate gets from the input and from the state.
    """
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
