"""Track dirty slots, which changed since the last checkpoint, and copy them to records of a store.

Dirty slots are queued in a ring buffer with one place for every slot, each slot at most once: the
bit IS_DIRTY in META (id_index.py) is set while a slot is queued. Slots that change while the ring
is drained, a few at a time, are appended behind the others, so that none is lost and none starves.

A record of a stream is SEQ, TIME, the producer, the row, and a checksum of all that, without gaps.
"""

import numpy as np
from numba import int64, types, uint8

from . import id_index
from .cache import inlined, internal, kernel
from .hashing import hash_text
from .id_index import (
    BLOCK_SHIFT,
    IS_DIRTY,
    KEY,
    META,
    SEQ,
    TIME,
    column_of,
    generation_of,
    producer_of,
    set_column,
)
from .pointers import copy_bytes, int64s_at, prefetch, put_byte, put_word, word_at

BESIDE = 24  # bytes of a record before the row,
OVERHEAD = BESIDE + 8  # and besides it
_LOW, _BYTE, _ZERO = np.uint64(511), np.uint64(255), np.uint64(0)
_AHEAD = 8  # slots whose records and rows are fetched ahead


@internal
def _append(head, slot):
    place = head[id_index.DIRTY_FIRST] + head[id_index.DIRTY_COUNT]
    if place >= head[id_index.CAPACITY]:
        place -= head[id_index.CAPACITY]
    int64s_at(head[id_index.DIRTY_RING], head[id_index.CAPACITY])[place] = slot
    head[id_index.DIRTY_COUNT] += 1


@inlined
def mark_in_meta(head, slot, meta):
    """Mark a slot dirty; return the bits of META below the block."""
    low = meta & _LOW
    if head[id_index.DIRTY_RING] != 0:
        if low & IS_DIRTY == _ZERO:
            _append(head, slot)
        low |= IS_DIRTY
    return low


@internal
def mark(head, slot):
    """Mark a slot dirty and used, if dirty slots are tracked."""
    if head[id_index.DIRTY_RING] != 0:
        _mark(head, slot)


@internal
def _mark(head, slot):
    low = mark_in_meta(head, slot, column_of(head, slot, META))
    set_column(head, slot, META, np.uint64(head[id_index.BLOCK]) << BLOCK_SHIFT | low)


@internal
def mark_all(head, slots):
    """Mark slots dirty: in a pass of its own, which without a store is one test for all."""
    if head[id_index.DIRTY_RING] != 0:
        for n in range(slots.shape[0]):
            mark(head, slots[n])


@kernel(no_cfunc_wrapper=True)
def mark_dirty(address, slots):
    """Mark slots used, and dirty if dirty slots are tracked.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
    """
    head = int64s_at(address, id_index.HEAD)
    for n in range(slots.shape[0]):
        _mark(head, slots[n])


@internal
def _slot_in(head, ring, n):
    place = head[id_index.DIRTY_FIRST] + n
    if place >= head[id_index.CAPACITY]:
        place -= head[id_index.CAPACITY]
    return ring[place]


@internal
def write_key(head, slot, to):
    """Write an id as the key of a store, text or a zero byte and eight more; return its length."""
    length, key = id_index.length_of(head, slot), column_of(head, slot, KEY)
    if length > id_index.SHORT:
        copy_bytes(to, head[id_index.TEXTS] + np.int64(key), length)
        return length
    if length > 0:
        copy_bytes(to, head[id_index.RECORDS] + 8 * (id_index.RECORD * slot + KEY), length)
        return length
    put_byte(to, _ZERO)
    for n in range(8):
        put_byte(to + 1 + n, key >> np.uint64(56 - 8 * n) & _BYTE)
    return int64(9)


@internal
def _write_record(head, slot, to):
    size = 4 * head[id_index.ROW_SIZE]
    put_word(to, column_of(head, slot, SEQ))
    put_word(to + 8, column_of(head, slot, TIME))
    put_word(to + 16, producer_of(head, slot))
    copy_bytes(to + BESIDE, head[id_index.ROWS] + size * slot, size)


@kernel(no_cfunc_wrapper=True)
def drain(address, limit, done, keys, ends, records, oldest):
    """Remove the oldest slots from the ring, and copy their streams to records.

    Parameters
    ----------
    address : int64
        Of the head.
    limit : int64
        How many slots to remove at most.
    done : int64
        Number of records that are filled already.
    keys : uint8[...]
        Ids, one after the other.
    ends : int64[N + 1]
        Where each of them ends, from ``ends[1]`` on.
    records : uint8[N * record]
        Checksums are left to :func:`add_checksums`.
    oldest : int64[1]
        Lowered to the block in which one of these streams was last used, if that is earlier.

    Returns
    -------
    int64
        Number of records that are filled now; a free slot gives none.
    """
    head = int64s_at(address, id_index.HEAD)
    ring = int64s_at(head[id_index.DIRTY_RING], head[id_index.CAPACITY])
    row, size = 4 * head[id_index.ROW_SIZE], 4 * head[id_index.ROW_SIZE] + OVERHEAD
    count = min(limit, head[id_index.DIRTY_COUNT])
    for n in range(count):
        if n + _AHEAD < count:
            ahead = _slot_in(head, ring, n + _AHEAD)
            prefetch(head[id_index.RECORDS] + 8 * id_index.RECORD * ahead)
            for line in range(0, row, 64):
                prefetch(head[id_index.ROWS] + row * ahead + line)
        slot = _slot_in(head, ring, n)
        meta = column_of(head, slot, META)
        set_column(head, slot, META, meta & ~IS_DIRTY)
        if generation_of(head, slot, 0) != _ZERO:
            key = write_key(head, slot, keys.ctypes.data + ends[done])
            _write_record(head, slot, records.ctypes.data + size * done)
            ends[done + 1] = ends[done] + key
            oldest[0] = min(oldest[0], int64(meta >> BLOCK_SHIFT))
            done += 1
    head[id_index.DIRTY_FIRST] += count
    if head[id_index.DIRTY_FIRST] >= head[id_index.CAPACITY]:
        head[id_index.DIRTY_FIRST] -= head[id_index.CAPACITY]
    head[id_index.DIRTY_COUNT] -= count
    return done


@kernel(no_cfunc_wrapper=True)
def add_checksums(records, size, count):
    """Write the checksum of each of ``count`` records of ``size`` bytes to its end."""
    for n in range(count):
        at = records.ctypes.data + size * n
        put_word(at + size - 8, hash_text(at, size - 8))


@kernel(no_cfunc_wrapper=True)
def find_corrupt(records, size, count):
    """Return the index of the first of ``count`` records with a wrong checksum, or -1."""
    for n in range(count):
        at = records.ctypes.data + size * n
        if word_at(at + size - 8) != hash_text(at, size - 8):
            return n
    return -1


_bytes, _numbers = types.Array(uint8, 1, "C"), types.Array(int64, 1, "C")

# Every entry point, and the one signature that it is compiled for.
SIGNATURES = {
    mark_dirty: (int64, _numbers),
    drain: (int64, int64, int64, _bytes, _numbers, _bytes, _numbers),
    add_checksums: (_bytes, int64, int64),
    find_corrupt: (_bytes, int64, int64),
}
