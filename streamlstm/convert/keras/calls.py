"""The calls of layers in a graph of Keras: one entry a call, and what each of them takes."""

from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import ConvertError
from .config import layer_name
from .file import Config

MODELS = ("Sequential", "Functional", "Model")
ORIGIN = "origin"  # where the entry of a call has the layer that is called
CONSTANT = "_CONSTANT_VALUE"  # what Keras 2 writes for a number in the place of a tensor


def one_entry_a_call(layers: Sequence[Config]) -> dict[str, Config]:
    """Return the calls of all layers by their names; a layer that is called once is its own."""
    found = {}
    for layer in layers:
        calls = calls_of(layer)
        name = layer_name(layer)
        for n, call in enumerate(calls or [None]):
            if len(calls) < 2:
                found[name] = layer
            else:
                own = {**layer, "name": call_name(name, n), "inbound_nodes": [call]}
                own.setdefault(ORIGIN, layer)
                found[call_name(name, n)] = own
    return found


def calls_of(layer: Config) -> list[Any]:
    """Return the calls of a layer; Keras 2 omits a list level around a single tensor."""
    calls = layer.get("inbound_nodes") or []
    if calls and isinstance(calls[0], list) and calls[0] and isinstance(calls[0][0], str):
        return [calls]
    return list(calls)


def call_name(name: str, call: int) -> str:
    """Return what a call is called by: as its layer, if it is the first."""
    return f"{name} (call {call + 1})" if call else name


def find_call(name: str, node: int, calls: dict[str, Config], layers: Sequence[Config]) -> str:
    """Return the name of a call from what a file says: the layer, and the number of its node.

    In a file of Keras 2 the first node of a network in the network is that of its own inputs.
    """
    (layer,) = [layer for layer in layers if layer_name(layer) == name][:1] or [{}]
    made = calls_of(layer)
    if len(made) < 2:
        return name
    if layer.get("class_name") in MODELS and isinstance(made[0], list):
        node -= 1
    found = call_name(name, node)
    if node < 0 or found not in calls:
        raise ConvertError(f"the graph of the network refers to a call {node + 1} of {name!r}.")
    return found


def tensors(call: Any) -> Iterator[tuple[str, int, int]]:
    """Yield layer, node and index of each tensor in a call, at any depth."""
    if isinstance(call, dict):
        history = call.get("config", {}).get("keras_history") if "config" in call else None
        if call.get("class_name") == "__keras_tensor__" and history:
            yield str(history[0]), int(history[1]), int(history[2])
            return
        for key, value in call.items():
            if key != "mask":  # which Masking gives: its note says what that means here
                yield from tensors(value)
    elif isinstance(call, list):
        if len(call) >= 3 and isinstance(call[0], str) and isinstance(call[1], int):
            if call[0] != CONSTANT:
                yield call[0], call[1], int(call[2])
            call = call[3:]
        for value in call:
            yield from tensors(value)
