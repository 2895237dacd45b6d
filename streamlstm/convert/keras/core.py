"""Handlers of dense, embedding, masking and reshaping layers of Keras."""

from math import prod
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense, Embedding, Last, Reverse
from ..common.weights import Float64Array
from . import operations, over_rows, padding, rows
from .add_layers import add_dense, add_prelu
from .config import read_parts
from .context import Context, units
from .network import KerasLayer
from .unsupported import reason

MASK = (
    "steps that Keras would mask are not skipped here: leave them out of the stream. Before its "
    "rows have come, a window model computes what Keras does for a window padded with such steps, "
    "unless what the masked steps give is used too (Flatten, Dense over all steps)."
)
_MOST_CATEGORIES = 512
_SLICES = (
    "expected a slice that takes the last step, [:, -1, :], or features, [:, :, 2:5]; of a window "
    "of known length (window=T) also rows."
)


def input_layer(_context: Context, _layer: KerasLayer) -> None:
    """InputLayer: the context has read its shape."""


def input_part(context: Context, layer: KerasLayer) -> None:
    """One of several inputs: its columns of an observation."""
    part, N = layer.config["part"], context.need_width(layer)
    columns = np.eye(N)[part.columns]
    weights = {"weight": columns, "bias": np.zeros(part.width)}
    context.builder.add(Dense(N, part.width), weights, layer.where)
    context.part = part
    context.columns = context.columns and context.columns[part.columns]
    if not part.is_series:
        context.end_sequence()


def expand_dims(context: Context, layer: KerasLayer) -> None:
    """ExpandDims: a row of a vector, or of each of its values a row."""
    axis = layer.config.get("axis")
    if context.numbers is not None and axis in (2, -1):
        context.numbers = None
        return
    rows.settle(context)
    if context.time != 0 or axis not in (1, 2, -1, -2):
        raise ConvertError(f"{layer.where} is refused: a row of a stream has one axis.")
    if axis in (1, -2):
        rows.alone(context, layer.where)
        context.time = 1
        return
    rows.to_rows(context, context.need_width(layer), layer.where)
    context.decoded = True


def squeeze(context: Context, layer: KerasLayer) -> None:
    """Squeeze: a row that is alone is a vector, and so are rows of one value."""
    axis, T, N = layer.config.get("axis"), context.time, context.need_width(layer)
    axis = axis[0] if isinstance(axis, list | tuple) and len(axis) == 1 else axis
    if axis in (1, -2, None) and T == 1 and (axis is not None or N > 1):
        context.time = 0
    elif axis in (2, -1, None) and N == 1 and T != 0:
        over_rows.flatten(context, layer)
    else:
        raise ConvertError(f"{layer.where} is refused: expected an axis of length 1, got {axis}.")


def dense(context: Context, layer: KerasLayer) -> None:
    """Dense."""
    weights = context.weights.take_biased(layer, ("kernel", "bias"))
    add_dense(context.builder, weights, context.activation(layer, default="linear"), units(layer))


def prelu(context: Context, layer: KerasLayer) -> None:
    """PReLU with one alpha, or one for each feature."""
    weights = context.weights.take(layer, ("alpha",))
    alpha = weights.take("alpha")
    weights.finish()
    if alpha.size not in (1, alpha.shape[-1] if alpha.ndim else 1):
        raise ConvertError(
            f"{layer.where}: has an alpha for every step, shape {alpha.shape}, and a layer here "
            "has "
            "one for all steps, as trained with shared_axes=[1]."
        )
    add_prelu(context.builder, alpha, layer.where)


def embedding(context: Context, layer: KerasLayer) -> None:
    """Embedding of the input, or of one of several."""
    weights = context.weights.take(layer, ("embeddings",))
    N, D = layer.config.get("input_dim"), layer.config.get("output_dim")
    if not isinstance(N, int) or not isinstance(D, int):
        raise ConvertError(f"{layer.where}: expected input_dim and output_dim, got {N}, {D}.")
    table = weights.take("embeddings", (N, D))
    weights.finish()
    if layer.config.get("mask_zero"):
        context.builder.notes.append(f"{layer.where} masks category 0: {MASK}")
    if context.embeds:
        context.builder.add(
            Embedding(1 + context.count_of_numbers, N, D), {"weight": table}, layer.where
        )
    else:
        _of_a_part(context, layer, table)
        context.numbers = None


def _of_a_part(context: Context, layer: KerasLayer, table: Float64Array) -> None:
    """Append dense layers that look a vector up: the second returns 1 for the category, else 0.

    It takes the second differences of ``max(0, x - n)``, which are exact for whole numbers.
    """
    N, part = len(table), context.part
    if context.columns is None or len(context.columns) != 1:
        raise ConvertError(
            f"{layer.where} is refused: an embedding takes the input itself, or one column of it."
        )
    if N > _MOST_CATEGORIES:
        raise ConvertError(
            f"{layer.where} is refused: beside other inputs embeddings of up to {_MOST_CATEGORIES} "
            f"categories are supported, got {N}."
        )
    hinges = {"weight": np.ones((N + 2, 1)), "bias": 1.0 - np.arange(N + 2)}
    context.builder.add(Dense(1, N + 2, "relu"), hinges, layer.where)
    second = np.eye(N, N + 2) - 2 * np.eye(N, N + 2, 1) + np.eye(N, N + 2, 2)
    context.builder.add(Dense(N + 2, N), {"weight": second, "bias": np.zeros(N)}, layer.where)
    vectors = {"weight": table.T, "bias": np.zeros(table.shape[1])}
    context.builder.add(Dense(N, table.shape[1]), vectors, layer.where)
    if part is not None and not part.is_series and len(part.shape) == 2:  # a row of one category
        rows.alone(context, layer.where)
        context.time = 1
    context.categories[context.columns[0]] = N
    context.builder.notes.append(f"{layer.where} takes whole numbers from 0 to {N - 1}.")


def concatenate(context: Context, layer: KerasLayer) -> None:
    """Concatenate of an embedding and numbers; permutes them if the numbers come first."""
    N, concat = context.builder.width or 0, context.concat
    if concat is None:
        raise ConvertError(f"{layer.where} is refused: {reason(layer.kind)}.")
    if concat.numbers_first:
        order = np.roll(np.eye(N), concat.numbers, axis=0)
        context.builder.add(Dense(N, N), {"weight": order, "bias": np.zeros(N)}, layer.where)


def masking(context: Context, layer: KerasLayer) -> None:
    """Masking: ignored, with a note."""
    value = layer.config.get("mask_value", 0.0)
    context.builder.notes.append(f"{layer.where} masks steps of {value}: {MASK}")


def reshape(context: Context, layer: KerasLayer) -> None:
    """Flatten and Reshape between one step and a vector, which leave the values in place."""
    target, width, time = layer.config.get("target_shape"), context.builder.width, context.time
    one = time in (0, 1)
    if layer.kind == "Flatten" and not one:
        over_rows.flatten(context, layer)
        return
    if layer.kind == "Flatten":
        fits, time = one, 0
    else:
        sizes = list(target) if isinstance(target, list | tuple) else []
        if time == 0 and layer is context.final and width in (None, abs(prod(sizes))):
            return  # the answer as rows, which is answered one behind the other
        fits = (
            bool(sizes)
            and sizes[-1] in (width, -1)
            and all(size in ((1, -1) if one else (time, -1)) for size in sizes[:-1])
        )
        fits = fits and len(sizes) <= 2 and (one or len(sizes) == 2)
        time = len(sizes) - 1 if one else time
    if not fits and operations.reshape_rows(context, layer, list(target or ())):
        return
    if not fits:
        raise ConvertError(
            f"{layer.where} is refused: it makes {target} of {context.time} rows of "
            f"{width}, and no layer here does; of a window of known length (window=T) it may."
        )
    if time == 1 and context.carried:
        rows.alone(context, layer.where)
    context.time = time


def slice_(context: Context, layer: KerasLayer) -> None:
    """GetItem and SlicingOpLambda that select the last step, features, or rows of a window."""
    rank, N = 2 if context.time == 0 else 3, context.need_width(layer)
    parts = read_parts(layer.calls, rank)
    if len(parts) != rank or parts[0] != slice(None) or not all(_is_taken(p) for p in parts[1:]):
        raise ConvertError(f"{layer.where} is refused: {_SLICES}")
    features = parts[-1]
    if rank == 2 and isinstance(features, int):
        raise ConvertError(
            f"{layer.where} is refused: it leaves one number without an axis: take [:, 2:3]."
        )
    if rank == 3 and parts[1] != slice(None):
        _rows(context, layer, parts[1])
    wanted = [features] if isinstance(features, int) else features
    columns = np.eye(N)[wanted]
    if context.columns is not None:
        context.columns = np.array(context.columns)[wanted].tolist()
    if not len(columns):
        raise ConvertError(f"{layer.where} takes none of the {N} features that come.")
    if (columns.shape != (N, N)) or (columns != np.eye(N)).any():
        weights = {"weight": columns, "bias": np.zeros(len(columns))}
        context.builder.add(Dense(N, len(columns)), weights, layer.where)
    if rank == 3 and isinstance(features, int):
        if context.time == 0:
            raise ConvertError(f"{layer.where} is refused: it takes one number alone.")
        context.numbers = layer  # rows of one value, without an axis for it


def _is_taken(part: Any) -> bool:
    """Tell whether a part of a slice can be: an index, or a slice of numbers."""
    if isinstance(part, slice):
        return all(n is None or type(n) is int for n in (part.start, part.stop, part.step))
    return type(part) is int


def _rows(context: Context, layer: KerasLayer, part: int | slice) -> None:
    """Take the last row, or rows of a window of known length alone."""
    T = context.time
    if part == -1 or (T is None and part == slice(-1, None)):
        context.end_sequence()
        return
    if T is None:
        raise ConvertError(f"{layer.where} is refused: {_SLICES}")
    taken = range(T)[part] if isinstance(part, slice) else range(T)[part : part + 1 or None]
    if not taken:
        raise ConvertError(f"{layer.where} takes none of the {T} rows that come.")
    if taken == range(T)[-1:]:
        context.builder.add(Last(context.need_width(layer)), {}, layer.where)
        context.time = 1
        return
    if taken.step < 0:
        context.builder.add(Reverse(context.need_width(layer)), {}, layer.where)
        taken = range(T)[T - 1 - taken[0] : T - taken[-1] : -taken.step]
    padding.take_rows(context, layer, taken)
    context.decoded = context.decoded or len(taken) < T
    if isinstance(part, int):
        context.time = 0


def last_output(context: Context, layer: KerasLayer) -> None:
    """Take the hidden state that a recurrent layer returns: the last of its outputs.

    That of the layer of a Bidirectional which runs backwards is its output at the first step.
    """
    which = layer.config["which"]
    if which == "last":
        context.end_sequence()
        return
    N = context.need_width(layer)
    if context.time != 0:
        if which == "backward":
            context.builder.add(Reverse(N), {}, layer.where)
        context.builder.add(Last(N), {}, layer.where)
        context.time = 0
    half = np.split(np.eye(N), 2)[which == "backward"]
    context.builder.add(Dense(N, N // 2), {"weight": half, "bias": np.zeros(N // 2)}, layer.where)
