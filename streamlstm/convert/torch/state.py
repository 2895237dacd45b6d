"""PyTorch's state dict read back into layers: names and shapes are all that it has."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.weights import Weights
from .order import in_order
from .parts import Part, make_weights, to_array
from .recurrent import NAME as RECURRENT

# What people call a trained initial state, beside the recurrent module.
INITIAL_H = (
    *("h0", "h_0", "h_init", "init_h", "initial_h"),
    *("hidden0", "hidden_0", "hidden_init", "init_hidden", "initial_hidden"),
)
INITIAL_C = (
    *("c0", "c_0", "c_init", "init_c", "initial_c"),
    *("cell0", "cell_0", "cell_init", "init_cell", "initial_cell"),
)
_COMPUTED = re.compile(r"(.*)(_g|_v|_orig|_mask|original0|original1)")
_PAIRS = {
    **dict.fromkeys(("_g", "_v"), ("_g", "_v")),
    **dict.fromkeys(("_orig", "_mask"), ("_orig", "_mask")),
    **dict.fromkeys(("original0", "original1"), ("original0", "original1")),
}
QUANTIZED = "it is quantized: bring the network that it was made from, in floating point"


def parts_of_state(state: Mapping[Any, Any], rnn_activation: str, epsilon: float) -> list[Part]:
    """Return the layers of a state dict, in its order.

    Raises
    ------
    ConvertError
        If a group of weights is that of no known layer.
    """
    groups = _group(in_order(restored(state)))
    if not groups:
        raise ConvertError("the state dict is empty.")
    initial = {name: groups.pop(name) for name in list(groups) if is_initial(groups[name])}
    parts = [
        _part(name or "the module", tensors, rnn_activation, epsilon)
        for name, tensors in groups.items()
    ]
    _mark_gaps(parts)
    for name, tensors in initial.items():
        place_initial(name, tensors, parts)
    return parts


def is_initial(tensors: Mapping[str, Any]) -> bool:
    """Say whether tensors are a trained initial state, and nothing else."""
    return bool(tensors) and tensors.keys() <= {*INITIAL_H, *INITIAL_C}


def place_initial(container: str, tensors: Mapping[str, Any], parts: list[Part]) -> None:
    """Give a container's trained initial state to the only recurrent layer in it."""
    inside = [
        part
        for part in parts
        if part.kind == "recurrent" and (not container or part.name.startswith(f"{container}."))
    ]
    if len(inside) != 1:
        raise ConvertError(
            f"{container or 'the module'} has {', '.join(tensors)} and {len(inside)} recurrent "
            "layers: leave them out and give from_torch initial_state=."
        )
    found = sorted(tensors, key=lambda name: name in INITIAL_C)
    inside[0].options["initial_state"] = [to_array(tensors[name], name) for name in found]


def restored(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a state dict with the weights that weight_norm and pruning compute from parts of them.

    ``weight_g`` and ``weight_v`` (``original0`` and ``original1`` of a parametrization) are the
    length and the direction of each row, ``weight_orig`` and ``weight_mask`` what pruning keeps.
    """
    found: dict[Any, Any] = {}
    for key, tensor in state.items():
        match = _COMPUTED.fullmatch(key) if isinstance(key, str) else None
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


def _group(state: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """Return the tensors by layer: the name up to the last dot."""
    groups: dict[str, dict[str, Any]] = {}
    for key, tensor in state.items():
        if isinstance(key, str) and ("_packed_params" in key or "_all_weight_values" in key):
            raise ConvertError(f"{key.split('._')[0]} cannot be taken over: {QUANTIZED}.")
        if not isinstance(key, str) or not hasattr(tensor, "shape"):
            raise ConvertError(
                f"the state dict: expected names and tensors, got {type(tensor).__name__} under "
                f"{key!r}; give what module.state_dict() returned."
            )
        name, _, leaf = key.rpartition(".")
        groups.setdefault(name, {})[leaf] = tensor
    return groups


def _part(name: str, tensors: Mapping[str, Any], rnn_activation: str, epsilon: float) -> Part:
    weights = make_weights(name, tensors)
    kind = _kind(name, weights)
    options: dict[str, Any] = {}
    if kind == "recurrent":
        options["activation"] = rnn_activation
    elif kind in ("batch_norm", "layer_norm"):
        options["epsilon"] = epsilon
    return Part(name, kind, weights, options)


def _kind(name: str, weights: Weights) -> str:
    """Say what layer has these weights."""
    shapes = weights.shapes
    if any(RECURRENT.fullmatch(key) for key in shapes):
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
            f"{name} has {listed}: a convolution looks at several steps at once and is not "
            "supported."
        )
    raise ConvertError(f"{name} has {listed}: no supported layer has these weights.")


def _mark_gaps(parts: list[Part]) -> None:
    """Mark where a number is left out among numbered siblings: something without weights was there.

    It may be an activation, and numbers would be silently wrong without it. Siblings may be layers
    or containers, at any depth. What was left out before the first layer of all is not looked for:
    many start with dropout, and there is no layer to name it by.
    """
    last: dict[str, int] = {}  # by container, the number of its child that was seen last
    for n, part in enumerate(parts):
        path = part.name.split(".")
        for depth, child in enumerate(path):
            if not child.isdecimal():
                continue
            container = "".join(f"{name}." for name in path[:depth])
            expected = last.get(container, -1) + 1
            last[container] = int(child)
            if n > 0 and int(child) > expected and parts[n - 1].gap is None:
                parts[n - 1].gap = f"{container}{expected}"
