"""Products of matrices, of which one or both depend on the input, followed on labels."""

from itertools import product as each
from typing import Any

import numpy as np

from ....errors import ConvertError
from ...common.weights import Float64Array
from ...labels.attention import by_head, product
from ...labels.calls import linear
from ...labels.signal import Labels
from ..node import Node
from .arithmetic import scale_by
from .live import Following, Live, Value, live


def matmul(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """MatMul, FusedMatMul."""
    a, b = inputs[:2]
    if node.attribute("transA", 0):
        a = _turned(a)
    if node.attribute("transB", 0):
        b = _turned(b)
    labels = multiplied(values, node, a, b)
    alpha = node.attribute("alpha", 1.0)
    return [live(labels if alpha == 1 else scale_by(values, labels, alpha, 0.0))]


def gemm(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """Gemm: ``alpha * A' @ B' + beta * C``."""
    a, b, c = (*inputs, None)[:3]
    a = _turned(a) if node.attribute("transA", 0) else a
    b = _turned(b) if node.attribute("transB", 0) else b
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    if isinstance(c, Live):
        raise ConvertError(f"{node} adds what the network computes: expected a constant bias.")
    if isinstance(b, Live):
        labels = scale_by(values, multiplied(values, node, a, b), alpha, 0.0)
        return [live(labels if c is None else scale_by(values, labels, 1.0, beta * c))]
    matrix = np.asarray(b, np.float64).T * alpha
    bias = None if c is None else np.asarray(c, np.float64) * beta
    if bias is not None and bias.size != 1 and bias.size != len(matrix):
        labels = linear(values, str(node), values.whole(a), matrix, None)
        return [live(scale_by(values, labels, 1.0, bias))]
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), len(matrix)).copy()
    return [live(linear(values, str(node), values.whole(a), matrix, bias))]


def multiplied(values: Following, node: Node, a: Value, b: Value) -> Labels:
    """Return the labels of ``a @ b``."""
    if np.ndim(a) < 2 or np.ndim(b) < 2:
        return _of_vectors(values, node, a, b)
    if isinstance(a, Live) and isinstance(b, Live):
        left, right = values.whole(a), np.swapaxes(values.whole(b), -1, -2)
        lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        left, right = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (left, right))
        if not lead:
            left, right = left[None], right[None]
        found = by_head(lambda *parts: product(values, *parts), left, right, signals=values.signals)
        return found if lead else found[0]
    if isinstance(a, Live):
        return _by_constant(values, str(node), values.whole(a), np.asarray(b, np.float64))
    turned = _by_constant(
        values, str(node), np.swapaxes(values.whole(b), -1, -2), np.swapaxes(a, -1, -2)
    )
    return np.swapaxes(turned, -1, -2)


def _by_constant(values: Following, name: str, x: Labels, matrix: Any) -> Labels:
    """Return the labels of x[..., M, K] times constant matrices[..., K, O]."""
    matrix = np.asarray(matrix, np.float64)
    if matrix.size == prod_of_last(matrix):
        return linear(values, name, x, matrix.reshape(matrix.shape[-2:]).T, None)
    lead = np.broadcast_shapes(x.shape[:-2], matrix.shape[:-2])
    x = np.broadcast_to(x, (*lead, *x.shape[-2:]))
    matrix = np.broadcast_to(matrix, (*lead, *matrix.shape[-2:]))
    made = np.empty((*lead, x.shape[-2], matrix.shape[-1]), np.int64)
    axes = [n for n, size in enumerate(lead) if (np.take(matrix, [0], n) != matrix).any()]
    every: list[Any] = [range(n) if at in axes else [slice(None)] for at, n in enumerate(lead)]
    for place in each(*every):
        one = matrix[tuple(0 if isinstance(p, slice) else p for p in place)]
        made[place] = linear(values, name, x[place], one.T, None)
    return made


def prod_of_last(matrix: Float64Array) -> int:
    """Return how many numbers one matrix of several has."""
    return int(matrix.shape[-1] * matrix.shape[-2])


def _of_vectors(values: Following, node: Node, a: Value, b: Value) -> Labels:
    """Return the labels of a product with a vector."""
    first, last = np.ndim(a) == 1, np.ndim(b) == 1
    a = _with_axis(a, 0) if first else a
    b = _with_axis(b, 1) if last else b
    found = multiplied(values, node, a, b)
    found = found[..., 0] if last else found
    return found[..., 0, :] if first and not last else found[..., 0] if first else found


def _with_axis(x: Value, axis: int) -> Value:
    if isinstance(x, Live):
        return live(np.expand_dims(x.labels, axis)) if x.labels is not None else x
    return np.expand_dims(x, axis)


def _turned(x: Value) -> Value:
    if isinstance(x, Live):
        return x if x.labels is None else live(np.swapaxes(x.labels, -1, -2))
    return np.swapaxes(x, -1, -2)


def einsum(values: Following, node: Node, inputs: list[Value]) -> list[Value]:
    """Einsum of one tensor, or of two: a product of matrices, after moving axes."""
    text = node.attribute("equation").replace(" ", "")
    if "." in text or "->" not in text or len(inputs) != 2:
        raise ConvertError(f"{node}: expected two tensors and letters for all axes, got {text!r}.")
    given, out = text.split("->")
    names = given.split(",")
    if any(len(set(name)) != len(name) for name in (*names, out)):
        raise ConvertError(f"{node}: expected each letter once in a tensor, got {text!r}.")
    a, b = names
    both = [c for c in a if c in b and c in out]
    summed = [c for c in a if c in b and c not in out]
    free = [[c for c in name if c not in both and c not in summed] for name in names]
    if any(c not in out for part in free for c in part):
        raise ConvertError(f"{node} sums over an axis of one tensor, {text!r}.")
    sizes = {
        c: n
        for name, x in zip(names, inputs, strict=True)
        for c, n in zip(name, np.shape(x), strict=True)
    }

    def arranged(x: Value, name: str, order: list[str], shape: tuple[int, ...]) -> Value:
        axes = [name.index(c) for c in order]
        if isinstance(x, Live):
            return live(values.whole(x).transpose(axes).reshape(shape))
        return np.asarray(x).transpose(axes).reshape(shape)

    def size(letters: list[str]) -> int:
        return int(np.prod([sizes[c] for c in letters], dtype=int))

    lead = tuple(sizes[c] for c in both)
    left = arranged(inputs[0], a, [*both, *free[0], *summed], (*lead, size(free[0]), size(summed)))
    right = arranged(inputs[1], b, [*both, *summed, *free[1]], (*lead, size(summed), size(free[1])))
    found = multiplied(values, node, left, right)
    letters = [*both, *free[0], *free[1]]
    found = found.reshape([sizes[c] for c in letters])
    return [live(found.transpose([letters.index(c) for c in out]))]
