"""Replaces the arrays of the index of ids (id_index.py): by larger ones, or to use other keys."""

import numpy as np

from .cache import internal
from .id_index import (
    INDEX,
    KEY,
    LONG_RUN,
    MASK,
    PROBE_LIMIT,
    PROBES,
    SHORT,
    TEXT_SIZE,
    TEXT_USED,
    TEXTS,
    USED,
    column_of,
    empty_place,
    generation_of,
    hash_of_slot,
    insert,
    length_of,
    set_column,
    set_entry,
)
from .pointers import copy_bytes, prefetch

_AHEAD = 16  # slots whose places in a new index are fetched ahead
_ZERO = np.uint64(0)


@internal
def replace_index(head, index, places):
    """Insert every live slot into an index of zeros at the int64 address ``index``.

    The head has its keys already. A limit that was met by the same number of places is doubled.
    """
    grows = places - 1 > head[MASK]
    head[PROBE_LIMIT] = PROBES if grows else 2 * head[PROBE_LIMIT]
    head[INDEX], head[MASK], head[LONG_RUN] = index, places - 1, 0
    for slot in range(head[USED]):
        ahead = slot + _AHEAD
        if ahead < head[USED]:
            prefetch(index + 8 * (np.int64(hash_of_slot(head, ahead)) & head[MASK]))
        if generation_of(head, slot, 0) != _ZERO:
            hashed = hash_of_slot(head, slot)
            insert(head, hashed, empty_place(head, hashed), slot)


@internal
def refill_index(head):
    """Insert every live slot into the index again, after its keys have changed."""
    for place in range(head[MASK] + 1):
        set_entry(head, place, 0, _ZERO)
    replace_index(head, head[INDEX], head[MASK] + 1)


@internal
def replace_texts(head, texts, size):
    """Copy the texts of live ids to ``size`` bytes at the int64 address ``texts``."""
    used = 0
    for slot in range(head[USED]):
        length = length_of(head, slot)  # 0 of a free slot
        if length > SHORT:
            start = head[TEXTS] + np.int64(column_of(head, slot, KEY))
            copy_bytes(texts + used, start, length)
            set_column(head, slot, KEY, np.uint64(used))
            used += length
    head[TEXTS], head[TEXT_SIZE], head[TEXT_USED] = texts, size, used
