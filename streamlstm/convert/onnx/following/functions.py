"""Functions of single values and the like, recognised by the numbers that they give.

What several nodes compute together is one function of a tensor from which all of them come: an
activation or a normalisation that an exporter wrote out.
"""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.weights import Float64Array, Weights
from ...labels.calls import layer_norm, whole
from ...labels.layers import TorchLayer
from ...labels.signal import Labels
from ...labels.signals import apply_single
from .. import activations
from ..feature_ops import Activation, Affine, Op, UnnamedFunction, evaluate_ops
from ..handlers import HANDLERS
from ..node import Node
from ..recognise import LayerNormalisation, recognise
from .live import Following, Formula, Live, Value, numbers_of

_TOGETHER = ("softmax", "log_softmax")  # functions of all features
_MAX_OPERANDS = 16  # tensors from which a function is looked for
_ACTIVATIONS = {
    name for name, handler in HANDLERS.items() if handler.__module__ == activations.__name__
} - {"Softmax", "LogSoftmax"} | {"Neg"}


class _Collected:
    """Collects what a handler of activations appends."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def append(self, *ops: Op) -> "_Collected":
        """Keep operations."""
        self.ops += ops
        return self


def is_function(node: Node) -> bool:
    """Return whether a node is a function of single values."""
    return node.op in _ACTIVATIONS


def function(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """Return what a function of single values, with constants as its parameters, gives."""
    collected = _Collected()
    HANDLERS[node.op](node, collected, *inputs[1:])
    ops, x = collected.ops, inputs[0]
    made = computed(lambda v: evaluate_ops(ops, v), (x,), x.shape)
    if x.labels is None or any(isinstance(op, UnnamedFunction) for op in ops):
        return [named(values, made)]
    made.labels = apply_ops(values, values.labels(x), ops)
    return [made]


def computed(compute: Callable[..., Any], operands: Sequence[Value], shape: Sequence[int]) -> Live:
    """Return a tensor that is computed from others, without labels so far."""
    with np.errstate(all="ignore"):
        numbers = np.asarray(compute(*(numbers_of(value) for value in operands)), np.float64)
    return Live(tuple(shape), None, numbers, None, Formula(compute, tuple(operands)))


def apply_ops(values: Following, labels: Labels, ops: Sequence[Op]) -> Labels:
    """Return the labels of activations and of scaling by a number, applied to a tensor."""
    for op in ops:
        if isinstance(op, Activation) and op.name in _TOGETHER:
            labels = softmax(values, op.name, labels)
        elif isinstance(op, Activation | Affine):
            step = op.name if isinstance(op, Activation) else (op.weight, op.bias)
            labels = apply_single(values.signals, labels, ("onnx", repr(step)), _maker(step))
    return labels


def _maker(step: Any) -> Callable[[], list[TorchLayer]]:
    name = step if isinstance(step, str) else "a scaling"
    return lambda: [TorchLayer(name, "function", Weights(name, {}), steps=[step])]


def named(values: Following, made: Live) -> Live:
    """Give a tensor labels if it is a known function of one that has labels."""
    for base in _bases(made):
        for axes in (1, 2):  # that are normalised together
            with np.errstate(all="ignore"):
                found = _recognised(made, base, axes)
            if found is not None and (axes == 1 or isinstance(found, LayerNormalisation)):
                made.labels = _applied(values, values.labels(base), found, axes)
                return made
    operands = () if made.formula is None else made.formula.operands
    earlier = (x.problem for x in operands if isinstance(x, Live) and x.labels is None)
    made.problem = next(filter(None, earlier), None) or ConvertError(
        f"{values.where} is part of a computation that is no known activation or normalisation."
    )
    return made


def _applied(
    values: Following, labels: Labels, found: Sequence[Op] | LayerNormalisation, axes: int
) -> Labels:
    """Return the labels of a function that was recognised."""
    if not isinstance(found, LayerNormalisation):
        return apply_ops(values, labels, found)
    arrays = {"weight": found.weight, "bias": found.bias}
    flat = labels.reshape(*labels.shape[: labels.ndim - axes], -1)
    made = layer_norm(values, values.where, flat, arrays, found.epsilon)
    return made.reshape(labels.shape)


def _bases(made: Live) -> Iterator[Live]:
    """Yield the tensors with labels from which one comes, the nearest first."""
    seen, left = [made], [made]
    while left and len(seen) < _MAX_OPERANDS:
        value = left.pop(0)
        for inner in value.formula.operands if value.formula is not None else ():
            if isinstance(inner, Live) and not any(inner is other for other in seen):
                seen.append(inner)
                left.append(inner)
                if inner.labels is not None and inner.shape == made.shape and not inner.integer:
                    yield inner


class _OtherInputError(Exception):
    """A tensor comes from another one than was said."""


def _recognised(made: Live, base: Live, axes: int) -> Sequence[Op] | LayerNormalisation | None:
    """Return the function of ``base`` that a tensor is; None if it is unknown, or of others.

    It is one of the numbers along the last axis, or along as many of the last ones.
    """
    try:
        _evaluate(made, base, np.zeros(base.shape), {})
    except _OtherInputError:
        return None
    if axes > 1 and len(base.shape) <= axes:
        return None
    N = prod(base.shape[-axes:])
    rows = prod(base.shape) // N if N else 0
    if not rows:
        return None

    def compute(x: Float64Array) -> Float64Array:
        parts = -(-len(x) // rows)
        padded = np.concatenate([x, np.zeros((parts * rows - len(x), N))])
        found = [
            np.broadcast_to(_evaluate(made, base, part.reshape(base.shape), {}), base.shape)
            for part in np.split(padded, parts)
        ]
        return np.concatenate([part.reshape(-1, N) for part in found])[: len(x)]

    return recognise(compute, N)


def _evaluate(value: Value, base: Live, x: Float64Array, known: dict[int, Any]) -> Any:
    if value is base:
        return x
    if not isinstance(value, Live):
        return np.asarray(value)
    if value.formula is None:
        raise _OtherInputError
    if id(value) not in known:
        operands = [_evaluate(inner, base, x, known) for inner in value.formula.operands]
        known[id(value)] = value.formula.function(*operands)
    return known[id(value)]


def softmax(values: Following, name: str, labels: Labels) -> Labels:
    """Return the labels of the softmax along the last axis, or of its logarithm."""
    layer = TorchLayer(name, "function", Weights(name, {}), steps=[name])
    return whole(values, values.where, labels, layer)
