"""The lengths of sequences as a further input of a graph: a stream ends at its last row.

A padded batch is often given with the number of rows of each sequence, and ``lengths - 1`` selects
the last real output. In a stream each row is the last one so far, so that is the last step.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from .node import Node
from .tensor import SymbolicTensor, Value

_SAME = {
    *("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Expand", "Transpose", "Flatten"),
    *("Concat", "Slice", "Gather", "Tile", "Where"),
}
_PICKING = ("Gather", "GatherND", "GatherElements")


@dataclass(frozen=True)
class Lengths:
    """The lengths of the sequences, plus a number.

    Attributes
    ----------
    name : str
        The input of the graph.
    size : int
        Sequences in a batch.
    more : int
    plain : bool
        Whether it has one axis still.
    """

    name: str
    size: int
    more: int = 0
    plain: bool = True


def read_lengths(model: Any, inputs: Mapping[str, SymbolicTensor]) -> dict[str, Lengths]:
    """Return the inputs of a graph that are lengths, none of ``inputs``."""
    constants = {tensor.name for tensor in model.graph.initializer}
    values = [value for value in model.graph.input if value.name not in constants]
    main = values[0]
    names = [dim.dim_param for dim in main.type.tensor_type.shape.dim]
    found = {}
    for value in values:
        if value.name in inputs:
            continue
        dim = value.type.tensor_type.shape.dim[0]
        axis = names.index(dim.dim_param) if dim.dim_param in names else 0
        size = inputs[main.name].shape[axis] if dim.dim_param else dim.dim_value
        found[value.name] = Lengths(value.name, size)
    return found


def follow_lengths(node: Node, inputs: list[Value]) -> Value:
    """Return the output of a node that takes lengths.

    Raises
    ------
    ConvertError
        If it computes anything but the last step of each sequence from them.
    """
    given = next(value for value in inputs if isinstance(value, Lengths))
    if node.op in _PICKING and isinstance(inputs[0], SymbolicTensor):
        return _last_step(node, inputs[0], given)
    if node.op == "Shape" and given.plain:
        return np.array([given.size], np.int64)
    other = next((np.asarray(v) for v in inputs if isinstance(v, np.ndarray)), None)
    if node.op in ("Add", "Sub", "Mul") and other is not None:
        if node.op == "Add" and other.size > 1 and not other.reshape(-1)[0]:
            return given  # where each sequence begins, if all of a batch lie behind each other
        if node.op == "Mul" and (other == 1).all():
            return given
        if other.size == 1 and (node.op == "Add" or (node.op == "Sub" and inputs[0] is given)):
            number = int(other.reshape(-1)[0])
            return replace(given, more=given.more + (number if node.op == "Add" else -number))
    elif node.op in _SAME and not any(isinstance(v, SymbolicTensor) for v in inputs):
        return replace(given, plain=given.plain and node.op in ("Identity", "Cast"))
    raise ConvertError(
        f"{node} computes with {given.name}, the lengths of sequences: only the selection of the "
        "last step of each (lengths - 1) can be stepped"
    )


def _last_step(node: Node, x: SymbolicTensor, given: Lengths) -> Any:
    """Return the last step of a tensor; what selects in a batch takes the batch away too."""
    places = [n for n, axis in enumerate(x.axes) if x.time is not None and x.time in axis]
    if given.more != -1 or not places:
        raise ConvertError(
            f"{node} takes the row {given.name} {given.more:+d} of a sequence: a stream has only "
            "its last step, lengths - 1"
        )
    others = tuple(dim for dim in x.axes[places[0]] if dim is not x.time)
    if node.op == "GatherElements" or others:
        return x.reshaped([others if n == places[0] else a for n, a in enumerate(x.axes)])
    return x.reshaped([a for n, a in enumerate(x.axes) if n != places[0]])
