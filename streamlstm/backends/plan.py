"""Compile a model to what kernels read: one weight block, one integer table, one row layout."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import layout
from ..kernels.layout import padded
from ..lazy_arrays import lazy_zeros
from ..network.activations import parse_activation
from ..network.layers import GRU, LSTM, Embedding, Layer
from ..network.model import Model
from ..network.window import FIRST, WAIT, ZEROS
from ..online.layout import former_columns, initial_parts, stage_places, stage_size
from ..online.table import stage_table
from . import packing
from .packing import Float32Array, Weights


def row_layout(model: Model) -> tuple[list[dict[str, slice]], int]:
    """Lay out a state row: the position of each layer's vectors.

    Returns
    -------
    places : list of dict of str to slice
        For each layer its state vectors by name.
    row_size : int
        R, floats in a row. Every vector starts on a cache line; the padding stays zero. The layers
        are followed by the window (:func:`window_place`), the columns of the online stage
        (:func:`stage_start`), and the last result (:func:`prediction_place`).
    """
    places: list[dict[str, slice]] = []
    end = 0
    for layer in model.layers:
        place = {}
        for name, width in layer.state.items():
            place[name] = slice(end, end + width)
            end += padded(width)
        places.append(place)
    end += padded(window_size(model))
    return places, end + padded(stage_size(model)) + padded(model.result_size)


def stage_start(model: Model) -> int:
    """Return where the columns of the online stage begin in a state row, behind the network's."""
    return state_size(model) + padded(window_size(model))


def state_size(model: Model) -> int:
    """Return how many floats of a state row are states of layers."""
    return sum(padded(width) for layer in model.layers for width in layer.state.values())


def window_size(model: Model) -> int:
    """Return how many floats the window takes: two counters, and the last T inputs of the layers.

    The counters are the number of rows in the window and the place of the next one, which replaces
    the oldest: the rows are a ring.
    """
    if model.window is None:
        return 0
    return layout.WINDOW_COUNTERS + model.window * model.layers[0].input_size


def window_place(model: Model) -> slice:
    """Return the position of the window in a state row; empty if the model has none."""
    start = state_size(model)
    return slice(start, start + window_size(model))


def count_place(model: Model) -> slice:
    """Return where the number of steps of a stream stands in a state row, if there is a stage."""
    return stage_places(model, stage_start(model)).get("count", slice(0, 0))


def hidden_start(model: Model) -> int:
    """Return where the last hidden state begins in a state row; 0 if there is none."""
    starts = [place["h"].start for place in row_layout(model)[0] if "h" in place]
    return starts[-1] if starts else 0


def prediction_place(model: Model) -> slice:
    """Return the position in a state row of the prediction of the last numbered observation."""
    place = row_layout(model)[1] - padded(model.result_size)
    return slice(place, place + model.output_size)


def result_place(model: Model) -> slice:
    """Return the position in a state row of the whole result of the last numbered observation."""
    start = prediction_place(model).start
    return slice(start, start + model.result_size)


def former_row(model: Model) -> NDArray[np.int64]:
    """Return where the floats of a row of the former version stand in a row, -1 for its padding.

    Empty if rows are as they were.
    """
    kept, start = former_columns(model), stage_start(model)
    row_size, result = row_layout(model)[1], padded(model.result_size)
    if len(kept) == stage_size(model):
        return np.zeros(0, np.int64)
    stage = np.full(padded(len(kept)), -1)
    stage[: len(kept)] = start + kept
    return np.concatenate([np.arange(start), stage, np.arange(row_size - result, row_size)])


def from_former(
    row: Float32Array, places: NDArray[np.int64], initial: Float32Array
) -> Float32Array:
    """Return a row of the former version as one of today, what is new as in ``initial``."""
    today, kept = initial.copy(), places >= 0
    today[places[kept]] = row[kept]
    return today


def initial_row(model: Model) -> Float32Array:
    """Return the state row of a new stream: zeros, trained initial states, and the stage's own."""
    places, row_size = row_layout(model)
    row = np.zeros(row_size, np.float32)
    for place, weights in zip(places, model.weights, strict=True):
        for name, columns in place.items():
            row[columns] = weights.get(f"initial_{name}", 0.0)
    if model.window is not None and model.start == ZEROS:
        row[window_place(model).start] = model.window  # of zeros
    start = stage_start(model)
    for values in initial_parts(model).values():
        row[start : start + len(values)] = values
        start += len(values)
    return row


@dataclass(frozen=True, eq=False)
class Plan:
    """A model as :mod:`streamlstm.kernels.step` runs it.

    Attributes
    ----------
    weights : float32[...]
        Scaling and packed panels of all layers.
    program : int64[...]
        The integer table (streamlstm.kernels.layout).
    row_size : int
        R, floats in a state row.
    work : int
        Multiply-adds of one step of one stream, about.
    kinds : tuple of int
        Kinds of layers (streamlstm.kernels.layout), each once.
    """

    weights: Float32Array
    program: NDArray[np.int64]
    row_size: int
    work: int
    kinds: tuple[int, ...]


def compile_plan(model: Model, lanes: int, precision: str = "float32") -> Plan:
    """Pack a model's weights for vectors of ``lanes`` floats and write its program.

    With a ``precision`` of 16 bits, to which the weights are rounded already, the step of a single
    stream reads those of a plain LSTM in it. A block reads weights many times from caches, where
    their size matters little, and layers of other kinds have one path only.
    """
    places, row_size = row_layout(model)
    block = _Block(precision)
    scaling_in, scaling_out = model.input_scaling, model.output_scaling
    header = np.zeros(layout.HEADER, np.int64)
    header[layout.INPUTS] = model.input_size
    header[layout.WIDTH] = model.observation_size
    header[layout.OUTPUTS] = model.output_size
    header[layout.LAYERS] = len(model.layers)
    header[layout.ROW_SIZE] = row_size
    header[layout.PREDICTION] = prediction_place(model).start
    header[layout.RESULT] = model.result_size
    header[layout.CATEGORIES] = model.categories
    inverse = (1.0 / scaling_in.scale.astype(np.float64)).astype(np.float32)
    header[layout.INPUT_SCALING] = block.add(scaling_in.mean, inverse)
    header[layout.OUTPUT_SCALING] = block.add(scaling_out.scale, scaling_out.mean)
    header[layout.STRIDE] = max(_stride(layer) for layer in model.layers)
    header[layout.WORKSPACE] = max(_workspace(layer, lanes) for layer in model.layers)
    rows = [
        _layer_row(layer, weights, place, block, lanes)
        for layer, weights, place in zip(model.layers, model.weights, places, strict=True)
    ]
    if model.window is not None:
        rows.insert(0, _window_row(model, model.window, block))
        header[layout.LAYERS] = 1
    skip = np.array(model.skip or (), np.int64)
    header[layout.SKIP] = layout.HEADER + layout.ROW * len(rows) if len(skip) else -1
    if len(skip):
        header[layout.SKIP_SCALE] = block.add(model.skip_factors)
    table = stage_table(model, stage_start(model), hidden_start(model), block.add)
    if model.online is not None:
        header[layout.TIMED] = bool(model.online.calendar)
        header[layout.STAGE] = layout.HEADER + layout.ROW * len(rows) + len(skip)
        header[layout.FILLS] = header[layout.STAGE] + len(table) - model.observation_size
    return Plan(
        weights=block.finish(),
        program=np.concatenate([header, *rows, skip, table]),
        row_size=row_size,
        kinds=tuple(sorted({int(row[layout.KIND]) for row in rows})),
        work=(model.window or 1)
        * sum(
            int(array.size)
            for layer, weights in zip(model.layers, model.weights, strict=True)
            if not isinstance(layer, Embedding)
            for array in weights.values()
        ),
    )


class _Block:
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
        # A load of a last vector may reach beyond the end.
        weights = lazy_zeros(self.size + layout.PAD, np.float32)[: self.size]
        np.concatenate(self.parts, out=weights)
        return weights


def _stride(layer: Layer) -> int:
    """Return how many floats of scratch one stream needs on either side of a layer."""
    if layer.state:
        inputs = padded(layer.input_size + padded(layer.output_size))
        separate = isinstance(layer, GRU) and not layer.reset_after  # r * h, and z behind it
        return max(inputs, (1 + separate) * padded(_units(layer)))
    if isinstance(layer, Embedding):
        return padded(padded(layer.dimension) + layer.input_size)
    return padded(max(layer.input_size, layer.output_size))


def _workspace(layer: Layer, lanes: int) -> int:
    """Return how many floats of pre-activations of one stream are needed at once."""
    if isinstance(layer, LSTM) and not _is_plain(layer):
        return -(-layer.hidden_size // lanes) * lanes * layout.COLUMNS
    return 0


def _is_plain(layer: LSTM) -> bool:
    plain = LSTM(layer.input_size, layer.hidden_size, initial_state=layer.initial_state)
    return layer == plain


def _is_standard(layer: LSTM | GRU) -> bool:
    gate, candidate = _parse(layer, "gate_activation"), _parse(layer, "candidate_activation")
    return gate[0] in ("sigmoid", "hard_sigmoid") and candidate[0] == "tanh"


def _layer_row(
    layer: Layer, weights: Weights, place: dict[str, slice], block: _Block, lanes: int
) -> NDArray[np.int64]:
    row = np.zeros(layout.ROW, np.int64)
    row[layout.LAYER_INPUTS] = layer.input_size
    row[layout.LAYER_OUTPUTS] = layer.output_size
    row[[layout.NORM, layout.PROJECTION]] = -1
    row[layout.CONSTANTS] = block.add(_constants(layer))
    gates = ("gate_activation", "candidate_activation", "cell_activation")
    for n, field in enumerate(("activation",) if hasattr(layer, "activation") else gates):
        if hasattr(layer, field):
            row[layout.ACTIVATION + n] = layout.CODES[_parse(layer, field)[0]]
    for name, column in (("h", layout.HIDDEN), ("c", layout.CELL)):
        if name in place:
            row[column] = place[name].start
    row[layout.UNITS] = _units(layer)
    if isinstance(layer, LSTM):
        _lstm_row(row, layer, weights, block, lanes)
    elif isinstance(layer, GRU):
        _gru_row(row, layer, weights, block, lanes)
    else:
        row[layout.KIND] = layout.KINDS[layer.kind]
        _default_row(row, layer, weights, block, lanes)
    return row


def _window_row(model: Model, window: int, block: _Block) -> NDArray[np.int64]:
    row = np.zeros(layout.ROW, np.int64)
    row[layout.KIND] = layout.WINDOW
    row[layout.LAYER_INPUTS] = model.layers[0].input_size
    row[layout.LAYER_OUTPUTS] = model.output_size
    row[layout.WINDOW_ROWS] = window
    row[layout.WINDOW_PLACE] = window_place(model).start
    row[layout.WINDOW_LAYERS] = len(model.layers)
    row[layout.WINDOW_RECURRENT] = last_recurrent(model) + 1
    row[layout.WINDOW_INITIAL] = block.add(initial_row(model)[: state_size(model)])
    row[layout.WINDOW_STATE] = state_size(model)
    starts = {WAIT: layout.START_WAIT, FIRST: layout.START_FIRST}
    row[layout.WINDOW_START] = starts.get(model.start, layout.START_ANSWER)
    return row


def last_recurrent(model: Model) -> int:
    """Return the number of the last layer with a state."""
    return max(n for n, layer in enumerate(model.layers) if layer.state)


def _units(layer: Layer) -> int:
    units: int = getattr(layer, "hidden_size", getattr(layer, "categories", 0))
    return units


def _default_row(
    row: NDArray[np.int64], layer: Layer, weights: Weights, block: _Block, lanes: int
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
    row: NDArray[np.int64], layer: LSTM, weights: Weights, block: _Block, lanes: int
) -> None:
    options = layout.LSTM_NORM if layer.layer_norm else layout.LSTM_OPTIONS
    row[layout.KIND] = layout.LSTM if _is_plain(layer) else options
    row[layout.COUPLED] = layer.coupled
    row[layout.WEIGHTS] = block.add(packing.pack_lstm(layer, weights, lanes))
    row[layout.STANDARD] = _is_standard(layer) and _parse(layer, "cell_activation")[0] == "tanh"
    if row[layout.KIND] == layout.LSTM and block.precision != "float32":
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
    row: NDArray[np.int64], layer: GRU, weights: Weights, block: _Block, lanes: int
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
    constants[layout.EPSILON] = getattr(layer, "epsilon", 1e-5)
    return constants
