"""Evaluation of layers of Keras over the rows of a window, in float64, from the arrays of the file.

As in evaluate.py nothing here uses what the converter makes. A function takes X[rows, N].
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ..common.weights import Float64Array
from .affine import number_of
from .branches import kind_of
from .concatenate import SLICES
from .config import input_shape, read_parts, read_rows
from .context import CONVOLUTIONS, GLOBAL_POOLING, POOLING
from .evaluate_attention import attend, attend_heads
from .graph import LAST
from .inputs import PART
from .network import KerasLayer, Network

Rows = Callable[[Float64Array], Float64Array]
RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_KINDS = (
    *("Bidirectional", "RepeatVector", "Attention", "MultiHeadAttention", "Permute"),
    *("ZeroPadding1D", "Cropping1D", "AdditiveAttention"),
    *("Sum", "Mean", "Max", *CONVOLUTIONS, *POOLING, *GLOBAL_POOLING),
)


def looks_over_rows(network: Network) -> bool:
    """Tell whether a network can only be computed for whole windows."""
    ended = False
    for layer in network.all_layers:
        if layer.kind in _KINDS or layer.config.get("go_backwards"):
            return True
        if _makes_rows(layer):
            return _is_long(network)
        if layer.kind == PART and not layer.config["part"].is_series:
            return _is_long(network)
        if layer.kind == "Flatten" and not ended and _is_long(network):
            return True
        if layer.branches and _is_long(network):
            return True
        if layer.kind == "Softmax" and layer.config.get("axis") in (1, [1], -2):
            return _is_long(network)
        if layer.kind == "ExpandDims" or (
            layer.kind in SLICES and read_rows(layer.calls) is not None
        ):
            return _is_long(network)
        ended |= layer.kind in RECURRENT and not layer.config.get("return_sequences")
    return False


def answers_all_rows(network: Network) -> bool:
    """Tell whether rows are not steps any more, so that an answer is all of them."""
    for layer in network.all_layers:
        if layer.kind == "RepeatVector" or _makes_rows(layer):
            return True
        taken = read_rows(layer.calls) if layer.kind in SLICES else None
        if taken is not None and not taken[1]:
            return True
    return False


def _makes_rows(layer: KerasLayer) -> bool:
    if layer.kind == "ExpandDims":
        return layer.config["axis"] in (2, -1)
    if layer.kind == "Concatenate":
        return layer.config.get("axis") in (1, -2)
    return layer.kind == "Reshape" and len(layer.config.get("target_shape") or ()) == 2


def _is_long(network: Network) -> bool:
    config = network.layers[0].config
    shape = input_shape(config) or []
    return len(shape) == 3 and shape[1] != 1


def over_rows(
    layer: KerasLayer, arrays: list[Float64Array], activation: Any, cell: Any
) -> Rows | None:
    """Return what computes a layer for all rows; None if it takes each row by itself.

    Parameters
    ----------
    layer : KerasLayer
    arrays : list of float64[...]
        In the order of the file.
    activation : callable
        Of the layer.
    cell : callable
        Returns the step of a recurrent layer from its configuration and arrays.
    """
    kind, config = layer.kind, layer.config
    if kind in RECURRENT:
        return lambda X: _recurrent(cell(kind, config, arrays), config, X)
    if kind == "Bidirectional":
        inner = config["layer"]
        half = len(arrays) // 2
        ways = arrays[:half], arrays[half:]
        steps = [cell(inner["class_name"], inner["config"], way) for way in ways]
        return lambda X: _both(steps, config, X)
    if kind in CONVOLUTIONS:
        return lambda X: activation(_convolve(kind, config, arrays, X))
    if kind in POOLING:
        return lambda X: _pool(config, np.max if "Max" in kind else np.mean, X)
    if kind in GLOBAL_POOLING:
        return lambda X: (np.max if "Max" in kind else np.mean)(X, axis=0, keepdims=True)
    if kind in SLICES:
        return lambda X: _sliced(layer, X)
    if kind == PART:
        part = config["part"]
        return lambda X: (X if part.is_series else X[-1:])[:, part.columns]
    if kind == "Embedding":
        return lambda X: _looked_up(arrays[0], X)
    if kind == "ExpandDims":
        return lambda X: X.reshape(1, -1) if config["axis"] in (1, -2) else X.reshape(-1, 1)
    if kind == "Squeeze":
        return lambda X: X.reshape(1, -1)
    if kind == LAST and config["which"] == "last":
        return lambda X: X[-1:]
    if kind == LAST:
        way = int(config["which"] == "backward")
        return lambda X: np.split(X[:1] if way else X[-1:], 2, axis=1)[way]
    if kind == "ZeroPadding1D":
        return lambda X: np.pad(X, [_ends(config, "padding"), (0, 0)])
    if kind == "Cropping1D":
        first, last = _ends(config, "cropping")
        return lambda X: X[first : len(X) - last]
    if kind == "Reshape":
        sizes = config["target_shape"]
        return lambda X: X.reshape(sizes) if len(sizes) == 2 else X.reshape(1, -1)
    if kind in ("Absolute", "Square", "Negative"):
        return lambda X: getattr(np, kind.lower())(X)
    if kind in ("Maximum", "Minimum"):
        return lambda X: getattr(np, kind.lower())(X, number_of(layer))
    if kind == "Flatten":
        return lambda X: X.reshape(1, -1)
    if kind == "RepeatVector":
        return lambda X: np.tile(X[-1], (config["n"], 1))
    if kind in ("Attention", "AdditiveAttention") and not layer.branches:
        return lambda X: attend([X, X], layer, arrays)
    if kind == "MultiHeadAttention" and not layer.branches:
        return lambda X: attend_heads([X, X], layer, arrays)
    if kind == "Permute":
        return lambda X: X.T if config["dims"] == [2, 1] else X
    if kind == "Softmax" and config.get("axis") in (1, [1], -2):
        return lambda X: np.exp(X) / np.exp(X).sum(axis=0)
    if kind in ("Sum", "Mean", "Max"):
        return lambda X: getattr(np, kind.lower())(X, axis=0, keepdims=True)
    return None


def join(layer: KerasLayer, parts: list[Float64Array], arrays: list[Float64Array]) -> Float64Array:
    """Return what a layer makes of branches, each [rows, N] or [N], of as many rows or of one."""
    kind = kind_of(layer)
    if kind in ("Attention", "AdditiveAttention"):
        return np.asarray(attend(parts, layer, arrays))
    if kind == "MultiHeadAttention":
        return np.asarray(attend_heads(parts, layer, arrays))
    if kind == "Dot":
        return np.asarray((parts[0] * parts[1]).sum(axis=0, keepdims=True))
    if kind in ("Maximum", "Minimum"):
        return np.asarray(getattr(np, kind.lower())(*parts))
    if kind == "Concatenate" and _makes_rows(layer) and any(len(part) > 1 for part in parts):
        return np.concatenate(parts)
    if kind == "Concatenate":
        shape = np.broadcast_shapes(*(part.shape[:-1] for part in parts))
        return np.concatenate([np.broadcast_to(p, (*shape, p.shape[-1])) for p in parts], axis=-1)
    joins: dict[str, Callable[[Any], Any]] = {
        "Add": sum,
        "Average": lambda values: sum(values) / len(values),
        "Subtract": lambda values: values[0] - values[1],
        "Multiply": math.prod,
    }
    return np.asarray(joins[kind](parts))


def _looked_up(table: Float64Array, X: Float64Array) -> Float64Array:
    """Return the vectors of categories: of one a row, or of one row of several."""
    if len(X) == 1:
        return np.asarray(table[X[0].astype(int)])
    return np.hstack([table[X[:, 0].astype(int)], X[:, 1:]])


def _sliced(layer: KerasLayer, X: Float64Array) -> Float64Array:
    """Return rows and features that a slice takes, of a vector features alone."""
    shape = re.search(r"'shape': \[([^]]*)\]", repr(layer.calls))
    rank = 3
    if shape:  # which Keras 3 writes
        rank = shape[1].count(",") + 1
    elif len(X) == 1 and len(read_parts(layer.calls, 0)) == 2:
        rank = 2
    *rows, features = read_parts(layer.calls, rank)[1:]
    for part in rows:
        X = X[[part]] if isinstance(part, int) else X[part]
    return X[:, features].reshape(1, -1) if isinstance(features, int) else X[:, features]


def _recurrent(step: Any, config: dict[str, Any], X: Float64Array) -> Float64Array:
    rows = X[::-1] if config.get("go_backwards") else X
    Y = np.stack([step(x) for x in rows])
    return Y if config.get("return_sequences") else Y[-1:]


def _both(steps: list[Any], config: dict[str, Any], X: Float64Array) -> Float64Array:
    inner = config["layer"]["config"]
    forward, backward = _recurrent(steps[0], inner, X), _recurrent(steps[1], inner, X[::-1])
    if inner.get("return_sequences"):
        backward = backward[::-1]
    joins: dict[str, Callable[[Any, Any], Any]] = {
        "concat": lambda a, b: np.concatenate([a, b], axis=1),
        "sum": lambda a, b: a + b,
        "mul": lambda a, b: a * b,
        "ave": lambda a, b: (a + b) / 2,
    }
    return np.asarray(joins[config.get("merge_mode", "concat")](forward, backward))


def _ends(config: dict[str, Any], key: str) -> tuple[int, int]:
    value = config.get(key, 1)
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _number(config: dict[str, Any], key: str, default: int) -> int:
    value = config.get(key) or default
    return int(value[0] if isinstance(value, list) else value)


def _places(config: dict[str, Any], rows: int, size: int, step: int, spread: int) -> Any:
    """Return for each output the rows that it sees; those that are not are below 0 or too large."""
    reach = (size - 1) * spread + 1
    kind, count = config.get("padding", "valid"), (rows - reach) // step + 1
    start = 0
    if kind != "valid":
        count = -(-rows // step)
        missing = max((count - 1) * step + reach - rows, 0)
        start = -(reach - 1) if kind == "causal" else -(missing // 2)
    return start + step * np.arange(count)[:, None] + spread * np.arange(size)


def _convolve(
    kind: str, config: dict[str, Any], arrays: list[Float64Array], X: Float64Array
) -> Float64Array:
    bias = arrays[-1] if config.get("use_bias", True) else np.float64(0)
    size = arrays[0].shape[0]
    places = _places(
        config, len(X), size, _number(config, "strides", 1), _number(config, "dilation_rate", 1)
    )
    valid = (places >= 0) & (places < len(X))
    seen = np.where(valid[..., None], X[np.clip(places, 0, len(X) - 1)], 0)  # [outputs, k, F]
    if kind in ("Conv1D", "Convolution1D"):
        groups = X.shape[1] // arrays[0].shape[1]
        parts = np.split(seen, groups, axis=2), np.split(arrays[0], groups, axis=2)
        found = [np.einsum("tkf,kfo->to", x, w) for x, w in zip(*parts, strict=True)]
        return np.concatenate(found, axis=1) + bias
    each = np.einsum("tkf,kfm->tfm", seen, arrays[0]).reshape(len(seen), -1)
    return np.asarray((each @ arrays[1][0] if kind.startswith("Separable") else each) + bias)


def _pool(config: dict[str, Any], function: Any, X: Float64Array) -> Float64Array:
    size = _number(config, "pool_size", 2)
    places = _places(config, len(X), size, _number(config, "strides", size), 1)
    return np.stack([function(X[p[(p >= 0) & (p < len(X))]], axis=0) for p in places])
