"""Nodes that only move numbers: they move the labels as well."""

from typing import Any

import numpy as np

from ....errors import ConvertError
from ...labels.signal import CONSTANT
from ..constants import compute
from ..node import Node
from .live import Formula, Live, Value, live

MOVES = {
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Tile", "Identity"),
    *("Slice", "Split", "Gather", "GatherElements", "GatherND", "Concat", "Pad", "Where"),
    *("ReverseSequence", "DepthToSpace", "SpaceToDepth", "Trilu", "Compress", "Dropout"),
}
_JOINS = ("Concat", "Where")  # of which several inputs are moved
_FLOATS = (1, 10, 11, 16)  # onnx.TensorProto: float, float16, double, bfloat16


def move(node: Node, inputs: list[Value], opsets: Any) -> list[Value]:
    """Return what a node makes of its inputs, one of which depends on the input of the graph."""
    if node.op in ("Identity", "Dropout"):
        return [inputs[0]]
    first = 1 if node.op == "Where" else 0
    last = len(inputs) if node.op in _JOINS else 1
    for n, value in enumerate(inputs):
        if isinstance(value, Live) and not first <= n < last:
            raise ConvertError(f"{node} picks values at places that the network computes")
    return moved(node, inputs, range(first, last), opsets)


def moved(node: Node, inputs: list[Value], places: range, opsets: Any) -> list[Value]:
    """Move labels and numbers of the inputs at some places."""
    given = {name: value for name, value in zip(node.inputs, inputs, strict=True) if name}
    data = [node.inputs[n] for n in places if n < len(node.inputs)]
    integer = any(isinstance(given[name], Live) and given[name].integer for name in data)
    labels = dict(given)
    numbers = dict(given)
    for name in data:
        value = given[name]
        if isinstance(value, Live):
            if value.labels is None:
                raise value.problem or ConvertError(f"{node} cannot be followed")
            labels[name], numbers[name] = value.labels, value.numbers
        else:
            labels[name] = np.full(np.shape(value), CONSTANT, np.int64)
            numbers[name] = np.asarray(value, np.float64)
    if node.op == "Pad" and len(inputs) > 2 and node.inputs[2]:
        labels[node.inputs[2]] = np.array(CONSTANT)
        numbers[node.inputs[2]] = np.asarray(numbers[node.inputs[2]], np.float64)
    if node.op == "Pad" and not (len(inputs) > 2 and node.inputs[2]):
        # Padding is zeros here: count labels from 1 on, and shift them back.
        labels[node.inputs[0]] = labels[node.inputs[0]] - CONSTANT
    found = compute(node, labels, opsets)
    if node.op == "Pad" and not (len(inputs) > 2 and node.inputs[2]):
        found = [None if part is None else part + CONSTANT for part in found]
    beside = compute(node, numbers, opsets)
    return [
        None if part is None else live(np.asarray(part, np.int64), other, integer=integer)
        for part, other in zip(found, beside, strict=True)
    ]


def cast(node: Node, inputs: list[Value]) -> list[Value]:
    """Return numbers in another precision; whole numbers for an embedding."""
    x, to = inputs[0], node.attribute("to", 1)
    if to in _FLOATS:
        if x.integer:
            raise ConvertError(
                f"{node}: numbers were truncated to integers before, which is not supported."
            )
        return [x]
    if x.labels is None and x.formula is not None:  # of a comparison
        return [Live(x.shape, None, x.numbers, x.problem, Formula(lambda v: v, (x,)))]
    return [live(x.labels, x.numbers, integer=True)]
