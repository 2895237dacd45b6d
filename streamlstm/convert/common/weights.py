"""Checks that every converter needs: each weight once, in its shape; the framework at hand."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ConvertError

Float64Array = NDArray[np.float64]

# By NumPy's letters for kinds of arrays.
_OTHERS = {"c": "complex ones", "O": "null or something else", "M": "dates", "m": "times"}
_OTHERS |= dict.fromkeys("US", "text")
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def require(module: str, purpose: str, install: str | None = None) -> Any:
    """Import a framework, or say which command brings it.

    Parameters
    ----------
    module : str
        As one imports it, such as ``"onnx"``.
    purpose : str
        What it is needed for, as the object of "needed to ...".
    install : str, optional
        What pip calls it, if not as ``module`` is called.

    Raises
    ------
    ConvertError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ConvertError(
            f"{module} is needed to {purpose} and cannot be imported ({error}): "
            f"pip install {install or module}."
        ) from None


def first_line(error: Exception) -> str:
    """Return the first line of another package's message, without a terminal's colour codes."""
    lines = _COLOURS.sub("", str(error)).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def to_float64(values: Any, where: str) -> Float64Array:
    """Return an array of any number type as float64, in which everything is folded.

    Raises
    ------
    ConvertError
        If it does not hold numbers, or one of them is NaN or infinite.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in _OTHERS:  # astype would take texts that look like numbers
            raise TypeError(f"found {_OTHERS[array.dtype.kind]}")
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
    """The weights of one layer of a file: each is taken once, and none may be left over.

    Parameters
    ----------
    layer : str
        How the file calls the layer.
    arrays : mapping of str to array
        By the name that each has in the layer.
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
        """Return weights of which the same ones can be taken."""
        return Weights(self.layer, self._arrays)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight that was not taken yet."""
        return {name: array.shape for name, array in self._arrays.items()}

    def take(self, name: str, shape: tuple[int, ...] | None = None) -> Float64Array:
        """Return a weight.

        Parameters
        ----------
        name : str
        shape : tuple of int, optional
            That it must have; any if left out.

        Raises
        ------
        ConvertError
            If it is not there, or has another shape.
        """
        if name not in self._arrays:
            wanted = "" if shape is None else f", shape {shape}"
            raise ConvertError(f"{self.layer} lacks {name}{wanted}; it has {_listed(self._given)}.")
        array = self._arrays.pop(name)
        if shape is not None:
            check_shape(array, shape, f"{self.layer}.{name}")
        return array

    def take_or(self, name: str, shape: tuple[int, ...], fill: float) -> Float64Array:
        """Return a weight if it is there, else an array of ``shape`` full of ``fill``."""
        return self.take(name, shape) if name in self else np.full(shape, fill)

    def finish(self) -> None:
        """Raise ConvertError if a weight is left over."""
        if self._arrays:
            raise ConvertError(
                f"{self.layer} has weights that it should not have: {_listed(self.shapes)}."
            )


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"
