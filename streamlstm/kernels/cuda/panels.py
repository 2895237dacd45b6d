"""Sums of products in registers, and the cells of plain layers: what the fast kernel does most of.

A thread has one column of each vector of a panel (packing.py) and a tile of streams, whose values
stand side by side in ``S``: value ``k`` of stream ``m`` at ``S[a + k * spacing + m]``. Its sums are
``sums[4 * m + c]``, a local array whose every index is known when it is compiled, so that it lies
in registers. Positions are unsigned, or numba would look at every one whether it counts from the
end.
"""

import math

from numba import cuda, float32, uint64

from .sizes import LANES, SIMULATED, TILE

part = cuda.jit(device=True)


@part
def wide(weights, w, step, S, a, spacing, count, second, third, fourth, sums):
    """Add ``count`` rows of a panel, each ``step`` floats, times as many values of the tile.

    ``second``, ``third`` and ``fourth`` say where the other vectors stand behind the first. Where a
    panel has fewer, they may stand at another's place and their sums mean nothing.
    """
    for _ in range(count):
        w0, w1 = weights[uint64(w)], weights[uint64(w + second)]
        w2, w3 = weights[uint64(w + third)], weights[uint64(w + fourth)]
        for m in range(TILE):
            x = S[uint64(a + m)]
            sums[4 * m] += w0 * x
            sums[4 * m + 1] += w1 * x
            sums[4 * m + 2] += w2 * x
            sums[4 * m + 3] += w3 * x
        w += step
        a += spacing


def _of_three(last):
    """Make what adds rows of three vectors to the sums 0, 1 and ``last``."""

    @part
    def three(weights, w, step, S, a, spacing, count, sums):
        for _ in range(count):
            w0, w1 = weights[uint64(w)], weights[uint64(w + LANES)]
            w2 = weights[uint64(w + 2 * LANES)]
            for m in range(TILE):
                x = S[uint64(a + m)]
                sums[4 * m] += w0 * x
                sums[4 * m + 1] += w1 * x
                sums[4 * m + last] += w2 * x
            w += step
            a += spacing

    return three


of_inputs, of_hidden = _of_three(2), _of_three(3)  # of a GRU


@part
def begin(weights, w, second, third, fourth, sums):
    """Set the sums to the biases of a panel."""
    w0, w1 = weights[uint64(w)], weights[uint64(w + second)]
    w2, w3 = weights[uint64(w + third)], weights[uint64(w + fourth)]
    for m in range(TILE):
        sums[4 * m] = w0
        sums[4 * m + 1] = w1
        sums[4 * m + 2] = w2
        sums[4 * m + 3] = w3


if SIMULATED:

    @part
    def divide(x, y):
        """Return ``x / y``."""
        return x / y

else:
    from numba.cuda import libdevice

    @part
    def divide(x, y):
        """Return ``x / y`` to 2 units in the last place, for ``y`` below 2**126."""
        return libdevice.fast_fdividef(x, y)


@part
def sigmoid_divisor(x):
    """``1 + exp(-x)``; below -40 its value there, so that products of two are within float32."""
    return float32(1.0) + float32(math.exp(-(x if x > float32(-40.0) else float32(-40.0))))


@part
def tanh_parts(x):
    """Hyperbolic tangent as numerator and denominator, which is 1 to 2."""
    e = float32(math.exp(float32(-2.0) * abs(x)))
    n = float32(1.0) - e
    return (n if x >= float32(0.0) else -n), float32(1.0) + e


@part
def lstm_cell(i, f, g, c):
    """Return the new cell state of a plain LSTM from pre-activations and the old one."""
    candidate, d = tanh_parts(g)
    d *= sigmoid_divisor(i)
    forget = sigmoid_divisor(f)
    return divide(c * d + candidate * forget, forget * d)


@part
def lstm_hidden(y, c):
    """Return its hidden state from the output gate's pre-activation and the new cell state."""
    shown, d = tanh_parts(c)
    return divide(shown, sigmoid_divisor(y) * d)


@part
def gru_cell(r, z, n, m, h):
    """Return the new hidden state of a usual GRU; ``m`` is what the candidate gets from the old."""
    candidate, d = tanh_parts(n + divide(m, sigmoid_divisor(r)))
    candidate = divide(candidate, d)
    return candidate + divide(h - candidate, sigmoid_divisor(z))
