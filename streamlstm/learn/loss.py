"""Losses and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def huber(outputs: Array, targets: Array, weights: Array, delta: float) -> tuple[float, Array]:
    """Return Huber's loss and its gradient by the outputs.

    ``e^2 / 2`` up to ``|e| = delta``, then ``delta * (|e| - delta / 2)``: squared for small errors,
    but robust to outliers. Targets are scaled, so ``delta`` is in standard deviations of the
    target's change. Errors are reported as mean absolute errors, but training on those converges to
    a worse result: 0.41 of persistence on the validation period of the taxi series, where this
    reached 0.34.

    Parameters
    ----------
    outputs, targets : float[T, B, O]
        Scaled.
    weights : float[T, B, O]
        1 where there is a target, else 0.
    delta : float
        Error at which the loss turns from quadratic to linear.

    Returns
    -------
    float
        Mean over the targets of weight 1.
    float[T, B, O]
        Its gradient.
    """
    error = (outputs - targets) * weights
    size = np.abs(error)
    inner = np.minimum(size, outputs.dtype.type(delta))
    gradient = np.clip(error, -delta, delta)
    return _mean(inner * (size - 0.5 * inner), gradient, _count(weights, error))


def pinball(outputs: Array, targets: Array, weights: Array, levels: Array) -> tuple[float, Array]:
    """Return the pinball loss and its gradient by the outputs.

    ``q e`` for errors ``e = target - output`` above 0, ``(q - 1) e`` below: smallest where the
    output is the quantile q of what comes (Koenker and Bassett, 1978).

    Parameters
    ----------
    outputs, targets : float[T, B, O]
        Scaled.
    weights : float[T, B, O]
        1 where there is a target, else 0.
    levels : float[O]
        The quantile of each output, between 0 and 1.

    Returns
    -------
    float
        Mean over the targets of weight 1.
    float[T, B, O]
        Its gradient.
    """
    error = (targets - outputs) * weights
    loss = np.maximum(levels * error, (levels - 1) * error)
    slope = (error < 0) - levels * (error != 0)
    return _mean(loss, slope.astype(outputs.dtype), _count(weights, error))


def cross_entropy(
    logits: Array, classes: Array, weights: Array, class_weights: Array
) -> tuple[float, Array]:
    """Return the weighted cross entropy of a softmax and its gradient by the logits.

    Parameters
    ----------
    logits : float[T, B, C]
    classes : float[T, B, 1]
        The true classes, whole numbers.
    weights : float[T, B, 1]
        1 where there is a class, else 0.
    class_weights : float[C]
        How much each class counts.

    Returns
    -------
    float
        Mean over the weights.
    float[T, B, C]
        Its gradient.
    """
    at = classes.astype(np.intp)
    weight = weights * class_weights[at]
    logs = log_softmax(logits)
    said = np.take_along_axis(logs, at, axis=-1)
    gradient = np.exp(logs)
    np.put_along_axis(gradient, at, np.exp(said) - 1, axis=-1)
    gradient *= weight
    return _mean(-said * weight, gradient, max(float(weight.sum()), 1e-12))


def log_softmax(logits: Array) -> Array:
    """Return the logarithms of the probabilities, along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


def _count(weights: Array, error: Array) -> float:
    """Return how many targets there are, 1 for none."""
    return max(float(np.broadcast_to(weights, error.shape).sum()), 1.0)


def _mean(losses: Array, gradient: Array, count: float) -> tuple[float, Array]:
    """Return the mean loss and its gradient, of the losses and their gradients."""
    return float(losses.sum() / count), gradient / gradient.dtype.type(count)
