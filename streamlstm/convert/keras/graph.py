"""The graph of a Functional network: paths from its outputs back to its inputs, with branches."""

from collections.abc import Iterator
from typing import Any

from ...errors import ConvertError
from .concatenate import read_concatenate
from .config import layer_name
from .file import Config

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_ATTENTION = ("Attention", "MultiHeadAttention")
LAST = "LastOutput"  # takes the last row of a sequence: the state that a layer returns


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
        self._on_all_paths: dict[str, list[str]] = {}

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

    def path_to(self, name: str, output: int = 0, start: str | None = None) -> list[Config]:
        """Return the layers up to a layer, in order, from an input or from behind ``start``.

        A layer that joins others gets their paths from where they part, as ``"branches"``.
        """
        path: list[Config] = []
        while True:
            layer = self.layer(name)
            path += self._select_output(layer, name, output, path)
            if name == start:
                break
            path.append(layer)
            sources = self._sources(name)
            if not sources:
                break
            if len(sources) == 1:
                ((name, output),) = sources
                continue
            concat = self._embedding(name)
            if concat is not None:
                self.side_inputs.add(concat[1])
                return concat[0] + path[::-1]
            name, output = self._dominators(name)[-2], 0
            layer["branches"] = [self.path_to(*source, start=name) for source in sources]
        return path[::-1]

    def _sources(self, name: str) -> list[tuple[str, int]]:
        """Return what a layer takes; a sequence that attends to itself once."""
        layer = self.layer(name)
        sources = self._drop_states(layer, name, source_tensors(layer))
        if layer.get("class_name") in _ATTENTION and len(set(sources)) == 1:
            return sources[:1]
        return sources

    def _dominators(self, name: str, below: tuple[str, ...] = ()) -> list[str]:
        """Return the layers on all paths from the input to a layer, in order, and the layer."""
        if name in self._on_all_paths:
            return self._on_all_paths[name]
        if name in below:
            raise ConvertError(f"layer {name!r} is used more than once on one path.")
        sources = dict.fromkeys(source for source, _ in self._sources(name))
        if self._embedding(name) is not None:
            sources = {}
        paths = [self._dominators(source, (*below, name)) for source in sources]
        shared = [layers[0] for layers in zip(*paths, strict=False) if len({*layers}) == 1]
        if paths and not shared:
            inputs = " and ".join(repr(path[0]) for path in paths)
            raise ConvertError(
                f"layer {name!r} ({self.layer(name).get('class_name')}) joins the inputs {inputs}: "
                "a stream has one, and numbers beside the category of an embedding."
            )
        self._on_all_paths[name] = [*shared, name]
        return self._on_all_paths[name]

    def path_or_none(self, name: str) -> list[Config] | None:
        """Return the layers from an input to a layer, or None without a single path."""
        try:
            return self.path_to(name)
        except ConvertError:
            return None

    def _select_output(
        self, layer: Config, name: str, output: int, path: list[Config]
    ) -> list[Config]:
        """Return what selects an output: a hidden state is the last output of its layer."""
        if not output:
            return []
        kind, which = layer.get("class_name"), "last"
        if kind == "Bidirectional":
            hidden = 3 if layer["config"].get("layer", {}).get("class_name") == "LSTM" else 2
            which = {1: "forward", hidden: "backward"}.get(output, "")
        elif kind not in _RECURRENT or output != 1:
            which = ""
        if not which:
            taker = repr(layer_name(path[-1])) if path else "the output"
            raise ConvertError(f"layer {taker} takes output {output} of {name!r}: its state.")
        return [{"class_name": LAST, "config": {"name": f"state of {name}", "which": which}}]

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

    def _embedding(self, name: str) -> tuple[list[Config], str] | None:
        """Return how a layer joins an embedding and numbers; None if it joins anything else."""
        layer = self.layer(name)
        sources = source_tensors(layer)
        if layer.get("class_name") != "Concatenate" or any(output for _, output in sources):
            return None
        return read_concatenate(layer, [source for source, _ in sources], self.path_or_none)


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
        for key, value in call.items():
            if key != "mask":  # which Masking gives: its note says what that means here
                yield from _tensors(value)
    elif isinstance(call, list):
        if len(call) >= 3 and isinstance(call[0], str) and isinstance(call[1], int):
            yield call[0], int(call[2])
            call = call[3:]
        for value in call:
            yield from _tensors(value)
