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
    count = max(float(np.broadcast_to(weights, error.shape).sum()), 1.0)
    loss = np.where(size < delta, 0.5 * error * error, delta * (size - 0.5 * delta))
    gradient = np.clip(error, -delta, delta) / outputs.dtype.type(count)
    return float(loss.sum() / count), gradient


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
    count = max(float(np.broadcast_to(weights, error.shape).sum()), 1.0)
    loss = np.maximum(levels * error, (levels - 1) * error)
    slope = np.where(error > 0, -levels, np.where(error < 0, 1 - levels, 0))
    return float(loss.sum() / count), (slope / count).astype(outputs.dtype)


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
    total = max(float(weight.sum()), 1e-12)
    gradient = np.exp(logs)
    truth = np.take_along_axis(gradient, at, axis=-1)
    np.put_along_axis(gradient, at, truth - 1, axis=-1)
    gradient *= weight / logits.dtype.type(total)
    said = np.take_along_axis(logs, at, axis=-1)
    return float(-(said * weight).sum() / total), gradient


def log_softmax(logits: Array) -> Array:
    """Return the logarithms of the probabilities, along the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs
