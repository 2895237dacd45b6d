"""Converts columns between the unit of a series and the unit of the network."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError, shown
from .arrays import Float32Array, as_float32, as_numbers

MAX_COLUMNS = 2**24


@dataclass(frozen=True, eq=False)
class Scaling:
    """A shift and a scale for each of ``n`` columns: ``z = (x - mean) / scale``.

    Parameters
    ----------
    mean : float32[n]
        In the unit of the series.
    scale : float32[n]
        In the unit of the series; finite and greater than zero.

    Raises
    ------
    ModelError
        If these are not two vectors of one length, or a scale is not greater than zero.
    """

    mean: Float32Array
    scale: Float32Array

    def __post_init__(self) -> None:
        for name in ("mean", "scale"):
            object.__setattr__(self, name, as_float32(f"scaling.{name}", getattr(self, name)))
        if self.mean.ndim != 1 or self.mean.shape != self.scale.shape:
            raise ModelError(
                "scaling: expected mean and scale to be vectors of one length, "
                f"got shapes {self.mean.shape} and {self.scale.shape}."
            )
        # The kernels multiply by 1 / scale, which below this is no float32.
        if not (self.scale >= np.finfo(np.float32).tiny).all():
            raise ModelError("scaling: expected every scale to be greater than zero.")

    @classmethod
    def identity(cls, n: int) -> "Scaling":
        """Return the scaling that changes nothing, for ``n`` columns."""
        if not isinstance(n, int | np.integer) or isinstance(n, bool) or not 1 <= n <= MAX_COLUMNS:
            raise ModelError(f"scaling: expected from 1 to {MAX_COLUMNS} columns, got {shown(n)}.")
        return cls(np.zeros(n, np.float32), np.ones(n, np.float32))

    def apply(self, x: ArrayLike) -> NDArray[Any]:
        """Return ``(x - mean) / scale``: from the unit of the series to the network's."""
        return (self._columns(x) - self.mean) / self.scale

    def invert(self, z: ArrayLike) -> NDArray[Any]:
        """Return ``z * scale + mean``: from the network's unit to that of the series."""
        return self._columns(z) * self.scale + self.mean

    def _columns(self, values: ArrayLike) -> NDArray[Any]:
        """Return an array whose last axis has the columns, or that stands for each of them."""
        array, n = as_numbers("scaling", values), len(self.mean)
        if array.dtype.kind == "O":
            raise ModelError("scaling: expected an array of real numbers, got one of objects.")
        if array.ndim and array.shape[-1] not in (1, n) and n != 1:
            raise ModelError(f"scaling: expected {n} columns, got an array of {array.shape}.")
        return array
