"""Turns the operations that lead to a tensor into layers of a model."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense, LayerNorm
from ..common.builder import ModelBuilder
from .feature_ops import Activation, Affine, LayerOp, Op, UnnamedFunction, evaluate_ops
from .recognise import LayerNormalisation, recognise
from .tensor import SymbolicTensor

_SHOWN = 4  # nodes in a message


def build_layers(tensor: SymbolicTensor, width: int) -> ModelBuilder:
    """Return the layers that lead to a tensor.

    Parameters
    ----------
    tensor : SymbolicTensor
    width : int
        F, features of the graph's input.

    Raises
    ------
    ConvertError
        If nodes compute an unknown function.
    """
    builder = ModelBuilder(width)
    if tensor.columns != tuple(range(width)):
        weight = np.eye(width)[list(tensor.columns)]
        bias = np.zeros(len(weight))
        builder.add(Dense(width, len(weight)), {"weight": weight, "bias": bias}, tensor.origin)
    return add_ops(builder, tensor.ops)


def add_ops(builder: ModelBuilder, operations: Sequence[Op]) -> ModelBuilder:
    """Append operations to the layers of a builder; return it."""
    ops = list(operations)
    while ops:
        functions = _leading_functions(ops)
        count = _add_recognised(builder, ops[:functions]) if functions else _add_op(builder, ops)
        del ops[:count]
    return builder


def _leading_functions(ops: Sequence[Op]) -> int:
    """Return how many operations precede the next layer, if one of them is unnamed, else 0."""
    length = 0
    while length < len(ops) and not isinstance(ops[length], LayerOp):
        length += 1
    unnamed = any(isinstance(op, UnnamedFunction) for op in ops[:length])
    return length if unnamed else 0


def _add_op(builder: ModelBuilder, ops: Sequence[Op]) -> int:
    """Add the first operation, or a shift and a scale together; return how many."""
    op = ops[0]
    if isinstance(op, LayerOp):
        builder.add(op.layer, op.weights, op.node)
    elif isinstance(op, Activation):
        builder.activate(op.name, op.node)
    elif isinstance(op, Affine):
        after = ops[1] if len(ops) > 1 else None
        if isinstance(after, Affine) and _is_shift(op) and _is_positive_scale(after):
            builder.normalise(-op.bias, 1 / after.weight, op.node)
            return 2
        builder.scale(op.weight, op.bias, op.node)
    return 1


def _is_shift(op: Affine) -> bool:
    return bool((op.weight == 1).all() and op.bias.any())


def _is_positive_scale(op: Affine) -> bool:
    return bool((op.bias == 0).all() and (op.weight > 0).all())


def _add_recognised(builder: ModelBuilder, functions: Sequence[Op]) -> int:
    """Add the first function that is recognised, and the operations before it; count them."""
    first = next(n for n, op in enumerate(functions) if isinstance(op, UnnamedFunction))
    N = builder.width or 1
    for start in range(first, -1, -1):
        for end in range(first + 1, len(functions) + 1):
            found = recognise(partial(evaluate_ops, functions[start:end]), N)
            if found is None:
                continue
            for n in range(start):
                _add_op(builder, functions[n : n + 1])
            if isinstance(found, LayerNormalisation):
                arrays = {"weight": found.weight, "bias": found.bias}
                builder.add(LayerNorm(N, found.epsilon), arrays, functions[first].node)
                return end
            for op in found:
                _add_op(builder, [op])
            return end
    nodes = list(dict.fromkeys(op.node for op in functions[first:] if op.node))
    listed = ", ".join(nodes[:_SHOWN]) + (", ..." if len(nodes) > _SHOWN else "")
    raise ConvertError(
        f"{listed}: what this computes is no known activation or normalisation of {N} features."
    )
