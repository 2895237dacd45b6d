"""The LSTM on CUDA: the plain one from products to new state in registers, and every option.

Positions in the rows of values are those of streams.py: a layer reads its inputs at ``a``, with the
hidden state behind them, and writes its output to ``o``.
"""

from numba import cuda, float32, uint64

from .. import layout
from ..layout import COLUMNS, PAD
from .activations import activate, clip, lower
from .cells import lstm_cell, lstm_hidden
from .sizes import LANES, TILE
from .thread import moments, up
from .tiles import SPACE, SUMS, add_coupled, add_four, set_biases, store_sums

device = cuda.jit(device=True)


@device
def _load(rows, starts, begins, count, c, cells):
    """Load the old cell state of one unit of the tile's streams."""
    for m in range(TILE):
        cells[m] = float32(0.0)
    if begins < count:
        last = lower(begins + TILE, count) - 1
        for m in range(TILE):
            cells[m] = rows[uint64(starts[uint64(lower(begins + m, last))] + c)]


@device
def _store(rows, starts, begins, count, h, c, sums):
    """Store the new cell and hidden state, which are in the first and the last sum."""
    for m in range(TILE):
        if begins + m < count:
            row = starts[uint64(begins + m)]
            rows[uint64(row + c)] = sums[COLUMNS * m]
            rows[uint64(row + h)] = sums[COLUMNS * m + 3]


@device
def plain(weights, program, layer, rows, starts, count, S, a, o, spacing):
    """Compute an LSTM without options."""
    sums, cells = cuda.local.array(SUMS, float32), cuda.local.array(TILE, float32)
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, K = program[layer + layout.UNITS], program[layer + layout.LAYER_INPUTS]
    K += H
    panels, groups = (H + LANES - 1) // LANES, (spacing - SPACE) // TILE
    for item in range(warp, groups * panels, cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        w = program[layer + layout.WEIGHTS] + panel * (1 + K) * COLUMNS * LANES + lane
        unit = panel * LANES + lane
        c = program[layer + layout.CELL] + unit
        if unit < H:
            _load(rows, starts, begins, count, c, cells)  # the loads overlap with the sums
        set_biases(weights, w, COLUMNS, sums)
        add_four(weights, w + COLUMNS * LANES, S, a + begins, spacing, K, sums)
        if unit < H:
            for m in range(TILE):
                at = COLUMNS * m
                cell = lstm_cell(sums[at], sums[at + 1], sums[at + 2], cells[m])
                sums[at], sums[at + 3] = cell, lstm_hidden(sums[at + 3], cell)
            store_sums(S, o + unit * spacing + begins, sums, 3)
            _store(rows, starts, begins, count, program[layer + layout.HIDDEN] + unit, c, sums)


@device
def _gate_sums(weights, program, layer, S, a, z, spacing):
    """Write the sums of gate c of unit u to row ``z + c H + u``."""
    sums = cuda.local.array(SUMS, float32)
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, K = program[layer + layout.UNITS], program[layer + layout.LAYER_INPUTS]
    K += program[layer + layout.LAYER_OUTPUTS]
    coupled = program[layer + layout.COUPLED]
    panels, groups = (H + LANES - 1) // LANES, (spacing - SPACE) // TILE
    for item in range(warp, groups * panels, cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        step = (COLUMNS - coupled) * LANES
        w = program[layer + layout.WEIGHTS] + panel * (COLUMNS * LANES + K * step) + lane
        set_biases(weights, w, COLUMNS, sums)
        w += COLUMNS * LANES
        if coupled != 0:
            add_coupled(weights, w, S, a + begins, spacing, K, sums)
        else:
            add_four(weights, w, S, a + begins, spacing, K, sums)
        unit = panel * LANES + lane
        if unit < H:
            for c in range(COLUMNS):
                store_sums(S, z + (c * H + unit) * spacing + begins, sums, c)


@device
def _norm_gates(weights, program, layer, S, z, spacing):
    """Normalise each gate's sums over the units, a thread a stream and gate."""
    H, width = program[layer + layout.UNITS], spacing - SPACE
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    shifts = COLUMNS * up(H, LANES)
    for n in range(cuda.threadIdx.x, COLUMNS * width, cuda.blockDim.x):
        gate, m = n // width, n % width
        if gate == 1 and program[layer + layout.COUPLED] != 0:
            continue
        place = z + gate * H * spacing + m
        mean, factor = moments(S, place, spacing, H, epsilon)
        for u in range(H):
            gain = program[layer + layout.NORM] + (u // LANES * COLUMNS + gate) * LANES + u % LANES
            at = uint64(place + u * spacing)
            S[at] = (S[at] - mean) * factor * weights[gain] + weights[gain + shifts]


@device
def _cell(weights, program, layer, i, f, g, y, c, peephole):
    """Return the new cell and hidden state of one unit from its sums and the old cell state."""
    H, constants = program[layer + layout.UNITS], program[layer + layout.CONSTANTS]
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    bound, apart = weights[constants + layout.GATE_CLIP], up(H, PAD)
    i = activate(gate, a0, a1, clip(i + weights[peephole] * c, bound))
    if program[layer + layout.COUPLED] == 0:
        f = activate(gate, a0, a1, clip(f + weights[peephole + apart] * c, bound))
    else:
        f = float32(1.0) - i
    kind = program[layer + layout.CANDIDATE_ACTIVATION]
    g = activate(kind, weights[constants + 2], weights[constants + 3], clip(g, bound))
    c = clip(f * c + i * g, weights[constants + layout.CELL_CLIP])
    y = activate(gate, a0, a1, clip(y + weights[peephole + 2 * apart] * c, bound))
    kind = program[layer + layout.CELL_ACTIVATION]
    return c, y * activate(kind, weights[constants + 4], weights[constants + 5], c)


@device
def _cells(weights, program, layer, rows, starts, count, S, z, o, spacing):
    """Apply the gates to the sums of :func:`_gate_sums`; a lane a unit, a warp a stream."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, start = program[layer + layout.UNITS], program[layer + layout.CELL]
    gates, peephole = H * spacing, program[layer + layout.PEEPHOLE]
    for m in range(warp, spacing - SPACE, cuda.blockDim.x // LANES):
        row = starts[uint64(m)] + start
        for u in range(lane, H, LANES):
            i, h = z + u * spacing + m, float32(0.0)
            if m < count:
                c, h = _cell(
                    weights, program, layer,
                    S[uint64(i)], S[uint64(i + gates)], S[uint64(i + 2 * gates)],
                    S[uint64(i + 3 * gates)], rows[uint64(row + u)], peephole + u,
                )  # fmt: skip
                rows[uint64(row + u)] = c
            S[uint64(o + u * spacing + m)] = h


@device
def with_options(weights, program, layer, rows, starts, count, S, a, o, z, spacing):
    """Compute an LSTM with options, up to the projection; the sums of its gates go to ``z``."""
    _gate_sums(weights, program, layer, S, a, z, spacing)
    cuda.syncthreads()
    if program[layer + layout.NORM] >= 0:
        _norm_gates(weights, program, layer, S, z, spacing)
        cuda.syncthreads()
    _cells(weights, program, layer, rows, starts, count, S, z, o, spacing)
    cuda.syncthreads()
