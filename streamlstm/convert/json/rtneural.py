"""JSON of RTNeural and AIDA-X, the form in which audio plugins keep their networks.

RTNeural's script writes the layers of a Keras network as a list: ``type``, ``activation``,
``shape`` and ``weights``, the arrays in the order and layout of Keras. AIDA-X adds to it whether
the input is added to the output (``in_skip``) and gains in decibel before and behind the network.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike, fspath
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.model import Model
from ...network.scaling import Scaling
from ..common.chain import Chain
from ..common.options import merged
from ..common.refusal import naming, refusing
from ..common.shared_layers import add_batch_norm, add_dense, add_prelu
from ..common.sniff import about, read_json
from ..common.weights import Weights, to_float64
from ..keras.cells import KERNELS, add_gru, add_lstm

ACTIVATIONS = ("tanh", "relu", "sigmoid", "softmax", "elu")
SILENCE = -90.0  # dB; at this and below AIDA-X takes a gain for zero
_WINDOW = "convolutions look at several steps at once, which no layer here does"


@dataclass
class Gains:
    """How AIDA-X places a network: ``y = after * (network(before * x) + before * x)``."""

    skip: bool = False
    before: float = 1.0
    after: float = 1.0


@dataclass
class _Reading:
    chain: Chain
    notes: list[str] = field(default_factory=list)


def from_rtneural(path: str | PathLike[str], **options: Any) -> Model:
    """Read a network in the JSON of RTNeural or AIDA-X.

    Where ``shape`` and the weights contradict each other, the weights are believed; the metadata
    of the model says so.

    Parameters
    ----------
    path : path
    **options
        ``inputs``, ``outputs``, ``input_scaling``, ``output_scaling``, ``skip``, ``skip_scale``,
        ``horizon`` (0, no forecast, if left out) and ``metadata``, as :class:`streamlstm.Model`
        takes them.

    Returns
    -------
    Model

    Raises
    ------
    ConvertError
        If the file is damaged, a weight is lacking or one too many, or a layer is a convolution;
        the message names the layer.

    References
    ----------
    J. Chowdhury, "RTNeural: Fast Neural Inferencing for Real-Time Systems", 2021.
    """
    name, content = fspath(path), read_json(path)
    with refusing(name):
        return _read(name, content, options)


def _read(name: str, content: dict[str, Any], options: dict[str, Any]) -> Model:
    layers = content.get("layers")
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ConvertError(f"{name}: expected a list of layers, as RTNeural and AIDA-X write it.")
    reading = _Reading(Chain(_first_width(content, layers)))
    for n, layer in enumerate(layers):
        _add(reading, n, layer)
    _compare(reading, "in_shape", content.get("in_shape"), reading.chain.layers[:1], "input_size")
    return _build(name, content, reading, options)


def read_gains(name: str, content: dict[str, Any]) -> Gains:
    """Return what AIDA-X adds to RTNeural's layers.

    Raises
    ------
    ConvertError
        If a gain silences the network, or several inputs are to be added.
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


def _build(name: str, content: dict[str, Any], reading: _Reading, options: dict[str, Any]) -> Model:
    gains, chain = read_gains(name, content), reading.chain
    O = chain.width or 1
    F = chain.layers[0].input_size if chain.layers else O
    found: dict[str, Any] = {"skip": None}
    if gains.skip:
        found |= {"skip": [0] * O, "skip_scale": np.full(O, gains.before * gains.after)}
    if gains.before != 1:
        scale = np.ones(F, np.float32)
        scale[0] = 1 / gains.before  # the others are knobs
        found["input_scaling"] = Scaling(np.zeros(F, np.float32), scale)
    if gains.after != 1:
        found["output_scaling"] = _amplify(O, gains.after)
    metadata = about(content.get("metadata"))
    if reading.notes:
        metadata["notes"] = " ".join(reading.notes)
    aida = any(key in content for key in ("in_skip", "in_gain", "input_gain", "metadata"))
    source = "AIDA-X" if aida else "RTNeural"
    return chain.build(source, **merged(options, metadata, **found))


def _amplify(n: int, factor: float) -> Scaling:
    return Scaling(np.zeros(n, np.float32), np.full(n, factor, np.float32))


def _add(reading: _Reading, n: int, layer: dict[str, Any]) -> None:
    kind = str(layer.get("type"))
    where = f"layer {n} ({kind})"
    arrays = layer.get("weights", [])
    if not isinstance(arrays, list):
        raise ConvertError(f"{where}: expected weights as a list, got {type(arrays).__name__}.")
    if kind not in _READERS:
        reason = _WINDOW if kind.startswith("conv") else f"known are {', '.join(_READERS)}"
        raise ConvertError(f"{where} is refused: {reason}.")
    with naming(where):
        _READERS[kind](reading, where, layer, arrays)
    _compare(reading, f"{where}: shape", layer.get("shape"), reading.chain.layers[-1:])


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
    """RTNeural's cells always use tanh, whatever the file says; believe only what agrees."""
    if layer.get("activation") not in (None, "", "tanh", "linear"):
        raise ConvertError(
            f"{where}: RTNeural computes it with tanh, the file says {layer['activation']!r}. "
            "Bring the network that it was made from instead."
        )


def _dense(reading: _Reading, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    weights = _named(where, arrays, ("kernel", "bias"))
    add_dense(reading.chain, weights, _activation(layer, where))


def _lstm(reading: _Reading, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    _check_tanh(layer, where)
    add_lstm(reading.chain, _named(where, arrays, KERNELS))


def _gru(reading: _Reading, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    _check_tanh(layer, where)
    weights = _named(where, arrays, KERNELS)
    after = len(weights.shapes.get("bias", (2, 0))) != 1
    add_gru(reading.chain, weights, reset_after=after)


def _prelu(reading: _Reading, where: str, _: dict[str, Any], arrays: list[Any]) -> None:
    weights = _named(where, arrays, ("alpha",))
    alpha = weights.take("alpha")
    weights.finish()
    add_prelu(reading.chain, alpha, where)


def _batch_norm(reading: _Reading, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    used = ("gamma", "beta") if len(arrays) > 2 else ()
    epsilon = to_float64(layer.get("epsilon", 1e-3), f"{where}.epsilon")
    weights = _named(where, arrays, (*used, "moving_mean", "moving_variance"))
    add_batch_norm(reading.chain, weights, float(epsilon))


def _standing(reading: _Reading, where: str, layer: dict[str, Any], arrays: list[Any]) -> None:
    _named(where, arrays, ()).finish()
    reading.chain.activate(_activation(layer, where), where)


def _unknown(reading: _Reading, where: str, _: dict[str, Any], arrays: list[Any]) -> None:
    """Pass over what the script did not know, such as Dropout; RTNeural does so too."""
    if arrays:
        raise ConvertError(f"{where} is refused: the script that wrote it lost what it is.")
    reading.notes.append(f"{where} is passed over, as RTNeural does.")


_READERS: dict[str, Callable[[_Reading, str, dict[str, Any], list[Any]], None]] = {
    "dense": _dense,
    "time-distributed-dense": _dense,
    "lstm": _lstm,
    "gru": _gru,
    "prelu": _prelu,
    "batchnorm": _batch_norm,
    "activation": _standing,
    "unknown": _unknown,
}


def _first_width(content: dict[str, Any], layers: list[dict[str, Any]]) -> int | None:
    """Return F of ``in_shape`` where the first layer's weights do not say it."""
    shape = content.get("in_shape")
    if layers and layers[0].get("type") in ("dense", "time-distributed-dense", "lstm", "gru"):
        return None
    return shape[-1] if isinstance(shape, list) and shape and isinstance(shape[-1], int) else None


def _compare(
    reading: _Reading, what: str, shape: Any, layers: list[Any], size: str = "output_size"
) -> None:
    """Note where a size that the file states is not that of the weights."""
    if not layers or not isinstance(shape, list) or not shape or not isinstance(shape[-1], int):
        return
    real = getattr(layers[0], size)
    if shape[-1] != real:
        reading.notes.append(f"{what} says {shape[-1]} values, the weights {real}: believed.")
