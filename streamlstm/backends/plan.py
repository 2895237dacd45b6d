"""Compile a model to what kernels read: one weight block, one integer table, one row layout."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import layout
from ..kernels.layout import padded
from ..network.compatibility import stage_versions
from ..network.model import Model
from ..network.window import FIRST, WAIT, ZEROS
from ..online.layout import former_columns, initial_parts, stage_places, stage_size
from ..online.table import stage_table
from .branches import Part, depth, fork_table, place_tables
from .layer_rows import Block, layer_row, stride, workspace
from .packing import Float32Array
from .stages import Stages, in_steps, make_stages, runs_over_rows, takes_sequences
from .work import multiply_adds


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
    for state in states_of(model):
        place = {}
        for name, width in state.items():
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
    return sum(padded(width) for state in states_of(model) for width in state.values())


def states_of(model: Model) -> list[dict[str, int]]:
    """Return name and width of the state vectors of each layer.

    Of a window a convolution sees all rows, and keeps none.
    """
    over_rows = runs_over_rows(model)
    return [layer.window_state if over_rows else layer.state for layer in model.layers]


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
    rows = zip(model.layers, row_layout(model)[0], strict=True)
    starts = [place[layer.hidden].start for layer, place in rows if layer.hidden]
    return starts[-1] if starts else 0


def prediction_place(model: Model) -> slice:
    """Return the position in a state row of the prediction of the last numbered observation."""
    place = row_layout(model)[1] - padded(model.result_size)
    return slice(place, place + model.output_size)


def result_place(model: Model) -> slice:
    """Return the position in a state row of the whole result of the last numbered observation."""
    start = prediction_place(model).start
    return slice(start, start + model.result_size)


def former_rows(model: Model) -> dict[int, NDArray[np.int64]]:
    """Return for each former version where the floats of its rows stand in a row, the latest first.

    -1 stands for padding.
    """
    start, row_size = stage_start(model), row_layout(model)[1]
    result, rows = np.arange(row_size - padded(model.result_size), row_size), {}
    for version in stage_versions(model)[1:]:
        kept = former_columns(model, version)
        stage = np.full(padded(len(kept)), -1)
        stage[: len(kept)] = start + kept
        rows[version] = np.concatenate([np.arange(start), stage, result])
    return rows


def former_sizes(model: Model) -> dict[int, NDArray[np.int64]]:
    """Return by their sizes in floats the :func:`former_rows` that are smaller than those of today.

    Those of the same size are read as they are: what they lack is at the end, in the padding.
    """
    latest_last = reversed(former_rows(model).values())
    sizes = {len(places): places for places in latest_last}
    sizes.pop(row_layout(model)[1], None)
    return sizes


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
    for layer, place, weights in zip(model.layers, places, model.weights, strict=True):
        for name, columns in place.items():
            row[columns] = weights.get(layer.initial_of(name), 0.0)
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


def compile_plan(
    model: Model, lanes: int, precision: str = "float32", *, sequences: bool = False
) -> Plan:
    """Pack a model's weights for vectors of ``lanes`` floats and write its program.

    With a ``precision`` of 16 bits, to which the weights are rounded already, the step of a single
    stream reads those of a plain LSTM in it. A block reads weights many times from caches, where
    their size matters little, and layers of other kinds have one path only. With ``sequences``
    layers of a window that have a kernel for it take all rows at once, unless weights have 16 bits.
    """
    sequences = sequences and precision == "float32" and takes_sequences(model)
    over_rows = sequences or runs_over_rows(model)
    places, row_size = row_layout(model)
    block = Block(precision)
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
    layers = in_steps(model, over_rows)
    widths = padded(max(model.layers[0].input_size, model.output_size))
    steps = header[layout.STRIDE] = max([widths, *(stride(layer) for layer in layers)])
    header[layout.WORKSPACE] = max([0, *(workspace(x, lanes, sequences) for x in layers)])
    stages = None
    rows: list[NDArray[np.int64]] = []
    tables: list[NDArray[np.int64]] = []
    kinds: set[int] = set()

    def write(chain: Sequence[Part], level: int) -> list[NDArray[np.int64]]:
        written = [layer_row(*part, block, lanes) for part in chain]
        for row in written:
            row[layout.BRANCH_ROOM] = 2 * (level + 1) * steps
            kinds.add(int(row[layout.KIND]))
        return written

    if over_rows:
        stages = make_stages(model, places, block, lanes, int(steps), row_size, sequences)
    else:
        # Two rows of each stream for every fork within a fork.
        header[layout.WORKSPACE] += 2 * depth(model.layers) * steps
        parts = list(zip(model.layers, model.weights, places, strict=True))
        rows = write(parts, 0)
        tables = [fork_table(part, 0, write, 0) for part in parts]
    if model.window is not None:
        rows.insert(0, _window_row(model, model.window, block, stages))
        kinds.add(int(rows[0][layout.KIND]))
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
    program = [header, *rows, skip, table]
    end = sum(len(part) for part in program)
    if stages is not None:
        rows[0][layout.STAGES] = end
        program.append(stages.program)
        kinds |= stages.kinds
    else:
        own = rows[-len(model.layers) :]
        first = layout.HEADER + layout.ROW * (len(rows) - len(own))
        place_tables(own, tables, [first + layout.ROW * n for n in range(len(own))], end)
        program += tables
    return Plan(
        weights=block.finish(),
        program=np.concatenate(program),
        row_size=row_size,
        kinds=tuple(sorted(kinds)),
        work=multiply_adds(model),
    )


def _window_row(
    model: Model, window: int, block: Block, stages: Stages | None
) -> NDArray[np.int64]:
    row = np.zeros(layout.ROW, np.int64)
    row[layout.KIND] = layout.WINDOW if stages is None else layout.WHOLE_WINDOW
    row[layout.LAYER_INPUTS] = model.layers[0].input_size
    row[layout.LAYER_OUTPUTS] = model.output_size
    row[layout.WINDOW_ROWS] = window
    row[layout.WINDOW_PLACE] = window_place(model).start
    row[layout.WINDOW_LAYERS] = len(model.layers)
    row[layout.WINDOW_RECURRENT] = last_recurrent(model) + 1
    for column, value in ({} if stages is None else stages.columns).items():
        row[column] = value
    row[layout.WINDOW_INITIAL] = block.add(initial_row(model)[: state_size(model)])
    row[layout.WINDOW_STATE] = state_size(model)
    starts = {WAIT: layout.START_WAIT, FIRST: layout.START_FIRST}
    row[layout.WINDOW_START] = starts.get(model.start, layout.START_ANSWER)
    return row


def last_recurrent(model: Model) -> int:
    """Return the number of the last layer with a state."""
    return max((n for n, layer in enumerate(model.layers) if layer.state), default=-1)
