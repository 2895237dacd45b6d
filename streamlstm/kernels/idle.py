"""Which streams were idle longest, and slots freed of them, a piece at a time.

The last block that a slot was in stands in its META (id_index.py) and tells, without any further
cost, how long its stream has been idle. A slot whose changes somebody asked for and did not take
yet (dirty.py) is never freed.
"""

import numpy as np
from numba import int64, types, uint8, uint64

from . import id_index
from .cache import kernel, part
from .dirty import write_key
from .id_index import BLOCK_SHIFT, IS_CHANGED, META, arrival_of, column_of, set_column
from .memory import int64s_at

_LOW, _ZERO = (np.uint64(1) << BLOCK_SHIFT) - np.uint64(1), np.uint64(0)


@part
def _may_leave(head, slot, before):
    meta = column_of(head, slot, META)
    if meta & IS_CHANGED != _ZERO or arrival_of(head, slot, 0) == _ZERO:
        return False
    return meta >> BLOCK_SHIFT < uint64(before)


@kernel(no_cfunc_wrapper=True)
def touch(address, slots):
    """Let slots, of those that are none of them negative, count as used now.

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
def clocks(address, first, stride, before, found):
    """Write when slots that may leave were last used, of every ``stride``-th from ``first`` on.

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
        if _may_leave(head, slot, before):
            found[count] = int64(column_of(head, slot, META) >> BLOCK_SHIFT)
            count += 1
        slot += stride
    return count


@kernel(no_cfunc_wrapper=True)
def sweep(address, first, count, before, ends, keys):
    """Free slots that were last used before a block and hold nothing that nobody has taken.

    Parameters
    ----------
    address : int64
        Of the head.
    first, count : int64
        The slots to look at.
    before : int64
        The block.
    ends : int64[N + 1]
        N is how many to free at most; ``ends[0]`` is set to how many were, the others to where the
        key of each ends.
    keys : uint8[N * 255] or uint8[0]
        Their keys, as a store has them; nothing is written if there is no room at all.

    Returns
    -------
    int64
        How many slots were looked at.
    """
    head = int64s_at(address, id_index.HEAD)
    freed, at = 0, 0
    stop = min(first + count, head[id_index.USED])
    slot = first
    while slot < stop and freed < ends.shape[0] - 1:
        if _may_leave(head, slot, before):
            if keys.shape[0] > 0:
                at += write_key(head, slot, keys.ctypes.data + at)
            id_index.free_slot(head, slot)
            freed += 1
            ends[freed] = at
        slot += 1
    ends[0] = freed
    return slot - first


_numbers = types.Array(int64, 1, "C")

# Every entry point, and the one signature that it is compiled for.
SIGNATURES = {
    touch: (int64, _numbers),
    clocks: (int64, int64, int64, int64, _numbers),
    sweep: (int64, int64, int64, int64, _numbers, types.Array(uint8, 1, "C")),
}
