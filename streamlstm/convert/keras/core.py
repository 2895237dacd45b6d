"""Handlers of dense, embedding, masking and reshaping layers of Keras."""

from math import prod

import numpy as np

from ...errors import ConvertError
from ...network.layers import Dense, Embedding, Last, Reverse
from . import over_rows, padding
from .add_layers import add_dense, add_prelu
from .config import read_rows, read_slice, takes_last
from .context import Context, units
from .network import KerasLayer
from .unsupported import reason

MASK = (
    "steps that Keras would mask are not skipped here: leave them out of the stream. Before its "
    "rows have come, a window model computes what Keras does for a window padded with such steps."
)


def input_layer(_context: Context, _layer: KerasLayer) -> None:
    """InputLayer: the context has read its shape."""


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
            f"{layer.where}: has an alpha for every step, shape {alpha.shape}; expected "
            "shared_axes=[1]."
        )
    add_prelu(context.builder, alpha, layer.where)


def embedding(context: Context, layer: KerasLayer) -> None:
    """Embedding, as the first layer."""
    if context.builder.layers:
        raise ConvertError(f"{layer.where} is refused: an embedding is the first layer.")
    weights = context.weights.take(layer, ("embeddings",))
    N, D = layer.config.get("input_dim"), layer.config.get("output_dim")
    if not isinstance(N, int) or not isinstance(D, int):
        raise ConvertError(f"{layer.where}: expected input_dim and output_dim, got {N}, {D}.")
    table = weights.take("embeddings", (N, D))
    weights.finish()
    context.builder.add(Embedding(1 + context.numbers, N, D), {"weight": table}, layer.where)
    if layer.config.get("mask_zero"):
        context.builder.notes.append(f"{layer.where} masks category 0: {MASK}")


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
    if not fits:
        raise ConvertError(
            f"{layer.where} is refused: it mixes steps with features, and a stream has one step "
            "at a time."
        )
    context.time = time


def slice_(context: Context, layer: KerasLayer) -> None:
    """GetItem and SlicingOpLambda that select the last step, features, or rows of a window."""
    rows = read_rows(layer.calls)
    if rows is not None and context.time:
        _rows(context, layer, *rows)
        return
    rank, N = 2 if context.time == 0 else 3, context.need_width(layer)
    taken = read_slice(layer.calls, rank)
    if taken is None or not range(N)[taken]:
        raise ConvertError(
            f"{layer.where} is refused: expected a slice that takes the last step, [:, -1, :], or "
            "neighbouring features, [:, :, 2:5]; of a window of known length (window=T) also "
            "neighbouring rows."
        )
    if takes_last(layer.calls, rank):
        context.end_sequence()
    columns = np.eye(N)[taken]
    if len(columns) < N:
        weights = {"weight": columns, "bias": np.zeros(len(columns))}
        context.builder.add(Dense(N, len(columns)), weights, layer.where)


def _rows(context: Context, layer: KerasLayer, part: slice, single: bool) -> None:
    """Take neighbouring rows of a window alone."""
    T = context.time or 0
    taken = range(T)[part]
    if not taken:
        raise ConvertError(f"{layer.where} takes none of the {T} rows that come.")
    padding.take_rows(context, layer, taken[0], len(taken))
    if single:
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
