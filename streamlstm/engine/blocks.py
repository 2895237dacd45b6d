"""Blocks of checked observations, and the fast path that checks them in compiled code."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .block_packing import pack_ids, pack_times, pack_unsigned
from .ids import StreamId
from .state_table import StateTable

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
        Whether a stream may be in the block more than once.
    """

    slots: NDArray[np.int64]
    seqs: NDArray[np.uint64]
    times: NDArray[np.float64]
    repeats: bool


def fast_block(
    table: StateTable,
    streams: Sequence[StreamId] | NDArray[Any],
    seqs: Sequence[int] | None,
    times: Sequence[float | None] | None,
    timed: bool,
) -> Block | None:
    """Claim the slots of a block and check its numbers and times, all in compiled code.

    Returns
    -------
    Block or None
        None if anything is unusual or wrong, or a time is missing where each needs one; then
        nothing has changed, and row_checks.py decides.
    """
    count = len(streams)
    numbers = _NO_SEQS if seqs is None else pack_unsigned(seqs)
    seconds = _NO_TIMES if times is None else pack_times(times)
    if numbers is None or seconds is None:
        return None
    if timed and (len(seconds) != count or bool(np.isnan(seconds).any())):
        return None
    packed = pack_ids(streams)
    if packed is None or count == 0:
        return None
    arrivals = table.arrivals
    slots = table.claim_block(packed, count)
    if slots is None:
        return None
    if len(numbers) and not table.seqs_follow(slots, numbers):
        table.undo_claims(slots, arrivals)
        return None
    return Block(slots, numbers, seconds, table.repeats)


def checked_block(
    table: StateTable,
    streams: Sequence[StreamId],
    seqs: Sequence[int] | None,
    times: Sequence[float | None] | None,
) -> Block:
    """Claim the slots of observations that were checked one by one."""
    slots = [table.claim(stream) for stream in streams]
    block = Block(
        np.array(slots, np.int64),
        _NO_SEQS if seqs is None else np.array([int(seq) for seq in seqs], np.uint64),
        _NO_TIMES
        if times is None
        else np.array([np.nan if time is None else float(time) for time in times], np.float64),
        bool(np.any(np.diff(np.sort(slots)) == 0)),
    )
    table.mark_dirty(block.slots)
    return block


def split_rounds(
    slots: NDArray[np.int64], few: int = 0
) -> tuple[list[NDArray[np.intp]], list[NDArray[np.intp]]]:
    """Split positions into rounds in which every slot comes at most once, in order of arrival.

    Returns
    -------
    rounds : list of int[...]
        Those of more than ``few`` slots.
    runs : list of int[...]
        What is left, all positions of a slot together.
    """
    order = np.argsort(slots, kind="stable")
    first = np.ones(len(slots), np.bool_)
    first[1:] = slots[order[1:]] != slots[order[:-1]]
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=len(slots))
    whole = int(np.sort(counts)[-few - 1]) if len(counts) > few else 0
    turn = np.arange(len(slots)) - np.repeat(starts, counts)
    early = np.sort(order[turn < whole])
    turns = np.empty(len(slots), np.int64)
    turns[order] = turn
    early = early[np.argsort(turns[early], kind="stable")]
    rounds = np.split(early, np.cumsum(np.bincount(turns[early]))[:-1]) if whole else []
    ends = (starts + counts).tolist()
    parts = (order[begin + whole : end] for begin, end in zip(starts.tolist(), ends, strict=True))
    return rounds, [part for part in parts if len(part)]


def part_of(
    block: Block, chosen: NDArray[np.intp], X: NDArray[Any], Y: NDArray[Any]
) -> tuple[NDArray[Any], ...]:
    """Return room for results of chosen observations, then what a backend needs to step them."""
    part = np.empty((len(chosen), Y.shape[1]), np.float32)
    seqs = block.seqs[chosen] if len(block.seqs) else block.seqs
    times = block.times[chosen] if len(block.times) else block.times
    return part, X[chosen], part, seqs, times
