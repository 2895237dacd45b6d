"""Blocks of observations in the form that compiled code takes: ids, numbers and times as arrays.

Each function returns None where something is unusual, so that it is looked at one by one, slower,
by who knows the right error for it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .state_table import PackedIds, StateTable, StreamId

_NO_SEQS, _NO_TIMES = np.empty(0, np.uint64), np.empty(0, np.float64)


class Block(NamedTuple):
    """Checked observations.

    Attributes
    ----------
    slots : int64[B]
        Their streams, all of them live.
    seqs : uint64[B] or uint64[0]
        Their numbers, 0 where there is none.
    times : float64[B] or float64[0]
        Their event times, NaN where there is none.
    repeats : bool
        Whether a stream may stand in the block more than once.
    """

    slots: NDArray[np.int64]
    seqs: NDArray[np.uint64]
    times: NDArray[np.float64]
    repeats: bool


def quick_block(
    table: StateTable,
    streams: Sequence[StreamId] | NDArray[Any],
    seqs: Sequence[int] | None,
    times: Sequence[float | None] | None,
) -> Block | None:
    """Find or make the streams of a block and check its numbers and times, all in compiled code.

    Returns
    -------
    Block or None
        None if anything about them is unusual or wrong; then nothing has changed.
    """
    count = len(streams)
    numbers = _NO_SEQS if seqs is None else pack_unsigned(seqs)
    moments = _NO_TIMES if times is None else pack_times(times)
    if numbers is None or moments is None:
        return None
    if (seqs is not None and len(numbers) != count) or (
        times is not None and len(moments) != count
    ):
        return None
    packed = pack_ids(streams)
    if packed is None or count == 0:
        return None
    arrived = table.arrived
    slots = table.claim_block(packed, count)
    if slots is None:
        return None
    if len(numbers) and not table.seqs_follow(slots, numbers):
        table.undo_claims(slots, arrived)
        return None
    return Block(slots, numbers, moments, table.repeats)


def slow_block(
    slots: Sequence[int],
    seqs: Sequence[int] | None,
    times: Sequence[float | None] | None,
) -> Block:
    """Return a block of observations that were checked one by one."""
    return Block(
        np.array(slots, np.int64),
        _NO_SEQS if seqs is None else np.array([int(seq) for seq in seqs], np.uint64),
        _NO_TIMES
        if times is None
        else np.array([np.nan if time is None else float(time) for time in times], np.float64),
        len(set(slots)) != len(slots),
    )


def pack_ids(streams: Sequence[StreamId] | NDArray[Any]) -> PackedIds | None:
    """Return ids that are all text, or all integers, packed for a look-up."""
    if len(streams) and isinstance(streams[0], str):
        try:
            text = "\0".join(streams)  # type: ignore[arg-type]
            # Bytes as code points, one a character, are how compiled code finds them.
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


def rounds(slots: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Split positions into rounds in which every slot comes at most once, in order of arrival."""
    order = np.argsort(slots, kind="stable")
    first = np.ones(len(slots), np.bool_)
    first[1:] = slots[order[1:]] != slots[order[:-1]]
    starts = np.flatnonzero(first)
    turn = np.empty(len(slots), np.int64)
    turn[order] = np.arange(len(slots)) - np.repeat(starts, np.diff(starts, append=len(slots)))
    by_turn = np.argsort(turn, kind="stable")
    return np.split(by_turn, np.cumsum(np.bincount(turn))[:-1])
