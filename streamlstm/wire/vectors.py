"""Vectors of numbers as bytes: little-endian float32, and where they came so, float64 beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_LITTLE_FLOAT32 = np.dtype("<f4")


class Doubles(bytes):
    """A vector as little-endian float32, and the same numbers in full precision.

    It is sent as an array of float64, where a bin of float32 would lose what a model with offsets
    needs.

    Attributes
    ----------
    full : float64[N]
        NaN for a missing value.
    """

    full: NDArray[np.float64]

    @classmethod
    def of(cls, values: Any) -> Doubles:
        """Return numbers as a vector, row by row; None stands for a missing one."""
        full = np.asarray(values, np.float64).ravel()
        vector = cls(to_floats(full))
        vector.full = full
        return vector

    def numbers(self) -> list[float | None]:
        """Return the numbers, None for a missing one."""
        return [None if number != number else number for number in self.full.tolist()]


def to_floats(values: ArrayLike) -> bytes:
    """Encode an array of numbers as little-endian float32, row by row."""
    if isinstance(values, np.ndarray) and values.dtype == _LITTLE_FLOAT32:
        return values.tobytes()  # three times as fast as the check for overflow
    with np.errstate(over="ignore"):  # overflow becomes inf, which a worker refuses
        return np.asarray(values, dtype="<f4").tobytes()


def from_floats(data: bytes) -> NDArray[np.float32]:
    """Decode little-endian float32 into a new float32 array."""
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def to_vector(values: NDArray[Any]) -> bytes:
    """Encode an array in its precision: float64 as :class:`Doubles`, all else as float32."""
    return Doubles.of(values) if values.dtype == np.float64 else to_floats(values)


def from_vector(data: bytes) -> NDArray[Any]:
    """Decode a vector into a new array: float64 of :class:`Doubles`, else float32."""
    return data.full.copy() if isinstance(data, Doubles) else from_floats(data)


def join_vectors(vectors: Iterable[bytes]) -> bytes:
    """Return vectors one behind the other: as :class:`Doubles` if all of them are."""
    parts = list(vectors)
    if parts and all(isinstance(part, Doubles) for part in parts):
        return Doubles.of(np.concatenate([from_vector(part) for part in parts]))
    return b"".join(parts)


def size_of(data: bytes) -> int:
    """Return how many bytes a vector takes in a message, at most, but for its head."""
    return 9 * (len(data) // 4) if isinstance(data, Doubles) else len(data)


def rows_of(data: bytes, rows: Sequence[int], count: int) -> bytes:
    """Return some rows of a matrix of ``count`` rows, in its precision."""
    if isinstance(data, Doubles):
        return Doubles.of(data.full.reshape(count, -1)[list(rows)])
    size = len(data) // count
    return b"".join(data[size * n : size * (n + 1)] for n in rows)
