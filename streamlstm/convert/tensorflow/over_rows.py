"""Convolutions, pooling, padding and rows turned around of TensorFlow, as nodes of ONNX."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ConvertError
from .graph import Operation

if TYPE_CHECKING:
    from .to_onnx import Writer

_FIRST, _LAST = [0, 3, 1, 2], [0, 2, 3, 1]  # channels first, and back


def _moved(writer: "Writer", op: Operation, node: str, more: list[str], **options: Any) -> None:
    """Write a node that takes channels first around what has them last."""
    if op.attributes.get("data_format", b"NHWC") not in (b"NHWC", "NHWC"):
        raise ConvertError(f"{op}: expected channels last.")
    given, made = f"{op.name} channels first", f"{op.name} made"
    writer.add("Transpose", op.inputs[:1], [given], perm=_FIRST)
    writer.add(node, [given, *more], [made], **options)
    writer.node("Transpose", op, [made], perm=_LAST)


def padding(op: Operation) -> str:
    """Return the padding of an operation: VALID or SAME."""
    found = op.attributes.get("padding", "VALID")
    return found.decode() if isinstance(found, bytes) else str(found)


def sizes(op: Operation, key: str) -> list[int]:
    """Return two sizes, of height and width, out of four or two."""
    found = [int(n) for n in op.attributes.get(key) or (1, 1, 1, 1)]
    return found[1:3] if len(found) == 4 else found


def kernel(op: Operation, array: Any) -> Any:
    """Return the weights of a convolution, [height, width, F, O]."""
    if op.op == "lite.CONV_2D":
        return np.moveaxis(np.asarray(array), 0, -1)
    return np.asarray(array)


def _auto(op: Operation) -> str:
    return {"SAME": "SAME_UPPER", "VALID": "VALID"}[padding(op)]


def _convolution(writer: "Writer", op: Operation) -> None:
    weight = kernel(op, writer.value(op, 1)).transpose(3, 2, 0, 1)
    more = [writer.constant(f"{op.name} kernel", np.asarray(weight, np.float32))]
    if len(op.inputs) > 2 and op.inputs[2]:
        more.append(op.inputs[2])
    options = {"strides": sizes(op, "strides"), "dilations": sizes(op, "dilations")}
    height, width = weight.shape[2:]
    _moved(writer, op, "Conv", more, kernel_shape=[height, width], auto_pad=_auto(op), **options)


def _pooling(writer: "Writer", op: Operation) -> None:
    node = "MaxPool" if "MAX" in op.op.upper() else "AveragePool"
    shape, strides = sizes(op, "ksize"), sizes(op, "strides")
    _moved(writer, op, node, [], kernel_shape=shape, strides=strides, auto_pad=_auto(op))


def _pad(writer: "Writer", op: Operation) -> None:
    pads = np.asarray(writer.value(op, 1))
    if len(op.inputs) > 2 and np.any(writer.value(op, 2)):
        raise ConvertError(f"{op}: expected padding with zeros.")
    listed = writer.constant(f"{op.name} pads", pads.T.reshape(-1).astype(np.int64))
    writer.node("Pad", op, [op.inputs[0], listed])


def _reverse(writer: "Writer", op: Operation) -> None:
    axes = np.asarray(writer.value(op, 1)).reshape(-1).astype(np.int64)
    ends = {"from": np.full(len(axes), -1), "to": np.full(len(axes), -(2**31)), "axes": axes}
    ends["by"] = np.full(len(axes), -1)
    given = [writer.constant(f"{op.name} {n}", v.astype(np.int64)) for n, v in ends.items()]
    writer.node("Slice", op, [op.inputs[0], *given])


OPERATIONS: dict[str, Callable[["Writer", Operation], None]] = {
    **dict.fromkeys(("Conv2D", "lite.CONV_2D"), _convolution),
    **dict.fromkeys(("MaxPool", "AvgPool", "lite.MAX_POOL_2D", "lite.AVERAGE_POOL_2D"), _pooling),
    **dict.fromkeys(("Pad", "PadV2"), _pad),
    "ReverseV2": _reverse,
}


def _windows(x: Any, op: Operation, size: list[int], value: float) -> Any:
    """Return x[B, H, W, C] as [B, H', W', kH, kW, C], padded with a value."""
    strides, spread = sizes(op, "strides"), sizes(op, "dilations")
    for axis, (k, step, wide) in enumerate(zip(size, strides, spread, strict=True), 1):
        reach = (k - 1) * wide + 1
        if padding(op) == "SAME":
            missing = max((-(-x.shape[axis] // step) - 1) * step + reach - x.shape[axis], 0)
            ends = [(0, 0)] * x.ndim
            ends[axis] = missing // 2, missing - missing // 2
            x = np.pad(x, ends, constant_values=value)
    places = []
    for axis, (k, step, wide) in enumerate(zip(size, strides, spread, strict=True), 1):
        count = (x.shape[axis] - (k - 1) * wide - 1) // step + 1
        places.append(np.arange(count)[:, None] * step + np.arange(k) * wide)
    rows, columns = places
    return x[:, rows[:, None, :, None], columns[None, :, None, :]]


def convolve(op: Operation, x: Any, weight: Any, bias: Any = None) -> Any:
    """Compute a convolution of x[B, H, W, F]."""
    weight = kernel(op, weight)
    seen = _windows(x, op, list(weight.shape[:2]), 0.0)
    found = np.einsum("bhwijf,ijfo->bhwo", seen, weight)
    return found if bias is None else found + bias


def pool(op: Operation, x: Any) -> Any:
    """Compute the largest or mean numbers; padding counts for neither."""
    seen = _windows(x, op, sizes(op, "ksize"), np.nan)
    return (np.nanmax if "MAX" in op.op.upper() else np.nanmean)(seen, axis=(3, 4))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("Conv2D", "lite.CONV_2D"), convolve),
    **dict.fromkeys(("MaxPool", "AvgPool", "lite.MAX_POOL_2D", "lite.AVERAGE_POOL_2D"), pool),
    **dict.fromkeys(("Pad", "PadV2"), lambda _, x, pads, *__: np.pad(x, np.asarray(pads))),
    "ReverseV2": lambda _, x, axes: np.flip(x, tuple(np.asarray(axes).reshape(-1).tolist())),
}
