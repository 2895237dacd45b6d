"""Branches of a graph of Keras, and how they are joined."""

from ...network.layers import Last
from ..common.error_context import layer_errors
from . import padding, rows
from .context import Context
from .network import KerasLayer
from .unsupported import way_around

# What a function of Keras 2 in a graph is called, and the layer that does the same.
_FUNCTIONS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.multiply": "Multiply",
    "math.subtract": "Subtract",
    "concat": "Concatenate",
}
MERGES = {
    "Add": "add",
    "Average": "add",
    "Subtract": "add",
    "Multiply": "multiply",
    "Concatenate": "concatenate",
}


def branches_of(context: Context, layer: KerasLayer) -> list[Context]:
    """Return the contexts behind the layers of all branches, of sequences or of one row."""
    parts = [_branch(context, branch) for branch in layer.branches]
    _align(parts, layer)
    return parts


def add_joined(context: Context, layer: KerasLayer, parts: list[Context], merge: str) -> None:
    """Append a layer that merges branches, and follow the number of rows."""
    context.builder.join([part.builder for part in parts], merge, layer.where)
    times = [part.time for part in parts]
    context.time = max(times, key=lambda rows: -1 if rows is None else rows)
    if None in times and not any(rows and rows > 1 for rows in times):
        context.time = None
    context.ended = all(part.ended for part in parts)
    context.carried = parts[0].carried
    context.decoded = context.decoded or any(part.decoded for part in parts)


def kind_of(layer: KerasLayer) -> str:
    """Return the class of a layer, or what a function in a graph is called as a layer."""
    if layer.kind != "TFOpLambda":
        return layer.kind
    return _FUNCTIONS.get(str(layer.config.get("function")), layer.kind)


def _branch(context: Context, layers: list[KerasLayer]) -> Context:
    """Return the context behind the layers of a branch."""
    inner = context.branch()
    for n, layer in enumerate(layers):
        with layer_errors(layer.where, way_around(layers, n)):
            context.add(inner, layer)
    padding.settle(inner, "the end of a branch")
    rows.settle(inner)
    return inner


def _align(parts: list[Context], layer: KerasLayer) -> None:
    """Take the last rows where Keras has reduced some branches to them, and others not.

    Where all are reduced the last row of what is joined is the same.
    """
    if all(part.ended for part in parts) and len({part.carried for part in parts}) == 1:
        return
    for part in parts:
        if part.ended:
            part.builder.add(Last(part.need_width(layer)), {}, layer.where)
            part.ended = False
