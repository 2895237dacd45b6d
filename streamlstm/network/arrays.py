"""The float32 arrays of a model."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError

Float32Array = NDArray[np.float32]


def as_numbers(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return an array of real numbers, or of Python objects that may be.

    Raises
    ------
    ModelError
        If it is none; the message has what NumPy says, and PyTorch of a tensor that requires grad.
    """
    try:
        array = np.asarray(values)
    except Exception as error:
        raise ModelError(
            f"{name}: expected an array of numbers, got {type(values).__name__}: {error}"
        ) from None
    if array.dtype.kind not in "fiubO":
        raise ModelError(f"{name}: expected an array of real numbers, got {array.dtype}.")
    return array


def as_float32(name: str, values: ArrayLike) -> Float32Array:
    """Return a read-only float32 copy of an array, C-contiguous.

    Parameters
    ----------
    name : str
        What messages call the array.
    values : array_like

    Raises
    ------
    ModelError
        If the values are not finite float32 numbers.
    """
    try:
        # Always a copy: a caller who continues training must not change a model that is in use.
        with np.errstate(over="ignore"):
            array = np.array(as_numbers(name, values), dtype=np.float32, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{name}: expected an array of numbers: {error}.") from None
    if not np.isfinite(array).all():
        raise ModelError(f"{name}: expected finite numbers, found NaN, infinite or beyond float32.")
    array.flags.writeable = False
    return array
