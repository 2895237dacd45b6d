"""Interpretations of a graph's inputs: which axis is the batch, the time, the features."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from ...errors import ConvertError
from .tensor import Axis, Dim, SymbolicTensor

INTEGERS = (2, 3, 4, 5, 6, 7, 12, 13)  # onnx.TensorProto: uint8 ... int64, uint32, uint64


def input_candidates(
    model: Any, constants: Mapping[str, Any], window: int | None = None
) -> Iterator[tuple[dict[str, SymbolicTensor], bool]]:
    """Yield interpretations of the graph's inputs, the likeliest first.

    Each axis of open length is given a prime number as its length, by which it is recognised. Some
    exporters leave the batch open but write 1 into the shapes that depend on it, so each open axis
    is also tried with length 1, and first of all with that of a window, if the caller says it.

    Yields
    ------
    inputs : dict of str to SymbolicTensor
    single : bool
        Whether an open axis has length 1.
    """
    values = [value for value in model.graph.input if value.name not in constants]
    values = values[:1] + [value for value in values[1:] if not is_length(value)]
    if not values:
        raise ConvertError("the graph has no inputs.")
    is_integer = {v.name: v.type.tensor_type.elem_type in INTEGERS for v in values}
    primes, width = _free_primes(constants), recurrent_width(model, constants)
    tries = [(n, window) for n in (0, 1) if window] + [(None, 1), (0, 1), (1, 1)]
    for unit_axis, length in tries:
        sizes = _sizes(values, primes, width, unit_axis, length or 1)
        if unit_axis is not None and sizes == _sizes(values, primes, width, None):
            continue
        axes: list[int | None] = [-1, None, *range(max(map(len, sizes.values())) - 1)]
        if is_integer[values[0].name]:
            axes = [None, *axes]
        for axis in dict.fromkeys(axes):
            # Numbers beside categories have an axis of features even if the categories have none.
            others = -1 if axis is None and any(is_integer.values()) else axis
            yield (
                {
                    name: _make_input(
                        name,
                        size,
                        _feature_axis(axis if is_integer[name] else others, size),
                        is_integer[name],
                        primes,
                    )
                    for name, size in sizes.items()
                },
                unit_axis is not None and length == 1,
            )


def is_length(value: Any) -> bool:
    """Return whether an input holds one integer for each sequence: not a category in time."""
    tensor = value.type.tensor_type
    return tensor.elem_type in INTEGERS and len(tensor.shape.dim) == 1


def _feature_axis(axis: int | None, sizes: Sequence[int]) -> int | None:
    """Return the axis of the features in an input of these sizes."""
    return axis if axis is None or axis < len(sizes) else -1


def _sizes(
    values: Sequence[Any],
    primes: Sequence[int],
    width: int,
    unit_axis: int | None,
    length: int = 1,
) -> dict[str, list[int]]:
    """Return the sizes of each input's axes; open ones are primes, one for each name.

    ``unit_axis`` is the index of the open axis that gets this length, if any.
    """
    unused = iter(primes)
    named: dict[str, int] = {}
    sizes = {}
    for value in values:
        tensor = value.type.tensor_type
        dims = list(tensor.shape.dim) if tensor.HasField("shape") else [None] * 3
        found = []
        for n, dim in enumerate(dims):
            if dim is not None and dim.HasField("dim_value") and dim.dim_value > 0:
                found.append(dim.dim_value)
            elif n == len(dims) - 1 and n > 1 and width:
                found.append(width)
            else:
                name = (dim is not None and dim.dim_param) or f"{value.name} {n}"
                if name not in named:
                    named[name] = length if len(named) == unit_axis else next(unused)
                found.append(named[name])
        sizes[value.name] = found or [1]
    return sizes


def recurrent_width(model: Any, constants: Mapping[str, Any]) -> int:
    """Return the input width of the first recurrent layer, for inputs that leave it open."""
    for node in model.graph.node:
        if node.op_type in ("LSTM", "GRU", "RNN") and len(node.input) > 1:
            shape: tuple[int, ...] = getattr(constants.get(node.input[1]), "shape", ())
            return shape[-1] if len(shape) == 3 else 0
    return 0


def _free_primes(constants: Mapping[str, Any]) -> list[int]:
    """Return primes that divide no size in the file, so that axes are recognised by length."""
    taken = {size for array in constants.values() for size in array.shape}
    primes = [p for p in range(29, 2000) if all(p % n for n in range(2, int(p**0.5) + 1))]
    return [p for p in primes if all(size % p for size in taken if size)]


def _make_input(
    name: str, sizes: Sequence[int], feature: int | None, integer: bool, primes: Sequence[int]
) -> SymbolicTensor:
    """Return an input of the graph as a symbolic tensor.

    Parameters
    ----------
    name : str
    sizes : sequence of int
        Sizes of its axes.
    feature : int, optional
        The axis of the features; None if each value is a single feature.
    integer : bool
        Whether it holds integers.
    primes : sequence of int
        Sizes that stand for open ones.
    """
    axes: tuple[Axis, ...] = tuple(
        (Dim(size, size in primes),) if size > 1 else () for size in sizes
    )
    axis = () if feature is None else axes[feature]
    columns = tuple(range(prod(dim.size for dim in axis)))
    return SymbolicTensor(axes, axis[0] if axis else None, (), name, columns, integer=integer)
