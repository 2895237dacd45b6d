"""The row of a layer in the program (kernels/layout.py), and its weights in the block."""

import numpy as np
from numpy.typing import NDArray

from ..kernels import layout
from ..kernels.layout import padded
from ..lazy_arrays import lazy_zeros
from ..network.activations import parse_activation
from ..network.layers import GRU, LSTM, Attention, Conv1D, Embedding, Layer, Parallel
from . import packing
from .packing import Float32Array, Weights
from .precision import has_16_bits, is_plain, narrow


class Block:
    """Builds the weight block; every part starts on a cache line."""

    def __init__(self, precision: str) -> None:
        self.parts: list[Float32Array] = []
        self.size = 0
        self.precision = precision

    def add(self, *arrays: Float32Array) -> int:
        """Append arrays as one part and return its offset."""
        offset = self.size
        part = np.concatenate([array.ravel() for array in arrays])
        part = np.pad(part, (0, padded(len(part)) - len(part)))
        self.parts.append(part)
        self.size += len(part)
        return offset

    def finish(self) -> Float32Array:
        """Return the block."""
        # A load of a last vector may reach beyond the end.
        weights = lazy_zeros(self.size + layout.PAD, np.float32)[: self.size]
        np.concatenate(self.parts, out=weights)
        return weights


def stride(layer: Layer) -> int:
    """Return how many floats of scratch one stream needs on either side of a layer."""
    if isinstance(layer, Parallel):  # what its layers need is counted by itself
        return padded(max(layer.input_size, layer.output_size))
    if isinstance(layer, Conv1D):  # the rows that an output sees, side by side
        return padded(max(layer.kernel_size * layer.input_size, layer.output_size))
    if layer.state:
        inputs = padded(layer.input_size + padded(layer.output_size))
        separate = isinstance(layer, GRU) and not layer.reset_after  # r * h, and z behind it
        return max(inputs, (1 + separate) * padded(_units(layer)))
    if isinstance(layer, Embedding):
        return padded(padded(layer.dimension) + layer.input_size)
    return padded(max(layer.input_size, layer.output_size))


def workspace(layer: Layer, lanes: int, sequences: bool) -> int:
    """Return how many floats of pre-activations of one stream are needed at once."""
    if (sequences and has_rows_kernel(layer)) or (isinstance(layer, LSTM) and not is_plain(layer)):
        return -(-_units(layer) // lanes) * lanes * layout.COLUMNS
    return 0


def has_rows_kernel(layer: Layer) -> bool:
    """Tell whether there is a kernel that steps a layer by all rows of a window at once."""
    if isinstance(layer, GRU):
        return layer.reset_after
    return is_plain(layer)


def _is_standard(layer: LSTM | GRU) -> bool:
    gate, candidate = _parse(layer, "gate_activation"), _parse(layer, "candidate_activation")
    return gate[0] in ("sigmoid", "hard_sigmoid") and candidate[0] == "tanh"


def layer_row(
    layer: Layer, weights: Weights, place: dict[str, slice], block: Block, lanes: int
) -> NDArray[np.int64]:
    """Return the row of a layer in the program, and add its weights to the block."""
    row = np.zeros(layout.ROW, np.int64)
    row[layout.LAYER_INPUTS] = layer.input_size
    row[layout.LAYER_OUTPUTS] = layer.output_size
    row[[layout.NORM, layout.PROJECTION]] = -1
    row[layout.CONSTANTS] = block.add(_constants(layer))
    gates = ("gate_activation", "candidate_activation", "cell_activation")
    for n, field in enumerate(("activation",) if hasattr(layer, "activation") else gates):
        if hasattr(layer, field):
            row[layout.ACTIVATION + n] = layout.CODES[_parse(layer, field)[0]]
    vectors = {"h": layout.HIDDEN, "c": layout.CELL, "ring": layout.HIDDEN, "place": layout.CELL}
    for name, column in vectors.items():
        if name in place:
            row[column] = place[name].start
    row[layout.UNITS] = _units(layer)
    if isinstance(layer, LSTM):
        _lstm_row(row, layer, weights, block, lanes)
    elif isinstance(layer, GRU):
        _gru_row(row, layer, weights, block, lanes)
    elif isinstance(layer, Parallel):
        row[layout.KIND] = layout.PARALLEL_STEP
        row[layout.BRANCHES] = len(layer.branches)
        row[layout.ROWS_MODE] = _MERGES[layer.merge]
    elif isinstance(layer, Conv1D):
        row[layout.KIND] = layout.CONV_STEP
        row[layout.ROWS_SIZE], row[layout.ROWS_DILATION] = layer.kernel_size, layer.dilation
        flat = weights["weight"].reshape(layer.output_size, -1)
        row[layout.WEIGHTS] = block.add(packing.pack_product(flat, weights["bias"], lanes))
    elif layer.over_rows:
        row[layout.KIND] = layout.KINDS[layer.kind]
    else:
        row[layout.KIND] = layout.KINDS[layer.kind]
        _default_row(row, layer, weights, block, lanes)
    return row


_MERGES = {"add": layout.ADD, "multiply": layout.MULTIPLY, "concatenate": layout.CONCATENATE}


def _units(layer: Layer) -> int:
    units: int = getattr(layer, "hidden_size", getattr(layer, "categories", 0))
    return units


def _default_row(
    row: NDArray[np.int64], layer: Layer, weights: Weights, block: Block, lanes: int
) -> None:
    """Pack one product of a layer with a bias and matrices; else each vector or row of its own."""
    matrices = [weights[name] for name in ("weight", "weight_ih", "weight_hh") if name in weights]
    if "bias" in weights and all(matrix.ndim == 2 for matrix in matrices):
        product = np.concatenate(matrices, axis=1)
        row[layout.WEIGHTS] = block.add(packing.pack_product(product, weights["bias"], lanes))
        return
    vectors = (vector for name in layer.parameters() for vector in np.atleast_2d(weights[name]))
    row[layout.VECTORS] = block.add(packing.pad_vectors(*vectors))


def _lstm_row(
    row: NDArray[np.int64], layer: LSTM, weights: Weights, block: Block, lanes: int
) -> None:
    options = layout.LSTM_NORM if layer.layer_norm else layout.LSTM_OPTIONS
    row[layout.KIND] = layout.LSTM if is_plain(layer) else options
    row[layout.COUPLED] = layer.coupled
    if row[layout.KIND] == layout.LSTM and (precision := narrow(block.precision)):
        if precision == "int8":
            row[layout.WEIGHTS] = block.add(packing.pack_lstm_bytes(weights, lanes))
        else:
            row[layout.WEIGHTS] = block.add(packing.pack_lstm_pairs(layer, weights, lanes))
        return
    row[layout.WEIGHTS] = block.add(packing.pack_lstm(layer, weights, lanes))
    row[layout.STANDARD] = _is_standard(layer) and _parse(layer, "cell_activation")[0] == "tanh"
    if row[layout.KIND] == layout.LSTM and has_16_bits(block.precision):
        short = packing.pack_lstm_16_bits(layer, weights, lanes, block.precision)
        row[layout.WEIGHTS_16_BITS] = block.add(short)
    if row[layout.KIND] != layout.LSTM:
        row[layout.PEEPHOLE] = block.add(packing.pack_peephole(layer, weights))
    if layer.layer_norm:
        row[layout.NORM] = block.add(packing.pack_lstm_norm(layer, weights, lanes))
    if layer.projection_size is not None:
        weight = weights["weight_hr"]
        packed = packing.pack_product(weight, np.zeros(len(weight), np.float32), lanes)
        row[layout.PROJECTION] = block.add(packed)


def _gru_row(
    row: NDArray[np.int64], layer: GRU, weights: Weights, block: Block, lanes: int
) -> None:
    row[layout.STANDARD] = _is_standard(layer)
    if layer.reset_after:
        row[layout.KIND] = layout.GRU
        row[layout.WEIGHTS] = block.add(packing.pack_gru(layer, weights, lanes))
    else:
        row[layout.KIND] = layout.GRU_BEFORE
        gates, candidate = packing.pack_gru_before(layer, weights, lanes)
        row[layout.WEIGHTS] = block.add(gates)
        row[layout.VECTORS] = block.add(candidate)


def _parse(layer: Layer, field: str) -> tuple[str, tuple[float, ...]]:
    return parse_activation(getattr(layer, field), together=True)


def _constants(layer: Layer) -> Float32Array:
    """Return parameters of activations, bounds and epsilon as layout.py orders them."""
    constants = np.zeros(layout.CONSTANT_COUNT, np.float32)
    fields = ("gate_activation", "candidate_activation", "cell_activation")
    for n, field in enumerate(fields):
        named = field if hasattr(layer, field) else "activation" if n == 0 else ""
        if hasattr(layer, named):
            parameters = _parse(layer, named)[1]
            constants[2 * n : 2 * n + len(parameters)] = parameters
    for place, field in (
        (layout.GATE_CLIP, "gate_clip"),
        (layout.CELL_CLIP, "cell_clip"),
        (layout.PROJECTION_CLIP, "projection_clip"),
    ):
        bound = getattr(layer, field, None)
        constants[place] = np.inf if bound is None else bound
    if isinstance(layer, Attention):
        constants[0] = layer.scale
    constants[layout.EPSILON] = getattr(layer, "epsilon", 1e-5)
    return constants
