"""The pointwise part of each cell: pre-activations in, new state out.

The matrix product is done (matmul.py); what is left is a few vector operations, in the form of the
equations in network/layers. ``Z[z]`` holds the pre-activations of ``LANES`` hidden units of one
stream, one vector a gate.

A division costs as much as ten other operations, so the standard cells join fractions: with
``sigmoid(x) = 1 / E(x)`` and ``tanh(x) = N(x) / D(x)`` an LSTM's new cell is

    c / E(f) + N(g) / (E(i) D(g)) = (c E(i) D(g) + N(g) E(f)) / (E(f) E(i) D(g))

and its hidden state ``N(c) / (E(o) D(c))``: two divisions instead of five. Options that are fixed
for a layer are resolved when its cell is compiled; a branch would keep the processor from
overlapping the divisions of one vector with those of the next.

"Standard" are sigmoid or hard sigmoid gates with tanh for candidate and cell; a "general" cell
calls any activation.
"""

import numpy as np

from . import layout
from .activations import activate, clip, sigmoid, sigmoid_divisor, tanh, tanh_parts
from .cache import inlined, internal
from .layout import CELL_CLIP, GATE_CLIP
from .simd import LANES, fma, load, maximum, minimum, splat, store

f32 = np.float32


@inlined
def lstm_gates(i, f, g, y, cell):
    """Return cell state and hidden state of a plain LSTM from its pre-activations and old cell."""
    input_divisor, forget_divisor = sigmoid_divisor(i), sigmoid_divisor(f)
    candidate, d = tanh_parts(g)
    output_divisor = sigmoid_divisor(y)
    d = input_divisor * d
    cell = fma(cell, d, candidate * forget_divisor) / (forget_divisor * d)
    shown, d = tanh_parts(cell)
    return cell, shown / (output_divisor * d)


@inlined
def lstm_cell(Z, z, state, c, out, o):
    """Apply the gates of a plain LSTM.

    Parameters
    ----------
    Z, z : float32[...], int
        Pre-activations of the gates i, f, g, o.
    state, c : float32[...], int
        The cell state at ``state[c]`` is replaced.
    out, o : float32[...], int
        The new hidden state goes to ``out[o]``: the next layer's input.
    """
    i, f = load(Z, z), load(Z, z + LANES)
    g, y = load(Z, z + 2 * LANES), load(Z, z + 3 * LANES)
    cell, hidden = lstm_gates(i, f, g, y, load(state, c))
    store(state, c, cell)
    store(out, o, hidden)


@inlined
def _hard_sigmoid(x, a, b):
    return minimum(maximum(fma(splat(a), x, splat(b)), splat(f32(0.0))), splat(f32(1.0)))


def _standard_lstm_cell(hard, coupled):
    """Make the cell of an LSTM with options and standard activations, with or without norm."""

    @inlined
    def cell_function(i, f, g, y, state, c, out, o, weights, peephole, units, a, b, clips):
        """Apply the gates to their pre-activations.

        Without peepholes ``weights[peephole]`` holds zeros. ``clips`` is the offset of the bounds;
        ``a`` and ``b`` are the parameters of a hard sigmoid.
        """
        bound = weights[clips]
        cell = load(state, c)
        i = clip(fma(load(weights, peephole), cell, i), bound)
        if not coupled:
            f = clip(fma(load(weights, peephole + units), cell, f), bound)
        candidate, d = tanh_parts(clip(g, bound))
        if hard:
            i = _hard_sigmoid(i, a, b)
            f = splat(f32(1.0)) - i if coupled else _hard_sigmoid(f, a, b)
            cell = fma(f, cell, i * (candidate / d))
        elif coupled:
            cell = cell + (candidate - cell * d) / (sigmoid_divisor(i) * d)
        else:
            forget_divisor = sigmoid_divisor(f)
            d = sigmoid_divisor(i) * d
            cell = fma(cell, d, candidate * forget_divisor) / (forget_divisor * d)
        cell = clip(cell, weights[clips + 1])
        y = clip(fma(load(weights, peephole + 2 * units), cell, y), bound)
        store(state, c, cell)
        shown, d = tanh_parts(cell)
        if hard:
            store(out, o, _hard_sigmoid(y, a, b) * (shown / d))
        else:
            store(out, o, shown / (sigmoid_divisor(y) * d))

    return cell_function


standard_lstm_cell = _standard_lstm_cell(hard=False, coupled=False)
standard_coupled_cell = _standard_lstm_cell(hard=False, coupled=True)
hard_lstm_cell = _standard_lstm_cell(hard=True, coupled=False)
hard_coupled_cell = _standard_lstm_cell(hard=True, coupled=True)


@inlined
def _gate(kind, first, second, x):
    """Activate a gate: sigmoid inline, any other by a call."""
    return sigmoid(x) if kind == layout.SIGMOID else activate(kind, first, second, x)


@inlined
def _candidate(kind, first, second, x):
    """Activate a candidate or cell: tanh inline, any other by a call."""
    return tanh(x) if kind == layout.TANH else activate(kind, first, second, x)


@internal
def general_lstm_cell(i, f, g, y, weights, program, layer, unit, state, c, out, o):
    """Apply the gates of an LSTM with any options to their pre-activations.

    ``unit`` is the number of the first hidden unit; the hidden state goes to ``out[o]`` only.
    """
    constants = program[layer + layout.CONSTANTS]
    gate = program[layer + layout.ACTIVATION]
    a, b = weights[constants], weights[constants + 1]
    bound = weights[constants + GATE_CLIP]
    cell = load(state, c)
    units = (program[layer + layout.UNITS] + layout.PAD - 1) // layout.PAD * layout.PAD
    peephole = program[layer + layout.PEEPHOLE] + unit
    i = fma(load(weights, peephole), cell, i)
    f = fma(load(weights, peephole + units), cell, f)
    i = _gate(gate, a, b, clip(i, bound))
    if program[layer + layout.COUPLED]:
        f = splat(f32(1.0)) - i
    else:
        f = _gate(gate, a, b, clip(f, bound))
    kind = program[layer + layout.CANDIDATE_ACTIVATION]
    g = _candidate(kind, weights[constants + 2], weights[constants + 3], clip(g, bound))
    cell = clip(fma(f, cell, i * g), weights[constants + CELL_CLIP])
    y = fma(load(weights, peephole + 2 * units), cell, y)
    y = _gate(gate, a, b, clip(y, bound))
    kind = program[layer + layout.CELL_ACTIVATION]
    store(state, c, cell)
    shown = _candidate(kind, weights[constants + 4], weights[constants + 5], cell)
    store(out, o, y * shown)


def _standard_gru_cell(hard):
    """Make the cell of a GRU with standard activations whose reset gate acts after the product."""

    @inlined
    def cell_function(Z, z, state, h, out, o, a, b, bound):
        """Apply the gates.

        The old hidden state is at ``state[h]``, the new one goes to ``out[o]``. ``Z[z]`` holds r,
        z, and the contributions of the input and of the state to the candidate. ``a`` and ``b``
        are the parameters of a hard sigmoid.
        """
        reset, update = clip(load(Z, z), bound), clip(load(Z, z + LANES), bound)
        before, from_state = load(state, h), load(Z, z + 3 * LANES)
        if hard:
            from_state = _hard_sigmoid(reset, a, b) * from_state
        else:
            from_state = from_state / sigmoid_divisor(reset)
        candidate, d = tanh_parts(clip(load(Z, z + 2 * LANES) + from_state, bound))
        if hard:
            candidate = candidate / d
            hidden = fma(_hard_sigmoid(update, a, b), before - candidate, candidate)
        else:
            # z h + (1 - z) n, where z is 1 / divisor and n is candidate / d
            divisor = sigmoid_divisor(update)
            closed = divisor - splat(f32(1.0))
            hidden = fma(before, d, closed * candidate) / (divisor * d)
        store(out, o, hidden)

    return cell_function


standard_gru_cell = _standard_gru_cell(hard=False)
hard_gru_cell = _standard_gru_cell(hard=True)


@internal
def general_gru_cell(weights, program, layer, Z, z, state, h, out, o):
    """Apply the gates of such a GRU with any activations."""
    constants = program[layer + layout.CONSTANTS]
    gate, kind = program[layer + layout.ACTIVATION], program[layer + layout.CANDIDATE_ACTIVATION]
    a, b, bound = weights[constants], weights[constants + 1], weights[constants + GATE_CLIP]
    reset = _gate(gate, a, b, clip(load(Z, z), bound))
    update = _gate(gate, a, b, clip(load(Z, z + LANES), bound))
    n = fma(reset, load(Z, z + 3 * LANES), load(Z, z + 2 * LANES))
    candidate = _candidate(kind, weights[constants + 2], weights[constants + 3], clip(n, bound))
    store(out, o, fma(update, load(state, h) - candidate, candidate))
