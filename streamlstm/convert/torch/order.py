"""Recovers the order of the layers of a state dict whose names were sorted.

PyTorch keeps the order in which layers are registered, and weights before biases in each. Formats
that sort by name, such as safetensors, lose it. Then sizes decide: the outputs of a layer are the
inputs of the next one. Numbered siblings stay in the order of their numbers.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import ConvertError
from ..labels.recurrent import WEIGHT_NAME as RECURRENT_WEIGHT

_MAX_LAYERS = 12  # above it not all orders are tried
_NUMBER = re.compile(r"(.*?)(\d+)")


def restore_order(state: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a state dict with its layers in the order in which they are applied.

    Raises
    ------
    ConvertError
        If its names are sorted and the sizes of its layers do not allow exactly one order.
    """
    groups: dict[str, list[str]] = {}
    for key in state:
        if not isinstance(key, str) or not hasattr(state[key], "shape"):
            return state
        groups.setdefault(key.rpartition(".")[0], []).append(key)
    if not _is_sorted(groups):
        return state
    sizes = {
        name: _sizes({key.rpartition(".")[2]: state[key] for key in keys})
        for name, keys in groups.items()
    }
    first = [n for n in groups if "emb" in n.rpartition(".")[2].lower() and len(groups[n]) == 1]
    layers = [name for name in groups if sizes[name] and name not in first]
    orders: list[list[str]] = []
    for order in _orders(layers, sizes) if len(layers) <= _MAX_LAYERS else ():
        orders.append(order)
        if len(orders) == 2:
            break
    if len(orders) != 1:
        found = f"such as {', '.join(orders[0])} and {', '.join(orders[1])}" if orders else "none"
        raise ConvertError(
            "the names in the state dict are sorted, which loses the order of its layers, and "
            f"their sizes allow no single one ({found}): give the module, or a dict with its "
            "layers in order."
        )
    others = [name for name in groups if name not in (*first, *layers)]
    return {key: state[key] for name in (*first, *orders[0], *others) for key in groups[name]}


def _is_sorted(groups: Mapping[str, list[str]]) -> bool:
    """Return whether biases precede weights everywhere, as they never do in PyTorch."""
    found = []
    for keys in groups.values():
        leaves = [key.rpartition(".")[2] for key in keys]
        biases, weights = (
            [n for n, leaf in enumerate(leaves) if leaf.startswith(word)]
            for word in ("bias", "weight")
        )
        if biases and weights:
            found.append(biases[0] < weights[0])
    return len(groups) > 1 and bool(found) and all(found)


def _sizes(tensors: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the input and output width of a layer; None if it is not one."""
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    if any(RECURRENT_WEIGHT.fullmatch(key) for key in shapes):
        first = shapes.get("weight_ih_l0", shapes.get("weight_ih", ()))
        last = [shape for key, shape in shapes.items() if key.startswith("weight_hh")]
        both = len(first) == 2 and last and len(last[-1]) == 2
        return (first[1], last[-1][1]) if both else None
    for key in ("running_mean", "weight"):
        shape = shapes.get(key, ())
        if len(shape) == 1:
            return shape[0], shape[0]
        if len(shape) == 2:
            return shape[1], shape[0]
    return None


def _orders(
    left: list[str], sizes: Mapping[str, Any], width: int | None = None
) -> Iterator[list[str]]:
    """Yield every order in which the widths of consecutive layers match."""
    if not left:
        yield []
    for name in left:
        takes, gives = sizes[name]
        if width in (None, takes) and not any(_precedes(other, name) for other in left):
            rest = [other for other in left if other != name]
            for order in _orders(rest, sizes, gives):
                yield [name, *order]


def _precedes(a: str, b: str) -> bool:
    """Return whether the first difference of two names is a number, and ``a`` has the smaller."""
    for one, other in zip(a.split("."), b.split("."), strict=False):
        if one != other:
            found, wanted = _NUMBER.fullmatch(one), _NUMBER.fullmatch(other)
            return bool(
                found and wanted and found[1] == wanted[1] and int(found[2]) < int(wanted[2])
            )
    return False


def without_prefix(state: Mapping[str, Any], wanted: set[str]) -> dict[str, Any]:
    """Return a state dict without what precedes all its names, such as ``model.``, if that fits."""
    for key in state:
        for name in wanted:
            prefix = key.removesuffix(name)
            if prefix != key and all(other.startswith(prefix) for other in state):
                return {other.removeprefix(prefix): value for other, value in state.items()}
    return dict(state)
