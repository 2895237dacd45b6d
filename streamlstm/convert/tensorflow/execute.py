"""Execution of a graph of TensorFlow in float64, operation by operation, loops as loops.

It knows nothing of layers: with it a conversion is compared, and constants are folded.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...kernels.reference import sigmoid
from . import over_rows
from .graph import Graph, Operation

Array = np.ndarray[Any, Any]
Values = dict[str, Any]


def run_graph(graph: Graph, feeds: Mapping[str, Array], outputs: list[str]) -> list[Any]:
    """Return outputs of a graph.

    Raises
    ------
    ConvertError
        If an operation is not known.
    """
    values: Values = {**_wide(graph.constants), **feeds}
    for op in graph.leading_to(outputs):
        run_operation(op, values)
    return [values[name] for name in outputs]


def _wide(constants: Mapping[str, Array]) -> Values:
    return {n: a.astype(np.float64) if a.dtype.kind == "f" else a for n, a in constants.items()}


def run_operation(op: Operation, values: Values) -> None:
    """Compute the outputs of an operation into ``values``.

    Raises
    ------
    ConvertError
        If it is not known.
    """
    if op.op == "Const":
        return
    if op.op == "While":
        found = _loop(op, values)
    elif op.op in _FUNCTIONS:
        optional = values.get if op.op.startswith("lite.FUSED") else values.__getitem__
        given = [optional(name) if name else None for name in op.inputs]
        result = _FUNCTIONS[op.op](op, *given)
        found = result if isinstance(result, list) else [result]
    else:
        raise ConvertError(f"{op} is none of the operations that can be computed here")
    for name, value in zip(op.outputs, found, strict=False):
        values[name] = value


def _loop(op: Operation, outer: Values) -> list[Any]:
    body, condition = op.body, op.condition
    assert body is not None
    assert condition is not None
    passed = [outer[name] for name in op.inputs]
    while True:
        inside = outer | _wide(condition.constants)
        inside |= dict(zip([i.name for i in condition.inputs], passed, strict=True))
        for inner in condition.leading_to(condition.outputs):
            run_operation(inner, inside)
        if not bool(inside[condition.outputs[0]]):
            return passed
        inside = outer | _wide(body.constants)
        inside |= dict(zip([i.name for i in body.inputs], passed, strict=True))
        for inner in body.leading_to(body.outputs):
            run_operation(inner, inside)
        passed = [inside[name] for name in body.outputs]


def _matmul(op: Operation, a: Array, b: Array) -> Array:
    options = op.attributes
    a = a.swapaxes(-1, -2) if options.get("transpose_a") or options.get("adj_x") else a
    b = b.swapaxes(-1, -2) if options.get("transpose_b") or options.get("adj_y") else b
    return np.asarray(a @ b)


def slices(
    op: Operation, rank: int, begin: Array, end: Array, strides: Array
) -> tuple[list[Any], list[int]]:
    """Return the slice or index of each axis of a StridedSlice, and the axes that it adds.

    Raises
    ------
    ConvertError
        If it has an ellipsis.
    """
    masks = {key: op.attributes.get(f"{key}_mask", 0) for key in _MASKS}
    parts: list[Any] = []
    added: list[int] = []
    for n, (low, high, stride) in enumerate(zip(begin, end, strides, strict=True)):
        bit = 1 << n
        if masks["ellipsis"] & bit:
            parts += [slice(None)] * (rank - len(begin) + 1)
        elif masks["new_axis"] & bit:
            added.append(len(parts) + len(added))
        elif masks["shrink_axis"] & bit:
            parts.append(int(low))
        else:
            first = None if masks["begin"] & bit else int(low)
            parts.append(slice(first, None if masks["end"] & bit else int(high), int(stride)))
    return parts + [slice(None)] * (rank - len(parts)), added


_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


def _strided_slice(op: Operation, x: Any, *ends: Array) -> Any:
    x = np.asarray(x)
    parts, added = slices(op, x.ndim, *ends)
    found = x[tuple(parts)]
    for axis in added:
        found = np.expand_dims(found, axis)
    return found


def _split(op: Operation, axis: Array, x: Array) -> list[Array]:
    return np.split(x, op.attributes.get("num_split") or len(op.outputs), int(axis))


def full_sizes(sizes: Any, whole: int) -> list[int]:
    """Return the sizes of a SplitV, of which one may be -1 for what is left."""
    found = [int(n) for n in sizes]
    return [whole - sum(found) - 1 if n < 0 else n for n in found]


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduce(op: Operation, x: Array, axes: Array) -> Any:
        keep = bool(op.attributes.get("keep_dims"))
        return function(x, axis=tuple(np.asarray(axes).reshape(-1).tolist()), keepdims=keep)

    return reduce


def _list_set(_op: Operation, items: Any, index: Any, item: Any, *_: Any) -> Any:
    kept = dict(items) if isinstance(items, dict) else {}
    return kept | {int(index): item}


def _stacked(items: Any) -> Array:
    return items if isinstance(items, np.ndarray) else np.stack([items[n] for n in sorted(items)])


def _fused_lstm(op: Operation, x: Array, *given: Any) -> Array:
    W, R, P, B = given[:4], given[4:8], given[8:11], given[11:15]
    act = ACTIVATIONS[op.attributes.get("activation") or "Identity"]
    clip = op.attributes.get("cell_clip") or np.inf
    x = x if op.attributes.get("time_major") else x.swapaxes(0, 1)
    h, c = (np.zeros((x.shape[1], R[1].shape[1])) for _ in range(2))
    found = []
    for row in x:
        i, f, g, o = (
            np.zeros(1) if W[n] is None else row @ W[n].T + h @ R[n].T + B[n] for n in range(4)
        )
        forget = sigmoid(np.asarray(f + (0.0 if P[1] is None else P[1] * c)))
        seen = np.asarray(i + (0.0 if P[0] is None else P[0] * c))
        enter = 1 - forget if W[0] is None else sigmoid(seen)
        c = np.clip(forget * c + enter * act(g), -clip, clip)
        h = sigmoid(np.asarray(o + (0.0 if P[2] is None else P[2] * c))) * act(c)
        found.append(h)
    Y = np.stack(found)
    return Y if op.attributes.get("time_major") else Y.swapaxes(0, 1)


def _fused_rnn(op: Operation, x: Array, W: Array, R: Array, b: Array, *_: Any) -> Array:
    act = ACTIVATIONS[op.attributes.get("activation") or "Identity"]
    x = x if op.attributes.get("time_major") else x.swapaxes(0, 1)
    h, found = np.zeros((x.shape[1], len(R))), []
    for row in x:
        h = act(row @ W.T + h @ R.T + b)
        found.append(h)
    Y = np.stack(found)
    return Y if op.attributes.get("time_major") else Y.swapaxes(0, 1)


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


ACTIVATIONS: dict[str, Callable[[Array], Any]] = {
    "Identity": lambda x: x,
    "Sigmoid": lambda x: sigmoid(np.asarray(x, np.float64)),
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Relu6": lambda x: np.clip(x, 0, 6),
    "Relu0To1": lambda x: np.clip(x, 0, 1),
    "Elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "Softplus": lambda x: np.logaddexp(x, 0),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "Softmax": _softmax,
    "LogSoftmax": lambda x: np.log(_softmax(x)),
    "HardSwish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}
_BINARY: dict[str, Callable[..., Any]] = {
    "Add": np.add, "AddV2": np.add, "BiasAdd": np.add, "Sub": np.subtract, "Mul": np.multiply,
    "RealDiv": np.divide, "Maximum": np.maximum, "Minimum": np.minimum, "Less": np.less,
    "LogicalAnd": np.logical_and, "Pow": np.power,
    "SquaredDifference": lambda a, b: (a - b) ** 2,
}  # fmt: skip
_UNARY: dict[str, Callable[..., Any]] = {
    **ACTIVATIONS, "StopGradient": np.asarray, "Snapshot": np.asarray, "Neg": np.negative,
    "Exp": np.exp, "Sqrt": np.sqrt, "Rsqrt": lambda x: 1 / np.sqrt(x), "Square": np.square,
    "Abs": np.abs, "LoopCond": np.asarray, "Shape": lambda x: np.array(np.shape(x)),
}  # fmt: skip


def _binary(function: Callable[..., Any], _op: Operation, a: Any, b: Any) -> Any:
    return function(a, b)


def _unary(function: Callable[..., Any], _op: Operation, x: Any, *_: Any) -> Any:
    return function(x)


def _given(place: int) -> Callable[..., Any]:
    """Return an operation that only passes one of its inputs on."""
    return lambda _op, *given: given[place]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: partial(_binary, f) for name, f in _BINARY.items()},
    **{name: partial(_unary, f) for name, f in _UNARY.items()},
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matmul),
    "LeakyRelu": lambda op, x: np.where(x > 0, x, op.attributes.get("alpha", 0.2) * x),
    "Cast": lambda _, x: x,
    "Reshape": lambda op, x, to=None: np.reshape(
        x, op.attributes["to"] if to is None else np.asarray(to).tolist()
    ),
    "Transpose": lambda _, x, order: np.transpose(x, order),
    "ExpandDims": lambda _, x, axis: np.expand_dims(x, int(axis)),
    "Squeeze": lambda op, x: np.squeeze(x, tuple(op.attributes.get("squeeze_dims") or ()) or None),
    "StridedSlice": _strided_slice,
    "Slice": lambda _, x, begin, size: x[
        tuple(slice(b, None if n < 0 else b + n) for b, n in zip(begin, size, strict=True))
    ],
    "Split": _split,
    "SplitV": lambda _, x, sizes, axis: np.split(
        x, np.cumsum(full_sizes(sizes, x.shape[int(axis)]))[:-1], int(axis)
    ),
    "ConcatV2": lambda op, *x: np.concatenate(
        x if "axis" in op.attributes else x[:-1], op.attributes.get("axis", x[-1])
    ),
    "Pack": lambda op, *x: np.stack(x, op.attributes.get("axis") or 0),
    "Unpack": lambda op, x: list(np.moveaxis(x, op.attributes.get("axis") or 0, 0)),
    "GatherV2": lambda op, x, n, axis=None: np.take(
        x, np.asarray(n, np.int64), int(op.attributes.get("axis", 0) if axis is None else axis)
    ),
    "ResourceGather": lambda _, x, n: np.take(x, np.asarray(n, np.int64), 0),
    "Gather": lambda _, x, n: np.take(x, np.asarray(n, np.int64), 0),
    "Tile": lambda _, x, counts: np.tile(x, np.asarray(counts).tolist()),
    "Fill": lambda _, shape, value: np.full(np.asarray(shape).astype(int), value),
    "Range": lambda _, a, b, step: np.arange(a, b, step),
    "Mean": _reduced(np.mean),
    "Sum": _reduced(np.sum),
    "Max": _reduced(np.max),
    "Prod": _reduced(np.prod),
    "TensorListFromTensor": _given(0),
    "TensorListReserve": lambda *_: {},
    "TensorListSetItem": _list_set,
    "TensorListGetItem": lambda _, items, index, *_rest: items[int(index)],
    "TensorListStack": lambda _, items, *_rest: _stacked(items),
    "TensorArrayV3": lambda *_: [{}, {}],
    "TensorArrayScatterV3": _given(2),
    "TensorArrayReadV3": lambda _, _handle, index, flow: flow[int(index)],
    "TensorArrayWriteV3": lambda op, _, index, value, flow: _list_set(op, flow, index, value),
    "TensorArrayGatherV3": lambda _, _handle, _indices, flow: _stacked(flow),
    "TensorArraySizeV3": lambda _, _handle, flow: np.array(len(flow)),
    **over_rows.FUNCTIONS,
    "lite.FUSED_LSTM": _fused_lstm,
    "lite.FUSED_RNN": _fused_rnn,
}
