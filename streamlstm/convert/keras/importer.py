"""Conversion of Keras 2 and 3 networks, without Keras."""

from collections.abc import Callable
from os import PathLike, fspath
from typing import Any

from ...errors import ConvertError
from ...files import check_path
from ...network.layers import Flatten
from ...network.model import Model
from ..common.beside import notes_on
from ..common.error_context import layer_errors, refusals
from ..common.options import CATEGORIES, merge_options
from . import (
    additive,
    attention,
    core,
    joins,
    norms,
    operations,
    over_rows,
    padding,
    recurrent,
    rows,
)
from .activations import LAYERS as ACTIVATIONS
from .activations import read_function, read_layer
from .affine import read_affine
from .concatenate import ANNOTATION, SLICES
from .context import CONVOLUTIONS, GLOBAL_POOLING, POOLING, TRAINING_ONLY, Context
from .file import KerasFile, read_keras
from .graph import LAST
from .inputs import PART
from .network import KerasLayer, Network, read_network
from .unsupported import reason, way_around

_HANDLERS: dict[str, Callable[[Context, KerasLayer], None]] = {
    "InputLayer": core.input_layer,
    PART: core.input_part,
    "ExpandDims": core.expand_dims,
    "Squeeze": core.squeeze,
    "LSTM": recurrent.recurrent,
    "GRU": recurrent.recurrent,
    "SimpleRNN": recurrent.recurrent,
    "CuDNNLSTM": recurrent.cudnn,
    "CuDNNGRU": recurrent.cudnn,
    "Dense": core.dense,
    "PReLU": core.prelu,
    "BatchNormalization": norms.batch_normalization,
    "BatchNormalizationV1": norms.batch_normalization,
    "SyncBatchNormalization": norms.batch_normalization,
    "LayerNormalization": norms.layer_normalization,
    "Embedding": core.embedding,
    "Masking": core.masking,
    "Rescaling": norms.rescaling,
    "Normalization": norms.normalization,
    "Flatten": core.reshape,
    "Reshape": core.reshape,
    LAST: core.last_output,
    "GetItem": core.slice_,
    "SlicingOpLambda": core.slice_,
    "Bidirectional": over_rows.bidirectional,
    "RepeatVector": over_rows.repeat,
    "ZeroPadding1D": padding.zero_padding,
    "Cropping1D": padding.cropping,
    "Attention": attention.attention,
    "AdditiveAttention": additive.additive,
    "MultiHeadAttention": attention.multi_head,
    "Dot": attention.dot,
    "Absolute": operations.absolute,
    "Square": operations.square,
    "Negative": operations.negative,
    **dict.fromkeys(("Maximum", "Minimum"), operations.larger),
    "Permute": attention.permute,
    **dict.fromkeys(("Sum", "Mean", "Max"), attention.reduction),
    **dict.fromkeys(CONVOLUTIONS, over_rows.convolution),
    **dict.fromkeys(POOLING, over_rows.pooling),
    **dict.fromkeys(GLOBAL_POOLING, over_rows.global_pooling),
}
# Layers that leave the values of an observation as they are.
_SELECT = ("InputLayer", PART, *SLICES, *TRAINING_ONLY)
_QUANTIZED = ("int8", "int4", "float8", "uint8", "gptq")


def from_keras(path: str | PathLike[str], **options: Any) -> Model:
    """Convert a Keras network: ``.keras``, or ``.h5`` of Keras 2 or 3.

    Sequential networks and Functional ones without branches, also nested. Only h5py is needed,
    neither Keras nor TensorFlow; nothing in the file is executed. Dropout and noise are left out,
    normalisations are folded into the layers next to them. A layer that returns only its last
    output returns an output at every step here.

    Parameters
    ----------
    path : path
        A file of ``model.save``.
    **options
        Names, scaling, skip, horizon and metadata, as :class:`streamlstm.Model` takes them. The
        horizon is 0, no forecast, by default.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file is damaged, lacks a weight or has one too many, or holds what cannot be
        stepped; the message names the layer.

    Examples
    --------
    >>> import streamlstm as sl
    >>> model = sl.from_keras("model.keras")  # doctest: +SKIP
    """
    with refusals("a network of Keras", fspath(check_path(path, ConvertError, "a Keras file"))):
        file = read_keras(path)
        return _convert(file, read_network(file), options)


def _convert(file: KerasFile, network: Network, options: dict[str, Any]) -> Model:
    if file.version and file.major < 2:
        raise ConvertError(
            f"{file.name}: written by Keras {file.version}; load it in Keras 2 and save again."
        )
    window = options.get("window")
    context = Context(file, network, _add, window if isinstance(window, int) else None)
    for n, layer in enumerate(network.layers):
        with layer_errors(
            layer.where, way_around(network.layers, n, str(file.config["class_name"]))
        ):
            _add(context, layer)
    padding.settle(context, "the output")
    rows.settle(context)
    context.weights.finish()
    if context.decoded and context.time:  # all rows are answered, one behind the other
        width = context.builder.width or 0
        context.builder.add(Flatten(width, context.time), {}, "the output")
    context.builder.window = _window(network, context)
    context.builder.notes += notes_on(file.beside, {}, options, "The file")
    if network.parts:
        _name_inputs(context, network, options)
    if context.categories:
        listed = ", ".join(f"{column}: {n}" for column, n in sorted(context.categories.items()))
        options["metadata"] = {CATEGORIES: listed, **(options.get("metadata") or {})}
    skip = _skip(file, network, context.builder.width)
    source = f"Keras {file.version}".strip()
    return context.builder.build(source, **merge_options(options, skip=skip))


def _name_inputs(context: Context, network: Network, options: dict[str, Any]) -> None:
    """Say which columns of an observation the inputs are, and name them."""
    listed = ", ".join(f"{part.name} ({part.width})" for part in network.parts)
    context.builder.notes.append(
        f"An observation is all inputs of the network, one behind the other: {listed}; what has no "
        "rows in the network is taken of the last."
    )
    if options.get("inputs") is None and options.get("input_scaling") is None:
        options["inputs"] = [name for part in network.parts for name in part.names]


def _window(network: Network, context: Context) -> int | None:
    """Return the rows of the windows that the network takes; None if it keeps its state."""
    if network.has_states or any(layer.config.get("stateful") for layer in network.all_layers):
        return None
    return context.rows


def _add(context: Context, layer: KerasLayer) -> None:
    """Append a layer to the model, and what had to come before it."""
    kind = layer.kind
    _check_precision(layer)
    if kind not in (*CONVOLUTIONS, *TRAINING_ONLY, "ZeroPadding1D"):
        padding.settle(context, layer.where)
    if kind not in ("Embedding", "ExpandDims", *TRAINING_ONLY):
        rows.settle(context)
    _append(context, layer)
    if kind not in _SELECT:
        context.columns = None


def _append(context: Context, layer: KerasLayer) -> None:
    kind, config = layer.kind, layer.config
    if ANNOTATION in config:
        core.concatenate(context, layer)
    elif layer.branches and kind not in _HANDLERS:
        joins.join(context, layer)
    elif kind in TRAINING_ONLY:
        context.weights.drop(layer)
    elif kind == "Softmax" and attention.softmax(context, layer):
        return
    elif kind in ACTIVATIONS:
        activation = read_layer(kind, config, context.major, layer.where)
        context.builder.activate(activation, layer.where)
    elif kind in _HANDLERS:
        _HANDLERS[kind](context, layer)
    elif (affine := read_affine(layer)) is not None:
        context.builder.scale(*affine, layer.where)
    elif (function := read_function(kind, config)) is not None:
        context.builder.activate(function, layer.where)
    else:
        raise ConvertError(f"{layer.where} is refused: {reason(kind)}.")


def _check_precision(layer: KerasLayer) -> None:
    """Refuse quantized layers; weights of any float type are read."""
    policy = layer.config.get("dtype")
    name = policy
    if isinstance(policy, dict):
        config = policy.get("config", {})
        name = config.get("mode", config.get("name"))
    if isinstance(name, str) and name.startswith(_QUANTIZED):
        raise ConvertError(
            f"{layer.where} is refused: it is quantized ({name}). Save the network before quantize."
        )


def _skip(file: KerasFile, network: Network, O: int | None) -> list[int] | None:
    """Return for each output the input that is added to it."""
    columns = network.skip
    if columns is None or O is None:
        return None
    if len(columns) not in (1, O):
        raise ConvertError(
            f"{file.name}: the network ends by adding {len(columns)} inputs to {O} "
            "outputs; one to all or one to each can be added."
        )
    return columns * O if len(columns) == 1 else columns
