"""The cells of the plain LSTM and the standard GRU: pre-activations in, new state out.

Sigmoid and tanh are fractions, as in ../cells.py, so that a cell takes two divisions instead of
five; their exponentials are powers of two.
"""

from numba import cuda, float32

from .activations import upper
from .intrinsics import power_of_two, quotient

device = cuda.jit(device=True)

LOG2_E = 1.4426950408889634


@device
def sigmoid_divisor(x):
    """``1 + exp(-x)``; below -40 its value there, so that products of two are within float32."""
    return float32(1.0) + power_of_two(float32(-LOG2_E) * upper(x, float32(-40.0)))


@device
def tanh_parts(x):
    """Hyperbolic tangent as numerator and denominator, which is 1 to 2."""
    e = power_of_two(float32(-2.0 * LOG2_E) * abs(x))
    n = float32(1.0) - e
    return (n if x >= float32(0.0) else -n), float32(1.0) + e


@device
def lstm_cell(i, f, g, c):
    """Return the new cell state of a plain LSTM from pre-activations and the old one."""
    candidate, d = tanh_parts(g)
    d *= sigmoid_divisor(i)
    forget = sigmoid_divisor(f)
    return quotient(c * d + candidate * forget, forget * d)


@device
def lstm_hidden(y, c):
    """Return the hidden state of a plain LSTM from its output gate and new cell state."""
    shown, d = tanh_parts(c)
    return quotient(shown, sigmoid_divisor(y) * d)


@device
def gru_cell(r, z, n, m, h):
    """Return the new hidden state of a standard GRU; ``m`` is the product of the old for n."""
    candidate, d = tanh_parts(n + quotient(m, sigmoid_divisor(r)))
    candidate = quotient(candidate, d)
    return candidate + quotient(h - candidate, sigmoid_divisor(z))
