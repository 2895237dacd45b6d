"""Handlers of ONNX nodes that rearrange axes and compute nothing."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ...errors import ConvertError
from .node import Node
from .over_rows import flattened, repeat
from .tensor import Axis, Dim, SymbolicTensor, Value


def identity(_node: Node, x: Value, *_rest: Value) -> Value:
    """Identity, Dropout and the like."""
    return x


def cast(node: Node, x: SymbolicTensor, *_rest: Value) -> SymbolicTensor:
    """Cast, CastLike: to integers for an embedding, else to another precision."""
    to = node.attribute("to", 1)
    integers = (2, 3, 4, 5, 6, 7, 9, 12, 13)  # onnx.TensorProto: uint8 ... int64, bool ... uint64
    if to in integers:
        return replace(x, integer=True, truncated=x.truncated or not x.integer)
    if x.truncated:
        raise ConvertError(
            f"{node}: numbers were truncated to integers before, which is not supported."
        )
    return replace(x, integer=False)


def shape(node: Node, x: SymbolicTensor) -> Any:
    """Shape; start and end came with opset 15."""
    return np.array(x.shape[node.attribute("start", 0) : node.attribute("end")], np.int64)


def transpose(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Transpose."""
    order = node.attribute("perm") or range(len(x.axes))[::-1]
    return x.reshaped([x.axes[n] for n in order])


def squeeze(node: Node, x: SymbolicTensor, axes: Value = None) -> SymbolicTensor:
    """Squeeze; axes are an attribute up to opset 12, an input from 13 on."""
    chosen = node.axes(axes)
    rank = len(x.axes)
    if chosen is None:
        positions = {n for n in range(rank) if not x.axes[n]}
    else:
        positions = {n % rank for n in chosen}
    if any(x.axes[n] for n in positions):
        raise ConvertError(f"{node}: cannot squeeze an axis that is longer than 1.")
    return x.reshaped([axis for n, axis in enumerate(x.axes) if n not in positions])


def unsqueeze(node: Node, x: SymbolicTensor, axes: Value = None) -> SymbolicTensor:
    """Unsqueeze; axes as for Squeeze."""
    chosen = node.axes(axes) or []
    rank = len(x.axes) + len(chosen)
    found = list(x.axes)
    for n in sorted(n % rank for n in chosen):
        found.insert(n, ())
    return x.reshaped(found)


def reshape(node: Node, x: SymbolicTensor, wanted: Value = None) -> SymbolicTensor:
    """Reshape: dims are regrouped, none is split."""
    sizes = [int(n) for n in (node.attribute("shape") if wanted is None else node.constant(wanted))]
    if not node.attribute("allowzero", 0):
        sizes = [x.shape[n] if size == 0 else size for n, size in enumerate(sizes)]
    if -1 in sizes:
        known = prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = prod(x.shape) // known
    return flattened(node, x, regroup(node, x.axes, sizes))


def flatten(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Flatten to two axes."""
    axis = node.attribute("axis", 1)
    sizes = (prod(x.shape[:axis]), prod(x.shape[axis:]))
    return flattened(node, x, regroup(node, x.axes, sizes))


def regroup(node: Node, axes: Sequence[Axis], sizes: Sequence[int]) -> list[Axis]:
    """Regroup the dims of ``axes`` into axes of other sizes."""
    dims = [dim for axis in axes for dim in axis]
    found: list[Axis] = []
    for size in sizes:
        group: list[Dim] = []
        while prod(dim.size for dim in group) < size and dims:
            group.append(dims.pop(0))
        if prod(dim.size for dim in group) != size:
            raise ConvertError(
                f"{node}: cannot follow the shape {tuple(sizes)}: it splits an axis, or the sizes "
                "contradict each other."
            )
        found.append(tuple(group))
    if dims:
        raise ConvertError(f"{node}: the shape {tuple(sizes)} has too few values.")
    return found


def expand(node: Node, x: SymbolicTensor, wanted: Value) -> SymbolicTensor:
    """Expand that repeats nothing, or a last row."""
    sizes = [int(n) for n in node.constant(wanted)]
    axes = [()] * (len(sizes) - len(x.axes)) + list(x.axes)
    lengths = [prod(dim.size for dim in axis) for axis in axes]
    behind = len(axes) - len(sizes)
    repeated = [n + behind for n, size in enumerate(sizes) if size not in (1, lengths[n + behind])]
    x = x.reshaped(axes)
    if not repeated:
        return x
    if len(repeated) > 1 or axes[repeated[0]]:
        raise ConvertError(f"{node}: repeats values along an axis, which cannot be stepped.")
    return repeat(node, x, repeated[0], sizes[repeated[0] - behind])


def tile(node: Node, x: SymbolicTensor, repeats: Value) -> SymbolicTensor:
    """Tile of a last row."""
    counts = [int(n) for n in node.constant(repeats)]
    return expand(node, x, np.array(x.shape) * counts)
