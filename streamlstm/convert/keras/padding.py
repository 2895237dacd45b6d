"""ZeroPadding1D and Cropping1D of Keras: rows that are added or left out."""

from dataclasses import replace
from math import gcd

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D
from .context import Context
from .network import KerasLayer


def zero_padding(context: Context, layer: KerasLayer) -> None:
    """Remember rows of zeros; a convolution that comes next takes them as its own."""
    _check_sequence(context, layer)
    before, behind = context.padding
    left, right = _pair(layer, "padding")
    context.padding = before + left, behind + right


def settle(context: Context, where: str) -> None:
    """Append rows of zeros that no convolution took: a convolution of one row, the identity."""
    left, right = context.padding
    context.padding = 0, 0
    if left or right:
        _append(context, 1, 0, (left, right), where)


def cropping(context: Context, layer: KerasLayer) -> None:
    """Leave rows out: less padding of the convolution before, or one that takes one row of many."""
    _check_sequence(context, layer)
    left, right = _pair(layer, "cropping")
    last = context.builder.layers[-1] if context.builder.layers else None
    if context.time is not None and context.time <= left + right:
        raise ConvertError(f"{layer.where}: expected more rows than the {context.time} that come.")
    padded = isinstance(last, Conv1D) and last.stride == 1
    if padded and isinstance(last, Conv1D) and last.pad_left >= left and last.pad_right >= right:
        context.builder.layers[-1] = replace(
            last, pad_left=last.pad_left - left, pad_right=last.pad_right - right
        )
        context.time = None if context.time is None else context.time - left - right
    elif left or right:
        _append(context, left + right + 1, left, (0, 0), layer.where)


def take_rows(context: Context, layer: KerasLayer, taken: range) -> None:
    """Leave all but some rows of a window out, which are in order."""
    T, step = context.time or len(taken), taken.step if len(taken) > 1 else 1
    kept = (len(taken) - 1) * step + 1
    _append(context, T - kept + 1, taken[0], (0, 0), layer.where, step)


def _append(
    context: Context, reach: int, place: int, pads: tuple[int, int], where: str, stride: int = 1
) -> None:
    """Append a convolution that returns one of ``reach`` rows, that at ``place``."""
    N = context.builder.need_width(where)
    spread = gcd(place, reach - 1) or 1  # of fewer rows the weights are fewer
    weight = np.zeros((N, (reach - 1) // spread + 1, N))
    weight[range(N), place // spread, range(N)] = 1
    made = Conv1D(N, N, weight.shape[1], stride, spread, *pads)
    context.builder.add(made, {"weight": weight, "bias": np.zeros(N)}, where)
    context.time = None if context.time is None else made.rows_of(context.time)


def _check_sequence(context: Context, layer: KerasLayer) -> None:
    if context.time == 0:
        raise ConvertError(f"{layer.where}: expected a sequence, got its last row alone.")
    if layer.config.get("data_format") == "channels_first":
        raise ConvertError(f"{layer.where}: expected rows of features (channels_last).")


def _pair(layer: KerasLayer, key: str) -> tuple[int, int]:
    value = layer.config.get(key, 1)
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(pair) != 2 or not all(type(n) is int and n >= 0 for n in pair):
        raise ConvertError(f"{layer.where}: expected {key} of one or two numbers, got {value!r}.")
    return pair
