"""Conversion of GuitarML's JSON (NeuralPi, Proteus), written by Automated-GuitarAmpModelling.

``model_data`` describes the network, ``state_dict`` holds PyTorch's arrays as lists: a recurrent
layer ``rec`` and a linear one ``lin``. ``skip`` inputs, mostly the audio, are added to the output.
"""

import re
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import GRU, LSTM, RNN, Dense
from ...network.model import Model
from ..common.beside import notes_on
from ..common.builder import ModelBuilder
from ..common.error_context import layer_errors, refusals
from ..common.files import read_json
from ..common.options import merge_options, text_metadata
from ..common.weights import Weights

_WAY = (
    "Write the file again with the trainer that made it (SimpleRNN of "
    "Automated-GuitarAmpModelling),"
    " or bring the weights as a state dict of PyTorch."
)
_UNITS = {4: "LSTM", 3: "GRU", 1: "RNN"}
_REC = re.compile(r"(.*\b)?rec\.weight_hh_l(\d+)")


def from_guitarml(path: str | PathLike[str], **options: Any) -> Model:
    """Convert a network in the JSON of GuitarML.

    The first input is the audio, others are knobs. Where sizes, number or kind of the layers in
    ``model_data`` contradict the weights, the weights are used, and the metadata has a note.

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
        If the file is damaged, a weight is missing or unexpected, or the network is not a recurrent
        layer and a linear one.

    References
    ----------
    A. Wright et al., "Real-Time Guitar Amplifier Emulation with Deep Learning", 2020.
    """
    content, name = read_json(path), fspath(path)
    with refusals("JSON of GuitarML", name):
        return _read(name, content, options)


def _read(name: str, content: dict[str, Any], options: dict[str, Any]) -> Model:
    data, arrays = content.get("model_data"), content.get("state_dict")
    if not isinstance(data, dict) or not isinstance(arrays, dict):
        raise ConvertError(f"{name}: expected model_data and state_dict, as GuitarML writes them.")
    builder = ModelBuilder()
    with layer_errors("", _WAY):
        prefix, skip = _block(name, content, data, arrays)
        named = {key.removeprefix(prefix): array for key, array in arrays.items()}
        weights = Weights("state_dict", named)
        unit = _add_recurrent(builder, weights)
        _add_linear(builder, weights, bool(data.get("bias_fl", True)))
        weights.finish()
    columns = _skip(name, builder, skip)
    first, last = builder.layers[0], builder.layers[-1]
    real = {
        "input_size": first.input_size,
        "output_size": last.output_size,
        "hidden_size": last.input_size,
        "num_layers": len(builder.layers) - 1,
        "unit_type": unit,
    }
    for key, value in real.items():
        if data.get(key, value) != value:
            builder.notes.append(f"{key} says {data[key]}, the weights {value}, which are used.")
    own = {key: value for key, value in content.items() if key != "state_dict"}
    builder.notes += notes_on(own, {}, options, "The file")
    return builder.build("GuitarML", **merge_options(options, text_metadata(data), skip=columns))


def _block(
    name: str, content: Mapping[str, Any], data: Mapping[str, Any], arrays: Mapping[str, Any]
) -> tuple[str, int]:
    """Return the prefix of ``rec`` in the names, and how many inputs are added."""
    kind = data.get("model", "SimpleRNN")
    if kind not in ("SimpleRNN", "RecNet"):
        raise ConvertError(
            f"{name}: expected a SimpleRNN or a RecNet, got {kind!r}: convolutions and clipping "
            "stages cannot be stepped by the layers here."
        )
    prefixes = {match[1] or "" for key in arrays if (match := _REC.fullmatch(key))}
    if len(prefixes) != 1:
        raise ConvertError(
            f"{name}: expected one recurrent layer rec, with rec.weight_hh_l0, found "
            f"{len(prefixes)}: {', '.join(arrays) or 'no weights'}."
        )
    skip = data.get("skip", 1)
    if kind == "RecNet":
        # The blocks have their own skip; that of the network is usually 0.
        blocks = content.get("blocks")
        inner = (
            [block.get("skip", 1) for block in blocks.values()] if isinstance(blocks, dict) else [1]
        )
        if skip and any(inner):
            raise ConvertError(f"{name}: its input is added twice, by the block and the network.")
        skip = skip or inner[0]
    if not isinstance(skip, int) or skip < 0:
        raise ConvertError(f"{name}: expected skip to be 0 or more, got {skip!r}.")
    return prefixes.pop(), int(skip)


def _add_recurrent(builder: ModelBuilder, weights: Weights) -> str:
    """Append the layers of ``rec``; return their kind, as the shapes imply."""
    n, unit = 0, ""
    while f"rec.weight_hh_l{n}" in weights or n == 0:
        where = f"rec, layer {n}"
        W, U = weights.take(f"rec.weight_ih_l{n}"), weights.take(f"rec.weight_hh_l{n}")
        gates = U.shape[0] // U.shape[1] if U.ndim == 2 and U.shape[1] else 0
        if gates not in _UNITS or W.ndim != 2 or U.shape[0] != gates * U.shape[1]:
            raise ConvertError(
                f"{where}: expected weight_hh (gates * H, H) with 4, 3 or 1 gates, got "
                f"weight_ih {W.shape} and weight_hh {U.shape}."
            )
        H, F, unit = U.shape[1], W.shape[1], _UNITS[gates]
        b, c = (weights.take(f"rec.bias_{part}_l{n}", (gates * H,)) for part in ("ih", "hh"))
        arrays = {"weight_ih": W, "weight_hh": U}
        if unit == "GRU":
            builder.add(GRU(F, H), {**arrays, "bias_ih": b, "bias_hh": c}, where)
        else:
            layer = LSTM(F, H) if unit == "LSTM" else RNN(F, H)
            builder.add(layer, {**arrays, "bias": b + c}, where)
        n += 1
    return unit


def _add_linear(builder: ModelBuilder, weights: Weights, biased: bool) -> None:
    W = weights.take("lin.weight")
    if W.ndim != 2:
        raise ConvertError(f"lin: expected weight (O, H), got {W.shape}.")
    if "lin.bias" in weights or biased:
        bias = weights.take("lin.bias", (W.shape[0],))
    else:
        bias = np.zeros(W.shape[0])
    builder.add(Dense(W.shape[1], W.shape[0]), {"weight": W, "bias": bias}, "lin")


def _skip(name: str, builder: ModelBuilder, skip: int) -> list[int] | None:
    """Return for each output the input that is added: the first ``skip`` inputs, broadcast."""
    O, count = builder.layers[-1].output_size, min(skip, builder.layers[0].input_size)
    if count == 0:
        return None
    if count == 1:
        return [0] * O
    if count != O:
        raise ConvertError(f"{name}: skip adds {count} inputs to {O} outputs; expected 1 or {O}.")
    return list(range(O))
