"""Walking through the graph of a Functional network, from its output back to its input."""

from collections.abc import Iterator
from typing import Any

from ...errors import ConvertError
from .file import Config
from .join import read_join

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


def ends_of(config: Config, key: str) -> list[tuple[str, int]]:
    """Return the layers of inputs or outputs, and which output of each; they come in many forms."""
    ends = config.get(key)
    if isinstance(ends, dict):
        ends = list(ends.values())
    if not isinstance(ends, list) or not ends:
        raise ConvertError(f"the configuration of the network lacks its {key}.")
    if isinstance(ends[0], str):
        ends = [ends]
    return [(str(end[0]), int(end[2]) if len(end) > 2 else 0) for end in ends]


def name_of(layer: Config) -> str:
    """Return how the graph calls a layer."""
    return str(layer.get("name", layer["config"].get("name")))


def is_recurrent(by_name: dict[str, Config], name: str) -> bool:
    """Say whether a layer hands out a state, its last answer first."""
    return find(by_name, name).get("class_name") in _RECURRENT


def find(by_name: dict[str, Config], name: str) -> Config:
    """Return a layer that the graph speaks of."""
    if name not in by_name:
        raise ConvertError(f"the graph of the network speaks of a layer {name!r} that it lacks.")
    return by_name[name]


class Walk:
    """Walks from layers back to an input.

    Attributes
    ----------
    beside : set of str
        The inputs that are no part of a way and need not be: states, and numbers beside a category.
    """

    def __init__(self, by_name: dict[str, Config]) -> None:
        self.by_name = by_name
        self.beside: set[str] = set()

    def back(self, name: str, output: int = 0) -> list[Config]:
        """Walk from a layer back to the input, and return the way in the order of application."""
        way: list[Config] = []
        while True:
            layer = find(self.by_name, name)
            if layer in way:
                raise ConvertError(f"layer {name!r} is used more than once on one way.")
            self._take_output(layer, name, output, way)
            way.append(layer)
            sources = self._leave_states(layer, name, sources_of(layer))
            if not sources:
                return way[::-1]
            if len(sources) > 1:
                return self._join(layer, name, sources) + way[::-1]
            ((name, output),) = sources

    def back_or_none(self, name: str) -> list[Config] | None:
        """Walk back; return None where there is no way."""
        try:
            return self.back(name)
        except ConvertError:
            return None

    def _take_output(self, layer: Config, name: str, output: int, way: list[Config]) -> None:
        """Let the hidden state that a layer hands out be its last answer, which it is."""
        if not output:
            return
        if output != 1 or layer.get("class_name") not in _RECURRENT:
            taker = repr(name_of(way[-1])) if way else "the output"
            raise ConvertError(f"layer {taker} takes output {output} of {name!r}: its state.")
        layer["config"]["return_sequences"] = False

    def _leave_states(
        self, layer: Config, name: str, sources: list[tuple[str, int]]
    ) -> list[tuple[str, int]]:
        """Leave out initial states that are passed in: a stream keeps its own from zeros on."""
        if layer.get("class_name") not in (*_RECURRENT, "RNN") or len(sources) < 2:
            return sources
        for source, _ in sources[1:]:
            if find(self.by_name, source).get("class_name") != "InputLayer":
                raise ConvertError(
                    f"layer {name!r} ({layer.get('class_name')}) takes its initial state from "
                    f"{source!r}: a stream starts from zeros or a constant."
                )
            self.beside.add(source)
        return sources[:1]

    def _join(self, layer: Config, name: str, sources: list[tuple[str, int]]) -> list[Config]:
        """Return the way to a layer that joins others, if that is an embedding beside numbers."""
        names = [source for source, _ in sources]
        plain = layer.get("class_name") == "Concatenate" and not any(n for _, n in sources)
        joined = read_join(layer, names, self.back_or_none) if plain else None
        if joined is None:
            raise ConvertError(
                f"layer {name!r} ({layer.get('class_name')}) joins "
                f"{' and '.join(map(repr, names))}: a graph with branches cannot be taken over, "
                "only layers one after the other, and at their start Concatenate()([Embedding, "
                "numbers])."
            )
        self.beside.add(joined[1])
        return joined[0]


def sources_of(layer: Config) -> list[tuple[str, int]]:
    """Return the layers whose output a layer takes, and which output of each."""
    calls = layer.get("inbound_nodes") or []
    if calls and isinstance(calls[0], list) and calls[0] and isinstance(calls[0][0], str):
        calls = [calls]  # Keras 2 leaves a bracket out around a single tensor
    if len(calls) > 1:
        raise ConvertError(
            f"layer {name_of(layer)!r} ({layer.get('class_name')}) is used more than once."
        )
    return [tensor for call in calls for tensor in _tensors(call)]


def _tensors(call: Any) -> Iterator[tuple[str, int]]:
    """Yield the layer and the number of the output of every tensor in a call, at any depth."""
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
