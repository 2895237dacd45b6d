"""The graph of a Functional network: paths from its outputs back to its inputs, with branches."""

from collections.abc import Sequence

from ...errors import ConvertError
from .calls import ORIGIN, find_call, one_entry_a_call, tensors
from .concatenate import read_concatenate
from .config import layer_name
from .file import Config
from .written_attention import replace_products

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_ATTENTION = ("Attention", "AdditiveAttention", "MultiHeadAttention")
LAST = "LastOutput"  # takes the last row of a sequence: the state that a layer returns


def endpoints(config: Config, key: str) -> list[tuple[str, int, int]]:
    """Return input or output layers, each with its node and tensor; files differ in form."""
    found = config.get(key)
    if isinstance(found, dict):
        found = list(found.values())
    if not isinstance(found, list) or not found:
        raise ConvertError(f"the configuration of the network lacks its {key}.")
    if isinstance(found[0], str):
        found = [found]
    return [
        (str(name), int(node), int(output))
        for name, node, output, *_ in ((*entry, 0, 0) for entry in found)
    ]


class FunctionalGraph:
    """Finds paths from layers back to an input.

    Parameters
    ----------
    layers : list of dict
        Configurations of all layers of the network. A layer that is called several times is here
        as many layers, by the names of its calls.
    embeddings : bool
        Whether the vector of a category and numbers beside it are one input.

    Attributes
    ----------
    side_inputs : set of str
        Inputs that need not be on a path: initial states, and numbers beside a category.
    """

    def __init__(self, layers: Sequence[Config], embeddings: bool = True) -> None:
        self._given, self._embeddings = layers, embeddings
        self._layers = one_entry_a_call(layers)
        self._layers = replace_products(self._layers, self.sources)
        self.side_inputs: set[str] = set()
        self._on_all_paths: dict[str, list[str]] = {}

    def layer(self, name: str) -> Config:
        """Return a layer by its name."""
        if name not in self._layers:
            raise ConvertError(
                f"the graph of the network refers to a layer {name!r} that it lacks."
            )
        return self._layers[name]

    @property
    def layers(self) -> dict[str, Config]:
        """All layers by the names of their calls."""
        return self._layers

    @property
    def state_inputs(self) -> set[str]:
        """Inputs that are initial states, which the caller passes on: a stream keeps its own."""
        return {
            source
            for layer in self._layers.values()
            if layer.get("class_name") in (*_RECURRENT, "RNN")
            for source, _ in self.sources(layer)[1:]
            if self.layer(source).get("class_name") == "InputLayer"
        }

    def sources(self, layer: Config) -> list[tuple[str, int]]:
        """Return the calls from which one takes its inputs, each with the index of the tensor."""
        return [(self.find(name, node), n) for name, node, n in tensors(layer.get("inbound_nodes"))]

    def find(self, name: str, node: int) -> str:
        """Return the name of a call from what a file says: a layer, and the number of its node."""
        return find_call(name, node, self._layers, self._given)

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
            sources = self._sources(name)
            if len(sources) < 2 or self._embedding(name) is not None:
                path.append(layer)
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
            branches = [self.path_to(*source, start=name) for source in sources]
            path.append({**layer, ORIGIN: layer.get(ORIGIN, layer), "branches": branches})
        return path[::-1]

    def _sources(self, name: str) -> list[tuple[str, int]]:
        """Return what a layer takes; a sequence that attends to itself once."""
        layer = self.layer(name)
        sources = self._drop_states(layer, name, self.sources(layer))
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
            taker = f"layer {layer_name(path[-1])!r}" if path else "the answer"
            raise ConvertError(
                f"{taker} takes output {output} of {name!r}, the cell state, which no layer "
                f"here returns: take output 1, the hidden state, when it is trained; or bring what "
                f"comes before, keras.Model(net.inputs, net.get_layer({name!r}).input)."
            )
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
                    f"{source!r}, and a layer here starts from zeros or a constant. What comes "
                    f"before can be brought by itself, keras.Model(net.inputs, net.get_layer("
                    f"{source!r}).output[0]).save('part.keras'); in training a RepeatVector of it "
                    "can take the place of the state."
                )
            self.side_inputs.add(source)
        return sources[:1]

    def _embedding(self, name: str) -> tuple[list[Config], str] | None:
        """Return how a layer joins an embedding and numbers; None if it joins anything else."""
        layer = self.layer(name)
        sources = self.sources(layer)
        if not self._embeddings or layer.get("class_name") != "Concatenate":
            return None
        if any(output for _, output in sources):
            return None
        return read_concatenate(layer, [source for source, _ in sources], self.path_or_none)
