"""The layers of a Keras network as one list, in the order in which they are applied.

Sequential and Functional networks may be nested; they are flattened. A layer that joins branches
has these as lists of layers. A connection from the input to the output of the network, common in
audio, is told apart.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConvertError
from .calls import MODELS, ORIGIN
from .file import Config, KerasFile
from .inputs import InputPart
from .ordered import in_order, layer_configs
from .tf_functions import as_layer


@dataclass
class KerasLayer:
    """One layer, not a model or wrapper around others.

    Attributes
    ----------
    kind : str
        Its class; that of the layer for a cell, such as LSTM for LSTMCell.
    name : str
    config : dict
    path : str
        Path of its arrays in a ``.keras`` file.
    group : str
        Name of the outermost layer around it, whose group has its arrays in a legacy file.
    aliases : tuple of str
        Names of it and the layers around it, which may be part of the names of its arrays.
    calls : list
        ``inbound_nodes``: the arguments of its calls; empty if unknown.
    branches : list of list of KerasLayer
        What it joins, each from where they part, if it joins anything.
    function : bool
        Whether it is a function of ``keras.ops``, which the network does not list as a layer.
    """

    kind: str
    name: str
    config: Config
    path: str
    group: str
    aliases: tuple[str, ...]
    calls: list[Any] = field(default_factory=list)
    branches: "list[list[KerasLayer]]" = field(default_factory=list)
    function: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it apart from other layers of a file; it may be in several branches."""
        return (self.path, *self.aliases)

    @property
    def where(self) -> str:
        """Name for error messages."""
        return f"layer {self.name!r} ({self.kind})"


@dataclass
class Network:
    """A network as a chain of layers, some of which join branches.

    Attributes
    ----------
    layers : list of KerasLayer
        In the order in which they are applied.
    skip : list of int, optional
        The input added to each output; a single one is added to every output.
    parts : list of InputPart
        The inputs of which an observation is made, if there are several.
    has_states : bool
        Whether further inputs are states that its caller keeps.
    """

    layers: list[KerasLayer]
    skip: list[int] | None = None
    parts: list[InputPart] = field(default_factory=list)
    has_states: bool = False

    @property
    def all_layers(self) -> list[KerasLayer]:
        """All layers, those of branches too, each once."""
        return list({layer.key: layer for layer in _walk(self.layers)}.values())


def _walk(layers: Sequence[KerasLayer]) -> Iterator[KerasLayer]:
    for layer in layers:
        yield layer
        for branch in layer.branches:
            yield from _walk(branch)


def read_network(file: KerasFile) -> Network:
    """Return the network in a file.

    Raises
    ------
    ConvertError
        If it is not a network of layers between one input and one output.
    """
    kind, config = file.config.get("class_name"), file.config.get("config")
    if kind not in MODELS:
        raise ConvertError(
            f"expected a Sequential or Functional network, got {kind!r}: a custom class "
            "cannot be read without its code. Build the same layers as keras.Sequential, copy the "
            "weights with set_weights, and save that."
        )
    ordered = in_order(kind, config)
    paths = _paths(layer_configs(config), file.root)
    layers = _flatten_all(ordered.layers, paths, None, ())
    return Network(layers, ordered.skip, ordered.parts, ordered.has_states)


def _paths(layers: Sequence[Config], root: str) -> dict[int, str]:
    """Return the path of each layer, numbered within its class: lstm, lstm_1, ..."""
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


def _flatten_all(
    layers: Sequence[Config],
    paths: dict[int, str],
    group: str | None,
    aliases: tuple[str, ...],
) -> list[KerasLayer]:
    """Return layers without models and wrappers around them; arrays are found by ``paths``."""
    found: list[KerasLayer] = []
    for layer in layers:
        path = paths.get(id(layer.get(ORIGIN, layer)), "")
        found += _flatten(layer, path, group, aliases)
        branches = layer.get("branches", [])
        found[-1].branches = [_flatten_all(b, paths, group, aliases) for b in branches]
    return found


def _flatten(
    layer: Config, path: str, group: str | None, aliases: tuple[str, ...]
) -> Iterator[KerasLayer]:
    """Yield the layers inside a model or wrapper, or the layer itself."""
    kind, config = str(layer.get("class_name")), layer["config"]
    name = str(config.get("name", layer.get("name", kind)) if isinstance(config, dict) else kind)
    group, aliases = group or name, (*aliases, name)
    if kind in MODELS:
        inner = in_order(kind, config, inside=True).layers
        paths = _paths(layer_configs(config), f"{path}/layers")
        yield from _flatten_all(inner, paths, group, aliases)
    elif kind == "TimeDistributed":
        inner_layer = _inner(config, "layer", name)
        if inner_layer.get("class_name") in ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional"):
            raise ConvertError(
                f"layer {name!r} (TimeDistributed) runs a recurrent layer inside of each row, and "
                "a row of a stream is one vector. Compute it in your own program, and bring what "
                "comes behind it as a network of its own."
            )
        yield from _flatten(inner_layer, f"{path}/layer", group, aliases)
    elif kind == "RNN":
        yield from _cells(config, f"{path}/cell", name, group, aliases)
    else:
        path += "/cell" if kind in ("LSTM", "GRU", "SimpleRNN") else ""
        calls = layer.get("inbound_nodes") or []
        kind, config = as_layer(kind, config, calls)
        function = ".ops" in str(layer.get("module"))
        yield KerasLayer(kind, name, config, path, group, aliases, calls, function=function)


def _inner(config: Config, key: str, name: str) -> Config:
    inner = config.get(key)
    if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
        raise ConvertError(f"layer {name!r}: expected a {key} inside, got {inner!r}.")
    return inner


def _cells(
    config: Config, path: str, name: str, group: str, aliases: tuple[str, ...]
) -> Iterator[KerasLayer]:
    """Yield the cells of an RNN layer as layers, one after the other.

    The RNN may run backwards, which its first cell does then, and return only its last row, which
    its last cell does then.
    """
    cell = _inner(config, "cell", name)
    cells, paths = [cell], {id(cell): path}
    if cell.get("class_name") == "StackedRNNCells":
        cells = [part for part in cell["config"].get("cells", []) if isinstance(part, dict)]
        paths = _paths(cells, f"{path}/cells")
    given = ("batch_shape", "batch_input_shape", "stateful")
    shared = {key: config[key] for key in given if key in config}
    for n, part in enumerate(cells):
        kind = str(part.get("class_name")).removesuffix("Cell")
        inner = {
            **part.get("config", {}),
            **shared,
            "go_backwards": bool(config.get("go_backwards")) and n == 0,
            "return_sequences": bool(config.get("return_sequences")) or n < len(cells) - 1,
        }
        own = str(inner.get("name", kind))
        yield KerasLayer(kind, own, inner, paths[id(part)], group, (*aliases, own))
