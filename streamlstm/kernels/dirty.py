"""Which slots changed since they were last asked for, and their memory as records of a store.

The slots stand in a ring of as many places as there are slots, each at most once: a bit in META
(id_index.py) says that a slot is in it. So what changes while the ring is being emptied, a few
slots at a time, comes behind what was there before, and nothing is left out and nothing lies about.

A record of a stream is SEQ, TIME, the row, and a hash of all of that, without gaps.
"""

import numpy as np
from numba import int64, types, uint8

from . import id_index
from .cache import inlined, kernel, part
from .hashing import hash_text
from .id_index import (
    BLOCK_SHIFT,
    IS_CHANGED,
    KEY,
    META,
    SEQ,
    TIME,
    arrival_of,
    column_of,
    set_column,
)
from .memory import copy_bytes, int64s_at, prefetch, put_byte, put_word, word_at

BESIDE = 24  # bytes of a record beside the row
_LOW, _BYTE, _ZERO = np.uint64(511), np.uint64(255), np.uint64(0)
_AHEAD = 8  # slots whose records and rows are fetched ahead


@part
def _append(head, slot):
    place = head[id_index.CHANGED_FIRST] + head[id_index.CHANGED_COUNT]
    if place >= head[id_index.CAPACITY]:
        place -= head[id_index.CAPACITY]
    int64s_at(head[id_index.CHANGED], head[id_index.CAPACITY])[place] = slot
    head[id_index.CHANGED_COUNT] += 1


@inlined
def low_bits(head, slot, meta):
    """Return what stands in META below the block, after noting that the slot changes."""
    low = meta & _LOW
    if head[id_index.CHANGED] != 0:
        if low & IS_CHANGED == _ZERO:
            _append(head, slot)
        low |= IS_CHANGED
    return low


@part
def note(head, slot):
    """Note that a slot changes, and that it was used."""
    if head[id_index.CHANGED] != 0:
        _note(head, slot)


@part
def _note(head, slot):
    low = low_bits(head, slot, column_of(head, slot, META))
    set_column(head, slot, META, np.uint64(head[id_index.BLOCK]) << BLOCK_SHIFT | low)


@part
def note_all(head, slots):
    """Note that slots change: in a pass of its own, which without a store is one test for all."""
    if head[id_index.CHANGED] != 0:
        for n in range(slots.shape[0]):
            note(head, slots[n])


@kernel(no_cfunc_wrapper=True)
def note_slots(address, slots):
    """Note that slots change, if anybody asks for that, and that they were used.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
    """
    head = int64s_at(address, id_index.HEAD)
    for n in range(slots.shape[0]):
        _note(head, slots[n])


@part
def _slot_in(head, ring, n):
    place = head[id_index.CHANGED_FIRST] + n
    if place >= head[id_index.CAPACITY]:
        place -= head[id_index.CAPACITY]
    return ring[place]


@part
def write_key(head, slot, to):
    """Write an id as a store has it, text or a zero byte and eight more; return its length."""
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


@part
def _write_record(head, slot, to):
    size = 4 * head[id_index.ROW_SIZE]
    put_word(to, column_of(head, slot, SEQ))
    put_word(to + 8, column_of(head, slot, TIME))
    copy_bytes(to + 16, head[id_index.ROWS] + size * slot, size)


@kernel(no_cfunc_wrapper=True)
def take(address, limit, done, keys, ends, records):
    """Take slots out of the ring, the one that changed first first, and copy what they hold.

    Parameters
    ----------
    address : int64
        Of the head.
    limit : int64
        How many slots to look at.
    done : int64
        How many records there are already.
    keys : uint8[...]
        Ids, one after the other.
    ends : int64[N + 1]
        Where each of them ends, from ``ends[1]`` on.
    records : uint8[N * record]
        Their hashes are left for :func:`seal`.

    Returns
    -------
    int64
        How many records there are now; a slot that is free gives none.
    """
    head = int64s_at(address, id_index.HEAD)
    ring = int64s_at(head[id_index.CHANGED], head[id_index.CAPACITY])
    row, size = 4 * head[id_index.ROW_SIZE], 4 * head[id_index.ROW_SIZE] + BESIDE
    count = min(limit, head[id_index.CHANGED_COUNT])
    for n in range(count):
        if n + _AHEAD < count:
            ahead = _slot_in(head, ring, n + _AHEAD)
            prefetch(head[id_index.RECORDS] + 8 * id_index.RECORD * ahead)
            for line in range(0, row, 64):
                prefetch(head[id_index.ROWS] + row * ahead + line)
        slot = _slot_in(head, ring, n)
        set_column(head, slot, META, column_of(head, slot, META) & ~IS_CHANGED)
        if arrival_of(head, slot, 0) != _ZERO:
            key = write_key(head, slot, keys.ctypes.data + ends[done])
            _write_record(head, slot, records.ctypes.data + size * done)
            ends[done + 1] = ends[done] + key
            done += 1
    head[id_index.CHANGED_FIRST] += count
    if head[id_index.CHANGED_FIRST] >= head[id_index.CAPACITY]:
        head[id_index.CHANGED_FIRST] -= head[id_index.CAPACITY]
    head[id_index.CHANGED_COUNT] -= count
    return done


@kernel(no_cfunc_wrapper=True)
def seal(records, size, count):
    """Put the hash of each of ``count`` records of ``size`` bytes at its end."""
    for n in range(count):
        at = records.ctypes.data + size * n
        put_word(at + size - 8, hash_text(at, size - 8))


@kernel(no_cfunc_wrapper=True)
def broken(records, size, count):
    """Return the number of the first of ``count`` records that is not as it was sealed, or -1."""
    for n in range(count):
        at = records.ctypes.data + size * n
        if word_at(at + size - 8) != hash_text(at, size - 8):
            return n
    return -1


_bytes, _numbers = types.Array(uint8, 1, "C"), types.Array(int64, 1, "C")

# Every entry point, and the one signature that it is compiled for.
SIGNATURES = {
    note_slots: (int64, _numbers),
    take: (int64, int64, int64, _bytes, _numbers, _bytes),
    seal: (_bytes, int64, int64),
    broken: (_bytes, int64, int64),
}
