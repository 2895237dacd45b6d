"""Compares two models: checks that streams can continue, and lists the differences.

Streams can continue if inputs, outputs, their offsets, categories, horizon and window are equal,
and the states of the recurrent layers too, in their order, and what the online stage keeps. Layers
without a state, weights and scaling may differ.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layers import Layer
from .model import Model
from .online import FILL_VERSION, JUDGED_VERSION, STATE_VERSION


def incompatibility(running: Model, new: Model) -> str | None:
    """Return the first reason why streams of ``running`` cannot continue with ``new``.

    Returns
    -------
    str or None
        A clause about ``new``, such as "it predicts 2 steps ahead, the running model 1"; None if
        streams can continue.
    """
    for what in ("inputs", "outputs"):
        reason = _compare_names(what, getattr(running, what), getattr(new, what))
        if reason is not None:
            return reason
    if new.categories != running.categories:
        return (
            f"its first input names {new.categories or 'no'} categories, that of the running model "
            f"{running.categories or 'none'}"
        )
    if new.horizons != running.horizons:
        steps = (", ".join(map(str, dict.fromkeys(m.horizons))) for m in (new, running))
        return "it predicts {} steps ahead, the running model {}".format(*steps)
    for side in ("input", "output"):
        reason = _compare_offsets(side, running, new)
        if reason is not None:
            return reason
    if _online_memory(new) != _online_memory(running):
        shown = ("none" if m.online is None else m.online.describe() for m in (new, running))
        return "its online stage remembers other things: {}, the running model's {}".format(*shown)
    if new.window != running.window:
        windows = ("none" if m.window is None else f"{m.window} rows" for m in (new, running))
        return "its window is {}, that of the running model {}".format(*windows)
    layers, before = _recurrent_layers(new), _recurrent_layers(running)
    for (n, layer), (_, old) in zip(layers, before, strict=False):
        reason = _compare_states(n, layer, old)
        if reason is not None:
            return reason
    if len(layers) != len(before):
        return f"it has {len(layers)} recurrent layers, the running model has {len(before)}"
    return None


def stage_versions(model: Model) -> list[int]:
    """Return the versions that the columns of a model's online stage have had, the latest first."""
    online, versions = model.online, [STATE_VERSION]
    if online is None:
        return []
    if any(online.fill_of(n) in ("mean", "predict") for n in range(model.input_size)):
        versions.insert(0, FILL_VERSION)
    if online.intervals or model.labelled:
        versions.insert(0, JUDGED_VERSION)
    return versions


def compatibility_key(model: Model, version: int | None = None) -> str:
    """Return 32 hexadecimal digits that are equal for models whose streams can continue.

    ``version``: of :func:`stage_versions`, if not the latest.
    """
    compared = {
        "inputs": model.inputs,
        "outputs": model.outputs,
        "categories": model.categories,
        "horizon": model.horizon if len(set(model.horizons)) == 1 else model.horizons,
        "memory": [(layer.kind, layer.state) for _, layer in _recurrent_layers(model)],
    }
    if model.online is not None:
        compared["online"] = _online_memory(model, version)
    if model.window is not None:
        compared["window"] = model.window
    if model.input_offsets is not None or model.output_offsets is not None:
        compared["offsets"] = [_offsets(model, side).tolist() for side in ("input", "output")]
    return hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:32]


def describe_changes(running: Model, new: Model) -> list[str]:
    """Return what differs in ``new``, as noun phrases; empty if nothing does."""
    reason = incompatibility(running, new)
    changes = [] if reason is None else [reason]
    if new.layers != running.layers:
        if reason is None:
            changes.append("layers without a state, or options of layers")
        return changes
    old, arrays = running.arrays(), new.arrays()
    changed = [
        name
        for name in sorted(arrays.keys() | old.keys())
        if name not in arrays or name not in old or not np.array_equal(arrays[name], old[name])
    ]
    layers = sorted({int(name.split(".")[1]) for name in changed if name.startswith("layers.")})
    if layers:
        changes.append(f"weights of layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}")
    for side in ("input", "output"):
        if any(name.startswith(f"{side}_scaling") for name in changed):
            changes.append(f"{side} scaling")
    if new.online != running.online:
        changes.append("the online stage")
    if new.lags != running.lags or "lag_weights" in changed:
        changes.append("the linear part")
    if new.start != running.start:
        changes.append("what it answers before its window is full")
    if new.skip != running.skip or "skip_scale" in changed:
        changes.append("which inputs are added to outputs")
    return changes


def _recurrent_layers(model: Model) -> list[tuple[int, Layer]]:
    return [(n, layer) for n, layer in enumerate(model.layers) if layer.state]


def _online_memory(model: Model, version: int | None = None) -> list[Any] | None:
    """Return what decides which numbers the online stage keeps of a stream, and their meaning."""
    if model.online is None:
        return None
    options = model.online.to_dict()
    for name in ("max_gap", "lower", "upper", "alarm_rate", "targets"):
        options.pop(name, None)
    remembered = [version or stage_versions(model)[0], options, model.targets]
    return [*remembered, max(model.lags)] if model.lags else remembered


def _compare_names(what: str, before: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    if len(names) != len(before):
        return (
            f"it has {len(names)} {what} ({_shorten(names)}), the running model {len(before)} "
            f"({_shorten(before)})"
        )
    for n, (name, old) in enumerate(zip(names, before, strict=True)):
        if name != old:
            return f"its {what[:-1]} {n} is called {name!r}, that of the running model {old!r}"
    return None


def _offsets(model: Model, side: str) -> NDArray[np.float64]:
    found: NDArray[np.float64] | None = getattr(model, f"{side}_offsets")
    return np.zeros(getattr(model, f"{side}_size")) if found is None else found


def _compare_offsets(side: str, running: Model, new: Model) -> str | None:
    """Return where offsets differ: what a stream remembers, its last prediction too, is without."""
    offsets, before = _offsets(new, side), _offsets(running, side)
    for name, offset, old in zip(getattr(new, f"{side}s"), offsets, before, strict=True):
        if offset != old:
            return (
                f"its {side} {name} has the offset {offset:.17g}, that of the running model "
                f"{old:.17g}"
            )
    return None


def _shorten(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _compare_states(n: int, layer: Layer, old: Layer) -> str | None:
    if layer.kind != old.kind:
        return f"layer {n} is of kind {layer.kind}, the running model has {old.kind} there"
    units, before = getattr(layer, "hidden_size", 0), getattr(old, "hidden_size", 0)
    if units != before:
        return f"layer {n} ({layer.kind}) has {units} units, the running model {before}"
    if layer.state != old.state:
        return (
            f"layer {n} ({layer.kind}) has a state of {_widths(layer)}, the running model "
            f"{_widths(old)}"
        )
    return None


def _widths(layer: Layer) -> str:
    return " and ".join(f"{name}[{width}]" for name, width in layer.state.items())
