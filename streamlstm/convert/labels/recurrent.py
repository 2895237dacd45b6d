"""Recurrent layers from PyTorch's weights: gates i, f, g, o and r, z, n; two biases."""

import re
from collections.abc import Sequence

import numpy as np

from ...errors import ConvertError
from ...network.layers import GRU, LSTM, RNN, Bidirectional, Layer
from ..common.builder import ModelBuilder
from ..common.weights import Float64Array, Weights

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}
_LEVEL = re.compile(r"(?:weight|bias)_(?:ih|hh|hr)_l(\d+)")
WEIGHT_NAME = re.compile(r"(?:weight|bias)_(?:ih|hh|hr)(?:_l\d+)?(?:_reverse)?")


def recurrent_width(weights: Weights) -> int | None:
    """Return F, the input width of the first layer; None without its weight_ih."""
    for name in ("weight_ih_l0", "weight_ih"):
        shape = weights.shapes.get(name, ())
        if len(shape) == 2:
            return shape[1]
    return None


def add_recurrent(
    builder: ModelBuilder,
    weights: Weights,
    name: str,
    *,
    kind: str | None = None,
    activation: str = "tanh",
    initial_state: Sequence[Float64Array] = (),
    both: str = "",
) -> None:
    """Append the layers of one nn.LSTM, GRU, RNN or cell.

    Parameters
    ----------
    builder : ModelBuilder
        The model so far; the layers are appended to it.
    weights : Weights
        By PyTorch's names: ``weight_ih_l0`` and so on, without ``_l0`` in a cell.
    name : str
    kind : str, optional
        lstm, gru or rnn; if left out, the number of rows decides.
    activation : str
        The activation of an RNN.
    initial_state : sequence of float64[layers, 1, H] or float64[layers, H]
        h and, in an LSTM, c.
    both : {"", "rows", "ends"}
        Of a bidirectional module: all rows of a window go out, or the last of either direction.
    """
    if not both and any(key.endswith("_reverse") for key in weights.shapes):
        raise ConvertError(
            f"{name} is bidirectional: its second half reads the series from its end, which only a "
            "window has. Give the module, whose forward says which rows its head takes, and the "
            "number of rows (window=T)."
        )
    biased = any(key.startswith("bias") for key in weights.shapes)
    numbers = [int(match[1]) for key in weights.shapes if (match := _LEVEL.fullmatch(key))]
    suffixes = [f"_l{n}" for n in range(max(numbers) + 1)] if numbers else [""]
    if both:
        if len(initial_state):
            raise ConvertError(f"{name}: expected a bidirectional module to start from zeros.")
        for suffix in suffixes:
            last = both == "ends" and suffix == suffixes[-1]
            _add_both(builder, weights, name, (suffix, kind, biased, activation), not last)
        return
    for n, suffix in enumerate(suffixes):
        arrays, found, width = _take_layer(weights, name, suffix, kind, biased)
        arrays |= _initial(initial_state, n, len(suffixes), found, arrays, name)
        where = f"{name} layer {n}" if len(suffixes) > 1 else name
        builder.add(_layer_of(arrays, found, width, activation), arrays, where)


def _layer_of(
    arrays: dict[str, Float64Array], kind: str, width: int | None, activation: str
) -> Layer:
    """Return the layer that these arrays are of."""
    F, H = arrays["weight_ih"].shape[1], arrays["weight_ih"].shape[0] // _GATES[kind]
    starts = "initial_h" in arrays
    if kind == "lstm":
        return LSTM(F, H, projection_size=width, initial_state=starts)
    if kind == "gru":
        return GRU(F, H, initial_state=starts)
    return RNN(F, H, activation=activation, initial_state=starts)


def _add_both(
    builder: ModelBuilder,
    weights: Weights,
    name: str,
    given: tuple[str, str | None, bool, str],
    sequence: bool,
) -> None:
    """Append one layer of a bidirectional module."""
    suffix, kind, biased, activation = given
    arrays: dict[str, Float64Array] = {}
    for way, end in (("forward", suffix), ("backward", f"{suffix}_reverse")):
        own, found, width = _take_layer(weights, name, end, kind, biased)
        layer = _layer_of(own, found, width, activation)
        arrays |= {f"{way}_{key}": array for key, array in own.items()}
    builder.add(Bidirectional(layer.input_size, layer, sequence=sequence), arrays, name)


def _take_layer(
    weights: Weights, name: str, suffix: str, kind: str | None, biased: bool
) -> tuple[dict[str, Float64Array], str, int | None]:
    """Return the arrays of one layer by their names here, its kind, and P if it is projected."""
    weight_ih, weight_hh = (weights.take(f"weight_{part}{suffix}") for part in ("ih", "hh"))
    shapes = f"weight_ih{suffix} {weight_ih.shape}, weight_hh{suffix} {weight_hh.shape}"
    if weight_ih.ndim != 2 or weight_hh.ndim != 2 or len(weight_ih) != len(weight_hh):
        raise ConvertError(f"{name}: expected two matrices with as many rows, got {shapes}.")
    arrays = {"weight_ih": weight_ih, "weight_hh": weight_hh}
    rows, width = weight_hh.shape
    hidden, projection = width, None
    if f"weight_hr{suffix}" in weights:
        arrays["weight_hr"] = weights.take(f"weight_hr{suffix}")
        shapes += f", weight_hr{suffix} {arrays['weight_hr'].shape}"
        if arrays["weight_hr"].shape != (width, rows // 4):
            raise ConvertError(f"{name}: these shapes contradict each other: {shapes}.")
        hidden, projection = rows // 4, width
    found = _kind(name, rows, hidden, kind, shapes)
    arrays |= _biases(weights, suffix, rows, found, biased)
    return arrays, found, projection


def _kind(name: str, rows: int, hidden: int, kind: str | None, shapes: str) -> str:
    for found, gates in _GATES.items():
        if rows == gates * hidden and kind in (None, found):
            return found
    wanted = f"{_GATES[kind]}H" if kind else "4H (LSTM), 3H (GRU) or H (RNN)"
    raise ConvertError(
        f"{name}: expected {wanted} rows for the H = {hidden} columns of the recurrent weights, "
        f"got {shapes}."
    )


def _biases(
    weights: Weights, suffix: str, rows: int, kind: str, biased: bool
) -> dict[str, Float64Array]:
    """Return the biases of one layer; they are required if any layer of the module has them."""
    names = [f"bias_{part}{suffix}" for part in ("ih", "hh")]
    if biased:
        bias_ih, bias_hh = (weights.take(name, (rows,)) for name in names)
    else:
        bias_ih, bias_hh = (weights.take_or(name, (rows,), 0) for name in names)
    if kind == "gru":
        return {"bias_ih": bias_ih, "bias_hh": bias_hh}
    return {"bias": bias_ih + bias_hh}


def _initial(
    states: Sequence[Float64Array],
    n: int,
    layers: int,
    kind: str,
    arrays: dict[str, Float64Array],
    name: str,
) -> dict[str, Float64Array]:
    """Return the initial state of layer ``n``."""
    letters = "hc" if kind == "lstm" else "h"
    if not states:
        return {}
    if letters == "h" and len(states) != 1 and states[0].ndim < 3:  # h0 as nested lists
        states = [np.stack(states)]
    if len(states) != len(letters):
        raise ConvertError(
            f"{name}: expected an initial state of {len(letters)} vectors ({', '.join(letters)}), "
            f"got {len(states)}."
        )
    found = {}
    sizes = {"h": arrays["weight_hh"].shape[1], "c": len(arrays["weight_hh"]) // _GATES[kind]}
    for letter, state in zip(letters, states, strict=True):
        size = sizes[letter]
        if state.size != layers * size or state.shape[-1] != size:
            raise ConvertError(
                f"{name}: expected initial {letter} of shape ({layers}, 1, {size}), got "
                f"{state.shape}."
            )
        found[f"initial_{letter}"] = state.reshape(layers, size)[n]
    return found
