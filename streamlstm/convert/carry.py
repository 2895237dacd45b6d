"""Carrying an input past the layers of a network, scaled, to its outputs.

A model can add an input to its outputs as it is (``Model.skip``). Where a source adds it scaled,
every layer gets one more unit that hands the input on: its gates are held open by their biases,
and the input is made so small that tanh changes none of its digits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConvertError
from ..layers import GRU, LSTM, RNN, Dense, Layer
from .chain import Arrays, Chain

SMALL = 2.0**-20  # tanh(x) = x in float32 as long as the input is below a thousand
OPEN = 40.0  # sigmoid of it is 1 in float32, of its negative 0


def carry(chain: Chain, column: int, gain: float, where: str) -> None:
    """Let a chain add ``gain * x[column]`` to each of its outputs.

    Raises
    ------
    ConvertError
        If a layer cannot hand a value on.
    """
    last = chain.layers[-1]
    O = last.output_size
    if not (isinstance(last, Dense) and last.activation == "linear"):
        chain.add(Dense(O, O), {"weight": np.eye(O), "bias": np.zeros(O)}, where)
    for n, layer in enumerate(chain.layers[:-1]):
        source = np.zeros(layer.input_size + (n > 0))
        source[-1 if n else column] = 1 if n else SMALL
        chain.layers[n], chain.weights[n] = _widen(layer, chain.weights[n], source, where)
    _finish(chain, column, gain / SMALL if len(chain.layers) > 1 else gain)


def _finish(chain: Chain, column: int, gain: float) -> None:
    """Let the last layer, a linear one, add what was carried."""
    last, weights = chain.layers[-1], chain.weights[-1]
    assert isinstance(last, Dense)
    if len(chain.layers) == 1:
        weights["weight"][:, column] += gain
        return
    more = np.full((last.output_size, 1), gain)
    chain.layers[-1] = replace(last, input_size=last.input_size + 1)
    weights["weight"] = np.hstack([weights["weight"], more])


def _widen(layer: Layer, arrays: Arrays, source: NDArray[Any], where: str) -> tuple[Layer, Arrays]:
    """Give a layer one more unit, which takes ``source @ x`` and hands it on."""
    F = len(source)
    if isinstance(layer, LSTM) and layer == LSTM(layer.input_size, layer.hidden_size):
        wide: Layer = LSTM(F, layer.hidden_size + 1)
        return wide, _more_rows(arrays, source, 4, 2, {"bias": (OPEN, -OPEN, 0.0, OPEN)})
    if isinstance(layer, GRU) and layer.gate_activation == "sigmoid" and _is_tanh(layer):
        biases = {"bias_ih": (0.0, -OPEN, 0.0), "bias_hh": (0.0, 0.0, 0.0)}
        wide = replace(layer, input_size=F, hidden_size=layer.hidden_size + 1)
        return wide, _more_rows(arrays, source, 3, 2, biases)
    if isinstance(layer, RNN) and layer.activation == "tanh":
        wide = replace(layer, input_size=F, hidden_size=layer.hidden_size + 1)
        return wide, _more_rows(arrays, source, 1, 0, {"bias": (0.0,)})
    if isinstance(layer, Dense) and layer.activation in ("linear", "tanh"):
        matrix = np.hstack([arrays["weight"], np.zeros((layer.output_size, F - layer.input_size))])
        weights = {"weight": np.vstack([matrix, source]), "bias": np.append(arrays["bias"], 0.0)}
        return replace(layer, input_size=F, output_size=layer.output_size + 1), weights
    raise ConvertError(
        f"{where}: adds its input, scaled by gains, to its output past a layer of kind "
        f"{layer.kind} that cannot hand it on. Set both gains to 0 dB and scale outside."
    )


def _is_tanh(layer: GRU) -> bool:
    return layer.candidate_activation == "tanh" and layer.gate_clip is None


def _more_rows(
    arrays: Arrays,
    source: NDArray[Any],
    gates: int,
    candidate: int,
    biases: Mapping[str, Sequence[float]],
) -> Arrays:
    """Add one row to every gate; only that of the candidate looks at what comes in."""
    H, F = arrays["weight_hh"].shape[1], len(source)
    W = arrays["weight_ih"].reshape(gates, H, -1)
    U = arrays["weight_hh"].reshape(gates, H, H)
    weight_ih, weight_hh = np.zeros((gates, H + 1, F)), np.zeros((gates, H + 1, H + 1))
    weight_ih[:, :H, : W.shape[2]], weight_hh[:, :H, :H] = W, U
    weight_ih[candidate, H] = source
    wide: Arrays = {
        "weight_ih": weight_ih.reshape(-1, F),
        "weight_hh": weight_hh.reshape(-1, H + 1),
    }
    for name, values in biases.items():
        old = arrays[name].reshape(gates, H)
        wide[name] = np.hstack([old, np.reshape(values, (gates, 1))]).reshape(-1)
    return wide
