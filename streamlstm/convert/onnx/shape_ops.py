"""ONNX nodes that move values and compute nothing: reshape, transpose, gather, concat."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Embedding
from .flow import Atom, Axis, Flow, Scale, Stack, Step, Value
from .node import Node
from .select import select, select_features


def identity(_node: Node, x: Value, *_rest: Value) -> Value:
    """Identity, Dropout and the like."""
    return x


def cast(node: Node, x: Flow, *_rest: Value) -> Flow:
    """Cast, CastLike: to integers for an embedding, elsewhere to another precision."""
    to = node.attribute("to", 1)
    integers = (2, 3, 4, 5, 6, 7, 9, 12, 13)  # onnx.TensorProto: uint8 ... int64, bool ... uint64
    if to in integers:
        return replace(x, integer=True, cut=x.cut or not x.integer)
    if x.cut:
        raise ConvertError(
            f"{node}: numbers were cut to integers before, which no layer here does."
        )
    return replace(x, integer=False)


def shape(node: Node, x: Flow) -> Any:
    """Shape; start and end came with opset 15."""
    return np.array(x.shape[node.attribute("start", 0) : node.attribute("end")], np.int64)


def transpose(node: Node, x: Flow) -> Flow:
    """Transpose."""
    order = node.attribute("perm") or range(len(x.axes))[::-1]
    return x.reshaped([x.axes[n] for n in order])


def squeeze(node: Node, x: Flow, axes: Value = None) -> Flow:
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


def unsqueeze(node: Node, x: Flow, axes: Value = None) -> Flow:
    """Unsqueeze; axes as for Squeeze."""
    chosen = node.axes(axes) or []
    rank = len(x.axes) + len(chosen)
    found = list(x.axes)
    for n in sorted(n % rank for n in chosen):
        found.insert(n, ())
    return x.reshaped(found)


def reshape(node: Node, x: Flow, wanted: Value = None) -> Flow:
    """Reshape: atoms are grouped anew, none may be split."""
    sizes = [int(n) for n in (node.attribute("shape") if wanted is None else node.constant(wanted))]
    if not node.attribute("allowzero", 0):
        sizes = [x.shape[n] if size == 0 else size for n, size in enumerate(sizes)]
    if -1 in sizes:
        known = prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = prod(x.shape) // known
    return x.reshaped(regroup(node, x.axes, sizes))


def flatten(node: Node, x: Flow) -> Flow:
    """Flatten to two axes."""
    axis = node.attribute("axis", 1)
    return x.reshaped(regroup(node, x.axes, (prod(x.shape[:axis]), prod(x.shape[axis:]))))


def regroup(node: Node, axes: Sequence[Axis], sizes: Sequence[int]) -> list[Axis]:
    """Return the atoms of ``axes`` as axes of other sizes."""
    atoms = [atom for axis in axes for atom in axis]
    found: list[Axis] = []
    for size in sizes:
        group: list[Atom] = []
        while prod(atom.size for atom in group) < size and atoms:
            group.append(atoms.pop(0))
        if prod(atom.size for atom in group) != size:
            raise ConvertError(
                f"{node}: cannot follow the shape {tuple(sizes)}: it splits an axis, or the sizes "
                "contradict each other."
            )
        found.append(tuple(group))
    if atoms:
        raise ConvertError(f"{node}: the shape {tuple(sizes)} has too few values.")
    return found


def expand(node: Node, x: Flow, wanted: Value) -> Flow:
    """Expand, where it expands nothing."""
    sizes = [int(n) for n in node.constant(wanted)]
    axes = [()] * (len(sizes) - len(x.axes)) + list(x.axes)
    for size, axis in zip(sizes[::-1], axes[::-1], strict=False):
        if size not in (1, prod(atom.size for atom in axis)):
            raise ConvertError(f"{node}: repeats values along an axis, which cannot be stepped.")
    return x.reshaped(axes)


def gather(node: Node, data: Value, indices: Value) -> Value:
    """Gather: rows of a table by category, or parts of a tensor by number."""
    axis = node.attribute("axis", 0)
    if isinstance(indices, Flow):
        return embed(node, data, indices, axis)
    numbers = np.asarray(node.constant(indices))
    picked = select(
        node, data, axis, [int(n) for n in numbers.reshape(-1)], str(numbers.reshape(-1).tolist())
    )
    if isinstance(picked, Stack) or numbers.ndim == 1:
        return picked
    axes = list(picked.axes)
    if numbers.ndim != 0 or axes[axis % len(axes)]:
        raise ConvertError(f"{node}: expected one index or a list of them.")
    del axes[axis % len(axes)]
    return picked.reshaped(axes)


def embed(node: Node, table: Value, x: Flow, axis: int) -> Flow:
    """Look categories up in a table."""
    if not isinstance(table, np.ndarray) or table.ndim != 2 or axis != 0:
        raise ConvertError(f"{node}: expected to gather rows of a constant matrix.")
    if not x.raw or x.feature is not None:
        raise ConvertError(
            f"{node}: expected one category, an input of the network, got {x.width} values of it."
        )
    N, D = table.shape
    step = Step(Embedding(1, N, D), {"weight": table.astype(np.float64)}, str(node))
    found = replace(x, axes=(*x.axes, ()), integer=False)
    return found.with_features(len(x.axes), D, step)


def concat(node: Node, *flows: Value) -> Value:
    """Concat: features, an embedding beside features, or the states of several layers."""
    axis = node.attribute("axis", 1)
    if len(flows) == 1:
        return flows[0]
    if not all(isinstance(flow, Flow) for flow in flows):
        raise ConvertError(f"{node}: cannot join constants with values of the network.")
    axis %= len(flows[0].axes)
    if all(flow.raw for flow in flows) and all(flow.is_features(axis) for flow in flows):
        return _join_columns(node, flows, axis)
    embedded = [n for n, flow in enumerate(flows) if _is_embedded(flow)]
    if len(embedded) == 1:
        (n,) = embedded
        others = (*flows[:n], *flows[n + 1 :])
        joined = _join_embedding(node, flows[n], others, axis)
        before = sum(flow.width for flow in flows[:n])
        if not before:
            return joined
        # The vector of the category comes first here: let it change places with what is before it.
        D = flows[n].width
        order = [*range(D, D + before), *range(D), *range(D + before, joined.width)]
        return select_features(node, joined, axis, order)
    if all(flow.state and not flow.axes[axis] for flow in flows):
        return Stack(tuple(flows), axis)
    raise ConvertError(
        f"{node} joins branches of the network: expected an embedding and the other features after "
        "it."
    )


def _is_embedded(flow: Flow) -> bool:
    """Say whether a flow is the vector of a category, as it came out of the table."""
    return any(isinstance(e, Step) and isinstance(e.layer, Embedding) for e in flow.entries[-1:])


def _join_columns(node: Node, flows: Sequence[Flow], axis: int) -> Flow:
    if len({flow.origin for flow in flows}) > 1:
        raise ConvertError(
            f"{node} joins two inputs, {', '.join(flow.origin for flow in flows)}: expected all "
            "features in one input."
        )
    columns = tuple(column for flow in flows for column in flow.columns)
    feature = Atom(len(columns))
    axes = list(flows[0].axes)
    axes[axis] = (feature,)
    return replace(flows[0], axes=tuple(axes), feature=feature, columns=columns)


def _join_embedding(node: Node, first: Flow, others: Sequence[Flow], axis: int) -> Flow:
    """Put numeric features beside the vector of the category; they may be scaled before."""
    (step,) = first.entries[-1:]
    plain = all(isinstance(e, Scale) for flow in others for e in flow.entries)
    fits = all(flow.is_features(axis) for flow in (first, *others))
    if len(first.entries) > 1 or not plain or not fits or any(flow.beside for flow in others):
        raise ConvertError(f"{node}: expected an embedding and, after it, features of one input.")
    if len(others) > 1 and any(flow.entries for flow in others):
        raise ConvertError(f"{node}: expected the features after an embedding in one piece.")
    columns = (*first.columns, *(column for flow in others for column in flow.columns))
    F, beside = len(columns), 0
    if any(flow.origin != first.origin for flow in others):
        # Numbers in an input of their own: they stand behind the category in an observation.
        beside = F - 1
        if len(others) > 1 or columns != (0, *range(beside)):
            raise ConvertError(
                f"{node}: expected an embedding of one input and, after it, all of another one."
            )
        columns = tuple(range(F))
    scales = [_beside_category(e, F) for flow in others for e in flow.entries]
    assert isinstance(step, Step)
    assert isinstance(step.layer, Embedding)
    layer = Embedding(F, step.layer.categories, step.layer.dimension)
    joined = Step(layer, step.weights, step.node)
    stem = replace(first, entries=(), columns=columns, beside=beside)
    return stem.with_features(axis, layer.output_size, *scales, joined)


def _beside_category(entry: Any, features: int) -> Scale:
    """Return a scaling of the numeric features as one of all inputs, the category's left alone."""
    weight, bias = (np.broadcast_to(a, features - 1) for a in (entry.weight, entry.bias))
    return Scale(np.append(1.0, weight), np.append(0.0, bias), entry.node)
