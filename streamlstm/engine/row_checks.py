"""The slow path of a block: checks each observation by itself, to name the one at fault."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DuplicateError, StreamLSTMError
from .blocks import Block, checked_block
from .ids import StreamId, check_stream_id, dict_key
from .state_table import StateTable
from .validation import check_seq, check_time


def block_of_all(
    table: StateTable,
    streams: Sequence[StreamId],
    seqs: Sequence[int] | None,
    times: Sequence[float | None] | None,
    timed: bool,
) -> Block:
    """Return a block of all observations.

    Raises
    ------
    StreamLSTMError
        That of the first observation at fault, with its ``position``; nothing has changed.
    """
    errors: dict[int, StreamLSTMError] = {}
    ids = _check_rows(table, streams, seqs, times, timed, errors, only_first=True)
    for n, error in errors.items():
        error.position = n
        raise error
    return checked_block(table, ids, seqs, times)


def block_of_valid(
    table: StateTable,
    streams: Sequence[StreamId],
    seqs: Sequence[int] | None,
    times: Sequence[float | None] | None,
    timed: bool,
    errors: dict[int, StreamLSTMError],
) -> tuple[Block, list[int]]:
    """Return a block of the valid observations, and their positions.

    Parameters
    ----------
    table, streams, seqs, times
    timed : bool
        Whether each observation needs a time.
    errors : dict of int to StreamLSTMError
        Those known already, by position; those of other invalid observations are added.
    """
    ids = _check_rows(table, streams, seqs, times, timed, errors)
    valid = [n for n in range(len(ids)) if n not in errors]
    block = checked_block(
        table,
        [ids[n] for n in valid],
        None if seqs is None else [seqs[n] for n in valid],
        None if times is None else [times[n] for n in valid],
    )
    return block, valid


def repeated_last(
    seqs: Sequence[int] | None, errors: dict[int, StreamLSTMError]
) -> dict[int, DuplicateError]:
    """Return the errors of observations that are the last one of their stream once more."""
    return {
        n: error
        for n, error in errors.items()
        if seqs is not None and isinstance(error, DuplicateError) and error.last == seqs[n]
    }


def fill_from_block(
    repeated: dict[int, DuplicateError],
    valid: Sequence[int],
    streams: Sequence[StreamId],
    seqs: Sequence[int] | None,
    Y: NDArray[np.float32],
) -> None:
    """Give errors the results that this block has made: earlier rows of Y[B, W]."""
    if seqs is None or all(error.result is not None for error in repeated.values()):
        return
    rows = {(streams[n], seqs[n]): n for n in valid}
    for n, error in repeated.items():
        row = rows.get((streams[n], error.last))
        if error.result is None and row is not None:
            error.result = Y[row].copy()


def _check_rows(
    table: StateTable,
    streams: Sequence[StreamId],
    seqs: Sequence[int] | None,
    times: Sequence[float | None] | None,
    timed: bool,
    errors: dict[int, StreamLSTMError],
    only_first: bool = False,
) -> list[StreamId]:
    """Return the ids as plain str or int; add to ``errors`` those of invalid observations."""
    ids = list(streams)
    last: dict[str | bytes, int] = {}  # numbers within the block
    new: set[str | bytes] = set()
    for n in range(len(ids)):
        if n in errors:
            continue
        try:
            stream = ids[n] = check_stream_id(ids[n])
            slot, key = table.find(stream), dict_key(stream)
            seq = 0
            if seqs is not None:
                before = last.get(key)
                seq = check_seq(stream, seqs[n], table.last_seq(slot) if before is None else before)
            if times is not None or timed:
                check_time(stream, None if times is None else times[n], timed)
            if slot < 0 and key not in new:
                if len(new) >= table.free_slots:
                    raise table.full_error(stream)
                new.add(key)
            if seq:
                last[key] = seq
        except StreamLSTMError as error:
            errors[n] = error
            if only_first:
                break
    return ids
