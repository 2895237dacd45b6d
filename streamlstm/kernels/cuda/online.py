"""The online stage on CUDA, a thread a stream: launches before and behind that of the network.

The functions are those of ../online (twins.py). The network takes its inputs from the array ``Z``
of the first launch and leaves its outputs there, neither of them scaled: a program without scaling
and skip (backends/cuda/stage.py).
"""

from numba import cuda, int64

from .. import layout
from ..online import before, behind, label
from .jit import kernel
from .twins import twin

network_inputs = twin(before).network_inputs
write_result = twin(behind).write_result
learn_row = twin(label).learn_row


@kernel()
def prepare(weights, program, doubles, rows, slots, times, X, Z, work, size):
    """Fill, derive and scale the observations of a block.

    Parameters
    ----------
    weights, program : float32[...], int64[...]
        The model with its online stage (streamlstm.backends.plan).
    doubles : float64[...]
        The program once more, for the table of a time zone.
    rows : float32[S * R]
        The state rows.
    slots : int32[1 + B]
        As for :func:`.scalar.step`.
    times : float64[B]
        Event times, NaN for none.
    X : float32[B * V]
        Observations.
    Z : float32[...]
        Inputs of the network, those of each stream together; behind them is room for its outputs.
    work : int64
        Where in Z the working memory of the threads begins, of ``size`` floats each.
    """
    V, R = program[layout.WIDTH], program[layout.ROW_SIZE]
    E, own = program[layout.HEADER + layout.LAYER_INPUTS], work + cuda.grid(1) * size
    for n in range(cuda.grid(1), int64(slots[0]), cuda.gridsize(1)):
        slot = int64(slots[1 + n])
        row = (slot if slot >= 0 else ~slot) * R
        time = times[n]
        network_inputs(weights, program, doubles, rows, row, X, n * V, time, Z, n * E, own)


@kernel()
def conclude(weights, program, rows, slots, times, X, Z, outputs, work, size, Y):
    """Write the results of a block to Y[B * W], and those of numbered observations to the rows.

    Parameters
    ----------
    outputs : int64
        Where in Z the network's outputs begin.
    weights, program, rows, slots, times, X, Z, work, size
        As for :func:`prepare`.
    """
    V, O, R = program[layout.WIDTH], program[layout.OUTPUTS], program[layout.ROW_SIZE]
    W, stored = program[layout.RESULT], program[layout.PREDICTION]
    out = work + cuda.grid(1) * size
    came = out + layout.PAD * ((O + layout.PAD - 1) // layout.PAD)
    places = out, came, came + (came - out)
    for n in range(cuda.grid(1), int64(slots[0]), cuda.gridsize(1)):
        slot = int64(slots[1 + n])
        row = (slot if slot >= 0 else ~slot) * R
        time, x, z, y = times[n], n * V, outputs + n * O, n * W
        write_result(weights, program, rows, row, X, x, time, Z, z, Y, y, places)
        if slot >= 0:
            for k in range(W):
                rows[row + stored + k] = Y[y + k]


@kernel()
def learn(weights, program, rows, slots, back, labels, work, outcome):
    """Learn from labels[O] of the one stream in slots[1]; what became of them goes to outcome[1].

    They are of the observation that came ``back`` observations before the last. ``work`` has room
    for the working memory of the adaptation. No stream, no effect.
    """
    if cuda.grid(1) < slots.shape[0]:
        row = slots[0] * program[layout.ROW_SIZE]
        outcome[0] = learn_row(weights, program, rows, row, back, labels, work, int64(0))
