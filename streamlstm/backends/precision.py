"""Round weights to 16 bits, which halves the memory traffic of a step of a large layer.

``float16`` has 11 significant bits and a largest value of 65504, ``bfloat16`` 8 bits and the range
of float32. Biases, norms, scaling and state stay float32, and so does all arithmetic.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from ..kernels.layout import PRECISIONS
from ..network.layers import Embedding
from ..network.model import Model

Float32Array = NDArray[np.float32]
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def to_16_bits(values: Float32Array, precision: str) -> NDArray[np.uint16]:
    """Round float32 to the nearest number of 16 bits, ties to even; return the bits."""
    if precision == "float16":
        return values.astype(np.float16).view(np.uint16)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_16_bits(bits: NDArray[np.uint16], precision: str) -> Float32Array:
    """Convert numbers of 16 bits, given as bits, to float32."""
    if precision == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(values: NDArray[Any], precision: str) -> NDArray[Any]:
    """Round numbers of any float type to a precision of 16 bits, and return them in that type."""
    bits = to_16_bits(values.astype(np.float32), precision)
    return from_16_bits(bits, precision).astype(values.dtype)


def check_precision_name(precision: str) -> str:
    """Return a precision of weights after checking its name.

    Raises
    ------
    ModelError
        If there is no such precision.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ModelError(f"weights: expected {', '.join(PRECISIONS)}, got {shown(precision)}.")
    return precision


def adds_pairs(precision: str) -> bool:
    """Tell whether a plain LSTM rounds its inputs to the precision of its weights as well.

    It does with bfloat16, where this processor adds two products of such numbers at once.
    """
    from ..kernels.simd import PAIRS

    return precision == "bfloat16" and PAIRS


def round_weights(model: Model, precision: str) -> Model:
    """Return the model with the matrices of its layers rounded; other parameters are unchanged.

    Raises
    ------
    ModelError
        If there is no such precision, or a weight is too large for it.
    """
    if check_precision_name(precision) == "float32":
        return model
    layers = []
    for n, (layer, weights) in enumerate(zip(model.layers, model.weights, strict=True)):
        arrays = dict(weights)
        for name, array in weights.items():
            if isinstance(layer, Embedding) or array.ndim != 2:
                continue
            largest = float(np.abs(array).max(initial=0.0))
            if precision == "float16" and largest > LARGEST_FLOAT16:
                raise ModelError(
                    f"layer {n} ({layer.kind}), {name}: expected weights up to "
                    f"{LARGEST_FLOAT16:g} for float16, got {largest:g}; use bfloat16 or float32."
                )
            arrays[name] = rounded(array, precision)
        layers.append(arrays)
    return model.with_weights(layers)
