"""Conversion of the files of Neural Amp Modeler (.nam), of the architecture LSTM.

A file is one JSON object: ``version``, ``architecture``, ``config``, ``metadata``, ``sample_rate``
and ``weights``, one flat list. For an LSTM it holds layer by layer the matrix ``[4H, F + H]`` of
inputs and hidden state (row by row, gates i, f, g, o), one bias ``[4H]``, the hidden and the cell
state from which a stream starts; then weights ``[O, H]`` and bias ``[O]`` of the output.
"""

from os import PathLike, fspath
from typing import Any

import numpy as np

from ...errors import ConvertError
from ...network.layers import LSTM, Dense
from ...network.model import Model
from ..common.builder import ModelBuilder
from ..common.error_context import refusals
from ..common.files import read_json
from ..common.options import merge_options, text_metadata
from ..common.weights import Float64Array, to_float64

_OTHERS = {
    "WaveNet": "is made of dilated convolutions over thousands of samples",
    "ConvNet": "is made of convolutions over many samples",
    "Linear": "is a filter over many samples (an impulse response)",
}
EARLIEST, LATEST = (0, 5), (0, 7)  # minor versions of the format that are known


def from_nam(path: str | PathLike[str], **options: Any) -> Model:
    """Convert a network of Neural Amp Modeler, of the architecture LSTM.

    A new stream starts from the states in the file, which the trainer computed over a second of
    silence. The plugin adds half a second of silence to it, which changes little; feed zeros for
    the same.

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
        If the file is damaged, of another version or architecture, or has more or fewer weights
        than its sizes ask for.

    References
    ----------
    S. Atkinson, NeuralAmpModelerCore, NAM/lstm.cpp: the order of the weights.
    """
    content, name = read_json(path), fspath(path)
    with refusals("a file of Neural Amp Modeler", name):
        return _read(name, content, options)


def _read(name: str, content: dict[str, Any], options: dict[str, Any]) -> Model:
    layers, head = read_weights(name, content)
    builder = ModelBuilder()
    for n, (W, b, h, c) in enumerate(layers):
        H, F = len(h), W.shape[1] - len(h)
        arrays = {"weight_ih": W[:, :F], "weight_hh": W[:, F:], "bias": b}
        starts = bool(h.any() or c.any())
        if starts:
            arrays |= {"initial_h": h, "initial_c": c}
        builder.add(LSTM(F, H, initial_state=starts), arrays, f"layer {n} (LSTM)")
    W, b = head
    builder.add(Dense(W.shape[1], W.shape[0]), {"weight": W, "bias": b}, "head")
    metadata = text_metadata(content.get("metadata"))
    metadata |= text_metadata({key: content.get(key) for key in ("sample_rate", "version")})
    return builder.build("Neural Amp Modeler", **merge_options(options, metadata))


Layers = list[tuple[Float64Array, Float64Array, Float64Array, Float64Array]]


def read_weights(
    name: str, content: dict[str, Any]
) -> tuple[Layers, tuple[Float64Array, Float64Array]]:
    """Return matrix, bias, hidden and cell state of each layer, and weights and bias of the output.

    Raises
    ------
    ConvertError
        If the version or architecture is another one, or the number of weights does not fit.
    """
    _check_kind(name, content)
    config = content.get("config")
    if not isinstance(config, dict):
        raise ConvertError(f"{name}: expected config to be a map, got {config!r}.")
    N, F, H = (_size(name, config, key) for key in ("num_layers", "input_size", "hidden_size"))
    O = _size(name, config, "out_channels", 1)
    given = _size(name, config, "in_channels", F)
    if given != F:
        raise ConvertError(f"{name}: in_channels is {given}, input_size {F}: expected one number.")
    widths = [F] + [H] * (N - 1)
    count = sum(4 * H * (width + H + 1) + 2 * H for width in widths) + O * (H + 1)
    values = to_float64(content.get("weights"), f"{name}: weights")
    if values.shape != (count,):
        raise ConvertError(
            f"{name}: expected {count} weights for {N} layer{'s' * (N != 1)} of {H} units and "
            f"input_size {F}, got {values.size if values.ndim == 1 else values.shape}."
        )
    sizes = [n for width in widths for n in (4 * H * (width + H), 4 * H, H, H)]
    parts = np.split(values, np.cumsum([*sizes, O * H]))
    layers: Layers = []
    for n, width in enumerate(widths):
        W, b, h, c = parts[4 * n : 4 * n + 4]
        layers.append((W.reshape(4 * H, width + H), b, h, c))
    return layers, (parts[-2].reshape(O, H), parts[-1])


def _check_kind(name: str, content: dict[str, Any]) -> None:
    architecture, version = content.get("architecture"), str(content.get("version"))
    if architecture != "LSTM":
        reason = _OTHERS.get(str(architecture), "is none of the layers that are stepped here")
        raise ConvertError(
            f"{name}: is a file of Neural Amp Modeler of the architecture {architecture}, which "
            f"{reason}; LSTM is read. Train the same recording with the architecture LSTM in "
            "neural-amp-modeler and export that."
        )
    numbers = version.split(".")
    known = len(numbers) >= 2 and all(part.isdigit() for part in numbers[:2])
    if not known or not EARLIEST <= (int(numbers[0]), int(numbers[1])) <= LATEST:
        raise ConvertError(
            f"{name}: is a file of Neural Amp Modeler of version {version}; versions 0.5 to 0.7 "
            "are read. Export it again with a release of neural-amp-modeler that writes one."
        )


def _size(name: str, config: dict[str, Any], key: str, default: int | None = None) -> int:
    size = config.get(key, default)
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 1 << 16:
        raise ConvertError(f"{name}: expected config.{key} to be 1 or more, got {size!r}.")
    return size
