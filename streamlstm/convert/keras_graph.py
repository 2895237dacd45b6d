"""The layers of a Keras network in the order in which they are applied.

Sequential and Functional networks may stand in one another; what comes out is one list. A graph
with branches cannot be stepped as a chain and is refused, but for one that is common in audio: the
input added to the output.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConvertError
from .keras_file import Config
from .keras_join import read_join, straight

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_ADDITIONS = ("Add", "TFOpLambda")  # the second is what Keras 2 writes for x + y
_PLUS = ("__operators__.add", "math.add")
MODELS = ("Sequential", "Functional", "Model")


@dataclass
class Leaf:
    """One layer that holds weights or does something, not a model around others.

    Attributes
    ----------
    kind : str
        Its class; a cell stands for the layer of its kind.
    name : str
    config : dict
    path : str
        Where a ``.keras`` file has its arrays.
    group : str
        The outermost layer that it stands in, whose group has its arrays in a legacy file.
    aliases : tuple of str
        What may be in the names of its arrays there, if the group has several layers.
    calls : list
        What it was called on, if the graph says it.
    """

    kind: str
    name: str
    config: Config
    path: str
    group: str
    aliases: tuple[str, ...]
    calls: list[Any] = field(default_factory=list)

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"layer {self.name!r} ({self.kind})"


@dataclass
class Graph:
    """The layers in order, and which inputs are added to the outputs."""

    leaves: list[Leaf]
    skip: list[int] | None = None  # one input added to every output, or one to each


def read_graph(network: Config, root: str) -> Graph:
    """Return the layers of a network.

    Parameters
    ----------
    network : dict
        ``class_name`` and ``config``.
    root : str
        Of the paths of its layers in a ``.keras`` file.

    Raises
    ------
    ConvertError
        If it branches, or is no network of layers.
    """
    kind, config = network.get("class_name"), network.get("config")
    if kind not in MODELS:
        raise ConvertError(
            f"expected a Sequential or Functional network, got {kind!r}: a class of one's own "
            "cannot be read without its code. Build the same layers as keras.Sequential, copy the "
            "weights with set_weights, and save that."
        )
    layers, skip = _ordered(kind, config)
    paths = _paths(_listed(config), root)
    leaves = [leaf for layer in layers for leaf in _leaves(layer, paths[id(layer)], None, ())]
    return Graph(leaves, skip)


def _listed(config: Any) -> list[Config]:
    """Return the layers of a model as they stand in the file; early Keras 2 had a bare list."""
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list) or not all(
        isinstance(layer, dict) and isinstance(layer.get("config"), dict) for layer in layers
    ):
        raise ConvertError("the configuration of the network does not list its layers.")
    return layers


def _paths(layers: Sequence[Config], root: str) -> dict[int, str]:
    """Return a path for each layer, numbered within its class: lstm, lstm_1, ..."""
    counts: dict[str, int] = {}
    paths = {}
    for layer in layers:
        name = _snake(str(layer.get("class_name")))
        count = counts[name] = counts.get(name, -1) + 1
        paths[id(layer)] = f"{root}/{name}_{count}" if count else f"{root}/{name}"
    return paths


def _snake(name: str) -> str:
    """``PReLU`` -> ``p_re_lu``: capitals become words."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _leaves(
    layer: Config, path: str, group: str | None, aliases: tuple[str, ...]
) -> Iterator[Leaf]:
    """Yield the layers within a layer, itself if there is nothing within."""
    kind, config = str(layer.get("class_name")), layer["config"]
    name = str(config.get("name", layer.get("name", kind)) if isinstance(config, dict) else kind)
    group, aliases = group or name, (*aliases, name)
    if kind in MODELS:
        inner, skip = _ordered(kind, config)
        if skip is not None:
            raise ConvertError(f"layer {name!r} ({kind}) adds its input to its output inside.")
        paths = _paths(_listed(config), f"{path}/layers")
        for part in inner:
            yield from _leaves(part, paths[id(part)], group, aliases)
    elif kind == "TimeDistributed":
        inner_layer = _inner(config, "layer", name)
        if inner_layer.get("class_name") in ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"):
            raise ConvertError(f"layer {name!r} (TimeDistributed) runs a recurrent layer inside.")
        yield from _leaves(inner_layer, f"{path}/layer", group, aliases)
    elif kind == "RNN":
        yield from _cells(config, f"{path}/cell", name, group, aliases)
    else:
        path += "/cell" if kind in ("LSTM", "GRU", "SimpleRNN") else ""
        calls = layer.get("inbound_nodes") or []
        yield Leaf(kind, name, config, path, group, aliases, calls)


def _inner(config: Config, key: str, name: str) -> Config:
    inner = config.get(key)
    if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
        raise ConvertError(f"layer {name!r}: expected a {key} inside, got {inner!r}.")
    return inner


def _cells(
    config: Config, path: str, name: str, group: str, aliases: tuple[str, ...]
) -> Iterator[Leaf]:
    """Yield the cells of an RNN layer as layers; they share what the layer says of itself."""
    cell = _inner(config, "cell", name)
    cells, paths = [cell], {id(cell): path}
    if cell.get("class_name") == "StackedRNNCells":
        cells = [part for part in cell["config"].get("cells", []) if isinstance(part, dict)]
        paths = _paths(cells, f"{path}/cells")
    shared = {key: config[key] for key in ("go_backwards", "return_sequences") if key in config}
    for part in cells:
        kind = str(part.get("class_name")).removesuffix("Cell")
        inner = {**part.get("config", {}), **shared}
        own = str(inner.get("name", kind))
        yield Leaf(kind, own, inner, paths[id(part)], group, (*aliases, own))


def _ordered(kind: str, config: Any) -> tuple[list[Config], list[int] | None]:
    """Return the layers of a model in the order in which they are applied."""
    layers = _listed(config)
    if kind == "Sequential":
        return layers, None
    by_name = {str(layer.get("name", layer["config"].get("name"))): layer for layer in layers}
    inputs = [name for name, _ in _ends(config, "input_layers")]
    ends = _ends(config, "output_layers")
    # What hands its states out beside its answers was stepped like this: its caller kept them.
    kept = [end for end in ends if not (end[1] and _is_recurrent(by_name, end[0]))] or ends
    walk = _Walk(by_name)
    found: tuple[list[Config], list[int] | None] | None = None
    if len(kept) == 1:
        last = _find(by_name, kept[0][0])
        if last.get("class_name") in _ADDITIONS:
            found = _skip(walk, last)
        if found is None:
            found = walk.back(*kept[0]), None
    passed_over = {*walk.beside, *(_name(layer) for layer in (found[0] if found else ()))}
    if found is None or not {*inputs} <= passed_over:
        raise ConvertError(
            f"the network has {len(inputs)} inputs and {len(ends)} outputs; one of each can be "
            "stepped, beside states and, joined with the vector of a category, numbers."
        )
    return found


def _ends(config: Config, key: str) -> list[tuple[str, int]]:
    """Return the layers of inputs or outputs, and which output of each; they come in many forms."""
    ends = config.get(key)
    if isinstance(ends, dict):
        ends = list(ends.values())
    if not isinstance(ends, list) or not ends:
        raise ConvertError(f"the configuration of the network lacks its {key}.")
    if isinstance(ends[0], str):
        ends = [ends]
    return [(str(end[0]), int(end[2]) if len(end) > 2 else 0) for end in ends]


def _name(layer: Config) -> str:
    return str(layer.get("name", layer["config"].get("name")))


def _is_recurrent(by_name: dict[str, Config], name: str) -> bool:
    return _find(by_name, name).get("class_name") in _RECURRENT


def _find(by_name: dict[str, Config], name: str) -> Config:
    if name not in by_name:
        raise ConvertError(f"the graph of the network speaks of a layer {name!r} that it lacks.")
    return by_name[name]


class _Walk:
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
            layer = _find(self.by_name, name)
            if layer in way:
                raise ConvertError(f"layer {name!r} is used more than once on one way.")
            self._take_output(layer, name, output, way)
            way.append(layer)
            sources = self._leave_states(layer, name, _sources(layer))
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
            taker = repr(_name(way[-1])) if way else "the output"
            raise ConvertError(f"layer {taker} takes output {output} of {name!r}: its state.")
        layer["config"]["return_sequences"] = False

    def _leave_states(
        self, layer: Config, name: str, sources: list[tuple[str, int]]
    ) -> list[tuple[str, int]]:
        """Leave out initial states that are passed in: a stream keeps its own from zeros on."""
        if layer.get("class_name") not in (*_RECURRENT, "RNN") or len(sources) < 2:
            return sources
        for source, _ in sources[1:]:
            if _find(self.by_name, source).get("class_name") != "InputLayer":
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


def _sources(layer: Config) -> list[tuple[str, int]]:
    """Return the layers whose output a layer takes, and which output of each."""
    calls = layer.get("inbound_nodes") or []
    if calls and isinstance(calls[0], list) and calls[0] and isinstance(calls[0][0], str):
        calls = [calls]  # Keras 2 leaves a bracket out around a single tensor
    if len(calls) > 1:
        raise ConvertError(
            f"layer {_name(layer)!r} ({layer.get('class_name')}) is used more than once."
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


def _skip(walk: _Walk, last: Config) -> tuple[list[Config], list[int] | None] | None:
    """Read ``Add(network, input)``: the layers of the network, and the inputs that are added."""
    if last.get("class_name") == "TFOpLambda" and last["config"].get("function") not in _PLUS:
        return None
    sources = _sources(last)
    if len(sources) != 2 or sources[0] == sources[1]:
        return None
    for network, through in (sources, sources[::-1]):
        way = None if through[1] else walk.back_or_none(through[0])
        columns = None if way is None else straight(way)
        if columns is not None:
            return walk.back(*network), columns
    return None
