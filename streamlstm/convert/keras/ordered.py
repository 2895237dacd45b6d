"""The layers of a model of Keras in the order in which they are applied."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConvertError
from .concatenate import sliced_columns
from .config import layer_name
from .file import Config
from .graph import FunctionalGraph, endpoints
from .inputs import InputPart, one_input, series_of_numbers

_ADDITIONS = ("Add", "TFOpLambda")  # the second is what Keras 2 writes for x + y
_PLUS = ("__operators__.add", "math.add")


@dataclass
class Ordered:
    """The layers of a model in the order in which they are applied, and what else there is."""

    layers: list[Config]
    skip: list[int] | None = None
    parts: list[InputPart] = field(default_factory=list)
    has_states: bool = False


def in_order(kind: str, config: Any, inside: bool = False) -> Ordered:
    """Return the layers of a model; ``inside`` of another an input is not told apart."""
    layers = layer_configs(config)
    if kind == "Sequential":
        return Ordered(layers)
    graph = FunctionalGraph(layers)
    inputs = [name for name, *_ in endpoints(config, "input_layers")]
    outputs = [(graph.find(name, node), n) for name, node, n in endpoints(config, "output_layers")]
    output = _only_output(graph, outputs)
    series = [name for name in inputs if name not in graph.state_inputs]
    if len(series) == 1 and not inside:
        layers = series_of_numbers(layers, graph, series[0])
        graph = FunctionalGraph(layers)
    found = None if len(series) > 1 else _follow(graph, output, inside)
    if found is None:
        found = _joined_at_once(graph, output, inputs)
    if found is None:
        layers, parts = one_input(layers, graph, series)
        found = _follow(FunctionalGraph(layers, embeddings=False), output, inside)
        found.parts = parts
    used = {*graph.side_inputs, *_names(found.layers)}
    if not {*inputs} <= used | graph.state_inputs:
        raise ConvertError(
            f"the network has {len(inputs)} inputs and {len(outputs)} outputs, and its answer does "
            f"not depend on {', '.join(sorted({*inputs} - used))}."
        )
    found.has_states = bool(graph.state_inputs)
    return found


def _joined_at_once(
    graph: FunctionalGraph, output: tuple[str, int], inputs: Sequence[str]
) -> Ordered | None:
    """Return the layers behind a category and numbers beside it; None of any other inputs."""
    try:
        found = _follow(graph, output, False)
    except ConvertError:
        return None
    return found if {*inputs} <= {*graph.side_inputs, *_names(found.layers)} else None


def _names(layers: Sequence[Config]) -> set[str]:
    """Return the names of layers, those of their branches too."""
    inner = (_names(branch) for layer in layers for branch in layer.get("branches", ()))
    return {layer_name(layer) for layer in layers}.union(*inner)


def _only_output(graph: FunctionalGraph, outputs: list[tuple[str, int]]) -> tuple[str, int]:
    # A network that is stepped by its caller returns its states beside its predictions.
    predictions = [output for output in outputs if not graph.is_state(*output)] or outputs
    if len(predictions) > 1:
        listed = ", ".join(name for name, _ in predictions)
        raise ConvertError(
            f"the network has the outputs {listed}, and a model has one: save each as a network of "
            f"its own, keras.Model(net.inputs, net.get_layer({predictions[0][0]!r}).output), or "
            "join them by Concatenate."
        )
    return predictions[0]


def _follow(graph: FunctionalGraph, output: tuple[str, int], inside: bool) -> Ordered:
    """Return the layers up to the output, with the columns of the input that are added there."""
    last = graph.layer(output[0])
    if last.get("class_name") in _ADDITIONS and not inside:
        found = _read_skip(graph, last)
        if found is not None:
            return Ordered(*found)
    return Ordered(graph.path_to(*output))


def _read_skip(
    graph: FunctionalGraph, last: Config
) -> tuple[list[Config], list[int] | None] | None:
    """Read ``Add(network, input)``: the layers of the network, and the columns that are added."""
    if last.get("class_name") == "TFOpLambda" and last["config"].get("function") not in _PLUS:
        return None
    sources = graph.sources(last)
    if len(sources) != 2 or sources[0] == sources[1]:
        return None
    for network, through in (sources, sources[::-1]):
        path = None if through[1] else graph.path_or_none(through[0])
        columns = None if path is None else sliced_columns(path)
        if columns is not None:
            return graph.path_to(*network), columns
    return None


def layer_configs(config: Any) -> list[Config]:
    """Return the layers of a model as in the file; early Keras 2 had a bare list."""
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list) or not all(
        isinstance(layer, dict) and isinstance(layer.get("config"), dict) for layer in layers
    ):
        raise ConvertError("the configuration of the network does not list its layers.")
    return layers
