"""Handlers of ONNX nodes that compute: matrix products, arithmetic, scaling."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.activations import name_activation
from ...network.layers import Dense
from ..common.error_context import AdvisedError
from ..common.weights import Float64Array
from .activations import LARGEST
from .branches import join
from .feature_ops import Activation, Affine, LayerOp, UnnamedFunction
from .node import Node
from .over_rows import series_of_one
from .tensor import SymbolicTensor, Value, merge_branches, per_feature

FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("Add", "Sum", "Mean"), np.add),
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


def matmul(node: Node, a: Value, b: Value) -> SymbolicTensor:
    """MatMul with a constant matrix, on either side."""
    if isinstance(a, SymbolicTensor):
        matrix, x, axis = _matrix(node, b), a, len(a.axes) - 1
    else:
        matrix, x, axis = _matrix(node, a).T, b, len(b.axes) - 2
    return product(node, x, axis, matrix, np.zeros(matrix.shape[1]))


def gemm(node: Node, a: Value, b: Value, c: Value = None) -> SymbolicTensor:
    """Gemm: ``alpha * A' @ B' + beta * C``, A being the network's values."""
    if not isinstance(a, SymbolicTensor):
        raise ConvertError(f"{node}: expected the network's values as the first factor.")
    matrix = _matrix(node, b)
    matrix = (matrix.T if node.attribute("transB", 0) else matrix) * node.attribute("alpha", 1.0)
    axis = 1
    if node.attribute("transA", 0):
        a = a.reshaped(a.axes[::-1])
    found = product(node, a, axis, matrix, np.zeros(matrix.shape[1]))
    if c is None:
        return found
    found, shift = per_feature(found, node.constant(c), str(node))
    return found.append(Affine(1, shift * node.attribute("beta", 1.0), str(node)))


def product(
    node: Node, x: SymbolicTensor, axis: int, matrix: Float64Array, bias: Float64Array
) -> SymbolicTensor:
    """Multiply the features, which must be on ``axis``, by ``matrix[K, O]``."""
    K, O = matrix.shape
    if x.feature is None:
        x = series_of_one(node, x, axis, K)
    if not x.is_features(axis):
        raise ConvertError(
            f"{node}: expected the {K} rows of its weights to meet the features; the axis there "
            "holds others, or steps flattened together with features, which cannot be stepped."
        )
    if x.width != K:
        raise ConvertError(
            f"{node}: expected weights of shape ({x.width}, ...), got {matrix.shape}."
        )
    step = LayerOp(Dense(K, O), {"weight": matrix.T.copy(), "bias": bias}, str(node))
    return x.with_features(axis, O, step)


def arithmetic(node: Node, *operands: Value) -> Value:
    """Add, Sub, Mul, Div, Pow, Min, Max; with a constant, or of two branches."""
    if len(operands) == 1:
        return operands[0]
    a, b = operands[0], operands[1]
    if len(operands) > 2:
        return arithmetic(node, arithmetic(node, a, b), *operands[2:])
    function = FUNCTIONS[node.op]
    if isinstance(a, SymbolicTensor) and isinstance(b, SymbolicTensor):
        residual = _residual(node, a, b) if node.op == "Add" else None
        return residual or _branches(node, function, a, b)
    x, first = (a, False) if isinstance(a, SymbolicTensor) else (b, True)
    wider = _to_features(node, x, node.constant(a if first else b), first)
    if wider is not None:
        return wider
    x, constant = per_feature(x, node.constant(a if first else b), str(node))
    return _with_constant(node, x, constant, first)


def _branches(
    node: Node, function: Callable[[Any, Any], Any], a: SymbolicTensor, b: SymbolicTensor
) -> SymbolicTensor:
    """Return two branches as one function, or, where layers are in them, as a layer."""
    try:
        return merge_branches(function, str(node), a, b)
    except ConvertError as error:
        if node.op == "Sub":
            b = b.append(Affine(-1, 0, str(node)))
        merge = {"Mul": "multiply", **dict.fromkeys(("Add", "Sum", "Mean", "Sub"), "add")}.get(
            node.op
        )
        if merge is None:
            raise
        try:
            return join(node, (a, b), merge)
        except AdvisedError:
            raise
        except ConvertError:
            raise error from None


def mean(node: Node, *operands: Value) -> Value:
    """Mean of several branches."""
    total = arithmetic(node, *operands)
    return total.append(Affine(1 / len(operands), 0, str(node)))


def negative(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Neg."""
    return x.append(Affine(-1, 0, str(node)))


def where(node: Node, *operands: Value) -> SymbolicTensor:
    """Where, as exporters write activations of two pieces: constants are numbers."""
    tensors = [value for value in operands if isinstance(value, SymbolicTensor)]
    numbers = [
        None if isinstance(value, SymbolicTensor) else node.constant(value).reshape(())
        for value in operands
    ]

    def chosen(*arrays: Float64Array) -> Float64Array:
        given = iter(arrays)
        return np.where(*(next(given) if n is None else n for n in numbers))

    return merge_branches(chosen, str(node), *tensors)


def scaler(node: Node, x: SymbolicTensor) -> SymbolicTensor:
    """Subtract and multiply: ai.onnx.ml's Scaler, as scikit-learn's export has it."""
    offset, scale = (
        np.array(node.attribute(name, [d])) for name, d in (("offset", 0), ("scale", 1))
    )
    x, offset = per_feature(x, offset, str(node))
    x, scale = per_feature(x, scale, str(node))
    return x.append(Affine(1, -offset, str(node)), Affine(scale, 0, str(node)))


def _matrix(node: Node, value: Value) -> Float64Array:
    matrix = node.constant(value).astype(np.float64)
    while matrix.ndim > 2 and matrix.shape[0] == 1:
        matrix = matrix[0]
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2:
        raise ConvertError(f"{node}: expected a matrix of weights, got shape {matrix.shape}.")
    return np.asarray(matrix)


def _with_constant(
    node: Node, x: SymbolicTensor, constant: Float64Array, first: bool
) -> SymbolicTensor:
    """Compute ``x op constant``, or ``constant op x`` if the constant comes first."""
    name = str(node)
    if node.op == "Add":
        return x.append(Affine(1, constant, name))
    if node.op == "Sub":
        return x.append(Affine(-1, constant, name) if first else Affine(1, -constant, name))
    if node.op == "Mul":
        return x.append(Affine(constant, 0, name))
    if node.op == "Div" and not first:
        if not np.all(constant):
            raise ConvertError(f"{node} divides by zero.")
        return x.append(Affine(1 / constant, 0, name))
    if node.op in ("Min", "Max") and np.size(constant) == 1:
        bound = float(constant.reshape(()))
        if (node.op, bound) == ("Max", 0):
            return x.append(Activation("relu", name))
        limits = (bound, LARGEST) if node.op == "Max" else (-LARGEST, bound)
        return x.append(Activation(name_activation("hard_tanh", *limits), name))
    function = FUNCTIONS[node.op]
    if first:
        return x.append(UnnamedFunction(lambda v: function(constant, v), name))
    return x.append(UnnamedFunction(lambda v: function(v, constant), name))


def _to_features(
    node: Node, x: SymbolicTensor, constant: Value, first: bool
) -> SymbolicTensor | None:
    """Return a number of each row with one constant for each feature, as of a normalisation."""
    computed = any(isinstance(op, UnnamedFunction) for op in x.ops)
    places = [n for n, size in enumerate(constant.shape) if size > 1]
    if x.feature is not None or not computed or len(places) != 1:
        return None
    axis = places[0] - constant.ndim
    if -axis > len(x.axes) or x.axes[axis]:
        return None
    values, function = constant.astype(np.float64).reshape(-1), FUNCTIONS[node.op]
    op = UnnamedFunction(lambda v: function(values, v) if first else function(v, values), str(node))
    return x.with_features(axis % len(x.axes), values.size, op)


def _residual(node: Node, a: SymbolicTensor, b: SymbolicTensor) -> SymbolicTensor | None:
    """Return the network's output with a residual connection if one operand is the input."""
    for net, x in ((a, b), (b, a)):
        layers = any(isinstance(op, LayerOp) for op in net.ops)
        factors = _factors(x)
        if factors is None or not layers or net.origin != x.origin or x.width not in (1, net.width):
            continue
        if any(net.window in axis for axis in x.axes) and not any(net.time in a for a in net.axes):
            continue  # one row is added to all
        columns = x.columns if x.width == net.width else x.columns * net.width
        net.append(Affine(1, 0, str(node)))  # raises an error if no operation may follow
        scale = tuple(np.broadcast_to(factors, net.width).tolist())
        skip = tuple(column if f else -1 for column, f in zip(columns, scale, strict=True))
        try:
            joined = join(node, (a, b), "add")
        except ConvertError:
            joined = None
        return replace(net, skip=skip, skip_scale=scale, joined=joined, state=False)
    return None


def _factors(x: SymbolicTensor) -> Float64Array | None:
    """Return the factors of the input's features; None if more than that was computed."""
    if x.skip is not None:
        return None
    factors = np.ones(())
    for op in x.ops:
        if not isinstance(op, Affine) or op.bias.any():
            return None
        factors = factors * op.weight
    return factors
