"""Layers that several sources have and that are made of others here."""

import numpy as np

from ...errors import ConvertError
from ...network.activations import name_activation
from ...network.layers import Dense
from .chain import Chain
from .weights import Float64Array, Weights


def add_dense(
    chain: Chain, weights: Weights, activation: str = "linear", units: int | None = None
) -> None:
    """Append a Dense layer whose ``kernel[K, O]`` is to be multiplied from the right."""
    kernel = weights.take("kernel")
    if kernel.ndim != 2 or kernel.shape[1] != (units or kernel.shape[1]):
        raise ConvertError(
            f"{weights.layer}: expected kernel (K, {units or 'O'}), got {kernel.shape}."
        )
    K, O = kernel.shape
    bias = weights.take_or("bias", (O,), 0)
    weights.finish()
    chain.add(Dense(K, O), {"weight": kernel.T, "bias": bias}, weights.layer)
    chain.activate(activation, weights.layer)


def add_batch_norm(chain: Chain, weights: Weights, epsilon: float) -> None:
    """Append batch normalisation in inference: shift and scale by what was measured in training."""
    mean = weights.take("moving_mean")
    variance = weights.take("moving_variance", mean.shape)
    gamma, beta = (weights.take_or(n, mean.shape, f) for n, f in (("gamma", 1), ("beta", 0)))
    weights.finish()
    if mean.ndim != 1 or mean.size != (chain.width or mean.size):
        raise ConvertError(
            f"{weights.layer}: expected moving_mean ({chain.width},), got {mean.shape}."
        )
    if not (variance + epsilon > 0).all():
        raise ConvertError(f"{weights.layer}: expected variances above -epsilon.")
    deviation = np.sqrt(variance + epsilon)
    if (gamma > 0).all():
        # One shift and one division, so that it can become the model's input scaling.
        chain.normalise(mean - beta * deviation / gamma, deviation / gamma, weights.layer)
    else:
        chain.scale(gamma / deviation, beta - mean * gamma / deviation, weights.layer)


def add_prelu(chain: Chain, alpha: Float64Array, where: str) -> None:
    """Append ``x`` above zero and ``alpha x`` below; one alpha, or one for each value.

    With an alpha for each it is ``relu(x) - alpha relu(-x)``: two Dense layers.
    """
    alpha = alpha.reshape(-1)
    N = chain.width
    if N is None or alpha.size not in (1, N):
        raise ConvertError(f"{where}: expected alpha (1,) or ({N},), got {alpha.shape}.")
    if (alpha == alpha[0]).all():
        chain.activate(name_activation("leaky_relu", float(alpha[0])), where)
        return
    split, mix = np.vstack([np.eye(N), -np.eye(N)]), np.hstack([np.eye(N), -np.diag(alpha)])
    last = chain.layers[-1] if chain.layers else None
    if isinstance(last, Dense) and last.activation == "linear":
        before = chain.weights.pop()
        chain.layers.pop()
        weights = {"weight": split @ before["weight"], "bias": split @ before["bias"]}
    else:
        weights = {"weight": split, "bias": np.zeros(2 * N)}
    chain.add(Dense(weights["weight"].shape[1], 2 * N, "relu"), weights, where)
    chain.add(Dense(2 * N, N), {"weight": mix, "bias": np.zeros(N)}, where)
