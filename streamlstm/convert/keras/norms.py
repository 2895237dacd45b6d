"""Normalisation and scaling layers of Keras."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import LayerNorm
from ..common.shared_layers import add_batch_norm
from ..common.weights import to_float64
from .activations import number
from .graph import Leaf

if TYPE_CHECKING:
    from .reader import Reader


def add_batch_normalization(reader: "Reader", leaf: Leaf) -> None:
    """Shift and scale by what was measured in training."""
    reader.check_axis(leaf)
    used = [name for name, key in (("gamma", "scale"), ("beta", "center")) if _on(leaf, key)]
    weights = reader.store.take(leaf, (*used, "moving_mean", "moving_variance"))
    epsilon = number(leaf.config.get("epsilon", 1e-3), leaf.where)
    for name in used:
        if name not in weights:
            weights.take(name)
    add_batch_norm(reader.chain, weights, epsilon)


def add_layer_normalization(reader: "Reader", leaf: Leaf) -> None:
    """Normalise over the features of one step."""
    reader.check_axis(leaf)
    if leaf.config.get("rms_scaling"):
        raise ConvertError(f"{leaf.where} is refused: rms_scaling is another normalisation.")
    used = [name for name, key in (("gamma", "scale"), ("beta", "center")) if _on(leaf, key)]
    weights = reader.store.take(leaf, tuple(used))
    N = reader.chain.width
    if N is None:
        raise ConvertError(f"{leaf.where}: nothing before it says how many values come in.")
    arrays = {
        ours: weights.take(theirs, (N,)) if theirs in used else np.full(N, fill)
        for ours, theirs, fill in (("weight", "gamma", 1.0), ("bias", "beta", 0.0))
    }
    weights.finish()
    epsilon = number(leaf.config.get("epsilon", 1e-3), leaf.where)
    reader.chain.add(LayerNorm(N, epsilon), arrays, leaf.where)


def add_rescaling(reader: "Reader", leaf: Leaf) -> None:
    """Scale and offset as the configuration says."""
    scale, offset = (
        to_float64(_plain(leaf.config.get(key, default)), f"{leaf.where}.{key}").reshape(-1)
        for key, default in (("scale", 1.0), ("offset", 0.0))
    )
    if (scale > 0).all():
        reader.chain.normalise(-offset / scale, 1 / scale, leaf.where)
    else:
        reader.chain.scale(scale, offset, leaf.where)


def add_normalization(reader: "Reader", leaf: Leaf) -> None:
    """Shift and scale by what was adapted to, or was given."""
    axis = leaf.config.get("axis", -1)
    if axis not in (None, [], ()):  # else one mean for all of the features
        reader.check_axis(leaf)
    given = leaf.config.get("mean")
    if given is None:
        weights = reader.store.take(leaf, ("mean", "variance", "count"))
        mean, variance = weights.take("mean"), weights.take("variance")
        weights.take_or("count", (), 0)
        weights.finish()
    else:
        reader.store.drop(leaf)
        mean, variance = (
            to_float64(_plain(leaf.config.get(key)), f"{leaf.where}.{key}")
            for key in ("mean", "variance")
        )
    deviation = np.maximum(np.sqrt(variance.reshape(-1)), 1e-7)  # the epsilon of Keras
    mean = mean.reshape(-1)
    if leaf.config.get("invert"):
        reader.chain.scale(deviation, mean, leaf.where)
    else:
        reader.chain.normalise(mean, deviation, leaf.where)


def _on(leaf: Leaf, key: str) -> bool:
    return bool(leaf.config.get(key, True))


def _plain(value: Any) -> Any:
    """Return numbers of a configuration, which Keras may have wrapped."""
    if isinstance(value, dict):
        inner = value.get("config", value)
        return inner.get("value") if isinstance(inner, dict) else inner
    return value
