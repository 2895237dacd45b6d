"""A model compiled to what kernels take: one weight block, one integer table, one row layout."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels import layout
from .kernels.layout import COLUMNS, padded
from .layers import LSTM, Dense, Layer
from .model import Model

Float32Array = NDArray[np.float32]

_ACTIVATIONS = {
    "linear": layout.LINEAR,
    "relu": layout.RELU,
    "tanh": layout.TANH,
    "sigmoid": layout.SIGMOID,
}


def row_layout(model: Model) -> tuple[list[dict[str, slice]], int]:
    """Say where in a state row each layer's vectors stand.

    Returns
    -------
    places : list of dict of str to slice
        For each layer its state vectors by name.
    row_size : int
        R, floats in a row. Every vector starts on a cache line; the padding stays zero.
    """
    places: list[dict[str, slice]] = []
    end = 0
    for layer in model.layers:
        place = {}
        for name, width in layer.state.items():
            place[name] = slice(end, end + width)
            end += padded(width)
        places.append(place)
    return places, end


def initial_row(model: Model) -> Float32Array:
    """Return the state row of a stream that has seen nothing: zeros, or what was trained."""
    places, row_size = row_layout(model)
    row = np.zeros(row_size, np.float32)
    for place, weights in zip(places, model.weights, strict=True):
        for name, columns in place.items():
            row[columns] = weights.get(f"initial_{name}", 0.0)
    return row


@dataclass(frozen=True, eq=False)
class Plan:
    """What :mod:`streamlstm.kernels.step` needs to run a model.

    Attributes
    ----------
    weights : float32[...]
        Scaling and packed panels of all layers.
    program : int64[...]
        The integer table (streamlstm.kernels.layout).
    row_size : int
        R, floats in a state row.
    work : int
        Multiply-adds of one step of one stream.
    """

    weights: Float32Array
    program: NDArray[np.int64]
    row_size: int
    work: int

    @property
    def stride(self) -> int:
        """Floats of scratch that one stream's activations take."""
        return int(self.program[layout.STRIDE])


def compile_plan(model: Model, lanes: int) -> Plan:
    """Pack a model's weights for vectors of ``lanes`` floats and write its program."""
    places, row_size = row_layout(model)
    block = _Block()
    scaling_in, scaling_out = model.input_scaling, model.output_scaling
    header = np.zeros(layout.HEADER, np.int64)
    header[layout.INPUTS] = model.input_size
    header[layout.OUTPUTS] = model.output_size
    header[layout.LAYERS] = len(model.layers)
    header[layout.ROW_SIZE] = row_size
    inverse = (1.0 / scaling_in.scale.astype(np.float64)).astype(np.float32)
    header[layout.INPUT_SCALING] = block.add(scaling_in.mean, inverse)
    header[layout.OUTPUT_SCALING] = block.add(scaling_out.scale, scaling_out.mean)
    header[layout.STRIDE] = max(_stride(layer) for layer in model.layers)
    rows = [
        _layer_row(layer, weights, place, block, lanes)
        for layer, weights, place in zip(model.layers, model.weights, places, strict=True)
    ]
    skip = np.array(model.skip or (), np.int64)
    header[layout.SKIP] = layout.HEADER + layout.ROW * len(rows) if len(skip) else -1
    return Plan(
        weights=block.finish(),
        program=np.concatenate([header, *rows, skip]),
        row_size=row_size,
        work=sum(int(a.size) for weights in model.weights for a in weights.values()),
    )


def pack_panels(weight: Float32Array, bias: Float32Array, width: int) -> Float32Array:
    """Lay out a product's weights as panels of ``width`` outputs.

    Parameters
    ----------
    weight, bias : float32[N, K], float32[N]
        N is a multiple of ``width``.
    width : int
        Floats in one row of a panel.

    Returns
    -------
    float32[N / width, 1 + K, width], flat
        In every panel first the biases, then one row for each input.
    """
    rows = np.concatenate([bias[:, None], weight], axis=1)
    panels = rows.reshape(-1, width, rows.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(panels, dtype=np.float32).ravel()


class _Block:
    """The weight block while it grows; every part starts on a cache line."""

    def __init__(self) -> None:
        self.parts: list[Float32Array] = []
        self.size = 0

    def add(self, *arrays: Float32Array) -> int:
        offset = self.size
        part = np.concatenate([array.ravel() for array in arrays])
        part = np.pad(part, (0, padded(len(part)) - len(part)))
        self.parts.append(part)
        self.size += len(part)
        return offset

    def finish(self) -> Float32Array:
        # numpy aligns to 16 bytes only; a vector load across two cache lines costs twice.
        memory = np.zeros(self.size + layout.PAD, np.float32)
        shift = (-memory.ctypes.data // 4) % layout.PAD
        weights = memory[shift : shift + self.size]
        np.concatenate(self.parts, out=weights)
        return weights


def _stride(layer: Layer) -> int:
    if isinstance(layer, LSTM):
        return padded(layer.input_size + padded(layer.hidden_size))
    return padded(max(layer.input_size, layer.output_size))


def _layer_row(
    layer: Layer,
    weights: dict[str, Float32Array],
    place: dict[str, slice],
    block: _Block,
    lanes: int,
) -> NDArray[np.int64]:
    row = np.zeros(layout.ROW, np.int64)
    row[layout.LAYER_INPUTS] = layer.input_size
    row[layout.LAYER_OUTPUTS] = layer.output_size
    if isinstance(layer, LSTM):
        row[layout.KIND] = layout.LSTM
        row[layout.HIDDEN] = place["h"].start
        row[layout.CELL] = place["c"].start
        row[layout.WEIGHTS] = block.add(_pack_lstm(layer, weights, lanes))
    else:
        row[layout.KIND] = layout.DENSE
        row[layout.ACTIVATION] = _ACTIVATIONS[layer.activation]
        row[layout.WEIGHTS] = block.add(_pack_dense(layer, weights, lanes))
    return row


def _pack_lstm(layer: LSTM, weights: dict[str, Float32Array], lanes: int) -> Float32Array:
    """Order the outputs so that a panel holds the four gates of ``lanes`` hidden units."""
    H = layer.hidden_size
    units = -(-H // lanes) * lanes
    weight = np.concatenate([weights["weight_ih"], weights["weight_hh"]], axis=1)

    def by_unit(array: NDArray[Any]) -> NDArray[Any]:
        gates = np.zeros((4, units, *array.shape[1:]), np.float32)
        gates[:, :H] = array.reshape(4, H, *array.shape[1:])
        gates = gates.reshape(4, units // lanes, lanes, *array.shape[1:])
        return gates.swapaxes(0, 1).reshape(4 * units, *array.shape[1:])

    return pack_panels(by_unit(weight), by_unit(weights["bias"]), COLUMNS * lanes)


def _pack_dense(layer: Dense, weights: dict[str, Float32Array], lanes: int) -> Float32Array:
    """Take as many wide panels as there are whole ones, the rest in panels of one vector."""
    O, K = layer.output_size, layer.input_size
    outputs = -(-O // lanes) * lanes
    weight, bias = np.zeros((outputs, K), np.float32), np.zeros(outputs, np.float32)
    weight[:O], bias[:O] = weights["weight"], weights["bias"]
    wide = outputs // (COLUMNS * lanes) * (COLUMNS * lanes)
    return np.concatenate(
        [
            pack_panels(weight[:wide], bias[:wide], COLUMNS * lanes),
            pack_panels(weight[wide:], bias[wide:], lanes),
        ]
    )
