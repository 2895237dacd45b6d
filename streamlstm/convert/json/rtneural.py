"""Conversion of RTNeural's and AIDA-X's JSON, the format of neural networks in audio plugins.

RTNeural's script writes the layers of a Keras network as a list: ``type``, ``activation``,
``shape`` and ``weights``, the arrays in the order and layout of Keras. AIDA-X adds a residual
connection from the input to the output (``in_skip``) and gains in decibel before and after the
network.
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import Conv1D, Dense
from ...network.model import Model
from ...network.scaling import Scaling
from ..common.beside import notes_on
from ..common.builder import ModelBuilder
from ..common.error_context import AdvisedError, layer_errors, refusals
from ..common.files import read_json
from ..common.options import merge_options, text_metadata
from ..common.weights import Weights, to_float64
from ..keras.add_layers import KERNELS, add_batch_norm, add_dense, add_gru, add_lstm, add_prelu

ACTIVATIONS = ("tanh", "relu", "sigmoid", "softmax", "elu")
SILENCE = -90.0  # dB; AIDA-X treats a gain of this and below as zero
_WAY = (
    "Write the file again with the script of RTNeural, or bring the network that it was made from, "
    "of Keras or PyTorch."
)
_PLANE = "it is a convolution over a plane, and only those over steps (conv1d) are layers here"


@dataclass
class Gains:
    """Gains of AIDA-X: ``y = after * (network(before * x) + before * x)``, with ``skip``."""

    skip: bool = False
    before: float = 1.0
    after: float = 1.0


def from_rtneural(path: str | PathLike[str], **options: Any) -> Model:
    """Convert a network in the JSON of RTNeural or AIDA-X.

    Where ``shape`` and the weights contradict each other, the weights are used, and the metadata of
    the model has a note.

    Parameters
    ----------
    path : path
    **options
        Names, scaling, skip, horizon and metadata, as :class:`streamlstm.Model` takes them. The
        horizon is 0, no forecast, by default.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file is damaged, a weight is missing or unexpected, or a layer is not known; the
        message names the layer.

    References
    ----------
    J. Chowdhury, "RTNeural: Fast Neural Inferencing for Real-Time Systems", 2021.
    """
    content, name = read_json(path), fspath(path)
    with refusals("JSON of RTNeural or AIDA-X", name):
        return _read(name, content, options)


def _read(name: str, content: dict[str, Any], options: dict[str, Any]) -> Model:
    layers = content.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ConvertError(f"{name}: expected a list of layers, as RTNeural and AIDA-X write it.")
    builder = ModelBuilder(_first_width(content, layers))
    with layer_errors("", _WAY):
        for n, layer in enumerate(layers):
            _add(builder, n, layer)
    _check_size(builder, "in_shape", content.get("in_shape"), builder.layers[:1], "input_size")
    return _build(name, content, builder, options)


def read_gains(name: str, content: dict[str, Any]) -> Gains:
    """Return the gains and the residual connection of AIDA-X.

    Raises
    ------
    ConvertError
        If a gain is silence, or ``in_skip`` is neither 0 nor 1.
    """
    skip = content.get("in_skip") or 0
    if skip not in (0, 1):
        raise ConvertError(f"{name}: expected in_skip 0 or 1, got {skip!r}.")
    factors = []
    for keys in (("in_gain", "input_gain"), ("out_gain", "output_gain")):
        gain = next((content[key] for key in keys if content.get(key) is not None), 0.0)
        if isinstance(gain, bool) or not isinstance(gain, int | float) or not gain > SILENCE:
            raise ConvertError(
                f"{name}: expected {keys[0]} above {SILENCE} dB, got {gain!r}: that is silence."
            )
        factors.append(10 ** (gain / 20))
    return Gains(bool(skip), *factors)


def _build(
    name: str, content: dict[str, Any], builder: ModelBuilder, options: dict[str, Any]
) -> Model:
    gains = read_gains(name, content)
    O = builder.width or 1
    F = builder.layers[0].input_size if builder.layers else O
    found: dict[str, Any] = {"skip": None}
    if gains.skip:
        found |= {"skip": [0] * O, "skip_scale": np.full(O, gains.before * gains.after)}
    if gains.before != 1:
        scale = np.ones(F, np.float32)
        scale[0] = 1 / gains.before  # the others are knobs
        found["input_scaling"] = Scaling(np.zeros(F, np.float32), scale)
    if gains.after != 1:
        scale = np.full(O, gains.after, np.float32)
        found["output_scaling"] = Scaling(np.zeros(O, np.float32), scale)
    metadata = text_metadata(content.get("metadata"))
    aida = any(key in content for key in ("in_skip", "in_gain", "input_gain", "metadata"))
    source = "AIDA-X" if aida else "RTNeural"
    own = {key: value for key, value in content.items() if key != "layers"}
    builder.notes += notes_on(own, {}, options, "The file")
    return builder.build(source, **merge_options(options, metadata, **found))


def _add(builder: ModelBuilder, n: int, layer: dict[str, Any]) -> None:
    kind = str(layer.get("type"))
    where = f"layer {n} ({kind})"
    arrays = layer.get("weights", [])
    if not isinstance(arrays, list):
        raise ConvertError(f"{where}: expected weights as a list, got {type(arrays).__name__}.")
    if kind not in _READERS:
        reason = _PLANE if kind.startswith("conv") else f"known are {', '.join(_READERS)}"
        raise ConvertError(f"{where} is refused: {reason}.")
    with layer_errors(where):
        _READERS[kind](builder, where, layer, arrays)
    _check_size(builder, f"{where}: shape", layer.get("shape"), builder.layers[-1:])


def _named(where: str, arrays: list[Any], names: tuple[str, ...]) -> Weights:
    spare = tuple(f"one more ({n})" for n in range(1, len(arrays) - len(names) + 1))
    return Weights(where, dict(zip((*names, *spare), arrays, strict=False)))


def _activation(layer: dict[str, Any], where: str) -> str:
    name = layer.get("activation") or "linear"
    if name not in ("linear", *ACTIVATIONS):
        raise ConvertError(
            f"{where}: expected an activation of {', '.join(ACTIVATIONS)}, got {name!r}."
        )
    return str(name)


def _check_tanh(layer: dict[str, Any], where: str) -> None:
    """Refuse other activations than tanh, which RTNeural's cells use whatever the file says."""
    if layer.get("activation") not in (None, "", "tanh", "linear"):
        raise AdvisedError(
            f"{where}: RTNeural computes it with tanh, the file says {layer['activation']!r}. "
            "Bring the network that it was made from, of Keras or PyTorch."
        )


def _dense(builder: ModelBuilder, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    weights = _named(where, arrays, ("kernel", "bias"))
    add_dense(builder, weights, _activation(layer, where))


def _lstm(builder: ModelBuilder, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    _check_tanh(layer, where)
    add_lstm(builder, _named(where, arrays, KERNELS))


def _gru(builder: ModelBuilder, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    _check_tanh(layer, where)
    weights = _named(where, arrays, KERNELS)
    after = len(weights.shapes.get("bias", (2, 0))) != 1
    add_gru(builder, weights, reset_after=after)


def _conv1d(builder: ModelBuilder, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    """Append a causal convolution, which starts from rows of zeros; one of kernel 1 is Dense."""
    weights = _named(where, arrays, ("kernel", "bias"))
    kernel = weights.take("kernel")
    groups, dilation = (_last(where, layer, key) for key in ("groups", "dilation"))
    if kernel.ndim != 3 or groups != 1:
        raise ConvertError(
            f"{where}: expected a kernel (k, F, O) of one group, got {kernel.shape} of {groups}."
        )
    k, F, O = kernel.shape
    bias = weights.take_or("bias", (O,), 0)
    weights.finish()
    name = _activation(layer, where)
    if k == 1:
        builder.add(Dense(F, O), {"weight": kernel[0].T, "bias": bias}, where)
        builder.activate(name, where)
        return
    made = Conv1D(F, O, k, 1, dilation, (k - 1) * dilation, activation=name)
    builder.add(made, {"weight": kernel.transpose(2, 0, 1), "bias": bias}, where)


def _last(where: str, layer: dict[str, Any], key: str) -> int:
    """Return a size of a convolution, 1 by default; the last if it is a list."""
    value = layer.get(key, 1)
    value = value[-1] if isinstance(value, list) and value else value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConvertError(f"{where}: expected {key} to be 1 or more, got {value!r}.")
    return value


def _prelu(builder: ModelBuilder, where: str, _: dict[str, Any], arrays: list[Any]) -> None:
    weights = _named(where, arrays, ("alpha",))
    alpha = weights.take("alpha")
    weights.finish()
    add_prelu(builder, alpha, where)


def _batch_norm(
    builder: ModelBuilder, where: str, layer: dict[str, Any], arrays: list[Any]
) -> None:
    used = ("gamma", "beta") if len(arrays) > 2 else ()
    epsilon = to_float64(layer.get("epsilon", 1e-3), f"{where}.epsilon")
    weights = _named(where, arrays, (*used, "moving_mean", "moving_variance"))
    add_batch_norm(builder, weights, float(epsilon))


def _activation_layer(
    builder: ModelBuilder, where: str, layer: dict[str, Any], arrays: list[Any]
) -> None:
    _named(where, arrays, ()).finish()
    builder.activate(_activation(layer, where), where)


def _unknown(builder: ModelBuilder, where: str, _: dict[str, Any], arrays: list[Any]) -> None:
    """Skip a layer that the script did not know, such as Dropout, as RTNeural does."""
    if arrays:
        raise ConvertError(f"{where} is refused: the script that wrote it did not know the layer.")
    builder.notes.append(f"{where} is skipped, as in RTNeural.")


_READERS: dict[str, Callable[[ModelBuilder, str, dict[str, Any], list[Any]], None]] = {
    "dense": _dense,
    "time-distributed-dense": _dense,
    "lstm": _lstm,
    "gru": _gru,
    "conv1d": _conv1d,
    "prelu": _prelu,
    "batchnorm": _batch_norm,
    "activation": _activation_layer,
    "unknown": _unknown,
}


def _first_width(content: dict[str, Any], layers: list[dict[str, Any]]) -> int | None:
    """Return F of ``in_shape`` if the first layer has no weights that determine it."""
    shape = content.get("in_shape")
    if layers and layers[0].get("type") in ("dense", "time-distributed-dense", "lstm", "gru"):
        return None
    return shape[-1] if isinstance(shape, list) and shape and isinstance(shape[-1], int) else None


def _check_size(
    builder: ModelBuilder, what: str, shape: Any, layers: list[Any], size: str = "output_size"
) -> None:
    """Add a note if a size in the file is not that of the weights."""
    if not layers or not isinstance(shape, list) or not shape or not isinstance(shape[-1], int):
        return
    real = getattr(layers[0], size)
    if shape[-1] != real:
        builder.notes.append(f"{what} says {shape[-1]} values, the weights {real}, which are used.")
