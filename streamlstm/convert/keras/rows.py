"""Rows of a window made of what is not a row for a step: one row apart, and a row taken apart."""

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D, Flatten, Last, Pool, Reverse, Transpose
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


def in_one_row(context: Context, where: str) -> None:
    """Put all rows of a sequence one behind the other."""
    alone(context, where)
    if context.time and context.time > 1:
        made = Flatten(context.builder.width or 0, context.time)
        context.builder.add(made, {}, where)
        context.time = 1


def pick(context: Context, t: int, T: int, where: str) -> None:
    """Leave all but row t of T out; what it costs does not depend on the width squared."""
    builder, N = context.builder, context.builder.width or 0
    if t < T - 1 - t:
        builder.add(Reverse(N), {}, where)
        t = T - 1 - t
    if 0 < t < T - 1:  # rows 0, t, and in the middle of T also the last
        builder.add(Pool(N, "sum", 1, t), {}, where)
        if 2 * t == T - 1:
            first = np.zeros((N, 2, N))
            first[:, 0] = np.eye(N)
            made = Conv1D(N, N, 2)
            builder.add(made, {"weight": first, "bias": np.zeros(N)}, where)
    builder.add(Last(N), {}, where)
    context.time = 1


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
