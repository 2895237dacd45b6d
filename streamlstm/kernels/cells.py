"""The pointwise part of each cell: pre-activations in, new state out.

The matrix product has been taken (matmul.py); what is left is a few vector operations, written
as the equations stand in layers.py. A new cell is a function like these.
"""

from numba import njit

from .activations import sigmoid, tanh
from .simd import LANES, fma, load, store


@njit(forceinline=True)
def lstm_cell(Z, z, state, h, c, out, o):
    """Apply the LSTM's gates to ``LANES`` hidden units of one stream.

    Parameters
    ----------
    Z, z : float32[...], int
        Pre-activations of the gates i, f, g, o, one vector each, from ``Z[z]``.
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
