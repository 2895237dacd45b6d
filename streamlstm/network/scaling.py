"""Scaling: a shift and a scale for each column, between the unit of a series and the network's."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scaling:
    """A shift and a scale for each of ``n`` columns: ``z = (x - mean) / scale``.

    Parameters
    ----------
    mean : float32[n]
        In the unit of the series.
    scale : float32[n]
        In the unit of the series; finite and greater than zero.
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
        return cls(np.zeros(n, np.float32), np.ones(n, np.float32))

    def apply(self, x: ArrayLike) -> NDArray[Any]:
        """Return ``(x - mean) / scale``: from the unit of the series to the network's."""
        return (np.asarray(x) - self.mean) / self.scale

    def invert(self, z: ArrayLike) -> NDArray[Any]:
        """Return ``z * scale + mean``: from the network's unit to that of the series."""
        return np.asarray(z) * self.scale + self.mean


def as_float32(name: str, values: ArrayLike) -> Float32Array:
    """Return a read-only float32 copy of an array; raise ModelError where it has none."""
    try:
        # Always a copy: a caller who goes on training must not change a model that is in use.
        array = np.array(values, dtype=np.float32, order="C")
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name}: expected an array of numbers: {error}.") from None
    if not np.isfinite(array).all():
        raise ModelError(f"{name}: expected finite numbers, found NaN, infinite or beyond float32.")
    array.flags.writeable = False
    return array
