"""The layers of a Keras network in the order in which they are applied.

Sequential and Functional networks may stand in one another; what comes out is one list. A graph
with branches cannot be stepped as a chain and is refused, but for one that is common in audio: the
input added to the output.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConvertError
from .file import Config
from .join import straight
from .walk import Walk, ends_of, find, is_recurrent, name_of, sources_of

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
    inputs = [name for name, _ in ends_of(config, "input_layers")]
    ends = ends_of(config, "output_layers")
    # What hands its states out beside its answers was stepped like this: its caller kept them.
    kept = [end for end in ends if not (end[1] and is_recurrent(by_name, end[0]))] or ends
    walk = Walk(by_name)
    found: tuple[list[Config], list[int] | None] | None = None
    if len(kept) == 1:
        last = find(by_name, kept[0][0])
        if last.get("class_name") in _ADDITIONS:
            found = _skip(walk, last)
        if found is None:
            found = walk.back(*kept[0]), None
    passed_over = {*walk.beside, *(name_of(layer) for layer in (found[0] if found else ()))}
    if found is None or not {*inputs} <= passed_over:
        raise ConvertError(
            f"the network has {len(inputs)} inputs and {len(ends)} outputs; one of each can be "
            "stepped, beside states and, joined with the vector of a category, numbers."
        )
    return found


def _skip(walk: Walk, last: Config) -> tuple[list[Config], list[int] | None] | None:
    """Read ``Add(network, input)``: the layers of the network, and the inputs that are added."""
    if last.get("class_name") == "TFOpLambda" and last["config"].get("function") not in _PLUS:
        return None
    sources = sources_of(last)
    if len(sources) != 2 or sources[0] == sources[1]:
        return None
    for network, through in (sources, sources[::-1]):
        way = None if through[1] else walk.back_or_none(through[0])
        columns = None if way is None else straight(way)
        if columns is not None:
            return walk.back(*network), columns
    return None
