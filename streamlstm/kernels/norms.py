"""Mean and variance over a layer's values, and the normalised gates of an LSTM."""

import math

import numpy as np

from . import layout
from .cache import inlined, internal
from .layout import COLUMNS, PAD
from .products import WIDE
from .simd import LANES, add_lanes, first_lanes, fma, load, splat, store

f32 = np.float32


@internal
def moments(S, a, width, spacing, epsilon, z):
    """Return mean and inverse standard deviation of ``width`` values.

    The values start at ``S[a]``, LANES contiguous, ``spacing`` from one such run to the next;
    ``S[z]`` has room for one cache line. Sums are taken over every 16th value and then by halves,
    so that the result does not depend on the width of the vectors.
    """
    mean = _sum(S, a, width, spacing, z, f32(0.0), False) / f32(width)
    variance = _sum(S, a, width, spacing, z, mean, True) / f32(width)
    return mean, f32(1.0) / f32(math.sqrt(variance + epsilon))


@internal
def _sum(S, a, width, spacing, z, mean, squared):
    """Sum ``x - mean`` or its square."""
    for begin in range(0, PAD, LANES):
        total = splat(f32(0.0))
        for n in range(begin, width, PAD):
            x = load(S, a + n // LANES * spacing) - splat(mean)
            if n + LANES > width:
                x = first_lanes(x, width - n)
            total = fma(x, x, total) if squared else total + x
        store(S, z + begin, total)
    return add_cache_line(S, z)


@inlined
def add_cache_line(S, z):
    """Sum the cache line at ``S[z]`` by halves, whatever the width of vectors."""
    half = PAD // 2
    while half >= LANES:
        for n in range(z, z + half, LANES):
            store(S, n, load(S, n) + load(S, n + half))
        half //= 2
    return add_lanes(load(S, z))


@inlined
def norm_gates(weights, program, layer, H, width, S, work, z, count):
    """Normalise every gate of every stream, then apply gain and bias, packed like the gates."""
    norm = program[layer + layout.NORM]
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    units = f32(H)
    for m in range(count):
        start = work + m * width
        i, f, g, y = _sum_gates(S, start, H, z, f32(0.0), f32(0.0), f32(0.0), f32(0.0), False)
        means = (i / units, f / units, g / units, y / units)
        i, f, g, y = _sum_gates(S, start, H, z, means[0], means[1], means[2], means[3], True)
        for gate, mean, square in (
            (0, means[0], i),
            (1, means[1], f),
            (2, means[2], g),
            (3, means[3], y),
        ):
            scale = f32(1.0) / f32(math.sqrt(square / units + epsilon))
            shift = splat(-mean * scale)
            for n in range(gate * LANES, width, WIDE):
                x = fma(load(S, start + n), splat(scale), shift)
                x = fma(x, load(weights, norm + n), load(weights, norm + width + n))
                store(S, start + n, x)


@inlined
def _sum_gates(S, start, H, z, mean_i, mean_f, mean_g, mean_y, squared):
    """Sum ``x - mean`` or its square over the units of each gate, in the order of moments()."""
    means = (splat(mean_i), splat(mean_f), splat(mean_g), splat(mean_y))
    for begin in range(0, PAD, LANES):
        i, f, g, y = splat(f32(0.0)), splat(f32(0.0)), splat(f32(0.0)), splat(f32(0.0))
        for n in range(begin, H, PAD):
            place, left = start + n * COLUMNS, H - n
            xi, xf = load(S, place) - means[0], load(S, place + LANES) - means[1]
            xg, xy = load(S, place + 2 * LANES) - means[2], load(S, place + 3 * LANES) - means[3]
            if left < LANES:
                xi, xf = first_lanes(xi, left), first_lanes(xf, left)
                xg, xy = first_lanes(xg, left), first_lanes(xy, left)
            if squared:
                i, f, g, y = fma(xi, xi, i), fma(xf, xf, f), fma(xg, xg, g), fma(xy, xy, y)
            else:
                i, f, g, y = i + xi, f + xf, g + xg, y + xy
        store(S, z + begin, i)
        store(S, z + PAD + begin, f)
        store(S, z + 2 * PAD + begin, g)
        store(S, z + 3 * PAD + begin, y)
    return (
        add_cache_line(S, z),
        add_cache_line(S, z + PAD),
        add_cache_line(S, z + 2 * PAD),
        add_cache_line(S, z + 3 * PAD),
    )
