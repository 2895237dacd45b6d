"""Handlers of layers of Keras that look over the rows of a window."""

import numpy as np

from ...errors import ConvertError
from ...network.layers import (
    Bidirectional,
    Conv1D,
    Dense,
    Flatten,
    Layer,
    Pool,
    Repeat,
)
from ..common.builder import Arrays, ModelBuilder
from ..common.error_context import AdvisedError
from ..common.weights import Float64Array, Weights
from .add_layers import KERNELS
from .context import Context
from .network import KerasLayer
from .padding import settle
from .recurrent import add_cell

WAYS = ("forward", "backward")


def convolution(context: Context, layer: KerasLayer) -> None:
    """Conv1D, SeparableConv1D and DepthwiseConv1D; one of kernel 1 is a Dense layer."""
    weights = context.weights.take_biased(layer, kernel_names(layer.kind))
    kernel = full_kernel(layer, weights, context.builder.width)
    k, F, O = kernel.shape
    bias = weights.take_or("bias", (O,), 0)
    weights.finish()
    check_layout(layer)
    stride, dilation = single(layer, "strides", 1), single(layer, "dilation_rate", 1)
    if layer.config.get("padding", "valid") != "valid":
        settle(context, layer.where)
    before, behind = context.padding
    context.padding = 0, 0
    if k == 1 and stride == 1 and not (before or behind):
        context.builder.add(Dense(F, O), {"weight": kernel[0].T, "bias": bias}, layer.where)
    else:
        reach = (k - 1) * dilation + 1
        left, right = padding(layer, context.time, reach, stride)
        made = Conv1D(F, O, k, stride, dilation, left + before, right + behind)
        arrays = {"weight": kernel.transpose(2, 0, 1), "bias": bias}
        add(context, layer, made, arrays)
    context.builder.activate(context.activation(layer, default="linear"), layer.where)


def pooling(context: Context, layer: KerasLayer) -> None:
    """MaxPooling1D and AveragePooling1D; padding counts for neither."""
    check_layout(layer)
    size = single(layer, "pool_size", 2)
    stride = single(layer, "strides", size)
    left, right = padding(layer, context.time, size, stride)
    function = "max" if "Max" in layer.kind else "mean"
    add(context, layer, Pool(context.need_width(layer), function, size, stride, left, right))


def global_pooling(context: Context, layer: KerasLayer) -> None:
    """GlobalAveragePooling1D and GlobalMaxPooling1D."""
    check_layout(layer)
    function = "max" if "Max" in layer.kind else "mean"
    add(context, layer, Pool(context.need_width(layer), function))
    context.time = 1 if layer.config.get("keepdims") else 0


def flatten(context: Context, layer: KerasLayer) -> None:
    """Flatten of all rows of a window."""
    rows = rows_of(context, layer)
    add(context, layer, Flatten(context.need_width(layer), rows))
    context.time = 0


def repeat(context: Context, layer: KerasLayer) -> None:
    """RepeatVector: what follows is a sequence again, of which all rows are answered."""
    n = layer.config.get("n")
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ConvertError(f"{layer.where}: expected n of 1 or more, got {n!r}.")
    rows_of(context, layer)
    context.builder.add(Repeat(context.need_width(layer), n), {}, layer.where)
    context.time, context.ended, context.decoded = n, False, True


def bidirectional(context: Context, layer: KerasLayer) -> None:
    """Bidirectional around an LSTM, a GRU or a SimpleRNN."""
    inner = inner_layer(layer)
    rows_of(context, layer)
    names = KERNELS if inner.config.get("use_bias", True) else KERNELS[:-1]
    arrays = context.weights.take(layer, tuple(f"{way}_{n}" for way in WAYS for n in names))
    made: list[tuple[Layer, Arrays]] = []
    for way in WAYS:
        own = {name: arrays.take(f"{way}_{name}") for name in names}
        part = ModelBuilder(context.builder.width)
        add_cell(context, part, inner, Weights(layer.where, own))
        made.append((part.layers[0], part.weights[0]))
    arrays.finish()
    merge = layer.config.get("merge_mode", "concat")
    if merge not in ("concat", "sum", "mul", "ave"):
        raise ConvertError(
            f"{layer.where}: expected a merge_mode that joins both directions, got {merge!r}: with "
            "merge_mode='concat' both are one, the same as in a Concatenate behind it."
        )
    sequence = bool(inner.config.get("return_sequences"))
    both = Bidirectional(made[0][0].input_size, made[0][0], merge, sequence)
    own = {f"{w}_{n}": a for w, (_, ws) in zip(WAYS, made, strict=True) for n, a in ws.items()}
    context.builder.add(both, own, layer.where)
    if not sequence:
        context.end_sequence()


def kernel_names(kind: str) -> tuple[str, ...]:
    """Return the names of the arrays of a convolution, in the order of a file."""
    if kind.startswith("Separable"):
        return ("depthwise_kernel", "pointwise_kernel", "bias")
    return ("kernel", "bias")


def full_kernel(layer: KerasLayer, weights: Weights, width: int | None) -> Float64Array:
    """Return ``kernel[k, F, O]``, with zeros between features and outputs of other groups."""
    separable = layer.kind.startswith("Separable")
    kernel = weights.take("depthwise_kernel" if separable else "kernel")
    if kernel.ndim != 3:
        raise ConvertError(f"{layer.where}: expected a kernel [k, F, O], got {kernel.shape}.")
    k, F, O = kernel.shape
    if separable or layer.kind.startswith("Depthwise"):
        spread = np.zeros((k, F, F, O))
        spread[:, range(F), range(F)] = kernel
        kernel = spread.reshape(k, F, F * O)
        if separable:
            shape = (1, F * O, layer.config["filters"])
            kernel = kernel @ weights.take("pointwise_kernel", shape)[0]
        return kernel
    groups = width // F if width else 1
    spread = np.zeros((k, groups, F, groups, O // groups))
    for g in range(groups):
        spread[:, g, :, g] = kernel[:, :, g * (O // groups) : (g + 1) * (O // groups)]
    return spread.reshape(k, groups * F, O)


def padding(layer: KerasLayer, rows: int | None, reach: int, stride: int) -> tuple[int, int]:
    """Return how many rows of padding there are before the first and behind the last row."""
    kind = layer.config.get("padding", "valid")
    if kind == "valid":
        return 0, 0
    if kind == "causal":
        return reach - 1, 0
    if kind != "same":
        raise ConvertError(f"{layer.where}: expected padding valid, same or causal, got {kind!r}.")
    total = reach - 1
    if stride > 1:
        if not rows:
            raise AdvisedError(f"{layer.where}: {_UNKNOWN}")
        total = max((-(-rows // stride) - 1) * stride + reach - rows, 0)
    return total // 2, total - total // 2


def inner_layer(layer: KerasLayer) -> KerasLayer:
    """Return the layer inside a Bidirectional."""
    inner = layer.config.get("layer")
    kind = inner.get("class_name") if isinstance(inner, dict) else None
    if kind not in ("LSTM", "GRU", "SimpleRNN"):
        raise ConvertError(f"{layer.where}: expected an LSTM, GRU or SimpleRNN, got {kind!r}.")
    assert isinstance(inner, dict)
    back = layer.config.get("backward_layer")
    for key in ("activation", "recurrent_activation", "reset_after", "units"):
        if isinstance(back, dict) and back["config"].get(key) != inner["config"].get(key):
            raise ConvertError(f"{layer.where}: expected the same {key} in both directions.")
    return KerasLayer(str(kind), layer.name, inner["config"], layer.path, layer.group, ())


def single(layer: KerasLayer, key: str, default: int) -> int:
    """Return an option that is a number, or a list of one."""
    value = layer.config.get(key)
    value = default if value is None else value
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConvertError(f"{layer.where}: expected {key} of 1 or more, got {value!r}.")
    return value


def check_layout(layer: KerasLayer) -> None:
    """Refuse rows that are features first."""
    if layer.config.get("data_format") == "channels_first":
        raise ConvertError(f"{layer.where}: expected rows of features (channels_last).")


_UNKNOWN = (
    "expected a sequence of fixed length, of which the file says none: give the number of rows "
    "that the network was trained on (window=T, --window T)."
)


def rows_of(context: Context, layer: KerasLayer) -> int:
    """Return how many rows come into a layer; of a window they are known."""
    if context.time is None:
        raise AdvisedError(f"{layer.where}: {_UNKNOWN}")
    return context.time


def add(context: Context, layer: KerasLayer, made: Layer, arrays: Arrays | None = None) -> None:
    """Append a layer, and follow the number of rows."""
    if context.time == 0:
        raise ConvertError(f"{layer.where}: expected a sequence, got its last row alone.")
    context.builder.add(made, arrays or {}, layer.where)
    if context.time:
        context.time = made.rows_of(context.time)
        if context.time == 0:
            raise ConvertError(f"{layer.where}: expected more rows than come.")
