"""Multiply a group of streams with one panel, in tiles that fit the registers.

AVX2 has 16 registers: a tile of 6 streams x 2 vectors has 12 sums, 2 weights, 1 broadcast.
AVX-512 and NEON have 32: 6 x 4.
"""

from numba import njit

from .cache import internal
from .layout import COLUMNS, HALF_CHAINS, NARROW_CHAINS
from .matmul import product_tile
from .simd import LANES, target

WIDE = COLUMNS * LANES  # floats in one row of a panel, or of its sums
TILE = 6  # streams in the main tile
HALF = 2 * LANES  # a row of a panel of two vectors
THREE = 3 * LANES  # a row of a panel of three gates: a GRU's r, z, n, or i, g, o of a coupled LSTM

SPLIT = LANES == 8
HALF_TILE = 3

_ALL = [[(n, n) for n in range(COLUMNS)]]
_HALF = [[(0, 0), (1, 1)]]
_FIRST = [[(0, 0)]]
_THREE = [[(0, 0), (1, 2), (2, 3)]]
_HALF_OF_THREE = [[(0, 0), (1, 2)]]
_REST_OF_THREE = [[(2, 3)]]
_GRU = [[(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (2, 3)]]
_GRU_GATES = [[(0, 0), (1, 1)], [(0, 0), (1, 1)]]
_GRU_CANDIDATE = [[(2, 2)], [(2, 3)]]

_wide6 = product_tile(6, _HALF if SPLIT else _ALL)
_wide4 = product_tile(4, _HALF if SPLIT else _ALL)
_wide2 = product_tile(2, _ALL)
_wide1 = product_tile(1, _ALL)
_half_tile = product_tile(HALF_TILE, _HALF, chains=HALF_CHAINS)
_half1 = product_tile(1, _HALF, chains=HALF_CHAINS)
_narrow3 = product_tile(3, _FIRST, chains=NARROW_CHAINS)
_narrow1 = product_tile(1, _FIRST, chains=NARROW_CHAINS)
_three6 = product_tile(6, _HALF_OF_THREE if SPLIT else _THREE)
_three6_rest = product_tile(6, _REST_OF_THREE)
_three2 = product_tile(2, _THREE)
_three1 = product_tile(1, _THREE)
_gru6 = product_tile(6, _GRU_GATES if SPLIT else _GRU)
_gru6_candidate = product_tile(6, _GRU_CANDIDATE)
_gru2 = product_tile(2, _GRU)
_gru1 = product_tile(1, _GRU)

# One stream: two panels at once give eight sums, enough to keep the adders busy. The second phase
# reads h straight from the state row.
one_product_pair = product_tile(1, _ALL, panels=2)
STORED = ("float32", "float16", "bfloat16")  # and widened to be multiplied
one_lstm = [product_tile(1, _ALL * 2, storage=precision) for precision in STORED]
one_lstm_pair = [product_tile(1, _ALL * 2, 2, storage=precision) for precision in STORED]
one_lstm_triple = product_tile(1, _ALL * 2, 3)
one_three = product_tile(1, _THREE * 2)
one_three_pair = product_tile(1, _THREE * 2, panels=2)
one_gru = _gru1
one_gru_pair = product_tile(1, _GRU, panels=2)
L1_FLOATS = 6 * 1024  # floats that stay in the L1 cache, 32 KiB on most machines
# Two panels at once keep the adders busy, if the L1 cache holds both; if it does not, it feeds no
# more than one. With 48 KiB and a second level of 64 bytes a cycle two are always quicker (measured
# on Zen 5; docs/decisions/memory-bound-steps.md).
ALWAYS_PAIRED = target()[0] == "znver5"
# Three are quicker than two and one as long as the L1 cache holds them.
THREE_FLOATS = 2 * L1_FLOATS if ALWAYS_PAIRED else L1_FLOATS


@njit(inline="always")
def is_paired(panel):
    """Tell whether a stream is multiplied with two panels of so many floats at once."""
    return ALWAYS_PAIRED or 2 * panel <= L1_FLOATS or panel > L1_FLOATS


@njit(inline="always")
def are_few(panels, panel):
    """Tell whether so many panels of so many floats are multiplied at once."""
    if panels == 3:
        return 3 * panel <= THREE_FLOATS
    return panels == 1 or (panels == 2 and is_paired(panel))


@internal
def wide_panel(A, a, stride, weights, w, K, Z, z, z_stride, rows):
    """Multiply ``rows`` streams with one wide panel: ``Z[z + row * z_stride]`` gets its sums."""
    while rows >= 6:
        _wide6(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, z_stride)
        if SPLIT:
            half = WIDE // 2
            _wide6(
                A, a, A, a, stride, weights, w + half, WIDE, WIDE, 0, K, 0, Z, z + half, z_stride
            )
        rows, a, z = rows - 6, a + 6 * stride, z + 6 * z_stride
    if rows >= 4:
        _wide4(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, z_stride)
        if SPLIT:
            half = WIDE // 2
            _wide4(
                A, a, A, a, stride, weights, w + half, WIDE, WIDE, 0, K, 0, Z, z + half, z_stride
            )
        rows, a, z = rows - 4, a + 4 * stride, z + 4 * z_stride
    if rows >= 2:
        _wide2(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, z_stride)
        rows, a, z = rows - 2, a + 2 * stride, z + 2 * z_stride
    if rows == 1:
        _wide1(A, a, A, a, stride, weights, w, WIDE, WIDE, 0, K, 0, Z, z, z_stride)


@internal
def half_panel(A, a, stride, weights, w, K, Z, z, z_stride, rows):
    """Multiply ``rows`` streams with a panel of two vectors."""
    while rows >= HALF_TILE:
        _half_tile(A, a, A, a, stride, weights, w, HALF, HALF, 0, K, 0, Z, z, z_stride)
        rows, a, z = rows - HALF_TILE, a + HALF_TILE * stride, z + HALF_TILE * z_stride
    while rows >= 1:
        _half1(A, a, A, a, stride, weights, w, HALF, HALF, 0, K, 0, Z, z, z_stride)
        rows, a, z = rows - 1, a + stride, z + z_stride


@internal
def narrow_panel(A, a, stride, weights, w, K, Z, z, z_stride, rows):
    """Multiply ``rows`` streams with a panel of one vector."""
    while rows >= 3:
        _narrow3(A, a, A, a, stride, weights, w, LANES, LANES, 0, K, 0, Z, z, z_stride)
        rows, a, z = rows - 3, a + 3 * stride, z + 3 * z_stride
    while rows >= 1:
        _narrow1(A, a, A, a, stride, weights, w, LANES, LANES, 0, K, 0, Z, z, z_stride)
        rows, a, z = rows - 1, a + stride, z + z_stride


@internal
def three_panel(A, a, stride, weights, w, K, Z, z, z_stride, rows):
    """Multiply ``rows`` streams with a panel of the gates i, g, o; the sums of f stay unset."""
    while rows >= 6:
        _three6(A, a, A, a, stride, weights, w, WIDE, THREE, 0, K, 0, Z, z, z_stride)
        if SPLIT:
            _three6_rest(A, a, A, a, stride, weights, w, WIDE, THREE, 0, K, 0, Z, z, z_stride)
        rows, a, z = rows - 6, a + 6 * stride, z + 6 * z_stride
    while rows >= 2:
        _three2(A, a, A, a, stride, weights, w, WIDE, THREE, 0, K, 0, Z, z, z_stride)
        rows, a, z = rows - 2, a + 2 * stride, z + 2 * z_stride
    if rows == 1:
        _three1(A, a, A, a, stride, weights, w, WIDE, THREE, 0, K, 0, Z, z, z_stride)


@internal
def gru_panel(A, a, stride, weights, w, F, H, Z, z, rows):
    """Multiply ``rows`` streams with a GRU's panel: sums r, z, n from x, n from h."""
    while rows >= 6:
        _gru6(A, a, A, a + F, stride, weights, w, WIDE, THREE, 0, F, H, Z, z, WIDE)
        if SPLIT:
            _gru6_candidate(A, a, A, a + F, stride, weights, w, WIDE, THREE, 0, F, H, Z, z, WIDE)
        rows, a, z = rows - 6, a + 6 * stride, z + 6 * WIDE
    while rows >= 2:
        _gru2(A, a, A, a + F, stride, weights, w, WIDE, THREE, 0, F, H, Z, z, WIDE)
        rows, a, z = rows - 2, a + 2 * stride, z + 2 * WIDE
    if rows == 1:
        _gru1(A, a, A, a + F, stride, weights, w, WIDE, THREE, 0, F, H, Z, z, WIDE)
