"""A layer of a block's streams: from inputs to outputs, and from the old state to the new one.

Positions in the values of the streams are those of streams.py.
"""

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from .. import layout
from ..layout import HEADER, PAD, ROW
from . import convolution, feedforward, gru, lstm
from .streams import gather, scatter
from .thread import up

device = cuda.jit(device=True)


@device
def _products(weights, program, layer, S, a, o, z, spacing):
    """Compute the products of a layer that does not keep all gates in registers.

    That of a dense layer, a convolution or an RNN goes from ``a`` to ``o``, a projection from ``o``
    to ``a``, and those of a GRU whose reset acts before the product from ``a`` to ``z``, then to
    ``o``. One call serves them all, since it is a thousand instructions long.
    """
    kind, source, target = program[layer + layout.KIND], a, o
    w, K = program[layer + layout.WEIGHTS], program[layer + layout.LAYER_INPUTS]
    size, count = program[layer + layout.LAYER_OUTPUTS], 1
    if kind < layout.GRU:
        source, target = o, a
        w, K = program[layer + layout.PROJECTION], program[layer + layout.UNITS]
        count = 1 if w >= 0 else 0
    elif kind == layout.GRU_BEFORE:
        K, target, size, count = K + size, z, 2 * up(size, PAD), 2
    elif kind == layout.RNN:
        K += size
    elif kind == layout.CONV or kind == layout.CONV_STEP:
        K *= program[layer + layout.ROWS_SIZE]
    elif kind != layout.DENSE:
        count = 0
    for n in range(count):
        feedforward.product(weights, w, K, size, S, source, target, spacing)
        cuda.syncthreads()
        if n == 0 and count == 2:
            gru.reset(weights, program, layer, S, a, z, spacing)
            cuda.syncthreads()
            w, size, target = program[layer + layout.VECTORS], program[layer + layout.UNITS], o


@device
def _finish(weights, program, layer, rows, starts, count, S, a, o, z, spacing):
    """Turn sums into the output of the layer, and store it in the state of a recurrent one."""
    kind, hidden = program[layer + layout.KIND], program[layer + layout.HIDDEN]
    F, size = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    if kind == layout.GRU_BEFORE:
        # The reset gate was applied to the copy of the hidden state there.
        gather(rows, starts, hidden, size, S, a + F * spacing, spacing)
        cuda.syncthreads()
        z += up(size, PAD) * spacing
    if kind < layout.GRU:
        if program[layer + layout.PROJECTION] >= 0:
            feedforward.bound_all(weights, program, layer, S, a, o, spacing)
    elif kind <= layout.GRU_BEFORE:
        if kind == layout.GRU_BEFORE or not gru.is_standard(weights, program, layer):
            gru.apply(weights, program, layer, S, a, z, o, spacing)
    elif kind <= layout.POINTWISE or kind == layout.CONV or kind == layout.CONV_STEP:
        feedforward.activate_all(weights, program, layer, S, o, spacing)
    if kind <= layout.RNN:
        cuda.syncthreads()
        scatter(rows, starts, count, hidden, size, S, o, spacing)


@device
def step_layer(weights, program, layer, rows, starts, count, S, a, o, z, spacing):
    """Take the values at ``a`` through a layer to ``o``."""
    kind, hidden = program[layer + layout.KIND], program[layer + layout.HIDDEN]
    F, size = program[layer + layout.LAYER_INPUTS], program[layer + layout.LAYER_OUTPUTS]
    if kind <= layout.RNN:
        gather(rows, starts, hidden, size, S, a + F * spacing, spacing)
        cuda.syncthreads()
    if kind == layout.LSTM:
        lstm.plain(weights, program, layer, rows, starts, count, S, a, o, spacing)
        cuda.syncthreads()
        return
    if kind <= layout.LSTM_NORM:
        lstm.with_options(weights, program, layer, rows, starts, count, S, a, o, z, spacing)
    elif kind == layout.GRU:
        gru.after(weights, program, layer, S, a, o, z, spacing)
    elif kind == layout.CONV_STEP:
        convolution.recall(program, layer, rows, starts, count, S, a, spacing)
    elif kind > layout.DENSE:
        feedforward.transform(weights, program, layer, S, a, o, spacing)
    cuda.syncthreads()
    _products(weights, program, layer, S, a, o, z, spacing)
    _finish(weights, program, layer, rows, starts, count, S, a, o, z, spacing)
    cuda.syncthreads()


def rows_of_layers(program: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows of the layers that are stepped, int64[..., ROW]; none of branches."""
    count, rows = int(program[layout.LAYERS]), program[HEADER:]
    if rows[layout.KIND] == layout.WINDOW:
        count, rows = int(rows[layout.WINDOW_LAYERS]), rows[ROW:]
    return rows[: ROW * count].reshape(-1, ROW)


def sums(rows: NDArray[np.int64]) -> int:
    """Return how many sums of a stream the layers with these rows keep in memory at most."""
    most = 0
    for row in rows:
        units = int(row[layout.UNITS])
        if layout.LSTM < row[layout.KIND] <= layout.GRU:
            most = max(most, 4 * units)
        elif row[layout.KIND] == layout.GRU_BEFORE:
            most = max(most, 2 * layout.padded(units))
    return most


def values(program: NDArray[np.int64]) -> int:
    """Return how many values of a stream are in memory at once while it is stepped."""
    return 2 * int(program[layout.STRIDE]) + sums(rows_of_layers(program))
