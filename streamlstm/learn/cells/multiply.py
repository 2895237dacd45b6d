"""Kernels of products: rows by one matrix, and the gradient of that matrix.

In float32 they are made of the register tiles that serve (`kernels.matmul`). A matrix is packed
once for all steps of a batch, where a call of BLAS packs it at every step. In float64, which is for
checking gradients, they are the sums as written.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from ...kernels.cache import internal
from ...kernels.matmul import product_tile
from ...kernels.products import HALF, WIDE, half_panel, narrow_panel, wide_panel
from ...kernels.simd import LANES
from .tanh import compiled

Array = NDArray[Any]

BLOCK = 128
"""Rows whose outer products are added up at once: a panel of them fits into the first cache."""

_PAGE = 256  # floats: rows as far apart as this or a multiple meet in few places of that cache


def padded(columns: int) -> int:
    """Return the columns of whole panels: what rows of a product have to have room for."""
    rest = columns % WIDE
    return columns - rest + next(width for width in (0, LANES, HALF, WIDE) if rest <= width)


def row_width(columns: int) -> int:
    """Return the distance of rows of a product, which come one after the other in a cache."""
    width = padded(columns)
    return width + LANES if width % _PAGE == 0 else width


def multiply(
    A: Array,
    a: int,
    stride: int,
    panels: Array,
    K: int,
    N: int,
    Z: Array,
    z: int,
    z_stride: int,
    rows: int,
) -> None:
    """Multiply rows of ``A`` with a packed matrix.

    Parameters
    ----------
    A : float[...]
        Row r starts at element ``a + r * stride`` and has K elements.
    panels : float[(K + 1) * padded(N)]
        Of `PackedMatrix`.
    Z : float[...]
        Row r of the product starts at ``z + r * z_stride``; ``padded(N)`` elements are written.
    """
    raise NotImplementedError("in compiled code only")


@overload(multiply, strict=False)  # strict, Numba compares annotations too
def _choose_multiply(A: Any, *_: Any) -> Any:
    return _multiply32 if A.dtype == types.float32 else _multiply64


def _multiply32(
    A: Array,
    a: int,
    stride: int,
    panels: Array,
    K: int,
    N: int,
    Z: Array,
    z: int,
    z_stride: int,
    rows: int,
) -> None:
    w = 0
    while N > HALF:
        wide_panel(A, a, stride, panels, w, K, Z, z, z_stride, rows)
        w, z, N = w + (K + 1) * WIDE, z + WIDE, N - WIDE
    if N > LANES:
        half_panel(A, a, stride, panels, w, K, Z, z, z_stride, rows)
    elif N > 0:
        narrow_panel(A, a, stride, panels, w, K, Z, z, z_stride, rows)


def _multiply64(
    A: Array,
    a: int,
    stride: int,
    panels: Array,
    K: int,
    N: int,
    Z: Array,
    z: int,
    z_stride: int,
    rows: int,
) -> None:
    inputs, sums = A.reshape(-1), Z.reshape(-1)
    w = 0
    while N > 0:
        width = WIDE if N > HALF else HALF if N > LANES else LANES
        for r in range(rows):
            for n in range(width):
                total = panels[w + n]
                for k in range(K):
                    total += inputs[a + r * stride + k] * panels[w + (k + 1) * width + n]
                sums[z + r * z_stride + n] = total
        w, z, N = w + (K + 1) * width, z + width, N - width


def add_outer(A: Array, D: Array, first: int, rows: int, K: int, N: int, Z: Array) -> None:
    """Add ``A^T D`` of some rows of both to ``Z``.

    Parameters
    ----------
    A : float[..., K or more]
    D : float[..., row_width(N)]
    first, rows : int
        Which rows: about `BLOCK` at once.
    Z : float[K, row_width(N)]
    """
    raise NotImplementedError("in compiled code only")


@overload(add_outer, strict=False)
def _choose_add_outer(A: Any, *_: Any) -> Any:
    return _add_outer32 if A.dtype == types.float32 else _add_outer64


def _outer_panel(vectors: int) -> Any:
    """Make what adds outer products to so many vectors of columns."""
    same = [[(n, n) for n in range(vectors)]]
    tile6, tile2, tile1 = (product_tile(rows, same, outer=True) for rows in (6, 2, 1))

    def panel(
        A: Array,
        a: int,
        stride: int,
        D: Array,
        d: int,
        width: int,
        rows: int,
        K: int,
        Z: Array,
        z: int,
    ) -> None:
        while K >= 6:
            tile6(A, a, A, a, stride, D, d, 0, width, 0, rows, 0, Z, z, width)
            a, z, K = a + 6, z + 6 * width, K - 6
        while K >= 2:
            tile2(A, a, A, a, stride, D, d, 0, width, 0, rows, 0, Z, z, width)
            a, z, K = a + 2, z + 2 * width, K - 2
        if K == 1:
            tile1(A, a, A, a, stride, D, d, 0, width, 0, rows, 0, Z, z, width)

    return internal(panel)


_outer_narrow, _outer_half, _outer_wide = (_outer_panel(n) for n in (1, 2, WIDE // LANES))


def _add_outer32(A: Array, D: Array, first: int, rows: int, K: int, N: int, Z: Array) -> None:
    stride, width = A.shape[-1], D.shape[-1]
    a, d = first * stride, first * width
    for n in range(0, N, WIDE):
        left = N - n
        if left > HALF:
            _outer_wide(A, a, stride, D, d + n, width, rows, K, Z, n)
        elif left > LANES:
            _outer_half(A, a, stride, D, d + n, width, rows, K, Z, n)
        else:
            _outer_narrow(A, a, stride, D, d + n, width, rows, K, Z, n)


def _add_outer64(A: Array, D: Array, first: int, rows: int, K: int, N: int, Z: Array) -> None:
    left, right = A.reshape((-1, A.shape[-1])), D.reshape((-1, D.shape[-1]))
    for r in range(first, first + rows):
        for k in range(K):
            for n in range(N):
                Z[k, n] += left[r, k] * right[r, n]


@compiled
def multiply_all(A: Array, panels: Array, K: int, N: int, Z: Array) -> None:
    """Multiply the rows of all steps with a packed matrix.

    Parameters
    ----------
    A : float[T or more, B, K or more]
    panels : float[(K + 1) * padded(N)]
    K, N : int
    Z : float[T, B, row_width(N)]
        Written.
    """
    T, B, width = Z.shape
    stride = A.shape[2]
    for t in range(T):
        multiply(A, t * B * stride, stride, panels, K, N, Z, t * B * width, width, B)


@compiled
def outer_all(A: Array, D: Array, N: int, dW: Array) -> None:
    """Compute the gradient of a matrix from the rows of all steps and the gradients of products.

    Parameters
    ----------
    A : float[T or more, B, K + 1]
    D : float[T, B, row_width(N)]
    N : int
    dW : float[K + 1, row_width(N)]
        Written.
    """
    dW[:] = 0
    rows = D.shape[0] * D.shape[1]
    for first in range(0, rows, BLOCK):
        add_outer(A, D, first, min(BLOCK, rows - first), A.shape[2], N, dW)


KERNELS = multiply_all, outer_all
