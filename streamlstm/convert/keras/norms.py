"""Handlers of normalisation and scaling layers of Keras."""

from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import LayerNorm
from ..common.weights import to_float64
from .activations import number
from .add_layers import add_batch_norm
from .context import Context
from .network import KerasLayer


def batch_normalization(context: Context, layer: KerasLayer) -> None:
    """BatchNormalization, with the statistics of training."""
    context.check_axis(layer)
    used = [name for name, key in (("gamma", "scale"), ("beta", "center")) if _on(layer, key)]
    weights = context.weights.take(layer, (*used, "moving_mean", "moving_variance"))
    epsilon = number(layer.config.get("epsilon", 1e-3), layer.where)
    for name in used:
        if name not in weights:
            weights.take(name)
    add_batch_norm(context.builder, weights, epsilon)


def layer_normalization(context: Context, layer: KerasLayer) -> None:
    """LayerNormalization over the features of one step."""
    context.check_axis(layer)
    if layer.config.get("rms_scaling"):
        raise ConvertError(f"{layer.where} is refused: rms_scaling is another normalisation.")
    used = [name for name, key in (("gamma", "scale"), ("beta", "center")) if _on(layer, key)]
    weights = context.weights.take(layer, tuple(used))
    N = context.need_width(layer)
    arrays = {
        ours: weights.take(theirs, (N,)) if theirs in used else np.full(N, fill)
        for ours, theirs, fill in (("weight", "gamma", 1.0), ("bias", "beta", 0.0))
    }
    weights.finish()
    epsilon = number(layer.config.get("epsilon", 1e-3), layer.where)
    context.builder.add(LayerNorm(N, epsilon), arrays, layer.where)


def rescaling(context: Context, layer: KerasLayer) -> None:
    """Rescaling."""
    scale, offset = (
        to_float64(_plain(layer.config.get(key, default)), f"{layer.where}.{key}").reshape(-1)
        for key, default in (("scale", 1.0), ("offset", 0.0))
    )
    if (scale > 0).all():
        context.builder.normalise(-offset / scale, 1 / scale, layer.where)
    else:
        context.builder.scale(scale, offset, layer.where)


def normalization(context: Context, layer: KerasLayer) -> None:
    """Apply Normalization with adapted or given mean and variance."""
    axis = layer.config.get("axis", -1)
    if axis not in (None, [], ()):  # without an axis there is one mean for all features
        context.check_axis(layer)
    given = layer.config.get("mean")
    if given is None:
        weights = context.weights.take(layer, ("mean", "variance", "count"))
        mean, variance = weights.take("mean"), weights.take("variance")
        weights.take_or("count", (), 0)
        weights.finish()
    else:
        context.weights.drop(layer)
        mean, variance = (
            to_float64(_plain(layer.config.get(key)), f"{layer.where}.{key}")
            for key in ("mean", "variance")
        )
    deviation = np.maximum(np.sqrt(variance.reshape(-1)), 1e-7)  # the epsilon of Keras
    mean = mean.reshape(-1)
    if layer.config.get("invert"):
        context.builder.scale(deviation, mean, layer.where)
    else:
        context.builder.normalise(mean, deviation, layer.where)


def _on(layer: KerasLayer, key: str) -> bool:
    return bool(layer.config.get(key, True))


def _plain(value: Any) -> Any:
    """Return the numbers in a value of a configuration, which Keras may have wrapped."""
    if isinstance(value, dict):
        inner = value.get("config", value)
        return inner.get("value") if isinstance(inner, dict) else inner
    return value
