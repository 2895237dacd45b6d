"""The GRU on CUDA: the standard one from products to new state in registers, and every option.

Positions are those of lstm.py.
"""

import math

from numba import cuda, float32, uint64

from .. import layout
from ..layout import COLUMNS
from .activations import activate, clip
from .cells import gru_cell
from .intrinsics import load_four
from .sizes import LANES, TILE
from .streams import shift_of
from .tiles import SPACE, SUMS, add_hidden, add_inputs, set_biases, store_sums

device = cuda.jit(device=True)


@device
def is_standard(weights, program, layer):
    """Tell whether a GRU has sigmoid gates, a tanh candidate and no bound."""
    standard = program[layer + layout.ACTIVATION] == layout.SIGMOID
    standard = standard and program[layer + layout.CANDIDATE_ACTIVATION] == layout.TANH
    bound = weights[program[layer + layout.CONSTANTS] + layout.GATE_CLIP]
    return standard and bound == float32(math.inf)


@device
def _cell(sums, at, h):
    sums[at] = gru_cell(sums[at], sums[at + 1], sums[at + 2], sums[at + 3], h)


@device
def _cells(S, before, sums):
    """Write the new hidden state of a unit to the first sums; the old one is at ``before``."""
    for m in range(0, TILE, 4):
        h0, h1, h2, h3 = load_four(S, uint64(before + m))
        _cell(sums, COLUMNS * m, h0)
        _cell(sums, COLUMNS * (m + 1), h1)
        _cell(sums, COLUMNS * (m + 2), h2)
        _cell(sums, COLUMNS * (m + 3), h3)


@device
def after(weights, program, layer, S, a, o, z, spacing):
    """Compute a GRU with the reset after the product.

    The standard one writes its hidden state to ``o``; of others the sums of column c of unit u go
    to row ``z + c H + u``.
    """
    sums = cuda.local.array(SUMS, float32)
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, F = program[layer + layout.UNITS], program[layer + layout.LAYER_INPUTS]
    panels, groups, step = (H + LANES - 1) // LANES, (spacing - SPACE) // TILE, 3 * LANES
    standard = is_standard(weights, program, layer)
    for item in range(warp, groups * panels, cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        w = program[layer + layout.WEIGHTS] + panel * (COLUMNS * LANES + (F + H) * step) + lane
        set_biases(weights, w, COLUMNS, sums)
        w += COLUMNS * LANES
        add_inputs(weights, w, S, a + begins, spacing, F, sums)
        add_hidden(weights, w + F * step, S, a + begins + F * spacing, spacing, H, sums)
        unit = panel * LANES + lane
        if unit < H:
            if standard:
                _cells(S, a + (F + unit) * spacing + begins, sums)
                store_sums(S, o + unit * spacing + begins, sums, 0)
            else:
                for c in range(COLUMNS):
                    store_sums(S, z + (c * H + unit) * spacing + begins, sums, c)


@device
def apply(weights, program, layer, S, a, z, o, spacing):
    """Apply the gates of a GRU with any activations.

    If the reset acts before the product, ``o`` has the candidate's sums and ``z`` those of the
    update gate; otherwise ``z`` has all sums, of :func:`after`.
    """
    before = program[layer + layout.KIND] == layout.GRU_BEFORE
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants, bits = program[layer + layout.CONSTANTS], shift_of(spacing)
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    kind = program[layer + layout.CANDIDATE_ACTIVATION]
    bound = weights[constants + layout.GATE_CLIP]
    for n in range(cuda.threadIdx.x, H << bits, cuda.blockDim.x):
        at = (n >> bits) * spacing + (n & ((1 << bits) - 1))
        if before:
            update, new = S[uint64(z + at)], S[uint64(o + at)]
        else:
            reset = activate(gate, a0, a1, clip(S[uint64(z + at)], bound))
            update = S[uint64(z + at + H * spacing)]
            new = S[uint64(z + at + 2 * H * spacing)]
            new += reset * S[uint64(z + at + 3 * H * spacing)]
        update = activate(gate, a0, a1, clip(update, bound))
        new = activate(kind, weights[constants + 2], weights[constants + 3], clip(new, bound))
        h = S[uint64(a + F * spacing + at)]
        S[uint64(o + at)] = new + update * (h - new)


@device
def reset(weights, program, layer, S, a, z, spacing):
    """Apply the reset gate, whose sums are at ``z``, to the hidden state before the product."""
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants, bits = program[layer + layout.CONSTANTS], shift_of(spacing)
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    bound = weights[constants + layout.GATE_CLIP]
    for n in range(cuda.threadIdx.x, H << bits, cuda.blockDim.x):
        at = (n >> bits) * spacing + (n & ((1 << bits) - 1))
        S[uint64(a + F * spacing + at)] *= activate(gate, a0, a1, clip(S[uint64(z + at)], bound))
