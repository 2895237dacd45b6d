"""Conversion of graphs that are followed on labels, and the comparison with what they compute."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.builder import ModelBuilder
from ...common.frameworks import first_line
from ...common.weights import Float64Array
from ...labels.chain import Output, read_output
from ...labels.confirm import largest_gap
from ...labels.layers import assemble
from ...labels.signals import Signals
from ..evaluate import runner
from ..inputs import INTEGERS, recurrent_width
from ..recurrent import CELL_CLIP
from .graph import FollowedGraph
from .live import Following, Live, live

_STREAMS, _STEPS = 3, 7  # of a call, where a graph leaves them open
_SCALES = (1.0, 0.05, 20.0)  # of the numbers on which both are compared
_TOLERANCE = 3e-4  # of the largest value: graphs and models are float32
_ORDERS = {
    4: ("b1tf", "b1ft", "btf1", "bft1", "bf1t"),
    3: ("btf", "tbf", "bft"),
    2: ("bf", "bt", "tf"),
    1: ("f", "t"),
}
COMPARED = "its graph, run on random numbers of several sizes"


@dataclass(frozen=True)
class Layout:
    """What the axes of a graph's input are.

    Attributes
    ----------
    order : str
        A letter for each axis: b for streams, t for rows, f for features, 1 for none.
    streams, rows, width : int
        S, T and F of a call.
    windowed : bool
        Whether the rows are a window.
    """

    order: str
    streams: int
    rows: int
    width: int
    windowed: bool

    @property
    def usual(self) -> bool:
        """Whether the features are on an axis behind that of the rows."""
        return self.order.find("f") > self.order.find("t") or "f" not in self.order

    def arranged(self, X: Any) -> Any:
        """Return X[S, T, F] as the graph takes it."""
        axes = ["btf".index(c) for c in self.order if c != "1"]
        rest = [n for n in range(3) if n not in axes]
        found = X.transpose([*axes, *rest]).reshape([X.shape[n] for n in axes])
        for place, c in enumerate(self.order):
            if c == "1":
                found = np.expand_dims(found, place)
        return found


@dataclass
class FoundGraph:
    """What a graph computes: its output ``name`` in a layout of its input."""

    layout: Layout
    name: str
    output: Output

    def builder(self) -> ModelBuilder:
        """Return the layers."""
        layers = [layer.copy() for layer in self.output.layers]
        if not layers:
            raise ConvertError("it has no layers")
        builder = assemble(layers, {}, [])
        if self.layout.windowed:
            builder.window = self.layout.rows
        return builder

    @property
    def options(self) -> dict[str, Any]:
        """Options of the model: its residual connection."""
        residual = self.output.residual
        if residual.skip is None:
            return {}
        return {"skip": residual.skip, "skip_scale": residual.scale}


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
            _confirm(original, given, found)
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


def _confirm(model: Any, given: Any, found: FoundGraph) -> None:
    """Refuse what gives other numbers than the graph, on small and large numbers of both signs."""
    made = found.builder().build("ONNX", **found.options)
    if made.input_size != found.layout.width:
        raise ConvertError(f"it takes {made.input_size} of {found.layout.width} features.")
    names = [value.name for value in model.graph.output]
    if any(a.name == CELL_CLIP for node in model.graph.node for a in node.attribute):
        return  # written from TensorFlow Lite: no runtime of ONNX knows it
    try:
        run = runner(model)
    except ConvertError:  # by ONNX's own evaluator: only ONNX Runtime can run it
        return
    except Exception as error:  # of any type, depending on what runs it
        raise ConvertError(f"the graph cannot be run: {first_line(error)}.") from None
    for seed, scale in enumerate(_SCALES, 1):
        X = _draw(found, made.categories, seed, scale)
        try:
            with np.errstate(all="ignore"):
                expected = run({given.name: found.layout.arranged(_as_input(X, given))})
        except Exception as error:  # the runtime's
            raise ConvertError(f"the graph cannot be run: {first_line(error)}.") from None
        both = largest_gap(
            made,
            found.output,
            X,
            np.asarray(expected[names.index(found.name)], np.float64),
            found.layout.windowed,
        )
        if both is not None and not both[0] <= _TOLERANCE * both[1] + 1e-6:
            raise ConvertError(
                f"for random numbers of size {scale:g} the graph gives other ones than its "
                f"layers, by up to {both[0]:.2g}."
            )


def _draw(found: FoundGraph, categories: int, seed: int, scale: float) -> Float64Array:
    rng, layout = np.random.default_rng(seed), found.layout
    X = rng.standard_normal((layout.streams, layout.rows, layout.width)) * scale
    if categories:
        X[..., 0] = rng.integers(0, categories, X.shape[:2])
    return X.astype(np.float32).astype(np.float64)


def _as_input(X: Float64Array, given: Any) -> Any:
    from onnx.helper import tensor_dtype_to_np_dtype

    return X.astype(tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type))
