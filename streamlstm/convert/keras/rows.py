"""Rows of a window made of what is not a row for a step: one row apart, and a row taken apart."""

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D, Last, Transpose
from . import over_rows
from .context import Context


def to_rows(context: Context, rows: int, where: str) -> None:
    """Make rows of one row, which holds them one behind the other."""
    N = context.builder.width or 0
    if not rows or N % rows:
        raise ConvertError(f"{where}: {N} values are not {rows} equal rows.")
    alone(context, where)
    if rows > 1:
        width = N // rows
        context.builder.add(Transpose(N, 1), {}, where)
        if width > 1:
            weight = np.eye(width)[:, :, None]
            made = Conv1D(1, width, width, stride=width)
            context.builder.add(made, {"weight": weight, "bias": np.zeros(width)}, where)
    context.time = rows


def settle(context: Context) -> None:
    """Make numbers of rows one row, of which they are the features."""
    layer, context.numbers = context.numbers, None
    if layer is not None:
        over_rows.flatten(context, layer)


def alone(context: Context, where: str) -> None:
    """Leave all but the last row out, where it counts alone and others are still there."""
    if context.ended:
        context.builder.add(Last(context.builder.width or 0), {}, where)
        context.ended = False
