"""The linear part of a model in a graph: its last values as a state, and what they add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .writer import Writer

if TYPE_CHECKING:
    from ...network.model import Model

LAGS, COUNT = "lags", "lags.count"
_LARGEST = 1e9  # of a scaled value, as the engine clips it


def lag_states(model: Model) -> list[tuple[str, int]]:
    """Return names and widths of the states: last values, the latest first, and their number."""
    if not model.lags:
        return []
    return [(LAGS, _length(model) * len(_sources(model))), (COUNT, 1)]


def add_linear_part(w: Writer, model: Model, observation: str, x: str) -> dict[str, str]:
    """Write the linear part behind a network.

    Parameters
    ----------
    w : Writer
    model : Model
        With lags.
    observation : str
        Name of the observation, without offsets.
    x : str
        Name of the network's outputs, not scaled back.

    Returns
    -------
    dict of str to str
        Names of the outputs with the linear part, by "outputs", and of each new state by its name.
    """
    assert model.lag_weights is not None
    sources, length, K = _sources(model), _length(model), len(model.lags)
    C, scaling = len(sources), model.input_scaling
    now = w.node("Gather", observation, w.indices(*sources), axis=1)
    now = w.node("Sub", now, w.constant(scaling.mean[sources]))
    now = w.clip(w.node("Div", now, w.constant(scaling.scale[sources])), _LARGEST)
    now = w.node("Unsqueeze", now, w.indices(1))  # [batch, 1, C]
    kept = w.node("Reshape", LAGS, w.indices(0, length, C))
    past = w.node("Gather", kept, w.indices(*(max(lag - 1, 0) for lag in model.lags)), axis=1)
    # A value from before the first is taken as the latest; that of lag 0 is the latest.
    least = [lag or np.inf for lag in model.lags]
    known = w.node("GreaterOrEqual", COUNT, w.constant(least))
    values = w.node("Where", w.node("Unsqueeze", known, w.indices(2)), past, now)
    weights = np.zeros((K, C, model.output_size), np.float32)
    for output, target in enumerate(_targets(model)):
        if target >= 0:
            weights[:, sources.index(target), output] = model.lag_weights[output]
    flat = w.node("Reshape", values, w.indices(0, K * C))
    added = w.node("MatMul", flat, w.constant(weights.reshape(K * C, -1)))
    older = w.node("Slice", kept, w.indices(0), w.indices(length - 1), w.indices(1))
    news = w.node("Concat", now, older, axis=1)
    count = w.node("Add", COUNT, w.constant(1.0))
    return {
        "outputs": w.node("Add", x, added),
        LAGS: w.node("Reshape", news, w.indices(0, length * C)),
        COUNT: w.node("Min", count, w.constant(float(length))),
    }


def _length(model: Model) -> int:
    return max(*model.lags, 1)


def _sources(model: Model) -> list[int]:
    """Return the inputs whose last values are read."""
    return sorted({target for target in _targets(model) if target >= 0})


def _targets(model: Model) -> list[int]:
    """Return the input that each output forecasts, -1 for none."""
    pairs = zip(model.targets, model.horizons, strict=True)
    return [target if horizon else -1 for target, horizon in pairs]
