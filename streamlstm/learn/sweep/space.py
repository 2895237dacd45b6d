"""The settings that a sweep tries: drawn at random, around those that were asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields, replace
from typing import Any

import numpy as np

from ..settings import NetworkSettings, Settings

Draw = Callable[[np.random.Generator], Any]


def _one_of(*values: Any) -> Draw:
    return lambda rng: values[int(rng.integers(len(values)))]


def _between(low: float, high: float) -> Draw:
    """Return a draw that is uniform in the logarithm, in two digits."""
    return lambda rng: float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.2g}")


SPACE: dict[str, Draw] = {
    "hidden_sizes": _one_of((16,), (32,), (64,), (128,), (32, 32), (64, 64)),
    "rate": _between(1e-3, 2e-2),
    "window": _one_of(32, 64, 128),
    "batch": _one_of(4, 8, 16, 32),
    "shift": _one_of(0.0, 0.25, 0.5, 1.0),
    "delta": _one_of(0.1, 0.3, 1.0),
    "dropout": _one_of(0.0, 0.1, 0.2, 0.3),
    "recurrent_dropout": _one_of(0.0, 0.0, 0.1, 0.2),
    "weight_decay": _one_of(0.0, 0.0, 0.03, 0.1),
}
"""What is varied, and how. A setting that was asked for is left as it is."""


def candidates(
    settings: Settings,
    n: int,
    given: Collection[str],
    *,
    longest: int,
    keep_network: bool = False,
) -> list[Settings]:
    """Return n different settings to try; the first are those that were asked for.

    Parameters
    ----------
    settings : Settings
        As asked for; the seed decides what is drawn.
    n : int
    given : collection of str
        Settings that are not varied.
    longest : int
        Rows of the longest stretch to train on: no window is longer.
    keep_network : bool
        Vary nothing of the network: it continues a model.
    """
    fixed = set(given)
    if keep_network:
        fixed |= {field.name for field in fields(NetworkSettings)}
    rng = np.random.default_rng([settings.seed, n])
    found = [settings]
    for _ in range(20 * n):  # where little is left to vary, draws repeat
        if len(found) == n:
            break
        drawn = {name: draw(rng) for name, draw in SPACE.items() if name not in fixed}
        drawn["window"] = min(drawn.get("window", settings.window), longest)
        if len(drawn.get("hidden_sizes", settings.hidden_sizes)) == 1:
            drawn.pop("dropout", None)  # there is none with one layer
        candidate = replace(settings, **drawn)
        if candidate not in found:
            found.append(candidate)
    return found


def differences(settings: Settings, others: Collection[Settings]) -> dict[str, Any]:
    """Return those settings in which any of these differ, by name."""
    names = [f.name for f in fields(Settings)]
    varied = [n for n in names if len({getattr(other, n) for other in others}) > 1]
    return {name: getattr(settings, name) for name in varied}
