"""One step of a block of streams through all layers of a model, on the CPU.

``step_block`` and ``step_parallel`` run any model: they read its layers from the program
(layout.py). Streams go through in groups whose activations stay in cache from the first layer
to the last.
"""

from numba import njit, prange

from . import layout
from .activations import relu, sigmoid, tanh
from .cache import kernel
from .cells import lstm_cell
from .layout import COLUMNS, GROUP, HEADER, NARROW_CHAINS, ROW
from .matmul import product_tile
from .simd import LANES, load, store

WIDE = COLUMNS * LANES  # floats in one row of a panel
TILE = 6  # streams in the main tile

# AVX2 has 16 registers: 6 x 2 sums, 2 weights, 1 broadcast. AVX-512 and NEON have 32: 6 x 4.
SPLIT = 2 if LANES == 8 else 1
_tile6 = product_tile(6, COLUMNS // SPLIT)
_tile4 = product_tile(4, COLUMNS // SPLIT)
_tile2 = product_tile(2, COLUMNS)
_tile1 = product_tile(1, COLUMNS)
_pair = product_tile(1, COLUMNS, panels=2)
_narrow3 = product_tile(3, 1, chains=NARROW_CHAINS)
_narrow1 = product_tile(1, 1, chains=NARROW_CHAINS)


def scratch_size(stride: int) -> int:
    """Return how many float32 of scratch one thread needs; ``stride`` is the program's."""
    return 2 * GROUP * stride + TILE * WIDE


@njit
def _multiply_wide(A, a, stride, weights, w, K, Z, z, rows):
    """Multiply ``rows`` <= 6 rows of A with one wide panel: Z[row, COLUMNS, LANES]."""
    while rows >= 6:
        for part in range(SPLIT):
            v = part * (WIDE // SPLIT)
            _tile6(A, a, stride, weights, w + v, WIDE, 0, K, Z, z + v, WIDE)
        rows -= 6
        a += 6 * stride
        z += 6 * WIDE
    if rows >= 4:
        for part in range(SPLIT):
            v = part * (WIDE // SPLIT)
            _tile4(A, a, stride, weights, w + v, WIDE, 0, K, Z, z + v, WIDE)
        rows -= 4
        a += 4 * stride
        z += 4 * WIDE
    if rows >= 2:
        _tile2(A, a, stride, weights, w, WIDE, 0, K, Z, z, WIDE)
        rows -= 2
        a += 2 * stride
        z += 2 * WIDE
    if rows == 1:
        _tile1(A, a, stride, weights, w, WIDE, 0, K, Z, z, WIDE)


@njit
def _lstm(weights, program, layer, rows, slots, A, a, out, o, Z, z, first, count):
    """Advance ``count`` streams through one LSTM layer; inputs in A, hidden states to out."""
    row_size, stride = program[layout.ROW_SIZE], program[layout.STRIDE]
    F, H = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    h, c = program[layer + layout.HIDDEN], program[layer + layout.CELL]
    K = F + H
    panel = (K + 1) * WIDE
    w = program[layer + layout.WEIGHTS] + WIDE
    for m in range(count):
        base = slots[first + m] * row_size
        for unit in range(0, H, LANES):
            store(A, a + m * stride + F + unit, load(rows, base + h + unit))
    unit = 0
    if count == 1:
        # One stream has one row only: two panels at once give the adders enough to do.
        base = slots[first] * row_size
        while unit + LANES < H:
            _pair(A, a, stride, weights, w, WIDE, panel, K, Z, z, WIDE)
            lstm_cell(Z, z, rows, base + h + unit, base + c + unit, out, o + unit)
            unit += LANES
            lstm_cell(Z, z + WIDE, rows, base + h + unit, base + c + unit, out, o + unit)
            unit += LANES
            w += 2 * panel
    while unit < H:
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            _multiply_wide(A, a + m * stride, stride, weights, w, K, Z, z, tile)
            for r in range(tile):
                base = slots[first + m + r] * row_size + unit
                lstm_cell(
                    Z, z + r * WIDE, rows, base + h, base + c, out, o + (m + r) * stride + unit
                )
        unit += LANES
        w += panel


@njit(forceinline=True)
def _activate(kind, x):
    if kind == layout.RELU:
        return relu(x)
    if kind == layout.TANH:
        return tanh(x)
    if kind == layout.SIGMOID:
        return sigmoid(x)
    return x


@njit
def _dense(weights, program, layer, A, a, out, o, Z, z, count):
    """Take ``count`` rows of A through one dense layer into out."""
    stride = program[layout.STRIDE]
    K, outputs = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    activation = program[layer + layout.ACTIVATION]
    w = program[layer + layout.WEIGHTS]
    vectors = (outputs + LANES - 1) // LANES
    column = 0
    while vectors - column >= COLUMNS:
        for m in range(0, count, TILE):
            tile = min(TILE, count - m)
            _multiply_wide(A, a + m * stride, stride, weights, w + WIDE, K, Z, z, tile)
            for r in range(tile):
                for v in range(0, WIDE, LANES):
                    y = _activate(activation, load(Z, z + r * WIDE + v))
                    store(out, o + (m + r) * stride + column * LANES + v, y)
        w += (K + 1) * WIDE
        column += COLUMNS
    while column < vectors:
        m = 0
        while m < count:
            if count - m >= 3:
                tile = 3
                _narrow3(A, a + m * stride, stride, weights, w + LANES, LANES, 0, K, Z, z, LANES)
            else:
                tile = 1
                _narrow1(A, a + m * stride, stride, weights, w + LANES, LANES, 0, K, Z, z, LANES)
            for r in range(tile):
                y = _activate(activation, load(Z, z + r * LANES))
                store(out, o + (m + r) * stride + column * LANES, y)
            m += tile
        w += (K + 1) * LANES
        column += 1


@njit
def _step_group(weights, program, rows, slots, X, Y, scratch, s, first, count):
    """Step streams ``first`` to ``first + count`` of the block; scratch starts at ``s``."""
    F, O = program[layout.INPUTS], program[layout.OUTPUTS]
    stride = program[layout.STRIDE]
    a, b = s, s + GROUP * stride
    z = s + 2 * GROUP * stride
    mean = program[layout.INPUT_SCALING]
    for m in range(count):
        for k in range(F):
            x = (X[first + m, k] - weights[mean + k]) * weights[mean + F + k]
            scratch[a + m * stride + k] = x
    layer = HEADER
    for _ in range(program[layout.LAYERS]):
        if program[layer + layout.KIND] == layout.LSTM:
            _lstm(
                weights,
                program,
                layer,
                rows,
                slots,
                scratch,
                a,
                scratch,
                b,
                scratch,
                z,
                first,
                count,
            )
        else:
            _dense(weights, program, layer, scratch, a, scratch, b, scratch, z, count)
        a, b = b, a
        layer += ROW
    scale = program[layout.OUTPUT_SCALING]
    skip = program[layout.SKIP]
    for m in range(count):
        for k in range(O):
            y = scratch[a + m * stride + k] * weights[scale + k] + weights[scale + O + k]
            if skip >= 0 and program[skip + k] >= 0:
                y += X[first + m, program[skip + k]]
            Y[first + m, k] = y


@kernel()
def step_block(weights, program, rows, slots, X, Y, scratch):
    """Step every stream of a block once.

    Parameters
    ----------
    weights : float32[...]
        The model's weight block (streamlstm.plan).
    program : int64[...]
        The model's integer table (layout.py).
    rows : float32[S * R]
        The state rows, flat; those of the block are advanced in place.
    slots : int64[B]
        Row numbers, each at most once.
    X, Y : float32[B, F], float32[B, O]
        Observations, and where predictions go.
    scratch : float32[threads, scratch_size(stride)]
        Working memory; its content means nothing between calls.
    """
    for first in range(0, slots.shape[0], GROUP):
        count = min(GROUP, slots.shape[0] - first)
        _step_group(weights, program, rows, slots, X, Y, scratch[0], 0, first, count)


@kernel(parallel=True)
def step_parallel(weights, program, rows, slots, X, Y, scratch):
    """Step every stream of a block once, on as many threads as ``scratch`` has rows.

    Parameters are those of :func:`step_block`, and so are the results, bit for bit.
    """
    threads = scratch.shape[0]
    groups = (slots.shape[0] + GROUP - 1) // GROUP
    for thread in prange(threads):
        begin, end = groups * thread // threads, groups * (thread + 1) // threads
        for group in range(begin, end):
            first = group * GROUP
            count = min(GROUP, slots.shape[0] - first)
            _step_group(weights, program, rows, slots, X, Y, scratch[thread], 0, first, count)
