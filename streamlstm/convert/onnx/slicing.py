"""Handlers of ONNX nodes that select along an axis: features, the last step, one layer's state."""

from dataclasses import replace

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense, Embedding, Repeat, Reverse
from .feature_ops import LayerOp
from .node import Node
from .over_rows import apply, are_rows, over, some_rows, without_padding
from .tensor import Axis, Dim, StackedStates, SymbolicTensor, Value


def slice_(node: Node, x: Value, *given: Value) -> Value:
    """Slice; starts and ends are attributes up to opset 9, inputs from 10 on."""
    rank = len(_axes_of(x))
    if given:
        starts, ends, axes, steps = (
            None if value is None else [int(n) for n in node.constant(value).reshape(-1)]
            for value in (*given, None, None)[:4]
        )
    else:
        starts, ends, axes, steps = *map(node.attribute, ("starts", "ends", "axes")), None
    axes = axes or list(range(len(starts or ())))
    for start, end, axis, step in zip(
        starts or (), ends or (), axes, steps or [1] * len(axes), strict=True
    ):
        part = _slice(start, end, step)
        indices = range(_size(x, axis % rank))[part]
        x = select(node, x, axis, list(indices), _slice_text(part))
    return x


def split(node: Node, x: SymbolicTensor, sizes: Value = None) -> list[Value]:
    """Split along an axis."""
    axis = node.attribute("axis", 0)
    size = _size(x, axis % len(x.axes))
    lengths = node.attribute("split") if sizes is None else node.constant(sizes)
    if lengths is None:
        length = -(-size // len(node.outputs))
        lengths = [min(length, size - n) for n in range(0, size, length)]
    ends = np.cumsum(lengths)
    parts = [slice(int(e - length), int(e)) for length, e in zip(lengths, ends, strict=True)]
    return [
        select(node, x, axis, list(range(part.start, part.stop)), _slice_text(part))
        for part in parts
    ]


def gather(node: Node, data: Value, indices: Value) -> Value:
    """Gather: rows of a table by category, or parts of a tensor by constant indices."""
    axis = node.attribute("axis", 0)
    if isinstance(indices, SymbolicTensor):
        return embed(node, data, indices, axis)
    array = np.asarray(node.constant(indices))
    numbers = [int(n) for n in array.reshape(-1)]
    picked = select(node, data, axis, numbers, str(numbers))
    if isinstance(picked, StackedStates) or array.ndim == 1:
        return picked
    axes = list(picked.axes)
    if array.ndim != 0 or axes[axis % len(axes)]:
        raise ConvertError(f"{node}: expected one index or a list of them.")
    del axes[axis % len(axes)]
    return picked.reshaped(axes)


def embed(node: Node, table: Value, x: SymbolicTensor, axis: int) -> SymbolicTensor:
    """Look up categories in a table: an embedding."""
    if not isinstance(table, np.ndarray) or table.ndim != 2 or axis != 0:
        raise ConvertError(f"{node}: expected to gather rows of a constant matrix.")
    if not x.raw or x.feature is not None:
        raise ConvertError(
            f"{node}: expected one category, an input of the network, got {x.width} values of it."
        )
    N, D = table.shape
    op = LayerOp(Embedding(1, N, D), {"weight": table.astype(np.float64)}, str(node))
    found = replace(x, axes=(*x.axes, ()), integer=False)
    return found.with_features(len(x.axes), D, op)


def select(node: Node, x: Value, axis: int, indices: list[int], text: str) -> Value:
    """Select indices along an axis; ``text`` is their form in messages."""
    size = _size(x, axis)
    if any(not -size <= n < size for n in indices):
        raise ConvertError(f"{node}: index {text} is out of range for an axis of {size}.")
    indices = [n % size for n in indices]
    if indices == list(range(size)):
        return x
    if isinstance(x, StackedStates):
        return _select_layer(node, x, axis, indices)
    axis %= len(x.axes)
    if x.feature is not None and x.is_features(axis):
        return select_features(node, x, axis, indices)
    if x.parts is not None and x.axes[axis] == (x.parts[0],) and len(indices) == 1:
        return direction(node, x, axis, indices[0])
    over_time = x.time is not None and x.axes[axis] == (x.time,)
    if over_time and indices == [size - 1]:
        return x.reshaped([() if n == axis else a for n, a in enumerate(x.axes)])
    if len(indices) > 1 and (over_time or x.raw):
        if indices == list(range(size))[::-1]:
            return apply(node, over(node, x, axis), Reverse(x.width))
        if over_time and set(indices) == {size - 1}:
            return apply(node, x, Repeat(x.width, len(indices)))
    if over_time and (cut := without_padding(x, axis, indices)) is not None:
        return cut
    neighbours = indices == list(range(indices[0], indices[0] + len(indices)))
    if are_rows(x, axis) and neighbours and (over_time or len(indices) > 1):
        return some_rows(node, x, axis, indices)
    why_not = ConvertError(_why_not(node, indices, text, over_time))
    if x.raw and not x.integer and indices == [size - 1]:
        axes = [() if n == axis else a for n, a in enumerate(x.axes)]
        rows = x.axes[axis][0] if are_rows(x, axis) else x.time
        return replace(x, axes=tuple(axes), last=why_not, time=rows, window=rows)
    raise why_not


def direction(node: Node, x: SymbolicTensor, axis: int, which: int) -> SymbolicTensor:
    """Select what one direction of a bidirectional layer returns."""
    assert x.parts is not None
    units = x.parts[1]
    weight = np.eye(x.width)[which * units.size : (which + 1) * units.size]
    layer = Dense(x.width, units.size)
    made = x.append(LayerOp(layer, {"weight": weight, "bias": np.zeros(units.size)}, str(node)))
    axes = tuple(() if n == axis else a for n, a in enumerate(x.axes))
    return replace(made, axes=axes, feature=units, parts=None, half=(x, which))


def _why_not(node: Node, indices: list[int], text: str, over_time: bool) -> str:
    """Return why indices of an axis other than the features cannot be selected."""
    axis = "the sequence" if over_time else "an axis that does not hold the features"
    if over_time:
        return (
            f"{node} takes {text} of the sequence: a stream has only its last step, and of a "
            "window neighbouring rows, if it is said how many it has (window=T)."
        )
    message = (
        f"{node} takes {text} of {axis}: before a recurrent layer a stream has one step at a "
        "time, and every one is taken."
    )
    if len(indices) > 1:
        return message
    return (
        f"{message} If the exporter wrote a recurrent layer out step by step, as PyTorch's newer "
        "one does with nn.RNN, use its older one (dynamo=False) or from_torch."
    )


def _select_layer(node: Node, x: StackedStates, axis: int, indices: list[int]) -> SymbolicTensor:
    if axis % len(_axes_of(x)) != x.axis or len(indices) != 1:
        raise ConvertError(f"{node}: expected to take the state of one layer.")
    return x.tensors[indices[0]]


def select_features(node: Node, x: SymbolicTensor, axis: int, indices: list[int]) -> SymbolicTensor:
    """Select features: columns of the input, else a product with a matrix of zeros and ones."""
    feature = Dim(len(indices)) if len(indices) > 1 else None
    if x.raw:
        columns = tuple(x.columns[n] for n in indices)
        axes = list(x.axes)
        axes[axis] = () if feature is None else (feature,)
        return replace(x, axes=tuple(axes), feature=feature, columns=columns)
    weight = np.eye(x.width)[indices]
    op = LayerOp(
        Dense(x.width, len(indices)), {"weight": weight, "bias": np.zeros(len(weight))}, str(node)
    )
    return x.with_features(axis, len(indices), op)


def _slice(start: int, end: int, step: int) -> slice:
    """Return a slice of Python, where an end before the first index is None."""
    if step < 0 and end < -(2**31):
        return slice(start, None, step)
    return slice(start, end, step)


def _slice_text(part: slice) -> str:
    """Return a slice in the syntax of Python: ``[:-1]``, ``[::-1]``."""
    start, stop, step = part.start or "", part.stop, part.step
    ends = "" if stop is None or abs(stop) >= 2**31 - 1 else stop
    return f"[{start}:{ends}{'' if step in (None, 1) else f':{step}'}]"


def _axes_of(x: Value) -> tuple[Axis, ...]:
    axes: tuple[Axis, ...] = (x.tensors[0] if isinstance(x, StackedStates) else x).axes
    return axes


def _size(x: Value, axis: int) -> int:
    if isinstance(x, StackedStates) and axis % len(_axes_of(x)) == x.axis:
        return len(x.tensors)
    size: int = (x.tensors[0] if isinstance(x, StackedStates) else x).shape[axis]
    return size
