"""Reading of state dicts: layers are recognised by the names and shapes of their weights."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.weights import Weights
from ..labels.layers import TorchLayer, make_weights, to_array
from ..labels.recurrent import WEIGHT_NAME as RECURRENT_WEIGHT
from .order import restore_order

# Usual names of a trained initial state, registered beside the recurrent module.
INITIAL_H = (
    *("h0", "h_0", "h_init", "init_h", "initial_h"),
    *("hidden0", "hidden_0", "hidden_init", "init_hidden", "initial_hidden"),
)
INITIAL_C = (
    *("c0", "c_0", "c_init", "init_c", "initial_c"),
    *("cell0", "cell_0", "cell_init", "init_cell", "initial_cell"),
)
_PARAMETRIZED = re.compile(r"(.*)(_g|_v|_orig|_mask|original0|original1)")
_PAIRS = {
    **dict.fromkeys(("_g", "_v"), ("_g", "_v")),
    **dict.fromkeys(("_orig", "_mask"), ("_orig", "_mask")),
    **dict.fromkeys(("original0", "original1"), ("original0", "original1")),
}
# Weights of classes in a loss, which Lightning saves beside the network.
_LOSS = re.compile(r"(^|\.)(criterion|loss|loss_?fn|loss_?func(tion)?)\.(pos_)?weight$")
QUANTIZED = "it is quantized: bring the network that it was made from, in floating point"


def layers_of_state_dict(
    state: Mapping[Any, Any], rnn_activation: str, epsilon: float
) -> list[TorchLayer]:
    """Return the layers of a state dict, in its order.

    Raises
    ------
    ConvertError
        If a group of weights belongs to no known layer.
    """
    groups = _group_by_layer(restore_order(resolve_parametrizations(state)))
    if not groups:
        raise ConvertError("the state dict is empty.")
    initial = {name: groups.pop(name) for name in list(groups) if is_initial_state(groups[name])}
    layers = [
        _read_layer(name or "the module", tensors, rnn_activation, epsilon)
        for name, tensors in groups.items()
    ]
    _mark_gaps(layers)
    for name, tensors in initial.items():
        assign_initial_state(name, tensors, layers)
    return layers


def read_both_ways(layers: Sequence[TorchLayer], head: str | None, window: Any) -> None:
    """Say which outputs of bidirectional modules go on; parameters as for from_torch.

    Raises
    ------
    ConvertError
        If it is not known: only a window has an end, and only forward says what the head takes.
    """
    if head not in (None, "last", "ends"):
        raise ConvertError(f"bidirectional: expected 'last' or 'ends', got {head!r}.")
    recurrent = [layer for layer in layers if layer.kind == "recurrent"]
    for layer in recurrent:
        if not any(key.endswith("_reverse") for key in layer.weights.shapes):
            continue
        if window is None or (head is None and layer is recurrent[-1]):
            rows = "" if window else "the rows of its window (window=T, --window T), and "
            raise ConvertError(
                f"{layer.name} is bidirectional: its second half reads the series from its end, "
                f"which only a window has. Give {rows}what the head takes, which a state dict does "
                "not say: bidirectional='last' for output[:, -1], 'ends' for the last states of "
                "both directions, cat(h_n[-2], h_n[-1]) (--bidirectional last). Or give the "
                "module (--module), whose forward says it."
            )
        layer.options["both"] = "ends" if head == "ends" and layer is recurrent[-1] else "rows"
    if head and not any("both" in layer.options for layer in recurrent):
        raise ConvertError("bidirectional: no layer of this state dict is.")


def is_initial_state(tensors: Mapping[str, Any]) -> bool:
    """Return whether tensors are a trained initial state, and nothing else."""
    return bool(tensors) and tensors.keys() <= {*INITIAL_H, *INITIAL_C}


def assign_initial_state(
    container: str, tensors: Mapping[str, Any], layers: list[TorchLayer]
) -> None:
    """Assign a container's trained initial state to the only recurrent layer in it."""
    inside = [
        layer
        for layer in layers
        if layer.kind == "recurrent" and (not container or layer.name.startswith(f"{container}."))
    ]
    if len(inside) != 1:
        raise ConvertError(
            f"{container or 'the module'} has {', '.join(tensors)} and {len(inside)} recurrent "
            "layers: leave them out and give from_torch initial_state=."
        )
    found = sorted(tensors, key=lambda name: name in INITIAL_C)
    inside[0].options["initial_state"] = [to_array(tensors[name], name) for name in found]


def resolve_parametrizations(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a state dict with the weights of weight_norm and pruning computed, without a loss.

    ``weight_g`` and ``weight_v`` (``original0`` and ``original1`` of a parametrization) are the
    length and the direction of each row; pruning multiplies ``weight_orig`` by ``weight_mask``.
    """
    found: dict[Any, Any] = {}
    for key, tensor in state.items():
        if isinstance(key, str) and _LOSS.search(key):
            continue
        match = _PARAMETRIZED.fullmatch(key) if isinstance(key, str) else None
        parts = match and [f"{key[: match.end(1)]}{end}" for end in _PAIRS[match[2]]]
        if not match or not parts or not {*parts} <= state.keys():
            found[key] = tensor
            continue
        name = match[1].replace("parametrizations.", "").rstrip("._")
        first, second = (to_array(state[part], part) for part in parts)
        if match[2] in ("_orig", "_mask") and first.shape == second.shape:
            found[name] = first * second
        elif first.shape == (*second.shape[:1], *[1] * (second.ndim - 1)):
            length = np.sqrt((second**2).sum(tuple(range(1, second.ndim)), keepdims=True))
            found[name] = first * second / length
        else:
            raise ConvertError(
                f"{name} is computed from {parts[0]} {first.shape} and {parts[1]} {second.shape}, "
                "and only its module knows how: give the module."
            )
    return found


def _group_by_layer(state: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """Return the tensors by layer: the name up to the last dot."""
    groups: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        if isinstance(key, str) and ("_packed_params" in key or "_all_weight_values" in key):
            raise ConvertError(f"{key.split('._')[0]} cannot be converted: {QUANTIZED}.")
        if not isinstance(key, str) or not hasattr(tensor, "shape"):
            raise ConvertError(
                f"the state dict: expected names and tensors, got {type(tensor).__name__} under "
                f"{key!r}; give what module.state_dict() returned."
            )
        name, _, leaf = key.rpartition(".")
        groups.setdefault(name, {})[leaf] = tensor
    return groups


def _read_layer(
    name: str, tensors: Mapping[str, Any], rnn_activation: str, epsilon: float
) -> TorchLayer:
    if len(getattr(tensors.get("weight"), "shape", ())) == 3 and tensors["weight"].shape[2] == 1:
        # A convolution of kernel 1 is a linear layer over the channels.
        tensors = {**tensors, "weight": tensors["weight"][:, :, 0]}
    weights = make_weights(name, tensors)
    kind = _kind(name, weights)
    options: dict[str, Any] = {}
    if kind == "recurrent":
        options["activation"] = rnn_activation
    elif kind in ("batch_norm", "layer_norm"):
        options["epsilon"] = epsilon
    return TorchLayer(name, kind, weights, options, open=True)


def _kind(name: str, weights: Weights) -> str:
    """Return the kind of layer that has these weights."""
    shapes = weights.shapes
    if any(RECURRENT_WEIGHT.fullmatch(key) for key in shapes):
        return "recurrent"
    if "running_mean" in shapes or "running_var" in shapes:
        return "batch_norm"
    rank = len(shapes.get("weight", ()))
    if rank == 2:
        return "linear" if "bias" in shapes else "table"
    if rank == 1 and "bias" in shapes:
        return "layer_norm"
    listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
    if rank == 1:
        raise ConvertError(
            f"{name} has {listed}: a normalisation without bias, or PReLU; give the module instead "
            "of its state dict."
        )
    if rank > 2:
        raise ConvertError(
            f"{name} has {listed}: a convolution over {shapes['weight'][-1]} steps at once. A "
            "state dict does not say how it is called: give the module too, and of how many rows "
            "its windows are (module=, window=T; streamlstm convert --module my_file:MyNet "
            "--window T)."
        )
    raise ConvertError(f"{name} has {listed}: no supported layer has these weights.")


def _mark_gaps(layers: list[TorchLayer]) -> None:
    """Mark the layers after which a number is missing among numbered siblings.

    A module without weights was there. It may be an activation, and results would be silently
    wrong without it. Siblings may be layers or containers, at any depth. A gap before the very
    first layer is ignored: many networks start with dropout, and no layer could name it.
    """
    last: dict[str, int] = {}  # by container, the number of its last child so far
    for n, layer in enumerate(layers):
        path = layer.name.split(".")
        for depth, child in enumerate(path):
            if not child.isdecimal():
                continue
            container = "".join(f"{name}." for name in path[:depth])
            expected = last.get(container, -1) + 1
            last[container] = int(child)
            if n > 0 and int(child) > expected and layers[n - 1].gap is None:
                layers[n - 1].gap = f"{container}{expected}"
