"""Handlers of ONNX nodes that are activations, and of functions that activations are made of."""

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.activations import name_activation
from .feature_ops import Activation, Affine, UnnamedFunction
from .node import Node, shortest_float
from .tensor import SymbolicTensor, Value

Handler = Callable[..., Any]
LARGEST = float(np.finfo(np.float32).max)  # for an omitted bound
ERF = np.vectorize(erf, otypes=[np.float64])


def activation(name: str, *defaults: tuple[str, float]) -> Handler:
    """Return the handler of an activation whose parameters are attributes of the node."""

    def handler(node: Node, x: SymbolicTensor) -> SymbolicTensor:
        values = [shortest_float(node.attribute(key, value)) for key, value in defaults]
        text = f"{name}({', '.join(map(repr, values))})" if values else name
        return x.append(Activation(text, str(node)))

    return handler


def function(compute: Callable[[Any], Any]) -> Handler:
    """Return the handler of a node that applies ``compute``: part of a decomposed activation."""
    return lambda node, x: x.append(UnnamedFunction(compute, str(node)))


def prelu(node: Node, x: SymbolicTensor, slope: Value) -> SymbolicTensor:
    """PRelu with one slope for all features."""
    slopes = node.constant(slope)
    if not (slopes == slopes.flat[0]).all():
        raise ConvertError(f"{node}: expected one slope for all features.")
    return x.append(Activation(name_activation("leaky_relu", float(slopes.flat[0])), str(node)))


def clip(node: Node, x: SymbolicTensor, low: Value = None, high: Value = None) -> SymbolicTensor:
    """Clip; bounds are attributes up to opset 10, inputs from 11 on."""
    bounds = [
        float(node.attribute(name, default) if value is None else node.constant(value).reshape(()))
        for name, value, default in (("min", low, -LARGEST), ("max", high, LARGEST))
    ]
    if (bounds[0], bounds[1] >= LARGEST) == (0, True):
        return x.append(Activation("relu", str(node)))
    limits = [float(np.clip(bound, -LARGEST, LARGEST)) for bound in bounds]
    return x.append(Activation(name_activation("hard_tanh", *limits), str(node)))


def gelu(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Gelu, exact or by tanh."""
    exact = node.attribute("approximate", "none") == "none"
    return x.append(Activation("gelu" if exact else "gelu_tanh", str(node)))


def selu(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Selu; other constants than the usual ones are an ELU, scaled."""
    alpha, gamma = node.attribute("alpha", 1.67326), node.attribute("gamma", 1.0507)
    if abs(alpha - 1.67326) < 1e-4 and abs(gamma - 1.0507) < 1e-4:
        return x.append(Activation("selu", str(node)))
    elu = Activation(name_activation("elu", alpha), str(node))
    return x.append(elu, Affine(gamma, 0, str(node)))


def celu(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Celu: ``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    alpha = np.float64(node.attribute("alpha", 1.0))
    before, after = (Affine(a, 0, str(node)) for a in (1 / alpha, alpha))
    return x.append(before, Activation("elu", str(node)), after)


def swish(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Swish: ``x * sigmoid(alpha * x)``."""
    alpha = np.float64(node.attribute("alpha", 1.0))
    before, after = (Affine(a, 0, str(node)) for a in (alpha, 1 / alpha))
    return x.append(before, Activation("silu", str(node)), after)


def softmax(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Softmax and LogSoftmax over the features; up to opset 12 over all axes from ``axis`` on."""
    old = node.opset < 13
    axis = node.attribute("axis", 1 if old else -1) % len(x.axes)
    together = range(axis, len(x.axes)) if old else [axis]
    others = [n for n in together if x.axes[n] and not x.is_features(n)]
    if others or not any(x.is_features(n) for n in together):
        raise ConvertError(f"{node} is over other axes than the features, which cannot be stepped.")
    return x.append(Activation("softmax" if node.op == "Softmax" else "log_softmax", str(node)))
