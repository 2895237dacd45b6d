"""Branches of a network that part at one tensor and are joined: a layer of branches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense, Last
from ..common.builder import ModelBuilder
from ..labels.forks import check_size
from .build_layers import add_ops
from .feature_ops import LayerOp, Op, width_of
from .node import Node
from .tensor import Axis, Dim, SymbolicTensor


def join(
    node: Node, tensors: Sequence[SymbolicTensor], merge: str, axis: int | None = None
) -> SymbolicTensor:
    """Return branches that are added, multiplied or concatenated.

    Parameters
    ----------
    node : Node
    tensors : sequence of SymbolicTensor
        Each of all rows, or of the last row alone.
    merge : {"add", "multiply", "concatenate"}
    axis : int, optional
        Along which they are concatenated: that of the features.

    Raises
    ------
    ConvertError
        If they are of several inputs, or their rows or features do not fit together.
    """
    first = tensors[0]
    sources = {(t.origin, t.side_width, t.skip, t.integer) for t in tensors}
    if sources != {(first.origin, 0, None, False)}:
        raise ConvertError(f"{node} joins inputs: a stream has one, all features in it.")
    if axis is not None and not all(t.is_features(axis) for t in tensors):
        raise ConvertError(f"{node} joins rows or streams: expected features of each row.")
    known = {dim for t in tensors for dim in (t.time, t.window) if dim is not None}
    rows_of = [next((d for a in t.axes for d in a if d in known), None) for t in tensors]
    full = [dim is not None for dim in rows_of]
    lengths = {dim.size for dim in rows_of if dim is not None}
    if len(lengths) > 1:
        raise ConvertError(f"{node} joins branches of {' and '.join(map(str, lengths))} rows.")
    shared = _shared(tensors)
    columns, stem = first.columns, first.ops[:shared]
    if not shared:
        columns = tuple(sorted({column for t in tensors for column in t.columns}))
    branches = [[*_columns(node, columns, t, shared), *t.ops[shared:]] for t in tensors]
    width = width_of(stem, len(columns))
    windows = [t.window or t.time for t in tensors if t.window or t.time]
    before = _rows(stem, windows[0].size if windows and windows[0] else 1)
    rows = [_rows(ops, before) for ops in branches]
    for ops, whole, count in zip(branches, full, rows, strict=True):
        # The last row alone goes to all rows of the others.
        if count > 1 and not whole and (any(full) or len({*rows}) > 1):
            ops.append(LayerOp(Last(width_of(ops, width)), {}, str(node)))
    check_size(f"{node}", (op.layer for ops in branches for op in ops if isinstance(op, LayerOp)))
    parts = [add_ops(ModelBuilder(width, inside=True), ops) for ops in branches]
    joined = ModelBuilder(width, inside=True)
    joined.join(parts, merge, str(node))
    (layer,), (arrays,) = joined.layers, joined.weights
    feature = Dim(layer.output_size) if layer.output_size > 1 else None
    time = next(filter(None, rows_of), first.time)
    axes = _axes(node, tensors, known, (time, feature), axis)
    like = tensors[full.index(True)] if any(full) else first
    window = next((t.window for t in tensors if t.window), None)
    bare = replace(like, ops=stem, columns=columns, parts=None, last=None, window=window)
    made = bare.append(LayerOp(layer, arrays, str(node)))
    recurrent = any(t.recurrent for t in tensors)
    return replace(made, axes=axes, feature=feature, recurrent=recurrent, time=time)


def _shared(tensors: Sequence[SymbolicTensor]) -> int:
    """Return how many operations the branches share, from the input on."""
    first, shared = tensors[0], 0
    if any(t.columns != first.columns for t in tensors):
        return 0
    while all(len(t.ops) > shared and t.ops[shared] is first.ops[shared] for t in tensors):
        shared += 1
    return shared


def _columns(node: Node, columns: Sequence[int], x: SymbolicTensor, shared: int) -> list[LayerOp]:
    """Return what selects the features of a branch from those of all."""
    if shared or x.columns == columns:
        return []
    weight = np.eye(len(columns))[[columns.index(column) for column in x.columns]]
    arrays = {"weight": weight, "bias": np.zeros(len(weight))}
    return [LayerOp(Dense(len(columns), len(weight)), arrays, str(node))]


def _rows(ops: Sequence[Op], rows: int) -> int:
    """Return how many rows operations make of so many."""
    for op in ops:
        rows = op.layer.rows_of(rows) if isinstance(op, LayerOp) else rows
    return rows


def _axes(
    node: Node,
    tensors: Sequence[SymbolicTensor],
    times: set[Dim],
    dims_of: tuple[Dim | None, Dim | None],
    axis: int | None,
) -> tuple[Axis, ...]:
    """Return the axes of what is joined, of rows and of features, where all branches have them."""
    time, feature = dims_of
    rank = max(len(t.axes) for t in tensors)
    found: list[Axis] = []
    for n in range(rank):
        kinds: dict[Any, Axis] = {}
        for t in tensors:
            dims = ((),) * (rank - len(t.axes)) + t.axes
            if dims[n] and dims[n] == (t.feature,):
                kinds["features"] = () if feature is None else (feature,)
            elif set(dims[n]) & times and time is not None:
                kinds["rows"] = (time,)
            elif dims[n]:
                kinds[dims[n]] = dims[n]
        if len(kinds) > 1:
            raise ConvertError(f"{node} joins branches whose rows and features are on other axes.")
        found.append(next(iter(kinds.values()), ()))
    if axis is not None:
        found[axis] = () if feature is None else (feature,)
    return tuple(found)
