"""Operations of TensorFlow as nodes of ONNX: all but loops and fused layers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConvertError
from . import over_rows
from .execute import slices
from .graph import Operation

if TYPE_CHECKING:
    from .to_onnx import Writer


def whole(values: Any) -> Any:
    """Return integers as ONNX takes them."""
    return np.asarray(values).astype(np.int64)


def _matmul(writer: "Writer", op: Operation) -> None:
    """MatMul, with either side transposed."""
    names = list(op.inputs[:2])
    turned = [
        op.attributes.get("transpose_a") or op.attributes.get("adj_x"),
        op.attributes.get("transpose_b") or op.attributes.get("adj_y"),
    ]
    for place, turn in enumerate(turned):
        if turn:
            if names[place] not in writer.constants:
                raise ConvertError(f"{op} multiplies by what the network computes.")
            array = np.swapaxes(writer.constants[names[place]], -1, -2)
            names[place] = writer.constant(f"{op.name} transposed", array)
    writer.node("MatMul", op, names)


def _reshape(writer: "Writer", op: Operation) -> None:
    """Reshape, to a constant or computed shape."""
    if len(op.inputs) > 1 and op.inputs[1]:
        shape = op.inputs[1]
        if shape in writer.constants:
            shape = writer.constant(f"{op.name} shape", whole(writer.constants[shape]))
    else:
        shape = writer.constant(f"{op.name} shape", whole(op.attributes["to"]))
    writer.node("Reshape", op, [op.inputs[0], shape])


def _transpose(writer: "Writer", op: Operation) -> None:
    """Transpose by a constant order."""
    order = [int(n) for n in writer.value(op, 1)]
    writer.node("Transpose", op, op.inputs[:1], perm=order)


def _squeeze(writer: "Writer", op: Operation) -> None:
    """Squeeze some axes."""
    axes = list(op.attributes.get("squeeze_dims") or [])
    more = [writer.constant(f"{op.name} axes", whole(axes))] if axes else []
    writer.node("Squeeze", op, [op.inputs[0], *more])


def _expand_dims(writer: "Writer", op: Operation) -> None:
    """Add an axis."""
    axes = writer.constant(f"{op.name} axes", whole(writer.value(op, 1)).reshape(-1))
    writer.node("Unsqueeze", op, [op.inputs[0], axes])


def _strided_slice(writer: "Writer", op: Operation) -> None:
    """Slice, and drop the axes of single numbers."""
    begin, end, strides = (np.asarray(writer.value(op, n)) for n in (1, 2, 3))
    parts, added = slices(op, len(begin), begin, end, strides)
    if added or op.attributes.get("ellipsis_mask"):
        raise ConvertError(f"{op} cannot be followed: it adds axes, or has an ellipsis.")
    starts, stops, axes, steps, gone = [], [], [], [], []
    for axis, part in enumerate(parts):
        if isinstance(part, int):
            gone.append(axis)
            part = slice(part, part + 1 if part != -1 else None, 1)
        if part != slice(None, None, 1):
            starts.append(part.start if part.start is not None else 0)
            stops.append(part.stop if part.stop is not None else 2**31 - 1)
            axes.append(axis)
            steps.append(part.step)
    x, then = op.inputs[0], f"{op.name} part" if gone else op.outputs[0]
    given = [
        writer.constant(f"{op.name} {name}", whole(values))
        for name, values in (("from", starts), ("to", stops), ("axes", axes), ("by", steps))
    ]
    writer.add(*(("Slice", [x, *given]) if axes else ("Identity", [x])), [then])
    if gone:
        writer.add("Squeeze", [then, writer.constant(f"{op.name} gone", whole(gone))],
                 op.outputs[:1])  # fmt: skip


def _slice(writer: "Writer", op: Operation) -> None:
    """Slice by begin and size."""
    begin, size = (whole(writer.value(op, n)) for n in (1, 2))
    end = np.where(size < 0, 2**31 - 1, begin + size)
    axes = np.arange(len(begin))
    names = [
        writer.constant(f"{op.name} {n}", v)
        for n, v in (("from", begin), ("to", end), ("axes", axes))
    ]
    writer.node("Slice", op, [op.inputs[0], *names])


def _split(writer: "Writer", op: Operation) -> None:
    """Split into parts, of equal or given sizes."""
    given = op.op == "SplitV"
    axis = int(writer.value(op, 2 if given else 0))
    sizes = [writer.constant(f"{op.name} sizes", whole(writer.value(op, 1)))] if given else []
    writer.add("Split", [op.inputs[0 if given else 1], *sizes], op.outputs, axis=axis)


def _concat(writer: "Writer", op: Operation) -> None:
    """Concatenate along a constant axis."""
    listed = "axis" in op.attributes
    axis = op.attributes["axis"] if listed else int(writer.value(op, len(op.inputs) - 1))
    writer.node("Concat", op, op.inputs if listed else op.inputs[:-1], axis=axis)


def _pack(writer: "Writer", op: Operation) -> None:
    """Stack along a new axis."""
    axis, parts = op.attributes.get("axis") or 0, []
    axes = writer.constant(f"{op.name} axis", whole([axis]))
    for n, name in enumerate(op.inputs):
        part = f"{op.name} part {n}"
        if name in writer.constants:
            writer.constant(f"{part} of", whole(writer.constants[name]))
            name = f"{part} of"
        writer.add("Unsqueeze", [name, axes], [part])
        parts.append(part)
    writer.node("Concat", op, parts, axis=axis)


def _tile(writer: "Writer", op: Operation) -> None:
    """Repeat along some axes."""
    counts = writer.constant(f"{op.name} counts", whole(writer.value(op, 1)))
    writer.node("Tile", op, [op.inputs[0], counts])


def _fill(writer: "Writer", op: Operation) -> None:
    """Fill a computed shape with a number."""
    writer.add("Cast", [op.inputs[0]], [f"{op.name} shape"], to=7)
    value = writer.constant(f"{op.name} value", np.float32(writer.value(op, 1)))
    writer.node("Expand", op, [value, f"{op.name} shape"])


def _gather(writer: "Writer", op: Operation) -> None:
    """Gather rows of a table, or parts of a tensor."""
    axis = op.attributes.get("axis", 0)
    if len(op.inputs) > 2:
        axis = int(writer.value(op, 2))
    writer.node("Gather", op, op.inputs[:2], axis=axis)


def _cast(writer: "Writer", op: Operation) -> None:
    """Cast, to integers before an embedding."""
    from onnx import TensorProto

    to = op.attributes.get("DstT")
    users = [o for o in writer.graph.operations if op.outputs[0] in o.inputs]
    whole = to in (3, 9) or (to is None and any("Gather" in o.op for o in users))
    writer.node("Cast", op, op.inputs[:1], to=TensorProto.INT64 if whole else TensorProto.FLOAT)


def _rsqrt(writer: "Writer", op: Operation) -> None:
    """Write one over the square root."""
    writer.add("Sqrt", op.inputs[:1], [f"{op.name} root"])
    writer.node("Reciprocal", op, [f"{op.name} root"])


def _square(writer: "Writer", op: Operation) -> None:
    """Square, of a difference or alone."""
    x = op.inputs[0]
    if op.op == "SquaredDifference":
        x = f"{op.name} difference"
        writer.add("Sub", op.inputs[:2], [x])
    writer.node("Mul", op, [x, x])


def _reduce(writer: "Writer", op: Operation) -> None:
    """Mean, sum or largest along some axes."""
    axes = [int(n) for n in np.asarray(writer.value(op, 1)).reshape(-1)]
    keep = int(bool(op.attributes.get("keep_dims")))
    kind = f"Reduce{op.op}"
    if op.op == "Sum":
        given = writer.constant(f"{op.name} axes", whole(axes))
        writer.node(kind, op, [op.inputs[0], given], keepdims=keep)
    else:
        writer.node(kind, op, op.inputs[:1], axes=axes, keepdims=keep)


def _clip(writer: "Writer", op: Operation) -> None:
    """Bound by constants."""
    bounds = {"Relu6": (0, 6), "Relu0To1": (0, 1), "ReluN1To1": (-1, 1)}.get(op.op)
    low, high = bounds or (float(writer.value(op, n)) for n in (1, 2))
    names = [
        writer.constant(f"{op.name} {n}", np.float32(v)) for n, v in (("low", low), ("high", high))
    ]
    writer.node("Clip", op, [op.inputs[0], *names])


def _softmax(writer: "Writer", op: Operation) -> None:
    """Softmax or its logarithm over the last axis."""
    writer.node(op.op, op, op.inputs[:1], axis=-1)


def _leaky(writer: "Writer", op: Operation) -> None:
    """LeakyRelu."""
    writer.node("LeakyRelu", op, op.inputs[:1], alpha=float(op.attributes.get("alpha") or 0.2))


def _alias(writer: "Writer", op: Operation, place: int) -> None:
    """Give an input another name."""
    if op.inputs[place] in writer.constants:
        writer.constants[op.outputs[0]] = writer.constants[op.inputs[place]]
    else:
        writer.node("Identity", op, [op.inputs[place]])


OPERATIONS: dict[str, Callable[["Writer", Operation], None]] = {
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), _matmul),
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "ExpandDims": _expand_dims,
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    **dict.fromkeys(("Split", "SplitV"), _split),
    "ConcatV2": _concat,
    "Pack": _pack,
    "Fill": _fill,
    "Tile": _tile,
    **dict.fromkeys(("GatherV2", "Gather", "ResourceGather"), _gather),
    "Cast": _cast,
    "Rsqrt": _rsqrt,
    **dict.fromkeys(("Square", "SquaredDifference"), _square),
    **dict.fromkeys(("Mean", "Sum", "Max"), _reduce),
    **dict.fromkeys(("Relu6", "Relu0To1", "ReluN1To1", "ClipByValue"), _clip),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    "LeakyRelu": _leaky,
    **over_rows.OPERATIONS,
    "TensorArrayScatterV3": lambda writer, op: _alias(writer, op, 2),
    "TensorArrayGatherV3": lambda writer, op: _alias(writer, op, 2),
    "TensorArrayV3": lambda _writer, _op: None,
    "Range": lambda writer, op: writer.add("Range", op.inputs[:3], op.outputs[:1]),
    "TensorArraySizeV3": lambda _writer, _op: None,
}
