"""Appends layers to a model from arrays in the layout of Keras, which RTNeural's files have too.

A kernel is ``[F, gates * H]``, multiplied from the right. The gates of an LSTM are in the order i,
f, c, o, those of a GRU in the order z, r, h.
"""

import numpy as np

from ...errors import ConvertError
from ...network.activations import name_activation
from ...network.layers import GRU, LSTM, RNN, Dense
from ..common.builder import Arrays, ModelBuilder
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
    builder: ModelBuilder,
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
    builder.add(layer, arrays, weights.layer)


def add_gru(
    builder: ModelBuilder,
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
    builder.add(layer, arrays, weights.layer)


def add_rnn(
    builder: ModelBuilder, weights: Weights, activation: str = "tanh", units: int | None = None
) -> None:
    """Append a plain recurrent layer."""
    kernel, recurrent = _kernels(weights, 1, units)
    F, H = kernel.shape[0], recurrent.shape[0]
    bias = weights.take_or("bias", (H,), 0)
    weights.finish()
    arrays = {"weight_ih": kernel.T, "weight_hh": recurrent.T, "bias": bias}
    builder.add(RNN(F, H, activation), arrays, weights.layer)


def from_cudnn(kernel: Float64Array, recurrent: Float64Array, bias: Float64Array) -> Arrays:
    """Convert the arrays of CuDNNLSTM and CuDNNGRU (Keras 2) to those of LSTM and GRU.

    Their recurrent kernels are transposed gate by gate; their input kernels hold the transposed
    matrix in the shape of the original; there are two biases, for input and state.
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


def add_dense(
    builder: ModelBuilder, weights: Weights, activation: str = "linear", units: int | None = None
) -> None:
    """Append a Dense layer with ``kernel[K, O]``."""
    kernel = weights.take("kernel")
    if kernel.ndim != 2 or kernel.shape[1] != (units or kernel.shape[1]):
        raise ConvertError(
            f"{weights.layer}: expected kernel (K, {units or 'O'}), got {kernel.shape}."
        )
    K, O = kernel.shape
    bias = weights.take_or("bias", (O,), 0)
    weights.finish()
    builder.add(Dense(K, O), {"weight": kernel.T, "bias": bias}, weights.layer)
    builder.activate(activation, weights.layer)


def add_batch_norm(builder: ModelBuilder, weights: Weights, epsilon: float) -> None:
    """Append batch normalisation for inference, with the statistics of training."""
    mean = weights.take("moving_mean")
    variance = weights.take("moving_variance", mean.shape)
    gamma, beta = (weights.take_or(n, mean.shape, f) for n, f in (("gamma", 1), ("beta", 0)))
    weights.finish()
    if mean.ndim != 1 or mean.size != (builder.width or mean.size):
        raise ConvertError(
            f"{weights.layer}: expected moving_mean ({builder.width},), got {mean.shape}."
        )
    if not (variance + epsilon > 0).all():
        raise ConvertError(f"{weights.layer}: expected variances above -epsilon.")
    deviation = np.sqrt(variance + epsilon)
    if (gamma > 0).all():
        # One shift and one division, which can become the input scaling of the model.
        builder.normalise(mean - beta * deviation / gamma, deviation / gamma, weights.layer)
    else:
        builder.scale(gamma / deviation, beta - mean * gamma / deviation, weights.layer)


def add_prelu(builder: ModelBuilder, alpha: Float64Array, where: str) -> None:
    """Append PReLU: ``x`` above zero, ``alpha x`` below; one alpha, or one for each value.

    With one alpha for each value it is ``relu(x) - alpha relu(-x)``: two Dense layers.
    """
    alpha = alpha.reshape(-1)
    N = builder.width
    if N is None or alpha.size not in (1, N):
        raise ConvertError(f"{where}: expected alpha (1,) or ({N},), got {alpha.shape}.")
    if (alpha == alpha[0]).all():
        builder.activate(name_activation("leaky_relu", float(alpha[0])), where)
        return
    split, mix = np.vstack([np.eye(N), -np.eye(N)]), np.hstack([np.eye(N), -np.diag(alpha)])
    last = builder.layers[-1] if builder.layers else None
    if isinstance(last, Dense) and last.activation == "linear":
        before = builder.weights.pop()
        builder.layers.pop()
        weights = {"weight": split @ before["weight"], "bias": split @ before["bias"]}
    else:
        weights = {"weight": split, "bias": np.zeros(2 * N)}
    builder.add(Dense(weights["weight"].shape[1], 2 * N, "relu"), weights, where)
    builder.add(Dense(2 * N, N), {"weight": mix, "bias": np.zeros(N)}, where)
