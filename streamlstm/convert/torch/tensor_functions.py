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
from ..labels.scores import LEFT_OUT, heads_over_rows, shares_by_head, softmax_by_head
from ..labels.sequences import without_rest
from ..labels.signal import WindowNeededError
from ..labels.signals import Labels, apply_single
from . import functions
from .modules import read_module
from .over_rows import POOLING, is_over_rows
from .tensor_layers import LAYERS, masked
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
    if name in LAYERS:
        return [Value(LAYERS[name](values, args, kwargs))]
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
            return masked(values, live, other, shape)
        if values.is_live(a):
            return _scale(values, a, 1.0, sign * _constant(b, shape), shape, name)
        return _scale(values, b, sign, _constant(a, shape), shape, name)
    if name == "mul":
        live, other = (a, b) if values.is_live(a) else (b, a)
        return _scale(values, live, _constant(other, shape), 0.0, shape, name)
    if name == "div" and values.is_live(a):
        return _scale(values, a, 1 / _constant(b, shape), 0.0, shape, name)
    return None


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


_ARITHMETIC = ("add", "sub", "mul", "div", "rdiv", "rsub", "neg")
