"""The stages of a window model whose layers run over all rows, one layer after the other.

kernels/whole_window.py reads them: for each layer a header with the stride of its rows, and a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..kernels import layout
from ..kernels.layout import padded
from ..network.layers import (
    Attention,
    Bidirectional,
    Conv1D,
    Flatten,
    Last,
    Layer,
    Parallel,
    Pool,
    Repeat,
    Reverse,
    Transpose,
)
from ..network.model import Model
from ..network.window import WAIT, takes_any_rows
from .branches import Part, Place, chain, depth, with_inner
from .layer_rows import Block, has_rows_kernel, layer_row, stride
from .packing import Weights

# Floats of a sequence of all streams that go through the layers together: two of them stay in the
# second level of cache. Streams go by whole tiles of the product.
TOGETHER, TILE = 2**16, 6
MOST = 2**20  # floats of a sequence of one stream from which on layers are stepped row by row


@dataclass(frozen=True)
class Stages:
    """What stands in a program for layers over rows.

    Attributes
    ----------
    program : int64[...]
        STAGE_SIZE numbers for each layer.
    columns : dict of int to int
        Columns of the row of the window, by number.
    kinds : set of int
        Kinds of the layers.
    """

    program: NDArray[np.int64]
    columns: dict[int, int]
    kinds: set[int]


def runs_over_rows(model: Model) -> bool:
    """Tell whether the layers run over all rows of a window, one layer after the other."""
    return model.window is not None and any(layer.over_rows for layer in model.layers)


def takes_sequences(model: Model) -> bool:
    """Tell whether a layer has a kernel that takes all rows of a window at once, and may use it."""
    if model.window is None:
        return False
    layers = with_inner(model.layers)
    widest = max(max(layer.input_size, layer.output_size) for layer in layers)
    return model.window * widest <= MOST and any(map(has_rows_kernel, layers))


def in_steps(model: Model, over_rows: bool) -> list[Layer]:
    """Return the layers whose inputs and outputs stand in the rows where layers are stepped."""
    if not over_rows:
        return with_inner(model.layers)
    cells = [x.layer if isinstance(x, Bidirectional) else x for x in with_inner(model.layers)]
    return [layer for layer in cells if layer.state or isinstance(layer, Conv1D)]


def make_stages(
    model: Model,
    places: Sequence[Place],
    block: Block,
    lanes: int,
    steps: int,
    row_size: int,
    sequences: bool,
) -> Stages:
    """Return the stages of a model, and add the weights of its layers to the block.

    Parameters
    ----------
    model : Model
    places : list of dict of str to slice
        For each layer its state vectors in a state row.
    block : Block
    lanes : int
        Floats in a vector.
    steps : int
        Stride of the rows where recurrent layers are stepped.
    row_size : int
        R, floats in a state row.
    sequences : bool
        Whether layers that have a kernel for it take all rows at once.
    """
    assert model.window is not None
    parts: list[Part] = []
    parts += zip(model.layers, model.weights, places, strict=True)
    needed = _needed(model.layers)
    # Which layer returns its last row only; if none does, a layer takes the last of all.
    one = needed - 1 if sequences and needed and has_rows_kernel(model.layers[needed - 1]) else None
    if one is None:
        parts.insert(needed, _last(model.layers))
    layers = [layer for layer, _, _ in parts]
    size, rows = _largest(layers, model.window, one)
    streams = min(max(TOGETHER // size // TILE * TILE, TILE), layout.GROUP)
    sequence, forks, shares = streams * size, depth(layers), padded(rows)
    kinds = set()

    def write(layers: Sequence[Part], level: int) -> list[NDArray[np.int64]]:
        strides = _strides([layer for layer, _, _ in layers])
        stages = []
        for n, part in enumerate(layers):
            header = np.zeros(layout.HEADER, np.int64)
            header[layout.STRIDE] = strides[n] if _is_row_by_row(part[0]) else steps
            header[layout.ROW_SIZE] = row_size
            pair = _rows_of(*part, block, lanes)
            pair[0, [layout.ROWS_IN, layout.ROWS_OUT]] = strides[n : n + 2]
            if sequences and has_rows_kernel(part[0]):
                lstm = pair[0, layout.KIND] == layout.LSTM
                pair[0, layout.KIND] = layout.LSTM_ROWS if lstm else layout.GRU_ROWS
                pair[0, layout.ROWS_FLAG] = level == 0 and n == one
                pair[0, layout.ROWS_ZERO] = (lstm or pair[0, layout.STANDARD]) and _starts_at_zero(
                    *part
                )
            if isinstance(part[0], Parallel):
                pair[0, layout.BRANCH_ROOM] = shares + 2 * (forks - level) * sequence
                pair[0, layout.BRANCH_SEQUENCE] = sequence
            kinds.add(int(pair[0, layout.KIND]))
            stages.append(np.concatenate([header, *pair]))
        return stages

    any_rows = takes_any_rows(model.layers, model.window) and model.start != WAIT
    results = layout.GROUP * padded(model.output_size)
    program = chain(parts, 0, write, layout.HEADER)
    columns = {
        layout.WINDOW_LAYERS: len(parts),
        layout.SEQUENCE_SIZE: size,
        layout.SEQUENCE_STREAMS: streams,
        layout.SEQUENCE_FLOATS: results + 2 * (1 + forks) * sequence + shares,
        layout.SEQUENCE_OUT: _strides(layers)[-1],
        layout.SEQUENCE_LEAST: 1 if any_rows else model.window,
    }
    return Stages(program, columns, kinds)


def _starts_at_zero(layer: Layer, weights: Weights, _place: Place) -> bool:
    starts = [weights.get(layer.initial_of(name), np.zeros(1)) for name in layer.state]
    return not any(np.any(start) or np.any(np.signbit(start)) for start in starts)


def _largest(layers: Sequence[Layer], rows: int, one: int | None = None) -> tuple[int, int]:
    """Return the floats of the largest sequence of one stream, those of branches too, and rows.

    The layer of number ``one`` returns its last row only.
    """
    if not layers:
        return 0, rows
    strides = _strides(layers)
    sizes, most = [rows * strides[0]], [rows]
    for n, layer in enumerate(layers, start=1):
        found = [_largest(b, rows) for b in layer.branches] if isinstance(layer, Parallel) else []
        rows = 1 if n - 1 == one else layer.rows_of(rows)
        for size, number in ((rows * strides[n], rows), *found):
            sizes.append(size)
            most.append(number)
    return max(sizes), max(most)


def _is_row_by_row(layer: Layer) -> bool:
    return not (layer.state or layer.over_rows or isinstance(layer, Parallel))


def _needed(layers: Sequence[Layer]) -> int:
    """Return from which layer on only the last row is needed."""
    n = len(layers)
    while n > 0 and _is_row_by_row(layers[n - 1]):
        n -= 1
    return n


def _last(layers: Sequence[Layer]) -> tuple[Layer, Weights, Place]:
    n = _needed(layers)
    return Last(layers[n - 1].output_size if n else layers[0].input_size), {}, {}


def _strides(layers: Sequence[Layer]) -> list[int]:
    """Return the stride of the rows before each layer, and behind the last.

    A layer that takes each row by itself has one stride on both sides.
    """
    widths = [layers[0].input_size, *(layer.output_size for layer in layers)]
    strides = [padded(width) for width in widths]
    for n, layer in enumerate(layers):
        if _is_row_by_row(layer):
            strides[n + 1] = max(strides[n], strides[n + 1], stride(layer))
    for n, layer in reversed(list(enumerate(layers))):
        if _is_row_by_row(layer):
            strides[n] = strides[n + 1]
    return strides


def _rows_of(
    layer: Layer, weights: Weights, place: Place, block: Block, lanes: int
) -> NDArray[np.int64]:
    """Return the two rows of a stage."""
    pair = np.zeros((2, layout.ROW), np.int64)
    if isinstance(layer, Bidirectional):
        for row, prefix in zip(pair, ("forward_", "backward_"), strict=True):
            named = prefix.removeprefix("forward_")
            own = {n.removeprefix(prefix): a for n, a in weights.items() if n.startswith(prefix)}
            states = {name: place[named + name] for name in layer.layer.state}
            row[:] = layer_row(layer.layer, own, states, block, lanes)
        merges = {"concat": layout.CONCAT, "sum": layout.SUM, "mul": layout.MUL, "ave": layout.AVE}
        pair[0, layout.ROWS_MODE] = merges[layer.merge]
        pair[0, layout.ROWS_FLAG] = not layer.sequence
        return pair
    pair[0] = layer_row(layer, weights, place, block, lanes)
    for column, value in _columns(layer).items():
        pair[0, column] = value
    return pair


def _columns(layer: Layer) -> dict[int, int]:
    """Return the columns of a layer over rows."""
    columns: dict[int, int]
    if isinstance(layer, Conv1D | Pool):
        columns = {layout.ROWS_BEFORE: layer.pad_left, layout.ROWS_AFTER: layer.pad_right}
        if isinstance(layer, Conv1D):
            return columns | {layout.KIND: layout.CONV, layout.ROWS_STEP: layer.stride}
        return columns | {
            layout.ROWS_SIZE: layer.size or 0,
            layout.ROWS_STEP: layer.step,
            layout.ROWS_MODE: layout.MAX if layer.function == "max" else layout.MEAN,
            layout.ROWS_FLAG: layout.NO_MEAN if layer.function == "sum" else layer.count_padding,
        }
    if isinstance(layer, Flatten):
        by_feature = layout.FLATTEN_BY_FEATURE
        return {layout.ROWS_MODE: by_feature if layer.by_feature else layout.FLATTEN}
    if isinstance(layer, Attention):
        split = layer.key_size is not None
        return {
            layout.ROWS_MODE: layout.LAST if layer.query == "last" else 0,
            layout.ROWS_FLAG: layer.join,
            layout.HEADS: layer.heads,
            layout.KEY_SIZE: layer.queries // layer.heads,
            layout.VALUE_SIZE: layer.values // layer.heads,
            layout.KEYS_AT: layer.queries if split else 0,
            layout.VALUES_AT: 2 * layer.queries if split else 0,
            layout.CAUSAL: layer.causal,
        }
    if isinstance(layer, Transpose):
        return {layout.ROWS_MODE: layout.TRANSPOSE}
    if isinstance(layer, Repeat):
        return {layout.ROWS_MODE: layout.REPEAT, layout.ROWS_SIZE: layer.rows}
    if isinstance(layer, Last):
        return {layout.ROWS_MODE: layout.LAST, layout.ROWS_SIZE: 1}
    if isinstance(layer, Parallel):
        return {layout.KIND: layout.PARALLEL}
    return {layout.ROWS_MODE: layout.REVERSE} if isinstance(layer, Reverse) else {}
