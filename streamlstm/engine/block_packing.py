"""Packs ids, sequence numbers and event times of a block into arrays for compiled code.

Each function returns None for an unusual value; the slow path (row_checks.py) then checks every
row and finds the right error.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ids import PackedIds, StreamId


def pack_ids(streams: Sequence[StreamId] | NDArray[Any]) -> PackedIds | None:
    """Return ids that are all text, or all integers, packed for a look-up."""
    if len(streams) and isinstance(streams[0], str):
        try:
            text = "\0".join(streams)  # type: ignore[arg-type] # else TypeError
            # Compiled code reads bytes of UTF-8 as code points, one a character.
            return text if text.isascii() else text.encode().decode("latin-1")
        except (TypeError, UnicodeEncodeError):
            return None
    return pack_unsigned(streams)


def pack_unsigned(values: Any) -> NDArray[np.uint64] | None:
    """Return a sequence of integers from 0 to 2**64 - 1 as uint64[B]."""
    if not isinstance(values, np.ndarray):
        kinds = set(map(type, values))
        if kinds == {int}:
            try:
                return np.array(values, np.uint64)
            except OverflowError:
                return None
        if not all(issubclass(kind, np.integer) for kind in kinds):
            return None
        values = np.asarray(values)  # of floats, if no one kind of integer holds them all
    if values.ndim != 1 or values.dtype.kind not in "iu":
        return None
    if values.dtype.kind == "i" and len(values) and values.min() < 0:
        return None
    return np.ascontiguousarray(values, np.uint64)


def pack_times(values: Any) -> NDArray[np.float64] | None:
    """Return a sequence of finite times and Nones as float64[B], NaN for None."""
    missing = 0
    if not isinstance(values, np.ndarray):
        kinds = set(map(type, values))
        if not kinds <= {float, int, type(None)}:
            return None
        if type(None) in kinds:
            missing = values.count(None)
        try:
            values = np.array(values, np.float64)
        except OverflowError:
            return None
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        return None
    times = np.ascontiguousarray(values, np.float64)
    finite = np.count_nonzero(np.isfinite(times))
    return times if finite + missing == len(times) else None
