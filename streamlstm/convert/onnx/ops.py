"""ONNX nodes that compute: products, arithmetic with constants, activations, scaling."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.activations import name_activation
from ...network.layers import Dense
from ..common.weights import Float64Array
from .flow import Activate, Flow, Function, Scale, Step, Value, along_features, merge
from .node import Node

LARGEST = float(np.finfo(np.float32).max)  # stands for a bound that is left out
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Min": np.minimum,
    "Max": np.maximum,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
}


def matmul(node: Node, a: Value, b: Value) -> Flow:
    """MatMul with a constant matrix, on either side."""
    if isinstance(a, Flow):
        matrix, x, axis = _matrix(node, b), a, len(a.axes) - 1
    else:
        matrix, x, axis = _matrix(node, a).T, b, len(b.axes) - 2
    return product(node, x, axis, matrix, np.zeros(matrix.shape[1]))


def gemm(node: Node, a: Value, b: Value, c: Value = None) -> Flow:
    """Gemm: ``alpha * A' @ B' + beta * C``, A being the network's values."""
    if not isinstance(a, Flow):
        raise ConvertError(f"{node}: expected the network's values as the first factor.")
    matrix = _matrix(node, b)
    matrix = (matrix.T if node.attribute("transB", 0) else matrix) * node.attribute("alpha", 1.0)
    axis = 1
    if node.attribute("transA", 0):
        a = a.reshaped(a.axes[::-1])
    found = product(node, a, axis, matrix, np.zeros(matrix.shape[1]))
    if c is None:
        return found
    found, shift = along_features(found, node.constant(c), str(node))
    return found.append(Scale(1, shift * node.attribute("beta", 1.0), str(node)))


def product(node: Node, x: Flow, axis: int, matrix: Float64Array, bias: Float64Array) -> Flow:
    """Multiply the features, which must stand on ``axis``, by ``matrix[K, O]``."""
    K, O = matrix.shape
    if not x.is_features(axis):
        raise ConvertError(
            f"{node}: expected the {K} rows of its weights to meet the features; the axis there "
            "holds others, or steps flattened together with features, which cannot be stepped."
        )
    if x.width != K:
        raise ConvertError(
            f"{node}: expected weights of shape ({x.width}, ...), got {matrix.shape}."
        )
    step = Step(Dense(K, O), {"weight": matrix.T.copy(), "bias": bias}, str(node))
    return x.with_features(axis, O, step)


def arithmetic(node: Node, *operands: Value) -> Value:
    """Add, Sub, Mul, Div, Pow, Min, Max; with a constant, or of two branches."""
    if len(operands) == 1:
        return operands[0]
    a, b = operands[0], operands[1]
    if len(operands) > 2:
        return arithmetic(node, arithmetic(node, a, b), *operands[2:])
    function = _ARITHMETIC[node.op]
    if isinstance(a, Flow) and isinstance(b, Flow):
        residual = _residual(node, a, b) if node.op == "Add" else None
        return residual or merge(function, str(node), a, b)
    x, first = (a, False) if isinstance(a, Flow) else (b, True)
    x, constant = along_features(x, node.constant(a if first else b), str(node))
    return _with_constant(node, x, constant, first)


def where(node: Node, *operands: Value) -> Flow:
    """Where, as exporters write activations of two pieces: constants are numbers."""
    flows = [value for value in operands if isinstance(value, Flow)]
    numbers = [
        None if isinstance(value, Flow) else node.constant(value).reshape(()) for value in operands
    ]

    def chosen(*arrays: Float64Array) -> Float64Array:
        given = iter(arrays)
        return np.where(*(next(given) if n is None else n for n in numbers))

    return merge(chosen, str(node), *flows)


def prelu(node: Node, x: Flow, slope: Value) -> Flow:
    """PRelu with one slope for all features."""
    slopes = node.constant(slope)
    if not (slopes == slopes.flat[0]).all():
        raise ConvertError(f"{node}: expected one slope for all features.")
    return x.append(Activate(name_activation("leaky_relu", float(slopes.flat[0])), str(node)))


def clip(node: Node, x: Flow, low: Value = None, high: Value = None) -> Flow:
    """Clip; bounds are attributes up to opset 10, inputs from 11 on."""
    bounds = [
        float(node.attribute(name, default) if value is None else node.constant(value).reshape(()))
        for name, value, default in (("min", low, -LARGEST), ("max", high, LARGEST))
    ]
    if (bounds[0], bounds[1] >= LARGEST) == (0, True):
        return x.append(Activate("relu", str(node)))
    limits = [float(np.clip(bound, -LARGEST, LARGEST)) for bound in bounds]
    return x.append(Activate(name_activation("hard_tanh", *limits), str(node)))


def gelu(node: Node, x: Flow) -> Flow:
    """Gelu, exact or by tanh."""
    exact = node.attribute("approximate", "none") == "none"
    return x.append(Activate("gelu" if exact else "gelu_tanh", str(node)))


def selu(node: Node, x: Flow) -> Flow:
    """Selu; other constants than the usual ones are an ELU, scaled."""
    alpha, gamma = node.attribute("alpha", 1.67326), node.attribute("gamma", 1.0507)
    if abs(alpha - 1.67326) < 1e-4 and abs(gamma - 1.0507) < 1e-4:
        return x.append(Activate("selu", str(node)))
    elu = Activate(name_activation("elu", alpha), str(node))
    return x.append(elu, Scale(gamma, 0, str(node)))


def celu(node: Node, x: Flow) -> Flow:
    """Celu: ``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    alpha = np.float64(node.attribute("alpha", 1.0))
    before, after = (Scale(a, 0, str(node)) for a in (1 / alpha, alpha))
    return x.append(before, Activate("elu", str(node)), after)


def swish(node: Node, x: Flow) -> Flow:
    """Swish: ``x * sigmoid(alpha * x)``."""
    alpha = np.float64(node.attribute("alpha", 1.0))
    before, after = (Scale(a, 0, str(node)) for a in (alpha, 1 / alpha))
    return x.append(before, Activate("silu", str(node)), after)


def softmax(node: Node, x: Flow) -> Flow:
    """Softmax and LogSoftmax over the features; up to opset 12 over all axes from ``axis`` on."""
    old = node.opset < 13
    axis = node.attribute("axis", 1 if old else -1) % len(x.axes)
    together = range(axis, len(x.axes)) if old else [axis]
    others = [n for n in together if x.axes[n] and not x.is_features(n)]
    if others or not any(x.is_features(n) for n in together):
        raise ConvertError(f"{node} is over other axes than the features, which cannot be stepped.")
    return x.append(Activate("softmax" if node.op == "Softmax" else "log_softmax", str(node)))


def scaler(node: Node, x: Flow) -> Flow:
    """Subtract and multiply: ai.onnx.ml's Scaler, as scikit-learn's export has it."""
    offset, scale = (
        np.array(node.attribute(name, [d])) for name, d in (("offset", 0), ("scale", 1))
    )
    x, offset = along_features(x, offset, str(node))
    x, scale = along_features(x, scale, str(node))
    return x.append(Scale(1, -offset, str(node)), Scale(scale, 0, str(node)))


ARITHMETIC = tuple(_ARITHMETIC)


def _matrix(node: Node, value: Value) -> Float64Array:
    matrix = node.constant(value).astype(np.float64)
    while matrix.ndim > 2 and matrix.shape[0] == 1:
        matrix = matrix[0]
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise ConvertError(f"{node}: expected a matrix of weights, got shape {matrix.shape}.")
    return np.asarray(matrix)


def _with_constant(node: Node, x: Flow, constant: Float64Array, first: bool) -> Flow:
    """Compute ``x op constant``, or ``constant op x`` if the constant comes first."""
    name = str(node)
    if node.op == "Add":
        return x.append(Scale(1, constant, name))
    if node.op == "Sub":
        return x.append(Scale(-1, constant, name) if first else Scale(1, -constant, name))
    if node.op == "Mul":
        return x.append(Scale(constant, 0, name))
    if node.op == "Div" and not first:
        if not np.all(constant):
            raise ConvertError(f"{node} divides by zero.")
        return x.append(Scale(1 / constant, 0, name))
    if node.op in ("Min", "Max") and np.size(constant) == 1:
        bound = float(constant.reshape(()))
        if (node.op, bound) == ("Max", 0):
            return x.append(Activate("relu", name))
        limits = (bound, LARGEST) if node.op == "Max" else (-LARGEST, bound)
        return x.append(Activate(name_activation("hard_tanh", *limits), name))
    function = _ARITHMETIC[node.op]
    if first:
        return x.append(Function(lambda v: function(constant, v), name))
    return x.append(Function(lambda v: function(v, constant), name))


def _residual(node: Node, a: Flow, b: Flow) -> Flow | None:
    """Return the network's output with the input added to it, if that is what is being added."""
    for net, x in ((a, b), (b, a)):
        layers = any(isinstance(entry, Step) for entry in net.entries)
        factors = _factors(x)
        if factors is None or not layers or net.origin != x.origin or x.width not in (1, net.width):
            continue
        columns = x.columns if x.width == net.width else x.columns * net.width
        net.append(Scale(1, 0, str(node)))  # may more be computed?
        scale = tuple(np.broadcast_to(factors, net.width).tolist())
        skip = tuple(column if f else -1 for column, f in zip(columns, scale, strict=True))
        return replace(net, skip=skip, skip_scale=scale, state=False)
    return None


def _factors(x: Flow) -> Float64Array | None:
    """Return what features of the graph's input were multiplied by, None if that is not all."""
    if x.skip is not None:
        return None
    factors = np.ones(())
    for entry in x.entries:
        if not isinstance(entry, Scale) or entry.bias.any():
            return None
        factors = factors * entry.weight
    return factors
