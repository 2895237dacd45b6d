"""Convolutions and pooling over steps, followed on labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ...network.layers import Conv1D, Pool, SoftmaxOverRows
from ..common.weights import Float64Array
from .layers import to_array
from .sequences import padding_of, whole_sequence
from .signal import WindowNeededError
from .signals import CONSTANT, Labels
from .values import Value, Values


def convolve(values: Values, given: dict[str, Any]) -> Labels:
    """Follow a convolution over the steps of [B, F, T] or [F, T], its weight [O, F, k]."""
    x, weight, name = given["input"], given["weight"], values.where.split(" ")[0]
    groups = int(given.get("groups", 1))
    matrix = to_array(full_weight(weight, groups), f"{name}.weight").transpose(0, 2, 1)
    O, k, F = matrix.shape
    stride, dilation = _single(given.get("stride", 1)), _single(given.get("dilation", 1))
    padding = given.get("padding", 0)
    reach = (k - 1) * dilation
    left = right = 0
    if padding == "same":  # PyTorch puts the odd one behind
        left, right = reach // 2, reach - reach // 2
    elif padding != "valid":
        left = right = _single(padding)
    labels = values.labels(x)
    rows = np.moveaxis(labels if labels.ndim == 3 else labels[None], 2, 0)
    numbers = np.moveaxis(_numbers(x if x.dim() == 3 else x[None]), 2, 0)
    before, behind = padding_of(numbers, rows), padding_of(numbers[::-1], rows[::-1])
    rows = rows[before : len(rows) - behind]
    source, streams = whole_sequence(values, rows, name)
    layer = Conv1D(F, O, k, stride, dilation, left + before, right + behind)
    if not values.signals.windowed and layer.rows_of(source.rows) < source.rows:
        raise WindowNeededError(f"{values.where} is a convolution over {k} steps at once, a window")
    bias = given.get("bias")
    shift = np.zeros(O) if bias is None else to_array(bias, f"{name}.bias")
    arrays = {"weight": np.ascontiguousarray(matrix), "bias": shift}
    made = values.signals.over_rows(source, layer, name, arrays)
    positions = streams[:, None] * made.rows + np.arange(made.rows)
    found = values.signals.labels(made, positions).swapaxes(1, 2)
    return found if labels.ndim == 3 else found[0]


def full_weight(weight: Any, groups: int) -> Any:
    """Return weight[O, F, k] with zeros between the channels of other groups."""
    if groups == 1:
        return weight
    O, part, k = weight.shape
    full = torch.zeros(O, groups * part, k, dtype=weight.dtype)
    for n in range(groups):
        rows = slice(n * O // groups, (n + 1) * O // groups)
        full[rows, n * part : (n + 1) * part] = weight[rows].detach()
    return full


def _numbers(x: Any) -> Float64Array:
    return np.asarray(x.detach().double().numpy())


def _single(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple | list) else value)


def is_over_rows(values: Values, x: Any, dim: Any) -> bool:
    """Return whether an axis of a tensor is the steps of a window."""
    if isinstance(dim, tuple | list) and len(dim) == 1:
        dim = dim[0]
    if not isinstance(dim, int) or not values.signals.windowed:
        return False
    found = values.signals.locate(np.moveaxis(values.labels(x), dim, 0))
    if (found.signal < 0).any():
        return False
    return bool((found.signal == found.signal[0]).all() and (found.value == found.value[0]).all())


def pool_all(values: Values, given: dict[str, Any], function: str) -> Labels:
    """Follow a mean or maximum over all steps of [B, T, N] or [B, N, T]."""
    dim = given["dim"]
    dim = dim[0] if isinstance(dim, tuple | list) else dim
    labels = values.labels(given["input"])
    rows = np.moveaxis(labels, dim, 0)
    rows = rows if rows.ndim == 3 else rows[:, None]
    source, streams = whole_sequence(values, rows, f"{values.where} ({function})")
    made = values.signals.over_rows(source, Pool(source.width, function), function)
    found = values.signals.labels(made, streams)
    found = found if labels.ndim == 3 else found[0]
    return np.expand_dims(found, dim) if given.get("keepdim") else found


def softmax_over_rows(values: Values, labels: Labels, dim: int) -> Labels:
    """Follow a softmax over all steps of [B, T, N], [B, N, T] or of [B, T], numbers."""
    rows = np.moveaxis(labels, dim, 0)
    flat = rows.ndim == 2
    if flat:
        stream, _ = values.signals.steps_of(values.signals.locate(rows))
        rows = rows[:, :, None] if (stream != stream[:, :1]).any() else rows[:, None]
        batched = rows.shape[2] == 1
    source, streams = whole_sequence(values, rows, f"{values.where} (softmax)")
    made = values.signals.over_rows(source, SoftmaxOverRows(source.width), "softmax")
    found = values.signals.labels(made, streams * made.rows + np.arange(made.rows)[:, None])
    if flat:
        found = found[:, :, 0] if batched else found[:, 0]
    return np.moveaxis(found, 0, dim)


def _maximum(values: Values, args: Any, kwargs: Any, given: Any) -> list[Value] | None:
    named = {**dict(zip(("input", "dim", "keepdim"), args, strict=False)), **kwargs}
    if not is_over_rows(values, named["input"], named.get("dim")):
        return None
    where = Value(problem=ConvertError(f"{values.where} uses the step at which a maximum is"))
    found = [Value(pool_all(values, named, "max"))]
    return found if isinstance(given, torch.Tensor) else [*found, where]


def _pooling(function: str) -> Callable[[Values, Any, Any, Any], list[Value]]:
    names = ("input", "kernel_size", "stride", "padding")
    more = ("dilation", "ceil_mode") if function == "max" else ("ceil_mode", "count_include_pad")

    def follow(values: Values, args: Any, kwargs: Any, _given: Any) -> list[Value]:
        options = {**dict(zip((*names, *more), args, strict=False)), **kwargs}
        name = values.where.split(" ")[0]
        if options.get("ceil_mode") or _single(options.get("dilation", 1)) != 1:
            raise ConvertError(f"{name} pools with ceil_mode or dilation")
        size = _single(options["kernel_size"])
        stride = _single(options.get("stride") or size)
        padding = _single(options.get("padding", 0))
        counted = function == "mean" and bool(options.get("count_include_pad", True))
        counted = counted and padding > 0
        return [Value(_pool(values, options["input"], name, size, stride, padding, counted))]

    def _pool(
        values: Values, x: Any, name: str, size: int, stride: int, padding: int, counted: bool
    ) -> Labels:
        labels = values.labels(x)
        rows = np.moveaxis(labels if labels.ndim == 3 else labels[None], 2, 0)
        source, streams = whole_sequence(values, rows, name)
        layer = Pool(source.width, function, size, stride, padding, padding, counted)
        made = values.signals.over_rows(source, layer, name)
        positions = streams[:, None] * made.rows + np.arange(made.rows)
        found = values.signals.labels(made, positions).swapaxes(1, 2)
        return found if labels.ndim == 3 else found[0]

    return follow


def _adaptive(function: str) -> Callable[[Values, Any, Any, Any], list[Value]]:
    def follow(values: Values, args: Any, kwargs: Any, given: Any) -> list[Value]:
        options = {**dict(zip(("input", "output_size"), args, strict=False)), **kwargs}
        if _single(options["output_size"]) != 1:
            raise ConvertError(f"{values.where} pools to {options['output_size']} steps, not one")
        named = {"input": options["input"], "dim": -1, "keepdim": True}
        found = Value(pool_all(values, named, function))
        rest = Value(problem=ConvertError(f"{values.where} uses the step at which a maximum is"))
        return [found] if isinstance(given, torch.Tensor) else [found, rest]

    return follow


def _pad(values: Values, args: Any, kwargs: Any, _given: Any) -> list[Value]:
    """Follow constants that are put beside a tensor; a convolution may take them."""
    options = {**dict(zip(("input", "pad", "mode", "value"), args, strict=False)), **kwargs}
    if options.get("mode", "constant") != "constant":
        raise ConvertError(f"{values.where} puts steps beside those of the stream (pad)")
    labels = torch.from_numpy(values.labels(options["input"]).copy())
    padded = torch.nn.functional.pad(labels, list(options["pad"]), value=CONSTANT)
    return [Value(padded.numpy())]


POOLING: dict[str, Callable[[Values, Any, Any, Any], list[Value] | None]] = {
    "max": _maximum,
    "amax": _maximum,
    "max_pool1d": _pooling("max"),
    "avg_pool1d": _pooling("mean"),
    "adaptive_avg_pool1d": _adaptive("mean"),
    "adaptive_max_pool1d": _adaptive("max"),
    "pad": _pad,
}
