"""Conversion of graphs that are followed on labels."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...labels.chain import read_output
from ...labels.signals import Signals
from ..confirm_loops import has_loops
from ..inputs import INTEGERS, recurrent_width
from .confirm import confirm
from .found import FoundGraph, Layout
from .graph import FollowedGraph
from .live import Following, Live, live

_STREAMS, _STEPS = 3, 7  # of a call, where a graph leaves them open
_ORDERS = {
    4: ("b1tf", "b1ft", "btf1", "bft1", "bf1t"),
    3: ("btf", "tbf", "bft"),
    2: ("bf", "bt", "tf"),
    1: ("f", "t"),
}


def follow(
    models: tuple[Any, Any],
    constants: Mapping[str, Any],
    output: str | None,
    window: int | None,
    stateful: bool,
    *,
    usual: bool,
) -> FoundGraph:
    """Return what a graph computes, by its nodes, confirmed by its outputs.

    Parameters
    ----------
    models : tuple of onnx.ModelProto
        The graph to follow, and the one to compare it with, whose loops were not replaced.
    constants : mapping of str to array
        Initializers of the first.
    output : str, optional
        The output to convert; the first by default.
    window : int, optional
        T, if the graph leaves it open.
    stateful : bool
        Whether it shall keep its state from row to row.
    usual : bool
        Whether to take the features on the last axis of the input, or on an earlier one.

    Raises
    ------
    ConvertError
        If a node between input and output cannot be followed.
    """
    model, original = models
    values = [value for value in model.graph.input if value.name not in constants]
    if len(values) != 1:
        names = ", ".join(value.name for value in values)
        raise ConvertError(f"the graph has {len(values)} inputs, {names}: expected one.")
    (given,) = values
    problem: tuple[int, ConvertError] | None = None
    for layout in _layouts(model, given, constants, window, stateful):
        if layout.usual != usual:
            continue
        if layout.streams == layout.rows == 1 and has_loops(models[1]):
            continue  # a loop over one row alone says nothing of the order of several
        try:
            return _found((model, original), given, constants, output, layout)
        except _NotFoundError as error:
            if problem is None or error.followed > problem[0]:
                problem = error.followed, error.problem
    if problem is None:
        raise ConvertError(
            f"the input {given.name} has a shape that is none of streams, rows and features."
        )
    raise problem[1]


def takes_windows(
    model: Any, constants: Mapping[str, Any], window: int | None, stateful: bool
) -> bool:
    """Return whether a graph takes windows of a length that it says, or the caller."""
    values = [value for value in model.graph.input if value.name not in constants]
    return len(values) == 1 and any(
        layout.windowed and layout.usual
        for layout in _layouts(model, values[0], constants, window, stateful)
    )


class _NotFoundError(Exception):
    """A graph cannot be followed in a layout; the more nodes were followed, the likelier it is."""

    def __init__(self, followed: int, problem: ConvertError) -> None:
        super().__init__(str(problem))
        self.followed, self.problem = followed, problem


def _layouts(
    model: Any, given: Any, constants: Mapping[str, Any], window: int | None, stateful: bool
) -> Iterator[Layout]:
    """Yield what the axes of the input may be, the likeliest first."""
    tensor = given.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim]
    width = recurrent_width(model, constants)
    for order in _ORDERS.get(len(dims), ()):
        sizes = dict(zip(order, dims, strict=True))
        if sizes.get("1", 1) != 1:
            continue
        F, rows = sizes.get("f", 1) or (width if order[-1] == "f" else 0), sizes.get("t", 1)
        if not F or (rows and window and rows != window and "t" in order):
            continue
        if order == "bf" and window == F:  # the numbers of a single feature
            continue
        T = rows or window or _STEPS
        windowed = T > 1 and not stateful and bool(rows or window)
        batch = sizes.get("b", 1)
        if batch > 1 and order[0] != "b":
            continue
        for S in (batch,) if batch else (_STREAMS, 1):
            yield Layout(order, S, T, F, windowed)


def _found(
    models: tuple[Any, Any],
    given: Any,
    constants: Mapping[str, Any],
    output: str | None,
    layout: Layout,
) -> FoundGraph:
    S, T, F = layout.streams, layout.rows, layout.width
    model, original = models
    signals = Signals(S, T, F, layout.windowed)
    signals.mixes = layout.usual
    signals.exchanges = False  # which axis holds the rows is told by what runs over them
    following = Following(signals, ["the graph"])
    integer = given.type.tensor_type.elem_type in INTEGERS
    labels = layout.arranged(signals.all_labels(signals.input))
    start = live(labels, integer=integer)
    graph = FollowedGraph(model, following, {given.name: start}, constants)
    problem: ConvertError | None = None
    names = [value.name for value in model.graph.output]
    for name in [output] if output is not None else names:
        value = graph.values.get(name)
        if not isinstance(value, Live):
            continue
        try:
            following.path = [f"the output {name}"]
            found = FoundGraph(layout, name, read_output(signals, following.labels(value)))
            _check_streams(found)
            found.compared = confirm(original, given, found)
            return found
        except ConvertError as error:
            problem = problem or error
    problem = problem or ConvertError("no output depends on the input.")
    raise _NotFoundError(graph.followed, problem)


def _check_streams(found: FoundGraph) -> None:
    """Refuse an output of the first of several windows alone: an axis was taken for another."""
    places, layout = found.output.positions, found.layout
    streams = places[places >= 0] if layout.windowed else places // layout.rows
    if len(np.unique(streams)) != layout.streams:
        raise ConvertError("the output is that of one of several windows.")
