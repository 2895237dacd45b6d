"""One step of a block of streams through all layers in one launch: the fast kernel.

A block of threads takes some streams, a multiple of the tile, from their observations to their
predictions. What a layer reads and what it writes stands in shared memory, one row a value and one
column a stream (panels.py); for networks too large for that, in global memory, which the caches
hold. Rows of the state are gathered and scattered by slot here, neighbouring threads taking
neighbouring floats. Weights are read by every warp as one run of cache lines a vector: from shared
memory where they fit in beside the values, otherwise mostly from the first-level cache.

Plain LSTM and usual GRU go from products to the new state in registers. All else puts its sums into
memory and goes over them once more: every option of every layer is here.
"""

import math

import numpy as np
from numba import cuda, float32, int64, uint64
from numpy.typing import NDArray

from .. import layout
from ..layout import COLUMNS, HEADER, PAD, ROW
from .activations import SOFTMAX, activate, clip, lower, upper
from .jit import kernel
from .one import is_usual_gru, moments, row_of, softmax, up
from .panels import begin, gru_cell, lstm_cell, lstm_hidden, of_hidden, of_inputs, wide
from .sizes import LANES, REGISTERS, TILE

part = cuda.jit(device=True)

SUMS = 4 * TILE
SPACE = 4  # floats between the rows of values: keeps them on 16 bytes and off each other's banks


@part
def _gather(rows, slots, R, first, count, start, width, S, a, spacing):
    """Put ``width`` floats from ``start`` on of each stream's row into the rows from ``a`` on."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for m in range(warp, spacing - SPACE, cuda.blockDim.x // LANES):
        row = row_of(slots, first + m, R) + start if m < count else int64(0)
        for k in range(lane, width, LANES):
            S[uint64(a + k * spacing + m)] = rows[row + k] if m < count else float32(0.0)


@part
def _scatter(rows, slots, R, first, count, start, width, S, o, spacing):
    """Put the rows from ``o`` on where :func:`_gather` would find them."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    for m in range(warp, count, cuda.blockDim.x // LANES):
        row = row_of(slots, first + m, R) + start
        for k in range(lane, width, LANES):
            rows[row + k] = S[uint64(o + k * spacing + m)]


@part
def _plain_lstm(weights, program, layer, rows, slots, first, count, S, a, o, spacing, sums, cells):
    """From inputs and hidden state at ``a`` to the new hidden state at ``o`` and in the rows."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, R = program[layer + layout.UNITS], program[layout.ROW_SIZE]
    K = program[layer + layout.LAYER_INPUTS] + H
    groups = (spacing - SPACE) // TILE
    for item in range(warp, groups * ((H + LANES - 1) // LANES), cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        w = program[layer + layout.WEIGHTS] + panel * (1 + K) * COLUMNS * LANES + lane
        begin(weights, w, LANES, 2 * LANES, 3 * LANES, sums)
        w += COLUMNS * LANES
        wide(
            weights, w, COLUMNS * LANES, S, a + begins, spacing, K,
            LANES, 2 * LANES, 3 * LANES, sums,
        )  # fmt: skip
        unit = panel * LANES + lane
        if unit >= H:
            continue
        c = program[layer + layout.CELL] + unit
        for m in range(TILE):
            cells[m] = float32(0.0)
            if begins + m < count:
                cells[m] = rows[row_of(slots, first + begins + m, R) + c]
        h, place = program[layer + layout.HIDDEN] + unit, o + unit * spacing + begins
        for m in range(TILE):
            cell = lstm_cell(sums[4 * m], sums[4 * m + 1], sums[4 * m + 2], cells[m])
            hidden = lstm_hidden(sums[4 * m + 3], cell)
            S[uint64(place + m)] = hidden
            if begins + m < count:
                row = row_of(slots, first + begins + m, R)
                rows[row + c] = cell
                rows[row + h] = hidden


@part
def _plain_gru(weights, program, layer, rows, slots, first, count, S, a, o, spacing, sums):
    """Do the same for a GRU with the usual activations and the reset after the product."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, R = program[layer + layout.UNITS], program[layout.ROW_SIZE]
    F = program[layer + layout.LAYER_INPUTS]
    groups, step = (spacing - SPACE) // TILE, 3 * LANES
    for item in range(warp, groups * ((H + LANES - 1) // LANES), cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        w = program[layer + layout.WEIGHTS] + panel * (4 * LANES + (F + H) * step) + lane
        begin(weights, w, LANES, 2 * LANES, 3 * LANES, sums)
        w += 4 * LANES
        of_inputs(weights, w, step, S, a + begins, spacing, F, sums)
        w += F * step
        of_hidden(weights, w, step, S, a + begins + F * spacing, spacing, H, sums)
        unit = panel * LANES + lane
        if unit >= H:
            continue
        h, place = program[layer + layout.HIDDEN] + unit, o + unit * spacing + begins
        before = a + (F + unit) * spacing + begins
        for m in range(TILE):
            hidden = gru_cell(
                sums[4 * m], sums[4 * m + 1], sums[4 * m + 2], sums[4 * m + 3],
                S[uint64(before + m)],
            )  # fmt: skip
            S[uint64(place + m)] = hidden
            if begins + m < count:
                rows[row_of(slots, first + begins + m, R) + h] = hidden


@part
def _gate_sums(weights, program, layer, S, a, z, spacing, sums):
    """Put the four sums of every unit of an LSTM or GRU into rows: c of unit u at 4 u + c."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, F = program[layer + layout.UNITS], program[layer + layout.LAYER_INPUTS]
    K = F + program[layer + layout.LAYER_OUTPUTS]
    gru = program[layer + layout.KIND] == layout.GRU
    coupled = program[layer + layout.COUPLED] != 0
    groups = (spacing - SPACE) // TILE
    step = 3 * LANES if gru or coupled else COLUMNS * LANES
    for item in range(warp, groups * ((H + LANES - 1) // LANES), cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        w = program[layer + layout.WEIGHTS] + panel * (4 * LANES + K * step) + lane
        begin(weights, w, LANES, 2 * LANES, 3 * LANES, sums)
        w += 4 * LANES
        if gru:
            of_inputs(weights, w, step, S, a + begins, spacing, F, sums)
            w += F * step
            of_hidden(weights, w, step, S, a + begins + F * spacing, spacing, K - F, sums)
        else:
            # Where f is coupled to i, rows have no vector for it; what is added means nothing.
            second = 0 if coupled else LANES
            third = LANES if coupled else 2 * LANES
            wide(
                weights, w, step, S, a + begins, spacing, K,
                second, third, third + LANES, sums,
            )  # fmt: skip
        unit = panel * LANES + lane
        if unit < H:
            place = z + 4 * unit * spacing + begins
            for m in range(TILE):
                for c in range(4):
                    S[uint64(place + c * spacing + m)] = sums[4 * m + c]


@part
def _product(weights, w, K, outputs, S, a, o, spacing, sums):
    """Multiply the rows from ``a`` on with panels of packing.pack_product into those from ``o``."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    groups = (spacing - SPACE) // TILE
    vectors = (outputs + LANES - 1) // LANES
    whole = vectors // COLUMNS
    # Panels of four vectors, then at most one of two and one of one.
    panels = whole + (vectors % COLUMNS) // 2 + vectors % 2
    for item in range(warp, groups * panels, cuda.blockDim.x // LANES):
        panel, begins = item // groups, item % groups * TILE
        columns, done = int64(COLUMNS), panel * COLUMNS
        if panel >= whole:
            columns, done = int64(1), vectors - 1
            if panel == whole and vectors % COLUMNS >= 2:
                columns, done = int64(2), whole * COLUMNS
        step = columns * LANES
        last = (columns - 1) * LANES
        second, third = lower(int64(LANES), last), lower(int64(2 * LANES), last)
        at = w + done * LANES * (1 + K) + lane
        begin(weights, at, second, third, last, sums)
        at += step
        wide(weights, at, step, S, a + begins, spacing, K, second, third, last, sums)
        for c in range(4):
            n = (done + c) * LANES + lane
            if c < columns and n < outputs:
                for m in range(TILE):
                    S[uint64(o + n * spacing + begins + m)] = sums[4 * m + c]


@part
def _norm_gates(weights, program, layer, S, z, spacing):
    """Normalise each gate's sums over the units, a thread a stream and gate."""
    H, width = program[layer + layout.UNITS], spacing - SPACE
    epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
    for n in range(cuda.threadIdx.x, 4 * width, cuda.blockDim.x):
        gate, m = n // width, n % width
        if gate == 1 and program[layer + layout.COUPLED] != 0:
            continue
        place = z + gate * spacing + m
        mean, factor = moments(S, place, 4 * spacing, H, epsilon)
        for u in range(H):
            gain = program[layer + layout.NORM] + (u // LANES * 4 + gate) * LANES + u % LANES
            at = uint64(place + 4 * u * spacing)
            shift = weights[gain + 4 * up(H, LANES)]
            S[at] = (S[at] - mean) * factor * weights[gain] + shift


@part
def _lstm_cells(weights, program, layer, rows, slots, first, count, S, z, o, spacing):
    """Apply the gates of an LSTM with any options to the sums of ``_gate_sums``."""
    lane, warp = cuda.threadIdx.x % LANES, cuda.threadIdx.x // LANES
    H, constants = program[layer + layout.UNITS], program[layer + layout.CONSTANTS]
    R, cell = program[layout.ROW_SIZE], program[layer + layout.CELL]
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    bound = weights[constants + layout.GATE_CLIP]
    apart = up(H, PAD)
    for m in range(warp, count, cuda.blockDim.x // LANES):
        row = row_of(slots, first + m, R) + cell
        for u in range(lane, H, LANES):
            place, peephole = z + 4 * u * spacing + m, program[layer + layout.PEEPHOLE] + u
            c = rows[row + u]
            i = S[uint64(place)] + weights[peephole] * c
            i = activate(gate, a0, a1, clip(i, bound))
            f = float32(1.0) - i
            if program[layer + layout.COUPLED] == 0:
                f = S[uint64(place + spacing)] + weights[peephole + apart] * c
                f = activate(gate, a0, a1, clip(f, bound))
            kind = program[layer + layout.CANDIDATE_ACTIVATION]
            g = clip(S[uint64(place + 2 * spacing)], bound)
            g = activate(kind, weights[constants + 2], weights[constants + 3], g)
            c = clip(f * c + i * g, weights[constants + layout.CELL_CLIP])
            y = S[uint64(place + 3 * spacing)] + weights[peephole + 2 * apart] * c
            y = activate(gate, a0, a1, clip(y, bound))
            rows[row + u] = c
            kind = program[layer + layout.CELL_ACTIVATION]
            shown = activate(kind, weights[constants + 4], weights[constants + 5], c)
            S[uint64(o + u * spacing + m)] = y * shown


@part
def _lstm(weights, program, layer, rows, slots, first, count, S, a, o, z, spacing, sums):
    """An LSTM with options; what it hands on ends at ``o``."""
    R, H = program[layout.ROW_SIZE], program[layer + layout.UNITS]
    P, hidden = program[layer + layout.LAYER_OUTPUTS], program[layer + layout.HIDDEN]
    _gate_sums(weights, program, layer, S, a, z, spacing, sums)
    cuda.syncthreads()
    if program[layer + layout.NORM] >= 0:
        _norm_gates(weights, program, layer, S, z, spacing)
        cuda.syncthreads()
    _lstm_cells(weights, program, layer, rows, slots, first, count, S, z, o, spacing)
    cuda.syncthreads()
    if program[layer + layout.PROJECTION] >= 0:
        _product(weights, program[layer + layout.PROJECTION], H, P, S, o, a, spacing, sums)
        cuda.syncthreads()
        bound = weights[program[layer + layout.CONSTANTS] + layout.PROJECTION_CLIP]
        width = spacing - SPACE
        for n in range(cuda.threadIdx.x, P * width, cuda.blockDim.x):
            at = n // width * spacing + n % width
            S[uint64(o + at)] = clip(S[uint64(a + at)], bound)
        cuda.syncthreads()
    _scatter(rows, slots, R, first, count, hidden, P, S, o, spacing)


@part
def _gru_cells(weights, program, layer, S, a, z, o, spacing, before):
    """Apply the gates of a GRU with any activations.

    If the reset acts ``before`` the product, ``o`` has the candidate's sums and ``z`` those of the
    update gate; otherwise ``z`` has all sums, of :func:`_gate_sums`.
    """
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    constants, width = program[layer + layout.CONSTANTS], spacing - SPACE
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    kind = program[layer + layout.CANDIDATE_ACTIVATION]
    bound = weights[constants + layout.GATE_CLIP]
    for k in range(cuda.threadIdx.x, H * width, cuda.blockDim.x):
        u, m = k // width, k % width
        place = o + u * spacing + m
        if before:
            update, n = S[uint64(z + u * spacing + m)], S[uint64(place)]
        else:
            sums = z + 4 * u * spacing + m
            reset = activate(gate, a0, a1, clip(S[uint64(sums)], bound))
            update = S[uint64(sums + spacing)]
            n = S[uint64(sums + 2 * spacing)] + reset * S[uint64(sums + 3 * spacing)]
        update = activate(gate, a0, a1, clip(update, bound))
        n = clip(n, bound)
        n = activate(kind, weights[constants + 2], weights[constants + 3], n)
        h = S[uint64(a + (F + u) * spacing + m)]
        S[uint64(place)] = n + update * (h - n)


@part
def _gru_before(weights, program, layer, rows, slots, first, count, S, a, o, z, spacing, sums):
    """A GRU whose reset gate acts before the product; its gates' sums go to ``z``."""
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.UNITS]
    R, hidden = program[layout.ROW_SIZE], program[layer + layout.HIDDEN]
    constants, width = program[layer + layout.CONSTANTS], spacing - SPACE
    gate, a0, a1 = program[layer + layout.ACTIVATION], weights[constants], weights[constants + 1]
    bound = weights[constants + layout.GATE_CLIP]
    apart = up(H, PAD)
    _product(
        weights, program[layer + layout.WEIGHTS], F + H, 2 * apart, S, a, z, spacing, sums
    )  # fmt: skip
    cuda.syncthreads()
    for n in range(cuda.threadIdx.x, H * width, cuda.blockDim.x):
        at = n // width * spacing + n % width
        reset = activate(gate, a0, a1, clip(S[uint64(z + at)], bound))
        S[uint64(a + F * spacing + at)] *= reset
    cuda.syncthreads()
    _product(weights, program[layer + layout.VECTORS], F + H, H, S, a, o, spacing, sums)
    cuda.syncthreads()
    _gather(rows, slots, R, first, count, hidden, H, S, a + F * spacing, spacing)
    cuda.syncthreads()
    _gru_cells(weights, program, layer, S, a, z + apart * spacing, o, spacing, True)


@part
def _activate_all(weights, program, layer, bound, S, o, outputs, spacing):
    """Activate the rows from ``o`` on; a softmax a thread a stream."""
    kind, constants = program[layer + layout.ACTIVATION], program[layer + layout.CONSTANTS]
    width = spacing - SPACE
    if kind >= SOFTMAX:
        for m in range(cuda.threadIdx.x, width, cuda.blockDim.x):
            softmax(S, o, outputs, spacing, m, kind > SOFTMAX)
        return
    first, second = weights[constants], weights[constants + 1]
    for n in range(cuda.threadIdx.x, outputs * width, cuda.blockDim.x):
        at = uint64(o + n // width * spacing + n % width)
        S[at] = activate(kind, first, second, clip(S[at], bound))


@part
def _pointwise(weights, program, layer, S, a, o, spacing):
    """A pointwise layer, or a layer norm, which a thread does for a stream."""
    outputs, scale = program[layer + layout.LAYER_INPUTS], program[layer + layout.VECTORS]
    shift, width = scale + up(outputs, PAD), spacing - SPACE
    if program[layer + layout.KIND] == layout.LAYER_NORM:
        epsilon = weights[program[layer + layout.CONSTANTS] + layout.EPSILON]
        for m in range(cuda.threadIdx.x, width, cuda.blockDim.x):
            mean, factor = moments(S, a + m, spacing, outputs, epsilon)
            for n in range(outputs):
                y = (S[uint64(a + n * spacing + m)] - mean) * factor
                S[uint64(o + n * spacing + m)] = y * weights[scale + n] + weights[shift + n]
        return
    for k in range(cuda.threadIdx.x, outputs * width, cuda.blockDim.x):
        n, m = k // width, k % width
        y = S[uint64(a + n * spacing + m)] * weights[scale + n] + weights[shift + n]
        S[uint64(o + n * spacing + m)] = y
    cuda.syncthreads()
    _activate_all(weights, program, layer, float32(math.inf), S, o, outputs, spacing)


@part
def _embedding(weights, program, layer, S, a, o, spacing):
    features = program[layer + layout.LAYER_INPUTS]
    outputs = program[layer + layout.LAYER_OUTPUTS]
    dimension, width = outputs - features + 1, spacing - SPACE
    for k in range(cuda.threadIdx.x, outputs * width, cuda.blockDim.x):
        n, m = k // width, k % width
        if n < dimension:
            # The engine has refused what is no category; this keeps the read inside the table.
            category = upper(int64(S[uint64(a + m)]), int64(0))
            category = lower(category, program[layer + layout.UNITS] - 1)
            start = program[layer + layout.VECTORS] + category * up(dimension, PAD)
            S[uint64(o + n * spacing + m)] = weights[start + n]
        else:
            S[uint64(o + n * spacing + m)] = S[uint64(a + (n - dimension + 1) * spacing + m)]


@part
def _layer(weights, program, layer, rows, slots, first, count, S, a, o, z, spacing, sums, cells):
    """Take the values at ``a`` through a layer to ``o``."""
    kind, R = program[layer + layout.KIND], program[layout.ROW_SIZE]
    F, outputs = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    hidden = program[layer + layout.HIDDEN]
    if kind <= layout.RNN:
        _gather(rows, slots, R, first, count, hidden, outputs, S, a + F * spacing, spacing)
        cuda.syncthreads()
    if kind == layout.LSTM:
        _plain_lstm(
            weights, program, layer, rows, slots, first, count, S, a, o, spacing, sums, cells
        )
    elif kind <= layout.LSTM_NORM:
        _lstm(weights, program, layer, rows, slots, first, count, S, a, o, z, spacing, sums)
    elif kind == layout.GRU and is_usual_gru(weights, program, layer):
        _plain_gru(weights, program, layer, rows, slots, first, count, S, a, o, spacing, sums)
    elif kind <= layout.GRU_BEFORE:
        if kind == layout.GRU:
            _gate_sums(weights, program, layer, S, a, z, spacing, sums)
            cuda.syncthreads()
            _gru_cells(weights, program, layer, S, a, z, o, spacing, False)
        else:
            _gru_before(
                weights, program, layer, rows, slots, first, count, S, a, o, z, spacing, sums
            )
        cuda.syncthreads()
        _scatter(rows, slots, R, first, count, hidden, outputs, S, o, spacing)
    elif kind == layout.RNN or kind == layout.DENSE:
        K, bound = F, float32(math.inf)
        if kind == layout.RNN:
            K, bound = (
                F + outputs,
                weights[program[layer + layout.CONSTANTS] + layout.GATE_CLIP],
            )
        _product(weights, program[layer + layout.WEIGHTS], K, outputs, S, a, o, spacing, sums)
        cuda.syncthreads()
        _activate_all(weights, program, layer, bound, S, o, outputs, spacing)
        if kind == layout.RNN:
            cuda.syncthreads()
            _scatter(rows, slots, R, first, count, hidden, outputs, S, o, spacing)
    elif kind == layout.EMBEDDING:
        _embedding(weights, program, layer, S, a, o, spacing)
    else:
        _pointwise(weights, program, layer, S, a, o, spacing)
    cuda.syncthreads()


@part
def _inputs(weights, program, X, first, count, S, a, spacing):
    """Put the scaled observations into rows."""
    F, mean, width = program[layout.INPUTS], program[layout.INPUT_SCALING], spacing - SPACE
    for n in range(cuda.threadIdx.x, F * width, cuda.blockDim.x):
        m, k = n // F, n % F
        x = float32(0.0)
        if m < count:
            x = (X[first * F + n] - weights[mean + k]) * weights[mean + F + k]
        S[uint64(a + k * spacing + m)] = x
    cuda.syncthreads()


@part
def _outputs(weights, program, rows, slots, X, Y, first, count, S, a, spacing):
    """Bring predictions into the unit of the series, and keep those of numbered observations."""
    F, O, scale = program[layout.INPUTS], program[layout.OUTPUTS], program[layout.OUTPUT_SCALING]
    skip, factors = program[layout.SKIP], program[layout.SKIP_SCALE]
    kept = program[layout.PREDICTION]
    for n in range(cuda.threadIdx.x, O * count, cuda.blockDim.x):
        m, k = n // O, n % O
        y = S[uint64(a + k * spacing + m)] * weights[scale + k] + weights[scale + O + k]
        if skip >= 0 and program[skip + k] >= 0:
            y += X[(first + m) * F + program[skip + k]] * weights[factors + k]
        Y[first * O + n] = y
        slot = int64(slots[1 + first + m])
        if slot >= 0:
            rows[slot * program[layout.ROW_SIZE] + kept + k] = y
    cuda.syncthreads()


@part
def _step(weights, program, rows, slots, X, Y, S, at, width, sums, cells):
    """Step a whole block, ``width`` streams at a time; values stand from ``S[at]`` on."""
    stride, spacing = program[layout.STRIDE], width + SPACE
    total = int64(slots[0])
    for first in range(cuda.blockIdx.x * width, total, cuda.gridDim.x * width):
        count = lower(width, total - first)
        a, o = at, at + stride * spacing
        z = o + stride * spacing
        _inputs(weights, program, X, first, count, S, a, spacing)
        for n in range(program[layout.LAYERS]):
            _layer(
                weights, program, HEADER + n * ROW, rows, slots, first, count,
                S, a, o, z, spacing, sums, cells,
            )  # fmt: skip
            a, o = o, a
        _outputs(weights, program, rows, slots, X, Y, first, count, S, a, spacing)


@kernel(max_registers=REGISTERS)
def step_shared(weights, program, rows, slots, X, Y, scratch, width):
    """Step every stream of a block once; values stand in dynamic shared memory.

    Parameters
    ----------
    weights, program, rows, slots, X, Y
        As for :func:`streamlstm.kernels.cuda.scalar.step`, packed for vectors of LANES floats.
    scratch : float32[0]
        Not used.
    width : int64
        Streams of a block of threads, a multiple of TILE. Shared memory is for
        ``values(program) * (width + SPACE)`` floats.
    """
    S = cuda.shared.array(0, float32)
    sums, cells = cuda.local.array(SUMS, float32), cuda.local.array(TILE, float32)
    _step(weights, program, rows, slots, X, Y, S, int64(0), width, sums, cells)


@kernel()
def step_resident(weights, program, rows, slots, X, Y, scratch, width):
    """Do the same with a copy of all weights in shared memory, in front of the values."""
    S = cuda.shared.array(0, float32)
    sums, cells = cuda.local.array(SUMS, float32), cuda.local.array(TILE, float32)
    for n in range(cuda.threadIdx.x, weights.shape[0], cuda.blockDim.x):
        S[uint64(n)] = weights[n]
    cuda.syncthreads()
    _step(S, program, rows, slots, X, Y, S, weights.shape[0], width, sums, cells)


@kernel()
def step_global(weights, program, rows, slots, X, Y, scratch, width):
    """Do the same with values in ``scratch``, of which each block of threads takes its part."""
    sums, cells = cuda.local.array(SUMS, float32), cuda.local.array(TILE, float32)
    at = int64(cuda.blockIdx.x) * (scratch.shape[0] // cuda.gridDim.x)
    _step(weights, program, rows, slots, X, Y, scratch, at, width, sums, cells)


def values(program: NDArray[np.int64]) -> int:
    """Return how many values of a stream are kept at once."""
    layers = program[HEADER:][: ROW * int(program[layout.LAYERS])].reshape(-1, ROW)
    sums = 0
    for row in layers:
        units = int(row[layout.UNITS])
        if layout.LSTM < row[layout.KIND] <= layout.GRU:
            sums = max(sums, 4 * units)
        elif row[layout.KIND] == layout.GRU_BEFORE:
            sums = max(sums, 2 * layout.padded(units))
    return 2 * int(program[layout.STRIDE]) + sums
