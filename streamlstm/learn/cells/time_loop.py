"""The loops over time of a recurrent layer: compiled, a product and a pointwise function a step."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .multiply import BLOCK, add_outer, multiply
from .tanh import compiled

Array = NDArray[Any]


def forward_loop(cell: str, step: Any) -> Any:
    """Make the loop forward of a cell.

    Parameters
    ----------
    cell : str
    step : compiled function
        ``step(t, Z, h, *arrays)`` sets ``h[t + 1]`` from the products in ``Z[t]``.

    Returns
    -------
    compiled function
        ``forward(rows, F, panels, N, Z, h, mask, arrays)``, see `RecurrentTape`.
    """

    def forward(
        rows: Array, F: int, panels: Array, N: int, Z: Array, h: Array, mask: Array, arrays: Any
    ) -> None:
        T, B, width = Z.shape
        H, stride = h.shape[2], rows.shape[2]
        for t in range(T):
            a, z = t * B * stride, t * B * width
            multiply(rows, a, stride, panels, stride - 1, N, Z, z, width, B)
            step(t, Z, h, *arrays)
            for b in range(B):
                new, factor, row = h[t + 1, b], mask[b], rows[t + 1, b, F : F + H]
                for k in range(H):
                    row[k] = new[k] * factor[k]

    forward.__name__ = f"{cell}_forward"
    return compiled(forward)


def backward_loop(cell: str, step: Any) -> Any:
    """Make the loop backward of a cell.

    Parameters
    ----------
    cell : str
    step : compiled function
        ``step(t, Z, h, d_out, dh, *arrays)`` replaces what the pass forward left in ``Z[t]`` by the
        gradient of the products. ``dh`` is what comes from those of the next step.

    Returns
    -------
    compiled function
        ``backward(rows, Z, panels, N, h, mask, d_out, dh, dW, arrays)``, see `RecurrentTape`. The
        gradient of the matrix is added up on the way, while the rows are in the cache.
    """

    def backward(
        rows: Array,
        Z: Array,
        panels: Array,
        N: int,
        h: Array,
        mask: Array,
        d_out: Array,
        dh: Array,
        dW: Array,
        arrays: Any,
    ) -> None:
        T, B, width = Z.shape
        H, K = h.shape[2], rows.shape[2]
        dh[:] = 0
        dW[:] = 0
        end = T
        for t in range(T - 1, -1, -1):
            step(t, Z, h, d_out, dh, *arrays)
            multiply(Z, t * B * width, width, panels, N, H, dh, 0, dh.shape[1], B)
            for b in range(B):
                row, factor = dh[b], mask[b]
                for k in range(H):
                    row[k] *= factor[k]
            if (end - t) * B >= BLOCK or t == 0:
                add_outer(rows, Z, t * B, (end - t) * B, K, N, dW)
                end = t

    backward.__name__ = f"{cell}_backward"
    return compiled(backward)
