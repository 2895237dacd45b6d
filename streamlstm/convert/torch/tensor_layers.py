"""Functions of PyTorch that are layers, followed on labels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ..labels.arithmetic import absolute
from ..labels.layers import to_array
from ..labels.scores import LEFT_OUT, mask_scores
from ..labels.signals import Labels
from .attention import matmul, scaled_dot_product
from .layer_calls import add_batch_norm, add_embedding, add_layer_norm, add_linear
from .over_rows import convolve, full_weight, is_over_rows, pool_all
from .reasons import reason
from .values import Values


def masked(values: Values, x: Any, mask: Any, shape: Sequence[int]) -> Labels:
    """Follow a sum with a mask of attention scores."""
    labels = np.broadcast_to(values.labels(x), shape)
    given = np.broadcast_to(mask.detach().double().numpy(), tuple(shape))
    return mask_scores(values, labels, given)


def _masked_fill(values: Values, args: Any, kwargs: Any) -> Labels:
    """Follow scores of which a mask fills some with what leaves them out."""
    given = _given(("input", "mask", "value"), args, kwargs)
    mask, value = given["mask"], given["value"]
    if values.is_live([mask, value]) or not float(value) <= LEFT_OUT:
        raise ConvertError(f"{values.where} fills in numbers (masked_fill)")
    return masked(values, given["input"], torch.where(mask, -torch.inf, 0.0), given["input"].shape)


def _given(names: Sequence[str], args: Any, kwargs: Any) -> dict[str, Any]:
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _check_constant(values: Values, name: str, *given: Any) -> None:
    if values.is_live(list(given)):
        raise ConvertError(f"{values.where} calls {name} with weights that depend on the input")


def _linear(values: Values, args: Any, kwargs: Any) -> Labels:
    given = _given(("input", "weight", "bias"), args, kwargs)
    weight, bias = given["weight"], given.get("bias")
    _check_constant(values, "linear", weight, bias)
    return add_linear(values, "linear", given["input"], weight, bias)


def _matmul(values: Values, args: Any, kwargs: Any) -> Labels:
    given = _given(("input", "other"), args, kwargs)
    x, weight = given["input"], given["mat2" if "mat2" in given else "other"]
    if values.is_live(weight) and values.is_live(x):
        return matmul(values, x, weight)
    if values.is_live(weight):
        raise ConvertError(f"{values.where} multiplies a constant by a part of the network")
    if weight.dim() > 2:
        raise ConvertError(f"{values.where} multiplies by a batch of matrices (matmul)")
    matrix = weight[:, None] if weight.dim() == 1 else weight
    labels = add_linear(values, "matmul", x, matrix.T, None)
    return labels[..., 0] if weight.dim() == 1 else labels


def _addmm(values: Values, args: Any, kwargs: Any) -> Labels:
    given = _given(("input", "mat1", "mat2"), args, kwargs)
    _check_constant(values, "addmm", given["input"], given["mat2"])
    if given.keys() - {"input", "mat1", "mat2"} or given["input"].dim() != 1:
        raise ConvertError(f"{values.where} calls addmm in a form that is not followed")
    return add_linear(values, "addmm", given["mat1"], given["mat2"].T, given["input"])


def _layer_norm(values: Values, args: Any, kwargs: Any) -> Labels:
    given = _given(("input", "normalized_shape", "weight", "bias", "eps"), args, kwargs)
    _check_constant(values, "layer_norm", given.get("weight"), given.get("bias"))
    tensors = {key: given[key] for key in ("weight", "bias") if given.get(key) is not None}
    epsilon, shape = given.get("eps", 1e-5), given["normalized_shape"]
    return add_layer_norm(values, "layer_norm", given["input"], shape, tensors, epsilon)


def _batch_norm(values: Values, args: Any, kwargs: Any) -> Labels:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum")
    given = _given((*names, "eps"), args, kwargs)
    if given.get("training"):
        raise ConvertError(
            f"{values.where} normalises by the batch it sees (batch_norm without the statistics of "
            "training)"
        )
    tensors = {key: given[key] for key in names[1:5] if given.get(key) is not None}
    _check_constant(values, "batch_norm", *tensors.values())
    return add_batch_norm(values, "batch_norm", given["input"], tensors, given.get("eps", 1e-5))


def _instance_norm(values: Values, args: Any, kwargs: Any) -> Labels:
    """Follow one by the statistics of training, which is a batch normalisation."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats")
    given = _given((*names, "momentum", "eps"), args, kwargs)
    if given.get("running_mean") is None or given.get("use_input_stats", True):
        raise ConvertError(f"{values.where} calls instance_norm: {reason('instance_norm')}")
    tensors = {key: given[key] for key in names[1:5] if given.get(key) is not None}
    _check_constant(values, "instance_norm", *tensors.values())
    return add_batch_norm(values, "instance_norm", given["input"], tensors, given.get("eps", 1e-5))


def _embedding(values: Values, args: Any, kwargs: Any) -> Labels:
    given = _given(("input", "weight"), args, kwargs)
    _check_constant(values, "embedding", given["weight"])
    return add_embedding(values, "embedding", given["input"], given["weight"])


def _conv1d(values: Values, args: Any, kwargs: Any) -> Labels:
    """Follow a convolution; one of kernel 1 is a linear layer over the channels, axis -2."""
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = _given(names, args, kwargs)
    weight, bias = given["weight"], given.get("bias")
    _check_constant(values, "conv1d", weight, bias)
    plain = (1, (1,), [1])
    no_padding = given.get("padding", 0) in (0, (0,), [0], "valid", "same")
    if weight.shape[2] != 1 or given.get("stride", 1) not in plain or not no_padding:
        return convolve(values, given)
    if given.get("groups", 1) != 1:
        weight = full_weight(weight, int(given["groups"]))
    last = np.moveaxis(values.labels(given["input"]), -2, -1)
    source, positions = values.signals.vectors(last, values.where)
    matrix = to_array(weight, "conv1d.weight")[:, :, 0].copy()
    shift = None if bias is None else to_array(bias, "conv1d.bias")
    new = values.signals.linear(source, matrix, shift, values.where.split(" ")[0])
    return np.moveaxis(values.signals.labels(new, positions), -1, -2)


def _summed(values: Values, args: Any, kwargs: Any, mean: bool) -> Labels:
    """Follow a sum or mean over the features."""
    given = _given(("input", "dim", "keepdim"), args, kwargs)
    name = "mean" if mean else "sum"
    if is_over_rows(values, given["input"], given.get("dim")):
        return pool_all(values, given, name)
    dim, labels = given.get("dim"), values.labels(given["input"])
    if isinstance(dim, tuple | list) and len(dim) == 1:
        dim = dim[0]
    if not isinstance(dim, int) or given.keys() - {"input", "dim", "keepdim"}:
        raise ConvertError(f"{values.where} calls {name} over several axes at once")
    what = f"{values.where} ({name})"
    source, positions = values.signals.vectors(np.moveaxis(labels, dim, -1), what)
    row = np.full((1, source.width), 1 / source.width if mean else 1.0)
    summed = values.signals.linear(source, row, None, name)
    found = values.signals.labels(summed, positions)
    return np.moveaxis(found, -1, dim) if given.get("keepdim") else found[..., 0]


def _absolute(values: Values, args: Any, _: Any) -> Labels:
    return absolute(values.signals, values.labels(args[0]))


LAYERS: dict[str, Callable[[Values, Any, Any], Labels]] = {
    "linear": _linear,
    "matmul": _matmul,
    "addmm": _addmm,
    "scaled_dot_product_attention": scaled_dot_product,
    "layer_norm": _layer_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "embedding": _embedding,
    "abs": _absolute,
    "masked_fill": _masked_fill,
    "conv1d": _conv1d,
    "sum": lambda values, args, kwargs: _summed(values, args, kwargs, mean=False),
    "mean": lambda values, args, kwargs: _summed(values, args, kwargs, mean=True),
}
