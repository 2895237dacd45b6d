"""Weights of a layer as float64 arrays: each is taken once, in its shape."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConvertError

Float64Array = NDArray[np.float64]

# Contents of arrays that are not real numbers, by NumPy's letter for the kind of array.
_NOT_REAL = {"c": "complex ones", "O": "null or something else", "M": "dates", "m": "times"}
_NOT_REAL |= dict.fromkeys("US", "text")


def to_float64(values: Any, where: str) -> Float64Array:
    """Return an array of any real type as float64.

    Raises
    ------
    ConvertError
        If it holds anything but finite numbers.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in _NOT_REAL:  # astype would take texts that look like numbers
            raise TypeError(f"found {_NOT_REAL[array.dtype.kind]}")
        array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ConvertError(f"{where}: expected an array of numbers: {error}.") from None
    if not np.isfinite(array).all():
        raise ConvertError(f"{where}: expected finite numbers, found NaN or infinite ones.")
    return array


def check_shape(array: NDArray[Any], shape: tuple[int, ...], where: str) -> None:
    """Raise ConvertError unless ``array`` has ``shape``; ``where`` names layer and weight."""
    if array.shape != shape:
        raise ConvertError(f"{where}: expected shape {shape}, got {array.shape}.")


class Weights:
    """The weights of one layer: each is taken once, and none may be left over.

    Parameters
    ----------
    layer : str
        Name of the layer in the source.
    arrays : mapping of str to array
        By their names in the layer.
    """

    def __init__(self, layer: str, arrays: Mapping[str, Any]) -> None:
        self.layer = layer
        self._arrays = {
            name: to_float64(array, f"{layer}.{name}") for name, array in arrays.items()
        }
        self._given = self.shapes

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def copy(self) -> "Weights":
        """Return a copy, of which the same weights can be taken."""
        return Weights(self.layer, self._arrays)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each weight that was not taken yet."""
        return {name: array.shape for name, array in self._arrays.items()}

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Float64Array:
        """Return a weight.

        Parameters
        ----------
        name : str
        shape : tuple of int, optional
            Required shape; any by default.

        Raises
        ------
        ConvertError
            If it is missing, or has another shape.
        """
        self.check(name, shape)
        array = self._arrays.pop(name)
        if shape is not None:
            check_shape(array, shape, f"{self.layer}.{name}")
        return array

    def check(self, name: str, shape: tuple[int, ...] | None = None) -> None:
        """Raise ConvertError if a weight is missing; ``shape`` is quoted in the message."""
        if name not in self._arrays:
            wanted = "" if shape is None else f", shape {shape}"
            raise ConvertError(f"{self.layer} lacks {name}{wanted}; it has {_listed(self._given)}.")

    def take_or(self, name: str, shape: tuple[int, ...], fill: float) -> Float64Array:
        """Return a weight, or an array of ``shape`` full of ``fill`` if it is missing."""
        return self.take(name, shape) if name in self else np.full(shape, fill)

    def finish(self) -> None:
        """Raise ConvertError if a weight is left over."""
        if self._arrays:
            raise ConvertError(f"{self.layer} has unexpected weights: {_listed(self.shapes)}.")


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
