"""Round weights to 16 or 8 bits, which divides the memory traffic of a step of a large layer.

``int8`` is for plain LSTMs only: 255 levels, with a scale for each output and matrix.
``float16`` has 11 significant bits and a largest value of 65504, ``bfloat16`` 8 bits and the range
of float32. Biases, norms, scaling and state stay float32, and so does all arithmetic, but for that
of plain LSTMs on processors that multiply narrow numbers (:func:`narrow`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, shown
from ..kernels.layout import PRECISIONS
from ..network.layers import LSTM, Bidirectional, Embedding, Layer, Parallel
from ..network.model import Model

Float32Array = NDArray[np.float32]
LEVELS = np.float32(127)  # of int8, on either side of zero
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


def to_bytes(rows: NDArray[Any]) -> tuple[NDArray[np.int8], Float32Array]:
    """Round each row to integers from -127 to 127 times a scale; return integers and scales[N, 1].

    In float32 and with the operations of the kernels, so that ties go the same way.
    """
    rows = rows.astype(np.float32)
    top = np.abs(rows).max(1, initial=0.0, keepdims=True)
    with np.errstate(divide="ignore"):
        factor = np.where(top > 0, LEVELS / top, np.float32(0))
    return np.rint(rows * factor).astype(np.int8), top / LEVELS


def rounded(values: NDArray[Any], precision: str) -> NDArray[Any]:
    """Round a matrix, of int8 row by row, and return it in the type that it has."""
    if precision == "int8":
        levels, scale = to_bytes(values)
        return np.asarray(levels * scale.astype(values.dtype))
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


def narrow(precision: str) -> str:
    """Return the precision to which a plain LSTM rounds its inputs and hidden state, or none.

    It does where this processor adds several products of numbers of that precision at once.
    """
    from ..kernels.simd import BYTES, PAIRS

    has = {"bfloat16": PAIRS, "int8": BYTES}
    return precision if has.get(precision) else ""


def has_16_bits(precision: str) -> bool:
    """Tell whether a single stream's step of a plain LSTM reads weights of 16 bits on this machine.

    Elsewhere it reads the same rounded weights as float32.
    """
    from ..kernels.simd import HALVES

    return precision == "bfloat16" or (precision == "float16" and HALVES)


def is_plain(layer: Layer) -> bool:
    """Tell whether a layer is an LSTM without options."""
    if not isinstance(layer, LSTM):
        return False
    return layer == LSTM(layer.input_size, layer.hidden_size, initial_state=layer.initial_state)


def _is_rounded(layer: Layer, name: str, precision: str) -> bool:
    """Tell whether a matrix is rounded: with int8 those of plain LSTMs, wherever these stand."""
    if precision != "int8":
        return not isinstance(layer, Embedding)
    if isinstance(layer, Bidirectional):
        return is_plain(layer.layer)
    if isinstance(layer, Parallel):
        branch, place, inner = name.split(".", 2)
        return _is_rounded(layer.branches[int(branch)][int(place)], inner, precision)
    return is_plain(layer)


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
            if array.ndim != 2 or not _is_rounded(layer, name, precision):
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
