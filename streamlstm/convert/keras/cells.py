"""Recurrent layers as Keras stores them, which RTNeural's files do too.

A kernel is ``[F, gates * H]``, to be multiplied from the right; the gates of an LSTM stand in the
order i, f, c, o, those of a GRU in the order z, r, h.
"""

import numpy as np

from ...errors import ConvertError
from ...network.layers import GRU, LSTM, RNN
from ..common.chain import Arrays, Chain
from ..common.gate_order import GRU as GRU_GATES
from ..common.gate_order import reorder
from ..common.weights import Float64Array, Weights

KERNELS = ("kernel", "recurrent_kernel", "bias")


def _kernels(weights: Weights, gates: int, units: int | None) -> tuple[Float64Array, Float64Array]:
    """Return kernel ``[F, gates * H]`` and recurrent kernel ``[H, gates * H]``."""
    kernel, recurrent = weights.take("kernel"), weights.take("recurrent_kernel")
    H = units or (recurrent.shape[0] if recurrent.ndim else 0)
    if kernel.ndim != 2 or kernel.shape[1] != gates * H or recurrent.shape != (H, gates * H):
        raise ConvertError(
            f"{weights.layer}: expected kernel (F, {gates * H}) and recurrent_kernel "
            f"({H}, {gates * H}), got {kernel.shape} and {recurrent.shape}."
        )
    return kernel, recurrent


def add_lstm(
    chain: Chain,
    weights: Weights,
    gate: str = "sigmoid",
    candidate: str = "tanh",
    units: int | None = None,
) -> None:
    """Append an LSTM; ``candidate`` is also the activation of the cell state."""
    kernel, recurrent = _kernels(weights, 4, units)
    F, H = kernel.shape[0], recurrent.shape[0]
    arrays = {
        "weight_ih": kernel.T,
        "weight_hh": recurrent.T,
        "bias": weights.take_or("bias", (4 * H,), 0),
    }
    weights.finish()
    layer = LSTM(
        F, H, gate_activation=gate, candidate_activation=candidate, cell_activation=candidate
    )
    chain.add(layer, arrays, weights.layer)


def add_gru(
    chain: Chain,
    weights: Weights,
    gate: str = "sigmoid",
    candidate: str = "tanh",
    units: int | None = None,
    reset_after: bool = True,
) -> None:
    """Append a GRU; with ``reset_after`` its bias has two rows."""
    kernel, recurrent = _kernels(weights, 3, units)
    F, H = kernel.shape[0], recurrent.shape[0]
    bias = weights.take_or("bias", (2, 3 * H) if reset_after else (3 * H,), 0)
    weights.finish()
    arrays: Arrays = {
        "weight_ih": kernel.T,
        "weight_hh": recurrent.T,
        "bias_ih": bias[0] if reset_after else bias,
        "bias_hh": bias[1] if reset_after else np.zeros(3 * H),
    }
    arrays = {name: reorder(array, "zrn", GRU_GATES) for name, array in arrays.items()}
    layer = GRU(F, H, reset_after, gate_activation=gate, candidate_activation=candidate)
    chain.add(layer, arrays, weights.layer)


def add_rnn(
    chain: Chain, weights: Weights, activation: str = "tanh", units: int | None = None
) -> None:
    """Append a plain recurrent layer."""
    kernel, recurrent = _kernels(weights, 1, units)
    F, H = kernel.shape[0], recurrent.shape[0]
    bias = weights.take_or("bias", (H,), 0)
    weights.finish()
    arrays = {"weight_ih": kernel.T, "weight_hh": recurrent.T, "bias": bias}
    chain.add(RNN(F, H, activation), arrays, weights.layer)


def from_cudnn(kernel: Float64Array, recurrent: Float64Array, bias: Float64Array) -> Arrays:
    """Return the arrays of CuDNNLSTM and CuDNNGRU of Keras 2 as those of LSTM and GRU.

    Their recurrent kernels are transposed gate by gate, and their input kernels hold the
    transposed matrix within the shape of the other; biases come twice, for input and state.
    """
    H = recurrent.shape[0]
    gates = recurrent.shape[1] // H
    halves = bias.reshape(2, gates * H)
    return {
        "kernel": np.hstack(
            [part.T.reshape(part.shape, order="F") for part in np.hsplit(kernel, gates)]
        ),
        "recurrent_kernel": np.hstack([part.T for part in np.hsplit(recurrent, gates)]),
        "bias": halves.sum(axis=0) if gates == 4 else halves,
    }
