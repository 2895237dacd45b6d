"""Networks with several inputs: an observation is these inputs, one behind the other.

A graph with several inputs becomes one with a single input, of which each takes its columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...errors import ConvertError
from .calls import ORIGIN, tensors
from .concatenate import ANNOTATION
from .config import input_shape, layer_name
from .file import Config
from .graph import FunctionalGraph

PART = "InputPart"
_TENSOR = "__keras_tensor__"
_TO_ROWS = ("ExpandDims", "Reshape", "TFOpLambda")


@dataclass(frozen=True)
class InputPart:
    """The columns of an observation that are an input of the network.

    Attributes
    ----------
    name : str
    first, width : int
    shape : list of int or None
        That of the input in the file, batch axis included.
    is_series : bool
        Whether it has a value, or several, for each row; otherwise the last row's are taken.
    """

    name: str
    first: int
    width: int
    shape: list[int | None]
    is_series: bool

    @property
    def columns(self) -> slice:
        """Which columns of an observation these are."""
        return slice(self.first, self.first + self.width)

    @property
    def names(self) -> list[str]:
        """What the columns are called."""
        if self.width == 1:
            return [self.name]
        return [f"{self.name}.{n}" for n in range(self.width)]


def one_input(
    layers: Sequence[Config], graph: FunctionalGraph, names: Sequence[str]
) -> tuple[list[Config], list[InputPart]]:
    """Return the layers of a graph whose inputs are parts of one, and these parts.

    Parameters
    ----------
    layers : sequence of dict
    graph : FunctionalGraph
        Of these layers.
    names : sequence of str
        The inputs of which an observation is made, in the order of the network.

    Raises
    ------
    ConvertError
        If they do not have a row each for each other's rows.
    """
    parts: list[InputPart] = []
    for name in names:
        part = _part(graph, name, sum(part.width for part in parts))
        parts.append(part)
    rows = _common_rows(parts)
    width = sum(part.width for part in parts)
    has_rows = any(part.is_series for part in parts)
    shape = [None, rows, width] if has_rows else [None, width]
    whole = {
        "class_name": "InputLayer",
        "name": "observation",
        "config": {"name": "observation", "batch_shape": shape},
    }
    by_name = {part.name: part for part in parts}
    return [whole, *(_taken(layer, by_name) for layer in layers)], parts


def series_of_numbers(layers: Sequence[Config], graph: FunctionalGraph, name: str) -> list[Config]:
    """Return the layers with an input of T numbers as one of T rows, if that is made of it."""
    shape = _shape(graph, name)
    if len(shape) != 2 or not _becomes_rows(graph, name, shape):
        return list(layers)
    found = []
    for layer in layers:
        if layer_name(layer) == name:
            layer = {**layer, "config": {**layer["config"], "batch_shape": [*shape, 1]}}
            layer["config"].pop("batch_input_shape", None)
        elif any(source == name for source, _ in graph.sources(layer)):
            layer = {**layer, "class_name": "Identity"}
        found.append(layer)
    return found


def _part(graph: FunctionalGraph, name: str, first: int) -> InputPart:
    shape = _shape(graph, name)
    if len(shape) == 3 and isinstance(shape[2], int):
        return InputPart(name, first, shape[2], shape, True)
    if len(shape) == 2 and _becomes_rows(graph, name, shape):
        return InputPart(name, first, 1, shape, True)
    if len(shape) == 2 and isinstance(shape[1], int):
        return InputPart(name, first, shape[1], shape, False)
    if len(shape) == 1:
        return InputPart(name, first, 1, shape, False)
    raise ConvertError(
        f"the input {name!r} has the shape {tuple(shape)}: of several inputs, joined to one "
        "observation, each has the shape (rows, features), or (features,) for those of the last "
        "row."
    )


def _shape(graph: FunctionalGraph, name: str) -> list[int | None]:
    shape = input_shape(graph.layer(name)["config"])
    if shape is None:
        raise ConvertError(f"the input {name!r} has no shape in the file.")
    return shape


def _becomes_rows(graph: FunctionalGraph, name: str, shape: list[int | None]) -> bool:
    """Tell whether all layers that take an input [batch, T] make T rows of it."""
    takers = [
        layer
        for layer in graph.layers.values()
        if any(source == name for source, _ in graph.sources(layer))
    ]
    return bool(takers) and shape[1] != 1 and all(_makes_rows(x, shape[1]) for x in takers)


def _makes_rows(layer: Config, rows: int | None) -> bool:
    kind, config = layer.get("class_name"), layer["config"]
    if kind == "Reshape":
        return list(config.get("target_shape") or ()) in ([rows, 1], [-1, 1])
    if kind == "ExpandDims":
        return config.get("axis") in (-1, 2)
    if kind == "TFOpLambda" and config.get("function") == "expand_dims":
        return "'axis': -1" in repr(layer.get("inbound_nodes"))
    return kind == "Embedding"


def _common_rows(parts: Sequence[InputPart]) -> int | None:
    rows = {part.name: part.shape[1] for part in parts if part.is_series}
    if len({*rows.values()}) > 1:
        listed = ", ".join(f"{name} has {n or 'any number'}" for name, n in rows.items())
        raise ConvertError(
            f"the inputs have different numbers of rows: {listed}. The rows of a stream are "
            "observations of all inputs at the same times: train it with equally many rows of "
            "each, the shorter ones padded."
        )
    return next(iter(rows.values()), None)


def _taken(layer: Config, parts: Mapping[str, InputPart]) -> Config:
    """Return an input as a layer that takes its columns; any other layer as it is."""
    part = parts.get(layer_name(layer))
    if part is None:
        numbers = [p.name for p in parts.values() if p.is_series and len(p.shape) == 2]
        config = {key: value for key, value in layer["config"].items() if key != ANNOTATION}
        found = {**layer, "config": config, ORIGIN: layer}
        takes = {name for name, *_ in tensors(layer.get("inbound_nodes"))} & {*numbers}
        return {**found, "class_name": "Identity"} if takes and _is_shape(layer) else found
    history = {"class_name": _TENSOR, "config": {"keras_history": ["observation", 0, 0]}}
    config = {"name": part.name, "part": part}
    return {
        "class_name": PART,
        "name": part.name,
        "config": config,
        "inbound_nodes": [{"args": [history]}],
    }


def _is_shape(layer: Config) -> bool:
    return layer.get("class_name") in _TO_ROWS
