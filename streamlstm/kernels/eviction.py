"""Find the streams that are idle longest, and free their slots, a part of the table at a time.

META (id_index.py) has the last block of each slot, which says at no further cost how long its
stream has been idle. A dirty slot (dirty.py) is never freed.
"""

import numpy as np
from numba import int64, types, uint8, uint64

from . import id_index, partition
from .cache import internal, kernel
from .dirty import write_key
from .id_index import BLOCK_SHIFT, IS_DIRTY, META, column_of, generation_of, set_column
from .pointers import int64s_at

_LOW, _ZERO = (np.uint64(1) << BLOCK_SHIFT) - np.uint64(1), np.uint64(0)


@internal
def _is_evictable(head, slot, before):
    meta = column_of(head, slot, META)
    if meta & IS_DIRTY != _ZERO or generation_of(head, slot, 0) == _ZERO:
        return False
    return meta >> BLOCK_SHIFT < uint64(before)


@internal
def _is_kept(head, slot, kept):
    return kept.shape[0] > 0 and kept[partition.of_slot(head, slot)] != 0


@kernel(no_cfunc_wrapper=True)
def touch(address, slots):
    """Mark slots as used now; negative ones are skipped.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
    """
    head = int64s_at(address, id_index.HEAD)
    now = uint64(head[id_index.BLOCK]) << BLOCK_SHIFT
    for n in range(slots.shape[0]):
        if slots[n] >= 0:
            set_column(head, slots[n], META, now | column_of(head, slots[n], META) & _LOW)


@kernel(no_cfunc_wrapper=True)
def last_used(address, first, stride, before, found):
    """Write the last blocks of evictable slots, of every ``stride``-th slot from ``first`` on.

    Parameters
    ----------
    address : int64
        Of the head.
    first, stride : int64
    before : int64
        Slots that were used in this block or later are left out.
    found : int64[N]

    Returns
    -------
    int64
        How many were written.
    """
    head = int64s_at(address, id_index.HEAD)
    count = 0
    slot = first
    while slot < head[id_index.USED] and count < found.shape[0]:
        if _is_evictable(head, slot, before):
            found[count] = int64(column_of(head, slot, META) >> BLOCK_SHIFT)
            count += 1
        slot += stride
    return count


@kernel(no_cfunc_wrapper=True)
def sweep(address, first, count, before, kept, ends, keys):
    """Free clean slots that were last used before a block.

    Parameters
    ----------
    address : int64
        Of the head.
    first, count : int64
        The slots to examine.
    before : int64
        The block.
    kept : uint8[PARTITIONS] or uint8[0]
        1 for partitions whose streams are not to be freed; none if the array is empty.
    ends : int64[N + 1]
        N is how many to free at most; ``ends[0]`` is set to how many were freed, the others to the
        ends of their keys.
    keys : uint8[N * 255] or uint8[0]
        Their keys in the store; not written if the array is empty.

    Returns
    -------
    int64
        How many slots were examined.
    """
    head = int64s_at(address, id_index.HEAD)
    freed, at = 0, 0
    stop = min(first + count, head[id_index.USED])
    slot = first
    while slot < stop and freed < ends.shape[0] - 1:
        if _is_evictable(head, slot, before) and not _is_kept(head, slot, kept):
            if keys.shape[0] > 0:
                at += write_key(head, slot, keys.ctypes.data + at)
            id_index.free_slot(head, slot)
            freed += 1
            ends[freed] = at
        slot += 1
    ends[0] = freed
    return slot - first


_numbers, _bytes = types.Array(int64, 1, "C"), types.Array(uint8, 1, "C")

# Every entry point, and the one signature that it is compiled for.
SIGNATURES = {
    touch: (int64, _numbers),
    last_used: (int64, int64, int64, int64, _numbers),
    sweep: (int64, int64, int64, int64, _bytes, _numbers, _bytes),
}
