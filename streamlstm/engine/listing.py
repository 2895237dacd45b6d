"""Which streams there are, a page at a time, in an order that does not depend on who else comes.

Integers come first, by value, then texts, by the bytes of their UTF-8. A page begins behind an id,
which need not exist any more, so a stream that lives all the while is listed exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from .state_table import StateTable, StreamId

_HEAD = 16  # bytes of a text that are compared by numpy; the rest only where these are equal


def listed(
    table: StateTable, prefix: str | None, after: StreamId | None, count: int
) -> list[tuple[StreamId, int]]:
    """Return the ids and last numbers of the next streams.

    Parameters
    ----------
    table : StateTable
    prefix : str or None
        Only texts that begin so; None for all streams.
    after : str, int or None
        The id behind which to begin; None for the beginning.
    count : int
        How many to return at most.

    Returns
    -------
    list of (str or int, int)
    """
    slots, keys, lengths = table.live()
    found: list[tuple[StreamId, int]] = []
    if prefix is None and not isinstance(after, str):
        whole = lengths == 0
        if after is not None:
            whole &= keys > np.uint64(after)
        order = np.argsort(keys[whole])[:count]
        numbers = table.seq[slots[whole][order]].tolist()
        found += zip(keys[whole][order].tolist(), numbers, strict=True)
    text = lengths > 0
    begins = (prefix or "").encode()
    behind = after.encode() if isinstance(after, str) else b""
    low = max(begins, behind)
    for data, slot in _texts(table, slots[text], keys[text], lengths[text], low):
        if len(found) == count or data[: len(begins)] > begins:
            break
        if data > behind and data.startswith(begins):
            found.append((data.decode(), int(table.seq[slot])))
    return found


def _texts(
    table: StateTable,
    slots: NDArray[np.int64],
    keys: NDArray[np.uint64],
    lengths: NDArray[np.uint64],
    low: bytes,
) -> Iterator[tuple[bytes, int]]:
    """Yield texts, as bytes, and their slots in order, from about ``low`` on."""
    heads = table.text_heads(keys, lengths, _HEAD)
    first, second = heads[:, 0], heads[:, 1]
    bound = np.frombuffer(low[:_HEAD].ljust(_HEAD, b"\0"), ">u8")
    near = np.flatnonzero((first > bound[0]) | ((first == bound[0]) & (second >= bound[1])))
    near = near[np.lexsort((second[near], first[near]))]
    same = groupby(near.tolist(), lambda n: (int(first[n]), int(second[n])))
    for _, group in same:
        texts = ((table.text(int(keys[n]), int(lengths[n])).encode(), int(slots[n])) for n in group)
        yield from sorted(texts)
