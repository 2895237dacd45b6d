"""Functions of single threads of the fast kernel; ``S`` holds values as in streams.py."""

import math

from numba import cuda, float32, uint64

from .activations import exp, upper

device = cuda.jit(device=True)


@device
def up(n, unit):
    """Round ``n`` up to a multiple of ``unit``."""
    return (n + unit - 1) // unit * unit


@device
def moments(S, z, step, count, epsilon):
    """Return mean and inverse standard deviation of ``count`` values, ``step`` apart."""
    total = float32(0.0)
    for n in range(count):
        total += S[uint64(z + n * step)]
    mean = total / float32(count)
    total = float32(0.0)
    for n in range(count):
        x = S[uint64(z + n * step)] - mean
        total += x * x
    return mean, float32(1.0) / float32(math.sqrt(total / float32(count) + epsilon))


@device
def softmax(S, o, width, spacing, m, logarithm):
    """Compute softmax, or its logarithm, of the values of one stream."""
    largest = S[uint64(o + m)]
    for n in range(width):
        largest = upper(largest, S[uint64(o + n * spacing + m)])
    total = float32(0.0)
    for n in range(width):
        total += exp(S[uint64(o + n * spacing + m)] - largest)
    shift = float32(math.log(total))
    for n in range(width):
        at = uint64(o + n * spacing + m)
        x = S[at] - largest
        S[at] = x - shift if logarithm else exp(x) / total
