"""Checks of arguments: models, features, sequence numbers, event times.

Each check either returns a usable value or raises the error that the sender should see.
"""

import math
from collections.abc import Mapping, Sequence, Set
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import (
    BadValueError,
    DuplicateError,
    GapError,
    ModelError,
    PrecisionError,
    ShapeError,
    shown,
)
from ..network.model import Model
from .ids import StreamId
from .numbers import SPARSE, shown_seq

Float32Array = NDArray[np.float32]
Flags = NDArray[np.bool_]
MAX_SEQ = 2**64 - 1
BOOLEANS = frozenset((bool, np.bool_))
_NUMBERS = frozenset((int, float, type(None)))
MAX_THREADS = 1024  # of a block


def check_model(model: object) -> None:
    """Raise ModelError if ``model`` is not a Model."""
    if not isinstance(model, Model):
        raise ModelError(
            f"model: expected a Model, got {type(model).__name__}; Model.load(path) reads one."
        )


def check_flag(name: str, value: Any) -> bool:
    """Return a switch as a bool; raise BadValueError for what is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise BadValueError(f"{name}: expected True or False, got {shown(value)}.")
    return bool(value)


def check_threads(threads: Any) -> int:
    """Return the number of threads, one for None.

    Raises
    ------
    BadValueError
        If it is no integer from 1 to MAX_THREADS.
    """
    if threads is None:
        return 1
    if (
        not isinstance(threads, int | np.integer)
        or isinstance(threads, bool)
        or not 1 <= threads <= MAX_THREADS
    ):
        raise BadValueError(
            f"threads: expected an integer from 1 to {MAX_THREADS}, got {shown(threads)}."
        )
    return int(threads)


def is_number(value: object) -> bool:
    """Tell whether a value is a real number, of Python or NumPy; True and False are none."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_column(name: str, values: Any, count: int) -> Any:
    """Return ``seqs`` or ``times`` of a block as an array or a sequence, or None; not its values.

    Raises
    ------
    ShapeError
        If it is not one value for each of ``count`` streams.
    """
    if values is None or (type(values) is list and len(values) == count):
        return values
    if isinstance(values, np.ndarray):
        size = len(values) if values.ndim == 1 else None
    elif isinstance(values, str | bytes | bytearray | Mapping | Set):
        size = None
    else:
        try:
            values = values if isinstance(values, Sequence) else list(values)
            size = len(values)
        except TypeError:
            size = None
    if size is None:
        raise ShapeError(
            f"{name}: expected a sequence of {count} values, got {type(values).__name__}."
        )
    if size != count:
        raise ShapeError(f"{name}: expected {count} of them, got {size}.")
    return values


def _has_boolean(values: Any) -> bool:
    """Tell whether a list or tuple, of lists perhaps, has True or False among its numbers.

    NumPy makes 1 and 0 of them; arrays, which have a type, are not searched.
    """
    if not isinstance(values, list | tuple):
        return isinstance(values, bool) or getattr(values, "dtype", None) == np.bool_
    kinds = set(map(type, values))
    if kinds <= _NUMBERS:
        return False
    return not BOOLEANS.isdisjoint(kinds) or any(map(_has_boolean, values))


def _is_masked(kind: type) -> bool:
    return issubclass(kind, np.ma.MaskedArray)


def _filled(values: Any) -> Any:
    """Return values; of an array with a mask a copy in which what is masked is missing."""
    if not _is_masked(type(values)):
        return values
    if values.dtype.kind in "fiu":
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.ma.filled(values.astype(object), None)


def to_numbers(values: ArrayLike, what: str) -> NDArray[Any]:
    """Return ``values`` as an array of real numbers, in the precision in which they came.

    Raises
    ------
    BadValueError
        If something in it is not a number.
    ShapeError
        If its rows differ in length.
    """
    if isinstance(values, list | tuple) and any(map(_is_masked, set(map(type, values)))):
        values = [_filled(each) for each in values]  # NumPy would take what is below the masks
    values = _filled(values)
    try:
        array = np.asarray(values)
    except ValueError:
        raise ShapeError(f"{what}: expected rows of equal length, got ragged ones.") from None
    except Exception as error:  # such as of a tensor of PyTorch, which says what to do
        raise BadValueError(
            f"{what}: expected numbers, got {type(values).__name__}, which is no array ({error})."
        ) from None
    if array.dtype.kind not in "fiu" or _has_boolean(values):
        for value in np.asarray(values, dtype=object).ravel():
            is_missing = value is None and array.ndim > 0
            is_real = isinstance(value, Real | Decimal) and not isinstance(value, bool)
            if not is_missing and not is_real:
                raise BadValueError(
                    f"{what}: expected numbers, got {shown(value)} ({type(value).__name__})."
                )
        try:
            array = array.astype(np.float64)
        except (OverflowError, TypeError, ValueError):  # ValueError: of a signalling NaN
            raise BadValueError(f"{what}: expected numbers that fit float32.") from None
    return array


def to_float32(values: ArrayLike, what: str) -> Float32Array:
    """Return ``values`` as a C-contiguous, writable float32 array; raises as :func:`to_numbers`."""
    if type(values) is np.ndarray and values.dtype == np.float32:
        flags = values.flags
        if flags.c_contiguous and flags.writeable:
            return values
    array = to_numbers(values, what)
    # What is too large for float32 becomes infinite here, and the caller refuses it as such.
    with np.errstate(over="ignore"):
        # The kernels are compiled for writable arrays; one that is not would be another type to
        # Numba, and a new compilation of many seconds.
        return array.astype(np.float32, order="C", copy=not array.flags.writeable)


def to_float64(values: ArrayLike, what: str, names: Sequence[str]) -> NDArray[np.float64]:
    """Return ``values`` as float64, of whose last axis some have offsets.

    Parameters
    ----------
    values : array_like
    what : str
        What messages call it.
    names : sequence of str
        Names of its columns that have offsets.

    Raises
    ------
    PrecisionError
        If they have come in float32 or less.
    BadValueError, ShapeError
        As :func:`to_numbers`.
    """
    array = to_numbers(values, what)
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        raise PrecisionError(
            f"{what}: expected float64, got an array of {array.dtype}, which has lost the digits "
            f"that the model needs of {', '.join(names)}; give numbers of Python or a float64 "
            "array, made before anything made it float32."
        )
    return array.astype(np.float64)


def without_offsets(values: NDArray[np.float64], offsets: NDArray[np.float64]) -> Float32Array:
    """Return ``values - offsets``, subtracted in float64, as float32."""
    with np.errstate(over="ignore"):
        return np.subtract(values, offsets).astype(np.float32)


def bad_value(
    x: Float32Array, names: Sequence[str], categories: int, fills: Flags, where: str
) -> BadValueError:
    """Return the error for one observation x[F] that :func:`bad_rows` found."""
    infinite = np.flatnonzero(~(np.isfinite(x) | (np.isnan(x) & fills)))
    if len(infinite):
        n = int(infinite[0])
        if np.isnan(x[n]):
            return BadValueError(
                f"{where}: expected a number for {names[n]}, got a missing value (NaN), which this "
                "model does not fill; model.with_online(Online(fill=...)) adds that, with "
                'fill="last" for instance.'
            )
        return BadValueError(
            f"{where}: expected finite numbers that fit float32, got {x[n]} for {names[n]}."
        )
    return BadValueError(
        f"{where}: expected a category, an integer from 0 to {categories - 1}, got {x[0]:g} for "
        f"{names[0]}."
    )


def bad_rows(X: Float32Array, categories: int, fills: Flags) -> list[int]:
    """Return which rows of X[B, F] hold NaN, an infinite value, or an unknown category.

    Parameters
    ----------
    X : float32[B, F]
    categories : int
        How many categories the first column may name; 0 if it holds ordinary numbers.
    fills : bool[F]
        Which inputs the model fills where they are missing, that is NaN.
    """
    good = np.isfinite(X)
    if fills.any():
        good |= np.isnan(X) & fills
    if categories:
        first = X[:, 0]
        good[:, 0] &= (first >= 0) & (first < categories) & (first == np.floor(first))
    if good.all():
        return []
    rows: list[int] = np.flatnonzero(~good.all(axis=1)).tolist()
    return rows


def check_seq(stream: StreamId, seq: Any, last: int) -> int:
    """Return ``seq`` if it may follow ``last``; 0 stands for "not numbered" and always may.

    A sparse number (numbers.py) may if it is above ``last``, another only as the next one.

    Raises
    ------
    BadValueError, GapError, DuplicateError
        If it is no sequence number, or may not follow.
    """
    if not isinstance(seq, int | np.integer) or isinstance(seq, bool) or not 0 <= seq <= MAX_SEQ:
        raise BadValueError(
            f"stream {shown(stream)}: expected seq from 0 to 2**64 - 1, got {shown(seq)}."
        )
    if 0 < seq <= last:
        raise DuplicateError(
            f"stream {shown(stream)}: observation {shown_seq(int(seq))} was applied before; the "
            f"last was {shown_seq(last)}.",
            last,
        )
    if last + 1 < seq < SPARSE:
        raise GapError(
            f"stream {shown(stream)}: expected observation {last + 1}, got {seq}; send the missing "
            "ones first, or use seq 0 if observations are not numbered.",
            last + 1,
        )
    return int(seq)


def check_time(stream: StreamId, time: Any, timed: bool = False) -> float | None:
    """Return an event time in seconds as a float, or None.

    Raises
    ------
    BadValueError
        If it is not a finite number, or is missing where the model is ``timed``.
    """
    if time is None:
        if timed:
            raise BadValueError(
                f"stream {shown(stream)}: expected an event time in seconds, got none; the model "
                "has inputs that it computes from the time."
            )
        return None
    if not is_number(time) or not abs(time) < math.inf:
        raise BadValueError(
            f"stream {shown(stream)}: expected an event time in seconds, got {shown(time)}."
        )
    try:
        return float(time)
    except OverflowError:
        raise BadValueError(
            f"stream {shown(stream)}: expected an event time in seconds, got one beyond float64."
        ) from None
