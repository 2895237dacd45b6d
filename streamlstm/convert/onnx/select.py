"""ONNX nodes that take a part of an axis: of the features, the last step, one layer's state."""

from dataclasses import replace

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense
from .flow import Atom, Axis, Flow, Stack, Step, Value
from .node import Node


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
        numbers = range(_size(x, axis % rank))[part]
        x = select(node, x, axis, list(numbers), _written(part))
    return x


def split(node: Node, x: Flow, sizes: Value = None) -> list[Value]:
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
        select(node, x, axis, list(range(part.start, part.stop)), _written(part)) for part in parts
    ]


def select(node: Node, x: Value, axis: int, numbers: list[int], written: str) -> Value:
    """Keep only some of what stands along an axis; ``written`` is how the graph says which."""
    size = _size(x, axis)
    if any(not -size <= n < size for n in numbers):
        raise ConvertError(f"{node}: index {written} is out of range for an axis of {size}.")
    numbers = [n % size for n in numbers]
    if numbers == list(range(size)):
        return x
    if isinstance(x, Stack):
        return _select_layer(node, x, axis, numbers)
    axis %= len(x.axes)
    if x.feature is not None and x.is_features(axis):
        return select_features(node, x, axis, numbers)
    over_time = x.time is not None and x.axes[axis] == (x.time,)
    if over_time and numbers == [size - 1]:
        return x.reshaped([() if n == axis else a for n, a in enumerate(x.axes)])
    raise ConvertError(_no_such_steps(node, size, numbers, written, over_time))


def _no_such_steps(node: Node, size: int, numbers: list[int], written: str, over_time: bool) -> str:
    """Say why a part of an axis that is not the features cannot be taken."""
    axis = "the sequence" if over_time else "an axis that does not hold the features"
    if numbers == list(range(size))[::-1]:
        return f"{node} turns around {axis}: a live stream cannot be read from its end."
    if over_time:
        return f"{node} takes {written} of the sequence: a stream has only its last step."
    message = (
        f"{node} takes {written} of {axis}: before a recurrent layer a stream has one step at a "
        "time, and every one is taken."
    )
    if len(numbers) > 1:
        return message
    return (
        f"{message} If the exporter wrote a recurrent layer out step by step, as PyTorch's newer "
        "one does with nn.RNN, use its older one (dynamo=False) or from_torch."
    )


def _select_layer(node: Node, x: Stack, axis: int, numbers: list[int]) -> Flow:
    if axis % len(_axes_of(x)) != x.axis or len(numbers) != 1:
        raise ConvertError(f"{node}: expected to take the state of one layer.")
    return x.flows[numbers[0]]


def select_features(node: Node, x: Flow, axis: int, numbers: list[int]) -> Flow:
    """Take features: columns of the input, else a product with a matrix of zeros and ones."""
    feature = Atom(len(numbers)) if len(numbers) > 1 else None
    if x.raw:
        columns = tuple(x.columns[n] for n in numbers)
        axes = list(x.axes)
        axes[axis] = () if feature is None else (feature,)
        return replace(x, axes=tuple(axes), feature=feature, columns=columns)
    weight = np.eye(x.width)[numbers]
    step = Step(
        Dense(x.width, len(numbers)), {"weight": weight, "bias": np.zeros(len(weight))}, str(node)
    )
    return x.with_features(axis, len(numbers), step)


def _slice(start: int, end: int, step: int) -> slice:
    """Return a slice as Python has it: a step back to before the first is no negative end."""
    if step < 0 and end < -(2**31):
        return slice(start, None, step)
    return slice(start, end, step)


def _written(part: slice) -> str:
    """Return a slice as one writes it: ``[:-1]``, ``[::-1]``."""
    start, stop, step = part.start or "", part.stop, part.step
    ends = "" if stop is None or abs(stop) >= 2**31 - 1 else stop
    return f"[{start}:{ends}{'' if step in (None, 1) else f':{step}'}]"


def _axes_of(x: Value) -> tuple[Axis, ...]:
    axes: tuple[Axis, ...] = (x.flows[0] if isinstance(x, Stack) else x).axes
    return axes


def _size(x: Value, axis: int) -> int:
    if isinstance(x, Stack) and axis % len(_axes_of(x)) == x.axis:
        return len(x.flows)
    size: int = (x.flows[0] if isinstance(x, Stack) else x).shape[axis]
    return size
