"""Whether a model can follow another while streams go on: what they share, and what differs.

A stream goes on if the memory of the old model means the same to the new one, and a client goes on
if what it sends and receives does. Layers without a memory, weights and scaling may differ.
"""

from __future__ import annotations

import hashlib
import json
from itertools import zip_longest

import numpy as np

from .layers import Layer
from .model import Model


def difference(running: Model, new: Model) -> str | None:
    """Say why streams of ``running`` cannot go on with ``new``: the first reason, in words.

    Returns
    -------
    str or None
        None if they can.
    """
    for what in ("inputs", "outputs"):
        reason = _names_differ(what, getattr(running, what), getattr(new, what))
        if reason is not None:
            return reason
    if new.categories != running.categories:
        return (
            f"its first input names {new.categories or 'no'} categories, that of the running model "
            f"{running.categories or 'none'}"
        )
    if new.horizon != running.horizon:
        return f"it predicts {new.horizon} steps ahead, the running model {running.horizon}"
    remembered, before = _memories(new), _memories(running)
    for (n, layer), (_, old) in zip(remembered, before, strict=False):
        reason = _memory_differs(n, layer, old)
        if reason is not None:
            return reason
    if len(remembered) != len(before):
        return f"it has {len(remembered)} layers with a memory, the running model has {len(before)}"
    return None


def contract(model: Model) -> str:
    """Return 32 hexadecimal digits that are equal for models whose streams can go on."""
    shared = {
        "inputs": model.inputs,
        "outputs": model.outputs,
        "categories": model.categories,
        "horizon": model.horizon,
        "memory": [(layer.kind, layer.state) for _, layer in _memories(model)],
    }
    return hashlib.sha256(json.dumps(shared, sort_keys=True).encode()).hexdigest()[:32]


def changes_between(running: Model, new: Model) -> list[str]:
    """Say in words what is another in ``new``; empty if nothing is."""
    reason = difference(running, new)
    said = [] if reason is None else [reason]
    if new.layers != running.layers:
        if reason is None:
            said.append("layers without a memory, or options of layers")
        return said
    old, arrays = running.arrays(), new.arrays()
    differ = [
        name
        for name in sorted(arrays.keys() | old.keys())
        if name not in arrays or name not in old or not np.array_equal(arrays[name], old[name])
    ]
    layers = sorted({int(name.split(".")[1]) for name in differ if name.startswith("layers.")})
    if layers:
        said.append(f"weights of layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}")
    for side in ("input", "output"):
        if any(name.startswith(f"{side}_scaling") for name in differ):
            said.append(f"{side} scaling")
    if new.skip != running.skip or "skip_scale" in differ:
        said.append("which inputs are added to outputs")
    return said


def _memories(model: Model) -> list[tuple[int, Layer]]:
    return [(n, layer) for n, layer in enumerate(model.layers) if layer.state]


def _names_differ(what: str, before: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    if len(names) != len(before):
        return (
            f"it has {len(names)} {what} ({_listed(names)}), the running model {len(before)} "
            f"({_listed(before)})"
        )
    for n, (name, old) in enumerate(zip_longest(names, before)):
        if name != old:
            return f"its {what[:-1]} {n} is called {name!r}, that of the running model {old!r}"
    return None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _memory_differs(n: int, layer: Layer, old: Layer) -> str | None:
    if layer.kind != old.kind:
        return f"layer {n} is of kind {layer.kind}, the running model has {old.kind} there"
    units, before = getattr(layer, "hidden_size", 0), getattr(old, "hidden_size", 0)
    if units != before:
        return f"layer {n} ({layer.kind}) has {units} units, the running model {before}"
    if layer.state != old.state:
        return (
            f"layer {n} ({layer.kind}) remembers {_widths(layer)}, the running model {_widths(old)}"
        )
    return None


def _widths(layer: Layer) -> str:
    return " and ".join(f"{width} numbers of {name}" for name, width in layer.state.items())
