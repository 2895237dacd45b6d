"""Arithmetic of tensors with constants and with each other, followed on labels."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.weights import Float64Array
from ...labels.arithmetic import absolute, add, scale
from ...labels.forks import multiply
from ...labels.scores import LEFT_OUT, are_scores, mask_scores
from ...labels.sequences import without_rest
from ...labels.signal import Labels
from ..arithmetic import FUNCTIONS
from ..feature_ops import Activation
from ..node import Node
from .functions import apply_ops, computed, named
from .live import Following, Live, Value, any_live

_MORE: dict[str, Callable[..., Any]] = {
    "Equal": np.equal,
    "Not": np.logical_not,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Where": np.where,
}
ARITHMETIC = {*FUNCTIONS, *_MORE, "Abs", "Sqrt", "Reciprocal", "IsNaN", "IsInf"}


def arithmetic(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """Return what a node of arithmetic gives."""
    if node.op in ("IsNaN", "IsInf"):
        return [np.zeros(inputs[0].shape, bool)]  # a live stream has neither
    if len(inputs) > 2 and node.op in ("Sum", "Mean", "Min", "Max"):
        return [_of_many(values, node, inputs)]
    function = _function(node.op)
    shape = np.broadcast_shapes(*(np.shape(value) for value in inputs))
    made = computed(function, inputs, shape)
    if node.op in ("Mul", "Add") and len(inputs) == 2 and _masked(values, node.op, inputs, made):
        return [made]
    operands = [value for value in inputs if isinstance(value, Live)]
    if any(value.labels is None for value in operands):
        return [named(values, made)]
    several = len(operands) > 1 or node.op in ("Sqrt", "Reciprocal", "Pow") or node.op in _MORE
    if several and named(values, made).labels is not None:
        return [made]
    made.problem = made.problem or ConvertError(
        f"{node} is part of a computation that is no known activation or normalisation."
    )
    try:
        made.labels = _labels(values, node, inputs, made)
    except ConvertError as error:
        made.problem = error
    return [made]


def _masked(values: Following, op: str, inputs: list[Value], made: Live) -> bool:
    """Follow scores times a mask, plus a large negative number where it is zero: a choice."""
    x, constant = inputs if isinstance(inputs[0], Live) else inputs[::-1]
    if not isinstance(x, Live) or isinstance(constant, Live) or np.ndim(constant) < 2:
        return False
    mask = np.broadcast_to(np.asarray(constant, np.float64), made.shape)
    if op == "Mul" and x.labels is not None:
        zeros = mask == 0
        if not zeros.any() or not (zeros | (mask == 1)).all() or not are_scores(values, x.labels):
            return False
        made.kept = x, mask
        made.problem = ConvertError(f"{values.where} multiplies attention scores by a mask.")
        return True
    if op != "Add" or x.kept is None:
        return False
    scores, kept = x.kept
    left_out = mask <= LEFT_OUT
    if (left_out != (kept == 0)).any() or np.where(left_out, 0, mask).any():
        return False
    made.labels = mask_scores(values, np.broadcast_to(values.whole(scores), made.shape), mask)
    return True


def _function(op: str) -> Callable[..., Any]:
    unary = {"Abs": np.abs, "Sqrt": np.sqrt, "Reciprocal": np.reciprocal}
    return unary.get(op) or _MORE.get(op) or FUNCTIONS[op]


def _of_many(values: Following, node: Node, inputs: list[Value]) -> Value:
    """Return the sum, mean, minimum or maximum of several tensors."""
    op = {"Mean": "Sum"}.get(node.op, node.op)
    total = inputs[0]
    for value in inputs[1:]:
        total = _two(values, node, op, total, value)
    if node.op == "Mean" and isinstance(total, Live):
        return _two(values, node, "Mul", total, np.array(1 / len(inputs)))
    return total


def _two(values: Following, node: Node, op: str, a: Value, b: Value) -> Value:
    if not any_live([a, b]):
        return FUNCTIONS[op](a, b)
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    made = computed(FUNCTIONS[op], (a, b), shape)
    made.labels = _combined(values, node, op, a, b, made)
    return made


def _labels(values: Following, node: Node, inputs: list[Value], made: Live) -> Labels | None:
    if node.op == "Abs":
        return absolute(values.signals, values.labels(inputs[0]))
    if node.op == "Mean":
        half = _two(values, node, "Sum", *inputs)
        return scale_by(values, half.labels, 0.5, 0.0)
    return _combined(values, node, node.op, inputs[0], inputs[-1], made)


def _combined(
    values: Following, node: Node, op: str, a: Value, b: Value, made: Live
) -> Labels | None:
    """Return the labels of two tensors, or of one and a constant; None if no layer has them."""
    what = str(node)
    if isinstance(a, Live) and isinstance(b, Live):
        return _joined(values, op, values.labels(a), values.labels(b), what)
    if isinstance(a, Live):
        return with_constant(values, op, a, np.asarray(b, np.float64), made.shape)
    assert isinstance(b, Live)
    constant = np.asarray(a, np.float64)
    if op == "Sub":
        return scale_by(values, np.broadcast_to(values.labels(b), made.shape), -1.0, constant)
    if op in ("Add", "Sum", "Mul", "Min", "Max"):
        return with_constant(values, op, b, constant, made.shape)
    return None


def _joined(values: Following, op: str, a: Labels, b: Labels, what: str) -> Labels | None:
    signals = values.signals
    if op in ("Add", "Sum", "Sub"):
        try:
            return add(signals, a, b, -1.0 if op == "Sub" else 1.0, what)
        except ConvertError:
            if min(a.ndim, b.ndim) < 4 or a.shape == b.shape:
                raise
        raise ConvertError(
            f"{what} joins each row with every other one, as additive attention of all rows to "
            "all does: only that of one query, such as the last row, has layers here."
        )
    if op == "Mul":
        return multiply(signals, without_rest(signals, a), without_rest(signals, b), what)
    if op in ("Max", "Min"):  # max(a, b) = a + relu(b - a), min(a, b) = a - relu(a - b)
        more, less = (b, a) if op == "Max" else (a, b)
        beyond = apply_ops(values, add(signals, more, less, -1.0, what), [Activation("relu", what)])
        return add(signals, a, beyond, 1.0 if op == "Max" else -1.0, what)
    return None


def with_constant(
    values: Following, op: str, x: Live, constant: Float64Array, shape: tuple[int, ...]
) -> Labels | None:
    """Return the labels of ``x op constant``; None if no layer computes it."""
    labels = np.broadcast_to(values.labels(x), shape)
    if op in ("Add", "Sum") and constant.size and constant.min() <= LEFT_OUT:
        return mask_scores(values, labels, np.broadcast_to(constant, shape))
    if op in ("Add", "Sum", "Sub"):
        return scale_by(values, labels, 1.0, -constant if op == "Sub" else constant)
    if op == "Mul":
        return scale_by(values, labels, constant, 0.0)
    if op == "Div":
        if not constant.all():
            raise ConvertError(f"{values.where} divides by zero")
        return scale_by(values, labels, 1 / constant, 0.0)
    if op == "Pow" and constant.size == 1 and constant.reshape(()) == 2:
        return multiply(values.signals, labels, labels, values.where)
    if op in ("Min", "Max"):  # min(x, c) = c - relu(c - x)
        sign = 1.0 if op == "Max" else -1.0
        beyond = scale_by(values, labels, sign, -sign * constant)
        beyond = apply_ops(values, beyond, [Activation("relu", values.where)])
        return scale_by(values, beyond, sign, constant)
    return None


def scale_by(values: Following, labels: Any, weight: Any, bias: Any) -> Labels:
    """Return the labels of ``x * weight + bias``, each a number or an array."""
    w, b = (np.broadcast_to(np.asarray(part, np.float64), labels.shape) for part in (weight, bias))
    if not (np.isfinite(w).all() and np.isfinite(b).all()):
        raise ConvertError(f"{values.where} uses constants that are not finite")
    return scale(values.signals, labels, w, b, values.where)
