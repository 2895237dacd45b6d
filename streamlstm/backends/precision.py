"""Weights of 16 bits: half of the memory that a step of a large layer waits for.

``float16`` keeps 11 significant bits and nothing beyond 65504, ``bfloat16`` 8 bits and all that
float32 holds. Biases, norms, scaling and state stay float32, and so does all arithmetic.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..kernels.layout import PRECISIONS
from ..network.layers import GRU, LSTM, RNN, Dense
from ..network.model import Model

Float32Array = NDArray[np.float32]
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def shorten(values: Float32Array, precision: str) -> NDArray[np.uint16]:
    """Round float32 to the nearest number of 16 bits, ties to even; returns the bits."""
    if precision == "float16":
        return values.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def lengthen(bits: NDArray[np.uint16], precision: str) -> Float32Array:
    """Return the float32 that stand behind numbers of 16 bits."""
    if precision == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def known_precision(precision: str) -> str:
    """Return the name of a precision that there is.

    Raises
    ------
    ModelError
        If there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"weights: expected {', '.join(PRECISIONS)}, got {precision!r}.")
    return precision


def round_weights(model: Model, precision: str) -> Model:
    """Return the model with the matrices of its layers rounded; all else is as it was.

    Raises
    ------
    ModelError
        If there is no such precision, or a weight is too large for it.
    """
    if known_precision(precision) == "float32":
        return model
    rounded = []
    for n, (layer, weights) in enumerate(zip(model.layers, model.weights, strict=True)):
        arrays = dict(weights)
        for name, array in weights.items():
            if not isinstance(layer, LSTM | GRU | RNN | Dense) or array.ndim != 2:
                continue
            largest = float(np.abs(array).max(initial=0.0))
            if precision == "float16" and largest > LARGEST_FLOAT16:
                raise ModelError(
                    f"layer {n} ({layer.kind}), {name}: expected weights up to "
                    f"{LARGEST_FLOAT16:g} for float16, got {largest:g}; use bfloat16 or float32."
                )
            arrays[name] = lengthen(shorten(array, precision), precision)
        rounded.append(arrays)
    return model.with_weights(rounded)
