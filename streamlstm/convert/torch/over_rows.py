"""Convolutions and pooling over steps, followed on labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ...network.layers import Conv1D, Pool
from ..common.weights import Float64Array
from ..labels.layers import to_array
from ..labels.over_rows import are_rows, convolved, pooled, reduced
from ..labels.sequences import padding_of
from ..labels.signals import CONSTANT, Labels
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
    batched = labels.ndim == 3
    rows = np.moveaxis(labels if batched else labels[None], 2, 0)
    numbers = np.moveaxis(_numbers(x if batched else x[None]), 2, 0)
    beside = padding_of(numbers, rows), padding_of(numbers[::-1], rows[::-1])
    bias = given.get("bias")
    shift = np.zeros(O) if bias is None else to_array(bias, f"{name}.bias")
    found = convolved(
        values,
        labels if batched else labels[None],
        lambda first, last: Conv1D(F, O, k, stride, dilation, left + first, right + last),
        {"weight": np.ascontiguousarray(matrix), "bias": shift},
        beside,
    )
    return found if batched else found[0]


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
    return isinstance(dim, int) and are_rows(values, values.labels(x), dim)


def pool_all(values: Values, given: dict[str, Any], function: str) -> Labels:
    """Follow a mean or maximum over all steps of [B, T, N] or [B, N, T]."""
    dim = given["dim"]
    dim = dim[0] if isinstance(dim, tuple | list) else dim
    keep = bool(given.get("keepdim"))
    return reduced(values, values.labels(given["input"]), dim, function, keep)


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
            raise ConvertError(
                f"{name} pools with ceil_mode or dilation, and a layer here has neither"
            )
        size = _single(options["kernel_size"])
        stride = _single(options.get("stride") or size)
        padding = _single(options.get("padding", 0))
        counted = function == "mean" and bool(options.get("count_include_pad", True))
        counted = counted and padding > 0
        return [Value(_pool(values, options["input"], size, stride, padding, counted))]

    def _pool(
        values: Values, x: Any, size: int, stride: int, padding: int, counted: bool
    ) -> Labels:
        labels = values.labels(x)

        def make(width: int, *_: int) -> Pool:
            return Pool(width, function, size, stride, padding, padding, counted)

        found = pooled(values, labels if labels.ndim == 3 else labels[None], make, (0, 0))
        return found if labels.ndim == 3 else found[0]

    return follow


def _adaptive(function: str) -> Callable[[Values, Any, Any, Any], list[Value]]:
    def follow(values: Values, args: Any, kwargs: Any, given: Any) -> list[Value]:
        options = {**dict(zip(("input", "output_size"), args, strict=False)), **kwargs}
        if _single(options["output_size"]) != 1:
            raise ConvertError(
                f"{values.where} pools to {options['output_size']} steps, and a layer here to one, "
                "or by a kernel and a stride"
            )
        named = {"input": options["input"], "dim": -1, "keepdim": True}
        found = Value(pool_all(values, named, function))
        rest = Value(problem=ConvertError(f"{values.where} uses the step at which a maximum is"))
        return [found] if isinstance(given, torch.Tensor) else [found, rest]

    return follow


def _pad(values: Values, args: Any, kwargs: Any, _given: Any) -> list[Value]:
    """Follow constants that are put beside a tensor; a convolution may take them."""
    options = {**dict(zip(("input", "pad", "mode", "value"), args, strict=False)), **kwargs}
    if options.get("mode", "constant") != "constant":
        raise ConvertError(
            f"{values.where} pads with mode={options['mode']!r}, and only rows of zeros can be put "
            "beside those of a window"
        )
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
