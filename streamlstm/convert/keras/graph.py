"""The graph of a Functional network: paths from its outputs back to its inputs."""

from collections.abc import Iterator
from typing import Any

from ...errors import ConvertError
from .concatenate import read_concatenate
from .config import layer_name
from .file import Config

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


def endpoints(config: Config, key: str) -> list[tuple[str, int]]:
    """Return input or output layers, each with the index of its tensor; files differ in form."""
    found = config.get(key)
    if isinstance(found, dict):
        found = list(found.values())
    if not isinstance(found, list) or not found:
        raise ConvertError(f"the configuration of the network lacks its {key}.")
    if isinstance(found[0], str):
        found = [found]
    return [(str(entry[0]), int(entry[2]) if len(entry) > 2 else 0) for entry in found]


class FunctionalGraph:
    """Finds paths from layers back to an input.

    Parameters
    ----------
    layers : list of dict
        Configurations of all layers of the network.

    Attributes
    ----------
    side_inputs : set of str
        Inputs that need not be on a path: initial states, and numbers beside a category.
    """

    def __init__(self, layers: list[Config]) -> None:
        self._layers = {layer_name(layer): layer for layer in layers}
        self.side_inputs: set[str] = set()

    def layer(self, name: str) -> Config:
        """Return a layer by its name."""
        if name not in self._layers:
            raise ConvertError(
                f"the graph of the network refers to a layer {name!r} that it lacks."
            )
        return self._layers[name]

    def is_state(self, name: str, output: int) -> bool:
        """Return whether an output is a recurrent layer's state, as all but its first one are."""
        return bool(output) and self.layer(name).get("class_name") in _RECURRENT

    def path_to(self, name: str, output: int = 0) -> list[Config]:
        """Return the layers from an input to a layer, in order."""
        path: list[Config] = []
        while True:
            layer = self.layer(name)
            if layer in path:
                raise ConvertError(f"layer {name!r} is used more than once on one path.")
            self._select_output(layer, name, output, path)
            path.append(layer)
            sources = self._drop_states(layer, name, source_tensors(layer))
            if not sources:
                return path[::-1]
            if layer.get("class_name") == "Attention" and len(set(sources)) == 1:
                sources = sources[:1]  # a sequence attends to itself
            if len(sources) > 1:
                return self._concatenate(layer, name, sources) + path[::-1]
            ((name, output),) = sources

    def path_or_none(self, name: str) -> list[Config] | None:
        """Return the layers from an input to a layer, or None without a single path."""
        try:
            return self.path_to(name)
        except ConvertError:
            return None

    def _select_output(self, layer: Config, name: str, output: int, path: list[Config]) -> None:
        """Select an output: the returned hidden state is the last output of its layer."""
        if not output:
            return
        if output != 1 or layer.get("class_name") not in _RECURRENT:
            taker = repr(layer_name(path[-1])) if path else "the output"
            raise ConvertError(f"layer {taker} takes output {output} of {name!r}: its state.")
        layer["config"]["return_sequences"] = False

    def _drop_states(
        self, layer: Config, name: str, sources: list[tuple[str, int]]
    ) -> list[tuple[str, int]]:
        """Drop initial states that are inputs: a stream starts from zeros and keeps its own."""
        if layer.get("class_name") not in (*_RECURRENT, "RNN") or len(sources) < 2:
            return sources
        for source, _ in sources[1:]:
            if self.layer(source).get("class_name") != "InputLayer":
                raise ConvertError(
                    f"layer {name!r} ({layer.get('class_name')}) takes its initial state from "
                    f"{source!r}: a stream starts from zeros or a constant."
                )
            self.side_inputs.add(source)
        return sources[:1]

    def _concatenate(
        self, layer: Config, name: str, sources: list[tuple[str, int]]
    ) -> list[Config]:
        """Return the path to a layer that joins others: an embedding and numbers."""
        names = [source for source, _ in sources]
        plain = layer.get("class_name") == "Concatenate" and not any(n for _, n in sources)
        concat = read_concatenate(layer, names, self.path_or_none) if plain else None
        if concat is None:
            raise ConvertError(
                f"layer {name!r} ({layer.get('class_name')}) joins "
                f"{' and '.join(map(repr, names))}: a graph with branches cannot be converted, "
                "only layers one after the other, and at their start Concatenate()([Embedding, "
                "numbers])."
            )
        self.side_inputs.add(concat[1])
        return concat[0]


def source_tensors(layer: Config) -> list[tuple[str, int]]:
    """Return the layers from which a layer takes its inputs, each with the index of the tensor."""
    calls = layer.get("inbound_nodes") or []
    if calls and isinstance(calls[0], list) and calls[0] and isinstance(calls[0][0], str):
        calls = [calls]  # Keras 2 omits a list level around a single tensor
    if len(calls) > 1:
        raise ConvertError(
            f"layer {layer_name(layer)!r} ({layer.get('class_name')}) is used more than once."
        )
    return [tensor for call in calls for tensor in _tensors(call)]


def _tensors(call: Any) -> Iterator[tuple[str, int]]:
    """Yield layer and tensor index of each tensor in a call, at any depth."""
    if isinstance(call, dict):
        history = call.get("config", {}).get("keras_history") if "config" in call else None
        if call.get("class_name") == "__keras_tensor__" and history:
            yield str(history[0]), int(history[2])
            return
        for value in call.values():
            yield from _tensors(value)
    elif isinstance(call, list):
        if len(call) >= 3 and isinstance(call[0], str) and isinstance(call[1], int):
            yield call[0], int(call[2])
            call = call[3:]
        for value in call:
            yield from _tensors(value)
