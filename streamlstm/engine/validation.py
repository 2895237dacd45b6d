"""Checks of arguments: models, features, sequence numbers, event times.

Each check either returns a usable value or raises the error that the sender should see.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadValueError, DuplicateError, GapError, ModelError, ShapeError
from ..network.model import Model
from .ids import StreamId

Float32Array = NDArray[np.float32]
MAX_SEQ = 2**64 - 1


def check_model(model: object) -> None:
    """Raise ModelError if ``model`` is not a Model."""
    if not isinstance(model, Model):
        raise ModelError(
            f"model: expected a Model, got {type(model).__name__}; Model.load(path) reads one."
        )


def check_threads(threads: object) -> None:
    """Raise BadValueError if ``threads`` is neither None nor an integer of 1 or more."""
    if threads is not None and (type(threads) is not int or threads < 1):
        raise BadValueError(f"threads: expected an integer of 1 or more, got {threads!r}.")


def to_float32(values: ArrayLike, what: str) -> Float32Array:
    """Return ``values`` as a C-contiguous, writable float32 array.

    Raises
    ------
    BadValueError
        If something in it is not a number.
    ShapeError
        If its rows differ in length.
    """
    if type(values) is np.ndarray and values.dtype == np.float32:
        flags = values.flags
        if flags.c_contiguous and flags.writeable:
            return values
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float64), np.nan)  # masked is missing
    try:
        array = np.asarray(values)
    except ValueError:
        raise ShapeError(f"{what}: expected rows of equal length, got ragged ones.") from None
    if array.dtype.kind not in "fiu":
        for value in np.asarray(values, dtype=object).ravel():
            if not isinstance(value, int | float | np.number) or isinstance(value, bool):
                raise BadValueError(
                    f"{what}: expected numbers, got {value!r} ({type(value).__name__})."
                )
        try:
            array = array.astype(np.float64)
        except (OverflowError, TypeError):
            raise BadValueError(f"{what}: expected numbers that fit float32.") from None
    # What is too large for float32 becomes infinite here, and the caller refuses it as such.
    with np.errstate(over="ignore"):
        # The kernels are compiled for writable arrays; one that is not would be another type to
        # Numba, and a new compilation of many seconds.
        return array.astype(np.float32, order="C", copy=not array.flags.writeable)


def bad_value(x: Float32Array, names: Sequence[str], categories: int, where: str) -> BadValueError:
    """Return the error for one observation x[F] that :func:`bad_rows` found."""
    infinite = np.flatnonzero(~np.isfinite(x))
    if len(infinite):
        n = int(infinite[0])
        return BadValueError(
            f"{where}: expected finite numbers that fit float32, got {x[n]} for {names[n]}."
        )
    return BadValueError(
        f"{where}: expected a category, an integer from 0 to {categories - 1}, got {x[0]:g} for "
        f"{names[0]}."
    )


def bad_rows(X: Float32Array, categories: int) -> list[int]:
    """Return which rows of X[B, F] hold NaN, an infinite value, or an unknown category.

    Parameters
    ----------
    X : float32[B, F]
    categories : int
        How many categories the first column may name; 0 if it holds ordinary numbers.
    """
    good = np.isfinite(X)
    if categories:
        first = X[:, 0]
        good[:, 0] &= (first >= 0) & (first < categories) & (first == np.floor(first))
    if good.all():
        return []
    rows: list[int] = np.flatnonzero(~good.all(axis=1)).tolist()
    return rows


def check_seq(stream: StreamId, seq: Any, last: int) -> int:
    """Return ``seq`` if it may follow ``last``; 0 stands for "not numbered" and always may.

    Raises
    ------
    BadValueError, GapError, DuplicateError
        If it is no sequence number, or not the next one.
    """
    if not isinstance(seq, int | np.integer) or isinstance(seq, bool) or not 0 <= seq <= MAX_SEQ:
        raise BadValueError(f"stream {stream!r}: expected seq from 0 to 2**64 - 1, got {seq!r}.")
    if 0 < seq <= last:
        raise DuplicateError(
            f"stream {stream!r}: observation {seq} was applied before; the last was {last}.", last
        )
    if seq > last + 1:
        raise GapError(
            f"stream {stream!r}: expected observation {last + 1}, got {seq}; send the missing "
            "ones first, or use seq 0 if observations are not numbered.",
            last + 1,
        )
    return int(seq)


def check_time(stream: StreamId, time: Any) -> float | None:
    """Return an event time in seconds as a float, or None.

    Raises
    ------
    BadValueError
        If it is not a finite number.
    """
    if time is None:
        return None
    number = isinstance(time, int | float | np.number) and not isinstance(time, bool)
    if not number or not abs(time) < math.inf:
        raise BadValueError(f"stream {stream!r}: expected an event time in seconds, got {time!r}.")
    try:
        return float(time)
    except OverflowError:
        raise BadValueError(
            f"stream {stream!r}: expected an event time in seconds, got one beyond float64."
        ) from None
