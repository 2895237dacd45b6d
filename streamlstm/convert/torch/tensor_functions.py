"""What a tensor function computes, followed on labels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import ConvertError
from ..common.error_context import AdvisedError
from ..labels.arithmetic import absolute, add, scale
from ..labels.attention import shares_of
from ..labels.forks import multiply
from ..labels.layers import TorchLayer, make_weights, to_array
from ..labels.over_rows import softmax_over_rows
from ..labels.scores import LEFT_OUT, heads_over_rows, mask_scores, shares_by_head, softmax_by_head
from ..labels.sequences import without_rest
from ..labels.signal import WindowNeededError
from ..labels.signals import Labels, apply_single
from . import functions
from .attention import matmul, scaled_dot_product
from .layer_calls import add_batch_norm, add_embedding, add_layer_norm, add_linear
from .modules import read_module
from .over_rows import POOLING, convolve, full_weight, is_over_rows, pool_all
from .reasons import reason
from .values import Value, Values, tensors_in

_NAMES = {
    **dict.fromkeys(("iadd", "radd"), "add"),
    **dict.fromkeys(("isub", "subtract"), "sub"),
    **dict.fromkeys(("imul", "rmul", "multiply"), "mul"),
    **dict.fromkeys(("itruediv", "truediv", "true_divide", "divide"), "div"),
    **dict.fromkeys(("rtruediv", "reciprocal"), "rdiv"),
    "negative": "neg",
    "absolute": "abs",
    "mm": "matmul",
    "bmm": "matmul",
}


def interpret(
    values: Values, name: str, function: Any, args: Any, kwargs: Any, given: Any
) -> list[Value] | None:
    """Return what each tensor holds that a function gave; None if the function is not known.

    Parameters
    ----------
    values : Values
    name : str
        Of the function, without underscores around it.
    function : callable
    args, kwargs
        Its arguments; some of their tensors depend on the input.
    given
        What it returned.

    Raises
    ------
    ConvertError
        If it is known, and cannot be done in one step.
    """
    name = _NAMES.get(name, name)
    if name in POOLING:
        return POOLING[name](values, args, kwargs, given)
    if name in functions.MOVES or name in functions.JOINS:
        return _move(values, name, function, args, kwargs)
    if name in functions.CASTS:
        return [_cast(values, name, args, kwargs, given)]
    if name in functions.SOFTMAX:
        return [Value(_softmax(values, name, args, kwargs))]
    if functions.is_single(name):
        return [Value(_single(values, name, function, args, kwargs))]
    if name in _ARITHMETIC:
        labels = _arithmetic(values, name, args, kwargs, tuple(given.shape))
        return None if labels is None else [Value(labels)]
    if name in _LAYERS:
        return [Value(_LAYERS[name](values, args, kwargs))]
    return None


def _move(values: Values, name: str, function: Any, args: Any, kwargs: Any) -> list[Value]:
    """Move labels as a function moved numbers."""
    first, rest = args[0] if args else kwargs.get("tensors", kwargs.get("input")), args[1:]
    if name not in functions.SHAPED and values.is_live([rest, {**kwargs, "tensors": 0}]):
        raise ConvertError(f"{values.where} picks values by {name}, at places that others decide")
    integer = any(v is not None and v.integer for v in map(values.get, tensors_in([first])))
    swapped = _swap(values, first)
    more = {key: value for key, value in kwargs.items() if value is not first}
    keys = {key: swapped for key, value in kwargs.items() if value is first}
    moved = function(*([swapped] if args else []), *rest, **more, **keys)
    return [Value(part.numpy(), integer=integer) for part in tensors_in(moved)]


def _swap(values: Values, given: Any) -> Any:
    """Return arguments with labels in place of tensors."""
    if isinstance(given, torch.Tensor):
        return torch.from_numpy(values.labels(given, integer=True).copy())
    return type(given)(_swap(values, inner) for inner in given)


def _cast(values: Values, name: str, args: Any, kwargs: Any, given: Any) -> Value:
    if name == "dropout" and (kwargs.get("training", args[2] if len(args) > 2 else True)):
        raise AdvisedError(
            f"{values.where} drops values at random even where it predicts: write "
            "F.dropout(..., training=self.training)"
        )
    if given.dtype in (torch.float16, torch.bfloat16):
        raise ConvertError(f"{values.where} rounds to {given.dtype}")
    before = values.get(args[0])
    integer = (before is not None and before.integer) or not given.is_floating_point()
    return Value(values.labels(args[0], integer=True), integer=integer)


def _single(values: Values, name: str, function: Any, args: Any, kwargs: Any) -> Labels:
    """Follow a function of single values, after a comparison of its numbers with ours."""
    x, rest = args[0], args[1:]
    if values.is_live([rest, kwargs]):
        raise ConvertError(f"{values.where} calls {name} on two parts of the network")
    keywords = {key: v for key, v in kwargs.items() if key not in ("inplace", "out")}
    if name == "relu":
        rest = ()  # its second argument is whether it is in place
    layer = functions.single(name, rest, keywords)
    functions.check_single(layer, lambda probe: function(probe, *args[1:], **kwargs))
    key = (name, repr(layer.steps))

    def make() -> list[TorchLayer]:
        return [TorchLayer(name, "function", make_weights(name, {}), steps=layer.steps)]

    return apply_single(values.signals, values.labels(x), key, make)


def _softmax(values: Values, name: str, args: Any, kwargs: Any) -> Labels:
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    labels = values.labels(args[0])
    if dim is None:  # what PyTorch takes then
        dim = 0 if labels.ndim in (0, 1, 3) else 1
    if name == "softmax" and is_over_rows(values, args[0], dim):
        return softmax_over_rows(values, labels, dim)
    last = np.moveaxis(labels, dim, -1)
    if name == "softmax" and last.ndim > 2:
        shares = shares_by_head(values, last)
        if shares is not None:
            return np.moveaxis(shares, -1, dim)
        if heads_over_rows(values, last):
            return np.moveaxis(softmax_by_head(values, last), -1, dim)
    try:
        source, positions = values.signals.vectors(last, name)
    except ConvertError as error:
        if isinstance(error, WindowNeededError):
            raise
        raise AdvisedError(f"{error}: use dim=-1, the features") from None
    made = shares_of(values, source) if name == "softmax" else None
    if made is not None:
        return np.moveaxis(values.signals.labels(made, positions), -1, dim)
    source = values.signals.resolve(source)
    layer = read_module(functions.SOFTMAX[name](), name)
    new = values.signals.add(("softmax", name), source.width, source, layer=layer)
    return np.moveaxis(values.signals.labels(new, positions), -1, dim)


def _constant(value: Any, shape: Sequence[int]) -> Any:
    if isinstance(value, torch.Tensor):
        value = to_array(value, "a constant")
    return np.broadcast_to(np.asarray(value, np.float64), tuple(shape))


def _arithmetic(
    values: Values, name: str, args: Any, kwargs: Any, shape: tuple[int, ...]
) -> Labels | None:
    """Follow arithmetic; None if it has no layer."""
    if kwargs.keys() - {"alpha", "other"}:
        return None
    factor = float(kwargs.get("alpha", 1))
    parts = [*args, *([kwargs["other"]] if "other" in kwargs else [])]
    if name == "neg":
        return _scale(values, parts[0], -1.0, 0.0, shape, name)
    a, b = parts
    if name == "rsub":
        name, a, b = "sub", b, a
    sign = {"add": factor, "sub": -factor}.get(name, 1.0)
    if values.is_live(a) and values.is_live(b):
        if name not in ("add", "sub"):
            return _gated(values, name, a, b)
        left, right = values.labels(a), values.labels(b)
        return add(values.signals, left, right, sign, f"{values.where} ({name})")
    if name in ("add", "sub"):
        live, other = (a, b) if values.is_live(a) else (b, a)
        if name == "add" and isinstance(other, torch.Tensor) and (other <= LEFT_OUT).any():
            return _masked(values, live, other, shape)
        if values.is_live(a):
            return _scale(values, a, 1.0, sign * _constant(b, shape), shape, name)
        return _scale(values, b, sign, _constant(a, shape), shape, name)
    if name == "mul":
        live, other = (a, b) if values.is_live(a) else (b, a)
        return _scale(values, live, _constant(other, shape), 0.0, shape, name)
    if name == "div" and values.is_live(a):
        return _scale(values, a, 1 / _constant(b, shape), 0.0, shape, name)
    return None


def _masked(values: Values, x: Any, mask: Any, shape: Sequence[int]) -> Labels:
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
    return _masked(values, given["input"], torch.where(mask, -torch.inf, 0.0), given["input"].shape)


def _scale(
    values: Values, x: Any, weight: Any, bias: Any, shape: tuple[int, ...], name: str
) -> Labels:
    labels = np.broadcast_to(values.labels(x), shape)
    if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
        raise ConvertError(f"{values.where} ({name}) uses constants that are not finite")
    weight, bias = (np.broadcast_to(part, shape) for part in (weight, bias))
    return scale(values.signals, labels, weight, bias, name)


def _gated(values: Values, name: str, a: Any, b: Any) -> Labels | None:
    """Follow ``x * sigmoid(x)`` and other products; of quotients only ``x / (1 + |x|)``."""
    if name == "div":
        return _softsign(values, values.labels(a), values.labels(b))
    if name != "mul":
        return None
    for x, gate in ((a, b), (b, a)):
        labels, other = values.labels(x), values.labels(gate)
        function = {"sigmoid": "silu"}
        for inner, outer in function.items():
            if labels.shape == other.shape and np.array_equal(
                apply_single(values.signals, labels, *_named(inner)), other
            ):
                return apply_single(values.signals, labels, *_named(outer))
    left, right = np.broadcast_arrays(values.labels(a), values.labels(b))
    left, right = (without_rest(values.signals, part) for part in (left, right))
    return multiply(values.signals, left, right, f"{values.where} ({name})")


def _softsign(values: Values, x: Labels, below: Labels) -> Labels | None:
    """Follow ``x / (1 + |x|)``, as programs write softsign; None for other quotients."""
    if x.shape != below.shape:
        return None
    ones = np.ones(x.shape)
    same = np.array_equal(scale(values.signals, absolute(values.signals, x), ones, ones, ""), below)
    return apply_single(values.signals, x, *_named("softsign")) if same else None


def _named(name: str) -> tuple[Any, Callable[[], list[TorchLayer]]]:
    """Return key and maker of a function without parameters."""
    layer = functions.single(name, (), {})

    def make() -> list[TorchLayer]:
        return [TorchLayer(name, "function", make_weights(name, {}), steps=layer.steps)]

    return (name, repr(layer.steps)), make


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


_ARITHMETIC = ("add", "sub", "mul", "div", "rdiv", "rsub", "neg")
_LAYERS: dict[str, Callable[[Values, Any, Any], Labels]] = {
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
