"""Lists streams a page at a time, in an order that other streams do not change.

Integers come first, by value, then texts, by the bytes of their UTF-8. A page begins after an id,
which need not exist any more, so a stream that lives all the while is listed exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from ..errors import BadValueError, shown
from .ids import StreamId, check_prefix
from .state_table import StateTable

_PREFIX = 16  # bytes of a text that numpy compares; the rest is compared only where these are equal


def list_page(
    table: StateTable, prefix: str | None, after: StreamId | None, count: int
) -> list[tuple[StreamId, int]]:
    """Return the ids and last numbers of the next streams.

    Parameters
    ----------
    table : StateTable
    prefix : str or None
        Only texts that begin so; None for all streams.
    after : str, int or None
        The last id of the page before; None for the first page.
    count : int
        How many to return at most.

    Returns
    -------
    list of (str or int, int)
    """
    prefix = None if prefix is None else check_prefix(prefix)
    if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
        raise BadValueError(f"count: expected an integer of 1 or more, got {shown(count)}.")
    slots, keys, lengths = table.live()
    page: list[tuple[StreamId, int]] = []
    if prefix is None and not isinstance(after, str):
        integers = lengths == 0
        if after is not None:
            integers &= keys > np.uint64(after)
        order = np.argsort(keys[integers])[:count]
        seqs = table.seq[slots[integers][order]].tolist()
        page += zip(keys[integers][order].tolist(), seqs, strict=True)
    texts = lengths > 0
    wanted = (prefix or "").encode()
    last = after.encode() if isinstance(after, str) else b""
    low = max(wanted, last)
    for text, slot in _texts(table, slots[texts], keys[texts], lengths[texts], low):
        if len(page) == count or text[: len(wanted)] > wanted:
            break
        if text > last and text.startswith(wanted):
            page.append((text.decode(), int(table.seq[slot])))
    return page


def _texts(
    table: StateTable,
    slots: NDArray[np.int64],
    keys: NDArray[np.uint64],
    lengths: NDArray[np.uint64],
    low: bytes,
) -> Iterator[tuple[bytes, int]]:
    """Yield texts, as bytes, and their slots in order, from about ``low`` on."""
    prefixes = table.text_prefixes(keys, lengths, _PREFIX)
    first, second = prefixes[:, 0], prefixes[:, 1]
    bound = np.frombuffer(low[:_PREFIX].ljust(_PREFIX, b"\0"), ">u8")
    near = np.flatnonzero((first > bound[0]) | ((first == bound[0]) & (second >= bound[1])))
    near = near[np.lexsort((second[near], first[near]))]
    same = groupby(near.tolist(), lambda n: (int(first[n]), int(second[n])))
    for _, group in same:
        texts = ((table.text(int(keys[n]), int(lengths[n])).encode(), int(slots[n])) for n in group)
        yield from sorted(texts)
