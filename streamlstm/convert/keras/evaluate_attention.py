"""Evaluation of attention of Keras in float64, from the arrays of the file."""

import math
from typing import Any

import numpy as np

from ..common.weights import Float64Array
from .network import KerasLayer
from .written_attention import FACTOR


def attend(parts: list[Float64Array], layer: KerasLayer, arrays: list[Float64Array]) -> Any:
    """Return what queries see of values, by keys; parts are query, value, and key if it differs."""
    query, value, key = parts[0], parts[1], parts[-1]
    if layer.kind == "AdditiveAttention":
        scale = arrays[0] if arrays else np.float64(1)
        scores = (scale * np.tanh(query[:, None] + key[None])).sum(axis=2)
    elif layer.config.get("score_mode") == "concat":
        *scales, weight = (float(array) for array in arrays)
        scores = weight * np.tanh(math.prod(scales) * (query[:, None] + key[None])).sum(axis=2)
    else:
        scores = (float(arrays[0]) if arrays else 1.0) * query @ key.T
        scores = scores * float(layer.config.get(FACTOR, 1.0))
    return _shares(scores, layer) @ value


def attend_heads(parts: list[Float64Array], layer: KerasLayer, arrays: list[Float64Array]) -> Any:
    """Return attention of several heads, whose arrays are those of query, key, value, output."""
    step = 2 if layer.config.get("use_bias", True) else 1
    kernels = arrays[::step]
    biases = arrays[1::2] if step == 2 else [np.float64(0)] * 4
    given = parts[0], parts[-1], parts[1]
    query, key, value = (
        np.einsum("tf,fhn->thn", x, kernel) + bias
        for x, kernel, bias in zip(given, kernels, biases, strict=False)
    )
    scores = np.einsum("qhn,thn->hqt", query, key) / np.sqrt(query.shape[2])
    found = np.einsum("hqt,thn->qhn", _shares(scores, layer), value)
    return np.einsum("qhn,hno->qo", found, kernels[3]) + biases[3]


def _shares(scores: Float64Array, layer: KerasLayer) -> Any:
    if "use_causal_mask': True" in repr(layer.calls):
        later = np.arange(scores.shape[-1]) > np.arange(scores.shape[-2])[:, None]
        scores = np.where(later, -np.inf, scores)
    found = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return found / found.sum(axis=-1, keepdims=True)
