"""Handlers of functions in a graph of Keras that are made of layers, and of rows put together."""

from math import prod

from ...errors import ConvertError
from . import rows
from .affine import number_of
from .branches import add_joined, branches_of
from .context import Context
from .network import KerasLayer


def absolute(context: Context, layer: KerasLayer) -> None:
    """Absolute: ``relu(x) + relu(-x)``."""
    parts = [context.branch(), context.branch()]
    parts[1].builder.scale(-1, 0, layer.where)
    for part in parts:
        part.builder.activate("relu", layer.where)
    add_joined(context, layer, parts, "add")


def square(context: Context, layer: KerasLayer) -> None:
    """Square: ``x x``."""
    add_joined(context, layer, [context.branch(), context.branch()], "multiply")


def negative(context: Context, layer: KerasLayer) -> None:
    """Negative."""
    context.builder.scale(-1, 0, layer.where)


def larger(context: Context, layer: KerasLayer) -> None:
    """Maximum and Minimum of two branches, or of one and a number: ``a + relu(b - a)``."""
    sign = 1.0 if layer.kind == "Maximum" else -1.0
    if not layer.branches:
        given = number_of(layer)
        if given is None:
            raise ConvertError(f"{layer.where} is refused: expected two branches, or a number.")
        context.builder.scale(sign, -sign * given, layer.where)
        context.builder.activate("relu", layer.where)
        context.builder.scale(sign, given, layer.where)
        return
    if len(layer.branches) != 2:
        raise ConvertError(f"{layer.where} is refused: expected two branches.")
    one, other = branches_of(context, layer)
    again, _ = branches_of(context, layer)
    above = context.branch()
    one.builder.scale(-sign, 0, layer.where)
    other.builder.scale(sign, 0, layer.where)
    add_joined(above, layer, [other, one], "add")
    above.builder.activate("relu", layer.where)
    above.builder.scale(sign, 0, layer.where)
    add_joined(context, layer, [again, above], "add")


def one_behind_the_other(context: Context, layer: KerasLayer, parts: list[Context]) -> None:
    """Concatenate over the steps: rows of all branches, one behind the other."""
    counts = []
    for part in parts:
        if not part.time:
            raise ConvertError(
                f"{layer.where} is refused: expected sequences of known length (window=T)."
            )
        counts.append(part.time)
        rows.in_one_row(part, layer.where)
    add_joined(context, layer, parts, "concatenate")
    rows.to_rows(context, sum(counts), layer.where)
    context.decoded = True


def reshape_rows(context: Context, layer: KerasLayer, sizes: list[int]) -> bool:
    """Reshape of rows to other rows; False if it is none."""
    T, N = context.time, context.builder.width
    if T is None or N is None or len(sizes) not in (1, 2):
        return False
    count = max(T, 1) * N
    known = prod(size for size in sizes if size != -1)
    if sizes.count(-1) > 1 or not known or count % known:
        return False
    sizes = [count // known if size == -1 else size for size in sizes]
    if prod(sizes) != count:
        return False
    rows.in_one_row(context, layer.where)
    context.time = 0
    if len(sizes) == 2:
        rows.to_rows(context, sizes[0], layer.where)
        context.decoded = True
    return True
