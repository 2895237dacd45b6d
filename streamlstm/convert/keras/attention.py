"""Handlers of attention layers of Keras, and of what attention is written with."""

from collections.abc import Sequence

import numpy as np

from ...errors import ConvertError
from ...network.layers import Attention, Dense, Flatten, Pool, SoftmaxOverRows, Transpose
from ..common.weights import Float64Array
from . import additive, over_rows, rows
from .branches import add_joined, branches_of
from .context import Context
from .network import KerasLayer
from .written_attention import FACTOR

PROJECTIONS = ("query", "key", "value", "output")
_REDUCTIONS = {"Sum": "sum", "Mean": "mean", "Max": "max"}


def multi_head(context: Context, layer: KerasLayer) -> None:
    """MultiHeadAttention, of a sequence to itself or of branches: query, value, key."""
    config = layer.config
    if config.get("attention_axes") not in (None, [1], 1) or config.get("output_shape"):
        raise ConvertError(
            f"{layer.where} is refused: it attends over other axes than the steps, or has an "
            "output_shape."
        )
    names = names_of(config)
    weights = context.weights.take(layer, names)
    arrays = {name: weights.take(name) for name in names}
    weights.finish()
    parts = [flat(arrays, name, config) for name in PROJECTIONS[:3]]
    heads, key = arrays["query kernel"].shape[1:]
    scale = float(1 / np.sqrt(key))
    if layer.branches:
        inner = _query_key_value(context, layer)
        for part, (kernel, bias) in zip(inner, parts, strict=True):
            _add_dense(part, kernel, bias, layer)
        _attend(context, layer, inner, scale, heads, key)
    else:
        kernels, biases = zip(*parts, strict=True)
        _add_dense(context, np.concatenate(kernels, axis=1), np.concatenate(biases), layer)
        N, causal = context.need_width(layer), is_causal(layer)
        own = Attention(N, "each", scale, heads=heads, key_size=key, causal=causal)
        over_rows.add(context, layer, own)
    _add_dense(context, *flat(arrays, "output", config), layer)


def _query_key_value(context: Context, layer: KerasLayer) -> list[Context]:
    """Return the branches of queries, keys and values, each with layers of its own."""
    query, value, *_ = branches_of(context, layer)
    key = branches_of(context, layer)[-1]
    return [query, key, value]


def _attend(
    context: Context,
    layer: KerasLayer,
    parts: list[Context],
    scale: float,
    heads: int,
    key_size: int,
) -> None:
    """Append attention of branches: queries, keys and values.

    Of queries of one row there is one answer, of those of as many rows as keys one a row. Of
    another number of queries each is a head of its own, with the keys and values of the others.
    """
    query, key, value = parts
    causal, several = is_causal(layer), query.time not in (0, 1)
    T, same = query.time, query.time == key.time or key.time in (0, 1)
    if causal and not (several and same):
        raise ConvertError(
            f"{layer.where} is refused: a causal mask of another number of queries than of keys."
        )
    if same or not several or not T:
        add_joined(context, layer, parts, "concatenate")
        kind = "each" if several else "last"
        own = Attention(
            context.need_width(layer), kind, scale, heads=heads, key_size=key_size, causal=causal
        )
        over_rows.add(context, layer, own)
        return
    query.builder.add(Flatten(query.need_width(layer), T), {}, layer.where)
    query.time = 1
    for part in (key, value):
        N = part.need_width(layer)
        _add_dense(part, np.tile(np.eye(N), T), np.zeros(N * T), layer)
    add_joined(context, layer, parts, "concatenate")
    own = Attention(context.need_width(layer), "last", scale, heads=T * heads, key_size=key_size)
    over_rows.add(context, layer, own)
    rows.to_rows(context, T, layer.where)


def names_of(config: dict[str, object]) -> tuple[str, ...]:
    """Return the names of the arrays of a MultiHeadAttention, in the order of a file."""
    kinds = ("kernel", "bias") if config.get("use_bias", True) else ("kernel",)
    return tuple(f"{part} {kind}" for part in PROJECTIONS for kind in kinds)


def flat(
    arrays: dict[str, Float64Array], name: str, config: dict[str, object]
) -> tuple[Float64Array, Float64Array]:
    """Return kernel[F, O] and bias[O] of a projection, whose heads have an axis of their own."""
    kernel = arrays[f"{name} kernel"]
    wide = kernel.shape[0] if name != "output" else kernel.shape[0] * kernel.shape[1]
    kernel = kernel.reshape(wide, -1)
    bias = arrays[f"{name} bias"].reshape(-1) if config.get("use_bias", True) else None
    return kernel, np.zeros(kernel.shape[1]) if bias is None else bias


def attention(context: Context, layer: KerasLayer) -> None:
    """Attention: of a sequence to itself, or of branches: query, value, and key if it differs."""
    config = layer.config
    mode = config.get("score_mode", "dot")
    if mode not in ("dot", "concat"):
        raise ConvertError(f"{layer.where}: expected score_mode dot or concat, got {mode!r}.")
    used = (("scale", bool(config.get("use_scale"))), ("concat_score_weight", mode == "concat"))
    names = tuple(name for name, is_used in used if is_used)
    weights = context.weights.take(layer, names)
    given = {name: float(weights.take(name, ())) for name in names}
    weights.finish()
    scale = given.get("scale", 1.0) * float(config.get(FACTOR, 1.0))
    if mode == "concat":
        additive.attend(context, layer, np.array(given["concat_score_weight"]), scale)
        return
    if scale > 0 and not layer.branches:
        own = Attention(context.need_width(layer), "each", scale, causal=is_causal(layer))
        over_rows.add(context, layer, own)
        return
    parts = _query_key_value(context, layer) if layer.branches else _three(context)
    if scale <= 0:
        parts[0].builder.scale(scale, 0, layer.where)
        scale = 1.0
    _attend(context, layer, parts, scale, 1, parts[0].need_width(layer))


def _three(context: Context) -> list[Context]:
    return [context.branch() for _ in range(3)]


def is_causal(layer: KerasLayer) -> bool:
    """Tell whether no row sees a later one."""
    return bool(layer.config.get("causal")) or "use_causal_mask': True" in repr(layer.calls)


def _add_dense(
    context: Context, kernel: Float64Array, bias: Float64Array, layer: KerasLayer
) -> None:
    made = Dense(*kernel.shape)
    context.builder.add(made, {"weight": kernel.T, "bias": bias}, layer.where)


def dot(context: Context, layer: KerasLayer) -> None:
    """Dot over the steps of a sequence and of one number for each step: a weighted sum."""
    parts = branches_of(context, layer)
    axes = layer.config.get("axes")
    widths = [part.need_width(layer) for part in parts]
    if layer.config.get("normalize"):
        raise ConvertError(f"{layer.where} is refused: it divides by the lengths of vectors.")
    if axes not in (1, [1, 1]) or 1 not in widths or any(part.time == 0 for part in parts):
        raise ConvertError(
            f"{layer.where} is refused: expected axes=1, of a sequence and a number for each step."
        )
    add_joined(context, layer, parts, "multiply")
    over_rows.add(context, layer, Pool(context.need_width(layer), "sum"))
    context.time = 1


def softmax(context: Context, layer: KerasLayer) -> bool:
    """Softmax over the steps; False if it is over the features."""
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if context.time == 0 or axis not in (1, -2):
        return False
    over_rows.add(context, layer, SoftmaxOverRows(context.need_width(layer)))
    return True


def permute(context: Context, layer: KerasLayer) -> None:
    """Permute of steps and features."""
    dims = list(layer.config.get("dims") or ())
    if dims == [1, 2]:
        return
    N, rows = context.need_width(layer), over_rows.rows_of(context, layer)
    if dims != [2, 1] or not rows:
        raise ConvertError(
            f"{layer.where} is refused: it exchanges other axes than steps and features."
        )
    over_rows.add(context, layer, Transpose(N, rows))


def reduction(context: Context, layer: KerasLayer) -> None:
    """Sum, Mean and Max over the steps: functions of keras.ops in a graph."""
    axis, keep = layer.config.get("axis"), layer.config.get("keepdims")
    axis = axis[0] if isinstance(axis, Sequence) and len(axis) == 1 else axis
    if axis not in (1, -2) or context.time == 0:
        raise ConvertError(
            f"{layer.where} is refused: it is over axis {axis}, and only one over axis 1, the "
            "steps, can be brought."
        )
    own = Pool(context.need_width(layer), _REDUCTIONS[layer.kind])
    over_rows.add(context, layer, own)
    context.time = 1 if keep else 0
