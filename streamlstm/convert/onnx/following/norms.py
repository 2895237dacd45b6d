"""Normalisations, followed on labels."""

import numpy as np

from ....errors import ConvertError
from ...labels.calls import batch_norm as add_batch_norm
from ...labels.calls import layer_norm as add_layer_norm
from ...labels.signal import Labels
from ..node import Node, shortest_float
from .arithmetic import scale_by
from .functions import computed, named
from .live import Following, Live, Value, any_live, live


def layer_norm(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """LayerNormalization over the axes from ``axis`` on."""
    x, weight, bias = (*inputs, None)[:3]
    labels = values.whole(x)
    axis = node.attribute("axis", -1) % labels.ndim
    epsilon = shortest_float(node.attribute("epsilon", 1e-5))
    return [live(_normalised(values, node, labels, axis, epsilon, weight, bias))]


def _normalised(
    values: Following,
    node: Node,
    labels: Labels,
    axis: int,
    epsilon: float,
    weight: Value = None,
    bias: Value = None,
) -> Labels:
    """Return labels normalised over all axes from one on, and scaled if constants are given."""
    shape = labels.shape
    flat = labels.reshape(*shape[:axis], -1)
    N = flat.shape[-1]
    arrays = {}
    for name, given in (("weight", weight), ("bias", bias)):
        if given is not None:
            array = np.asarray(node.constant(given), np.float64)
            arrays[name] = np.broadcast_to(array, shape[axis:]).reshape(N).copy()
    return add_layer_norm(values, str(node), flat, arrays, epsilon).reshape(shape)


def instance_norm(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """InstanceNormalization: each feature over its own rows, all of a window."""
    x, weight, bias = inputs[:3]
    labels = values.whole(x)
    made = _normalised(values, node, labels, 2, node.attribute("epsilon", 1e-5))
    return [live(_per_channel(values, node, made, weight, bias))]


def group_norm(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """GroupNormalization; up to opset 20 its scale is one number for each group."""
    x, weight, bias = inputs[:3]
    labels = values.whole(x)
    groups = node.attribute("num_groups")
    split = labels.reshape(labels.shape[0], groups, -1)
    made = _normalised(values, node, split, 2, node.attribute("epsilon", 1e-5))
    made = made.reshape(labels.shape)
    if node.opset < 21:
        each = labels.shape[1] // groups
        weight, bias = (np.repeat(np.asarray(node.constant(a)), each) for a in (weight, bias))
    return [live(_per_channel(values, node, made, weight, bias))]


def _per_channel(
    values: Following, node: Node, labels: Labels, weight: Value, bias: Value
) -> Labels:
    shape = (-1, *[1] * (labels.ndim - 2))
    w, b = (np.asarray(node.constant(a), np.float64).reshape(shape) for a in (weight, bias))
    return scale_by(values, labels, w, b)


def batch_norm(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """BatchNormalization in inference, over axis 1."""
    if node.attribute("training_mode", 0):
        raise ConvertError(f"{node}: expected it for inference, by the statistics of training.")
    x, epsilon = inputs[0], node.attribute("epsilon", 1e-5)
    if any_live(inputs[1:]):
        return [_by_own_statistics(values, inputs, epsilon)]
    weight, bias, mean, variance = (np.asarray(node.constant(a), np.float64) for a in inputs[1:5])
    labels = values.whole(x)
    arrays = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
    try:
        return [live(add_batch_norm(values, str(node), labels, arrays, epsilon))]
    except ConvertError:  # each row has statistics of its own
        factor = weight / np.sqrt(variance + epsilon)
        return [live(_per_channel(values, node, labels, factor, bias - mean * factor))]


def _by_own_statistics(values: Following, inputs: list[Value], epsilon: float) -> Live:
    """Return a normalisation by what was computed before, as tf2onnx writes that of Keras."""
    x = inputs[0]

    def compute(x, weight, bias, mean, variance):  # type: ignore[no-untyped-def]
        shape = (1, -1, *[1] * (np.ndim(x) - 2))
        weight, bias, mean, variance = (
            np.reshape(a, shape) for a in (weight, bias, mean, variance)
        )
        return (x - mean) / np.sqrt(variance + epsilon) * weight + bias

    return named(values, computed(compute, inputs[:5], x.shape))
