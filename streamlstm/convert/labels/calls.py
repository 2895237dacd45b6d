"""Layers with weights that a network applies to a tensor, followed on labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...errors import ConvertError
from ..common.weights import Float64Array
from .followed import Followed
from .layers import TorchLayer, make_weights
from .signals import Labels


def linear(
    values: Followed, name: str, labels: Labels, matrix: Float64Array, bias: Float64Array | None
) -> Labels:
    """Return the labels of ``matrix[O, K] @ x + bias`` along the last axis."""
    source, positions = values.signals.vectors(labels, name)
    if matrix.shape[1] != source.width:
        raise ConvertError(
            f"{name} takes {matrix.shape[1]} values, but the layer before it returns {source.width}"
        )
    new = values.signals.linear(source, np.ascontiguousarray(matrix), bias, name)
    return values.signals.labels(new, positions)


def layer_norm(
    values: Followed, name: str, labels: Labels, arrays: Mapping[str, Any], epsilon: float
) -> Labels:
    """Return the labels of a normalisation along the last axis."""
    options = {"epsilon": float(epsilon), "features": int(labels.shape[-1])}
    return whole(
        values, name, labels, TorchLayer(name, "layer_norm", make_weights(name, arrays), options)
    )


def whole(values: Followed, name: str, labels: Labels, layer: TorchLayer) -> Labels:
    """Return the labels of a layer over all features along the last axis, which gives as many."""
    source, positions = values.signals.vectors(labels, name)
    source = values.signals.resolve(source)
    weights = layer.weights.copy()
    key = (layer.kind, *((k, weights.take(k).tobytes()) for k in layer.weights.shapes))
    new = values.signals.add((*key, repr(layer.options)), source.width, source, layer=layer)
    return values.signals.labels(new, positions)


def batch_norm(
    values: Followed, name: str, labels: Labels, arrays: Mapping[str, Any], epsilon: float
) -> Labels:
    """Return the labels of a normalisation by statistics of training, along axis 1."""
    layer = TorchLayer(name, "batch_norm", make_weights(name, arrays), {"epsilon": float(epsilon)})
    weights = layer.weights.copy()
    mean = weights.take("running_mean")
    layer.options["features"] = len(mean)
    factor = weights.take_or("weight", mean.shape, 1)
    factor = factor / np.sqrt(weights.take("running_var") + epsilon)
    bias = weights.take_or("bias", mean.shape, 0) - mean * factor
    source, positions = values.signals.vectors(np.moveaxis(labels, 1, -1), name)
    more: dict[str, Any] = {"layer": layer, "terms": [(source, np.diag(factor))], "bias": bias}
    key = ("batch_norm", factor.tobytes(), bias.tobytes())
    new = values.signals.add(key, source.width, source, **more)
    return np.moveaxis(values.signals.labels(new, positions), -1, 1)


def embedding(values: Followed, name: str, labels: Labels, table: Float64Array) -> Labels:
    """Return the labels of a look-up in a table; the layer here passes further inputs on."""
    found = values.signals.locate(labels)
    source = values.signals.input
    if (found.signal != 0).any() or found.value.any():
        raise ConvertError(f"{name} is an embedding: expected it to take the first input")
    layer = TorchLayer(name, "embedding", make_weights(name, {"weight": table}))
    key, width = ("embedding", table.tobytes()), table.shape[1] + source.width - 1
    new = values.signals.add(key, width, source, layer=layer)
    return values.signals.labels(new, found.position)[..., : table.shape[1]]
