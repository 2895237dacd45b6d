"""The partition of a stream: which part of a fleet its id belongs to, for ever and everywhere.

It is the upper ten bits of the stable hash of the id (hashing.py). The index of stream ids has a
hash of its own, so streams of one partition do not crowd there.
"""

import numpy as np
from numba import int64, types, uint8, uint64

from . import id_index
from .cache import internal, kernel
from .hashing import hash_integer, hash_text
from .id_index import KEY, column_of, generation_of
from .pointers import address_of, int64s_at

_SHIFT = np.uint64(54)  # of 1,024


@internal
def of_integer(value):
    """Return the partition of a uint64 id."""
    return int64(hash_integer(value) >> _SHIFT)


@internal
def of_text(address, length):
    """Return the partition of a text id of 1 to 255 bytes at the int64 ``address``."""
    return int64(hash_text(address, length) >> _SHIFT)


@kernel(no_cfunc_wrapper=True)
def integer_partitions(values, found):
    """Write the partition of each id of uint64[B] to int64[B]."""
    for n in range(values.shape[0]):
        found[n] = of_integer(values[n])


@kernel(no_cfunc_wrapper=True)
def text_partitions(text, ends, found):
    """Write the partitions of texts that stand one behind another.

    Parameters
    ----------
    text : str
        All of them joined; ASCII, or bytes of UTF-8 as code points.
    ends : int64[B]
        Where each ends.
    found : int64[B]
    """
    data, start = address_of(text._data), int64(0)
    for n in range(ends.shape[0]):
        found[n] = of_text(data + start, ends[n] - start)
        start = ends[n]


@internal
def of_slot(head, slot):
    """Return the partition of the stream that lives in a slot."""
    length, key = id_index.length_of(head, slot), column_of(head, slot, KEY)
    if length == 0:
        return of_integer(key)
    if length > id_index.SHORT:
        return of_text(head[id_index.TEXTS] + int64(key), length)
    return of_text(head[id_index.RECORDS] + 8 * (id_index.RECORD * slot + KEY), length)


@kernel(no_cfunc_wrapper=True)
def slots_in(address, wanted, first, stop, found):
    """Find the live streams of partitions, in a part of the table.

    Parameters
    ----------
    address : int64
        Of the head (id_index.py).
    wanted : uint8[PARTITIONS]
        1 for each of these partitions.
    first, stop : int64
        Slots to look at.
    found : int64[N]
        Their slots, no more than N.

    Returns
    -------
    int64
        How many.
    """
    head, count = int64s_at(address, id_index.HEAD), 0
    for slot in range(first, stop):
        if count == found.shape[0]:
            break
        if generation_of(head, slot, 0) != np.uint64(0) and wanted[of_slot(head, slot)] != 0:
            found[count] = slot
            count += 1
    return count


_slots = types.Array(int64, 1, "C")
SIGNATURES = {
    integer_partitions: (types.Array(uint64, 1, "C"), _slots),
    text_partitions: (types.unicode_type, _slots, _slots),
    slots_in: (int64, types.Array(uint8, 1, "C"), int64, int64, _slots),
}
