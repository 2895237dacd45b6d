"""The specification of layers that look over the rows of a window: plain NumPy, any float dtype.

A function takes X[rows, B, N], the rows of B windows, weights by name and the fields of the layer
as keywords; it returns Y[rows, B, N] of as many rows as ``network.layers`` says.
"""

from collections.abc import Callable

import numpy as np

from .reference import Activation, Array, Weights, activate, log_softmax


def _pieces(X: Array, size: int, step: int, dilation: int) -> Array:
    """Return X[rows, k, B, N]: for each row that goes out the ``size`` rows that it sees."""
    count = (len(X) - (size - 1) * dilation - 1) // step + 1
    return np.asarray(X[np.arange(count)[:, None] * step + np.arange(size) * dilation])


def _padded(X: Array, left: int, right: int, value: float) -> Array:
    return np.pad(X, ((left, right), (0, 0), (0, 0)), constant_values=value)


def conv1d(
    X: Array,
    weights: Weights,
    *,
    kernel_size: int,
    stride: int,
    dilation: int,
    pad_left: int,
    pad_right: int,
    activation: Activation,
) -> Array:
    """Return ``activation(bias + sum_j weight[:, j] @ x[t s + j d - pad_left])``."""
    pieces = _pieces(_padded(X, pad_left, pad_right, 0), kernel_size, stride, dilation)
    products = np.einsum("tjbf,ojf->tbo", pieces, weights["weight"])
    return activate(activation, products + weights["bias"])


def pool(
    X: Array,
    weights: Weights,
    *,
    function: str,
    size: int | None,
    stride: int | None,
    pad_left: int,
    pad_right: int,
    count_padding: bool,
) -> Array:
    """Return the mean, the maximum or the sum over rows."""
    del weights
    size = size or len(X)
    step = stride or size
    if function == "max":
        pieces = _pieces(_padded(X, pad_left, pad_right, -np.inf), size, step, 1)
        return np.asarray(pieces.max(axis=1))
    padded = [_padded(a, pad_left, pad_right, 0) for a in (X, np.ones_like(X))]
    sums, counts = (_pieces(a, size, step, 1).sum(axis=1) for a in padded)
    if function == "sum":
        return np.asarray(sums)
    return np.asarray(sums / (size if count_padding else counts))


def attention(
    X: Array,
    weights: Weights,
    *,
    query: str,
    scale: float,
    join: bool,
    heads: int,
    key_size: int | None,
    causal: bool,
) -> Array:
    """Return ``sum_t softmax_t(scale q . k[t]) v[t]`` for each query q, head by head."""
    del weights
    Q = K = V = X
    if key_size is not None:
        Q, K, V = np.split(X, [heads * key_size, 2 * heads * key_size], axis=2)
    first = len(X) - 1 if query == "last" else 0
    Q = Q[first:]
    q, k, v = (part.reshape(*part.shape[:2], heads, -1) for part in (Q, K, V))
    scores = scale * np.einsum("qbhn,tbhn->bhqt", q, k)
    if causal:
        later = np.arange(len(X)) > np.arange(first, len(X))[:, None]
        scores = np.where(later, -np.inf, scores)
    shares = np.exp(log_softmax(scores))
    found = np.einsum("bhqt,tbhn->qbhn", shares, v).reshape(*Q.shape[:2], -1)
    return np.concatenate([found, Q], axis=2) if join else found


def softmax_over_rows(X: Array, weights: Weights) -> Array:
    """Return the softmax of each feature over rows."""
    del weights
    return np.exp(np.moveaxis(log_softmax(np.moveaxis(X, 0, -1)), -1, 0))


def transpose(X: Array, weights: Weights, *, rows: int) -> Array:
    """Return a row for each feature."""
    del weights
    assert len(X) == rows
    return X.transpose(2, 1, 0)


def flatten(X: Array, weights: Weights, *, rows: int, by_feature: bool) -> Array:
    """Return one row of all."""
    del weights
    assert len(X) == rows
    ordered = X.transpose(1, 2, 0) if by_feature else X.transpose(1, 0, 2)
    return ordered.reshape(1, X.shape[1], -1)


def last(X: Array, weights: Weights) -> Array:
    """Return the last row."""
    del weights
    return X[-1:]


def repeat(X: Array, weights: Weights, *, rows: int) -> Array:
    """Return the last row, so many times."""
    del weights
    return np.repeat(X[-1:], rows, axis=0)


def reverse(X: Array, weights: Weights) -> Array:
    """Return the rows from the last to the first."""
    del weights
    return X[::-1]


def merge(forward: Array, backward: Array, how: str) -> Array:
    """Join the outputs of two recurrent layers."""
    if how == "concat":
        return np.concatenate([forward, backward], axis=-1)
    if how == "mul":
        return forward * backward
    total = forward + backward
    return total / 2 if how == "ave" else total


ROWS: dict[str, Callable[..., Array]] = {
    "conv1d": conv1d,
    "pool": pool,
    "attention": attention,
    "flatten": flatten,
    "last": last,
    "repeat": repeat,
    "reverse": reverse,
    "transpose": transpose,
    "softmax_over_rows": softmax_over_rows,
}
