"""Entry points of the table of streams for Python: look up one id or a block of ids, grow.

All take the address of the head (id_index.py) as an integer. Ids of a block are looked up in
groups, in passes over each: hash, and prefetch the places in the index; find the candidates, and
prefetch their records; compare. So the cache misses of a group overlap, and an id among a million
costs some tens of ns instead of three misses of a hundred each.
"""

import numpy as np
from numba import float32, float64, int64, types, uint64

from . import dirty, id_growth, id_index
from .cache import internal, kernel
from .id_index import BLOCK_SHIFT, META, SEQ, TIME, column_of, set_column
from .keyed_hash import KEYS, keyed_integer, keyed_text
from .numbers import may_follow
from .pointers import (
    address_of,
    bits_of,
    byte_at,
    copy_bytes,
    int64s_at,
    prefetch,
    trailing_zeros,
    word_at,
)

GROUP = 64  # ids whose misses overlap

# Modes: whether an id without a slot gets one; ENCODED is added if a str holds bytes of UTF-8.
FIND, CLAIM = 0, 1
ENCODED = 2

_LOWS, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_LOW = np.uint64(2**9 - 1)  # bits of META below the block
_ZERO = np.uint64(0)


@kernel(no_cfunc_wrapper=True)
def integer_slot(address, value, mode):
    """Find or claim the slot of one integer id; negative results: id_index.py."""
    head = int64s_at(address, id_index.HEAD)
    if mode & CLAIM:
        return id_index.claim_integer(head, value)
    return id_index.find_integer(head, value)


@kernel(no_cfunc_wrapper=True)
def text_slot(address, text, mode):
    """Find or claim the slot of one text id.

    Parameters
    ----------
    address : int64
        Of the head.
    text : str
        ASCII; or, if ``mode`` has ENCODED, the bytes of the id's UTF-8 as code points.
    mode : int64
        FIND or CLAIM, and ENCODED added.
    """
    head = int64s_at(address, id_index.HEAD)
    if not (text._is_ascii or mode & ENCODED):
        return id_index.INVALID_ID
    data = address_of(text._data)
    if not id_index.is_valid_text(data, text._length):
        return id_index.INVALID_ID
    if mode & CLAIM:
        return id_index.claim_text_at(head, data, text._length)
    return id_index.find_text_at(head, data, text._length)


@kernel(no_cfunc_wrapper=True)
def integer_slots(address, values, slots):
    """Find or claim the slots of a block of integer ids.

    Parameters
    ----------
    address : int64
        Of the head.
    values : uint64[B]
    slots : int64[B]
        Where the slots go. REPEATS in the head counts those that are not the first of their stream.

    Returns
    -------
    int64
        0; or NEEDS_ROOM or FULL, and :func:`undo_claims` must follow.
    """
    head = int64s_at(address, id_index.HEAD)
    keys, count = id_index.keys_at(head), slots.shape[0]
    head[id_index.BLOCK] += 1
    head[id_index.REPEATS] = 0
    absent = 0
    for first in range(0, count, GROUP):
        stop = first + GROUP if first + GROUP < count else count
        for n in range(first, stop):
            hashed = keyed_integer(keys, values[n])
            _prefetch_place(head, hashed)
            slots[n] = np.int64(hashed)
        _find_candidates(head, slots, first, stop)
        for n in range(first, stop):
            if slots[n] >= 0 and not id_index.is_integer(head, slots[n], values[n]):
                slots[n] = id_index.ABSENT
            absent += _count_repeat(head, slots[n])
    if absent == 0:
        dirty.mark_all(head, slots)
        return 0
    if not id_index.has_room(head, absent, int64(0)):
        return id_index.NEEDS_ROOM
    for n in range(count):
        if slots[n] < 0:
            slots[n] = id_index.claim_integer(head, values[n])
            if _count_repeat(head, slots[n]):
                return slots[n]
    dirty.mark_all(head, slots)
    return 0


@kernel(no_cfunc_wrapper=True)
def text_slots(address, text, starts, slots):
    """Find or claim the slots of a block of text ids, as :func:`integer_slots`.

    Parameters
    ----------
    address : int64
        Of the head.
    text : str
        The ids with a NUL between them; ASCII, or bytes as code points (:func:`text_slot`).
    starts : int64[B + 1]
        Working memory.
    slots : int64[B]
        Where the slots go.

    Returns
    -------
    int64
        As :func:`integer_slots`; INVALID_ID if the text is not B ids of 1 to 255 bytes without NUL.
    """
    head = int64s_at(address, id_index.HEAD)
    keys, count = id_index.keys_at(head), slots.shape[0]
    data = address_of(text._data)
    if not _split(data, text._length, starts):
        return id_index.INVALID_ID
    head[id_index.BLOCK] += 1
    head[id_index.REPEATS] = 0
    absent = 0
    for first in range(0, count, GROUP):
        stop = first + GROUP if first + GROUP < count else count
        for n in range(first, stop):
            hashed = keyed_text(keys, data + starts[n], starts[n + 1] - starts[n] - 1)
            _prefetch_place(head, hashed)
            slots[n] = np.int64(hashed)
        _find_candidates(head, slots, first, stop)
        for n in range(first, stop):
            if slots[n] >= 0 and id_index.length_of(head, slots[n]) > id_index.SHORT:
                prefetch(head[id_index.TEXTS] + np.int64(column_of(head, slots[n], id_index.KEY)))
        for n in range(first, stop):
            at, length = data + starts[n], starts[n + 1] - starts[n] - 1
            if slots[n] >= 0 and not id_index.is_text(head, slots[n], at, length):
                slots[n] = id_index.ABSENT
            absent += _count_repeat(head, slots[n])
    if absent == 0:
        dirty.mark_all(head, slots)
        return 0
    if not id_index.has_room(head, absent, text._length):
        return id_index.NEEDS_ROOM
    for n in range(count):
        if slots[n] < 0:
            at, length = data + starts[n], starts[n + 1] - starts[n] - 1
            slots[n] = id_index.claim_text_at(head, at, length)
            if _count_repeat(head, slots[n]):
                return slots[n]
    dirty.mark_all(head, slots)
    return 0


@internal
def _split(data, size, starts):
    """Find the starts of the texts of a block; return whether number and lengths are valid."""
    count = starts.shape[0] - 1
    starts[0] = 0
    starts[count] = size + 1
    found, place = 1, 0
    while place < size:
        if size - place >= 8:
            # The lowest high bit that is left is in the first byte that is zero.
            eight = word_at(data + place)
            zeros = (eight - _LOWS) & ~eight & _HIGHS
            if zeros == _ZERO:
                place += 8
                continue
            place += trailing_zeros(zeros) >> 3
        elif byte_at(data + place) != _ZERO:
            place += 1
            continue
        place += 1
        if found == count:
            return False
        starts[found] = place
        found += 1
    good = found == count
    for n in range(count):
        good &= 1 < starts[n + 1] - starts[n] <= id_index.MAX_TEXT + 1
    return good


@internal
def _prefetch_place(head, hashed):
    """Prefetch the place in the index where probing for this hash starts."""
    prefetch(head[id_index.INDEX] + 8 * (np.int64(hashed) & head[id_index.MASK]))


@internal
def _find_candidates(head, slots, first, stop):
    """Replace hashes by the first candidate slots, and prefetch their records."""
    for n in range(first, stop):
        slots[n] = id_index.candidate(head, np.uint64(slots[n]))
        # ABSENT gives an address before the first record, which a prefetch may have.
        prefetch(head[id_index.RECORDS] + 8 * id_index.RECORD * slots[n])


@internal
def _count_repeat(head, slot):
    """Mark a slot as part of the block, count it if it was before; return 1 if it is negative."""
    if slot < 0:
        return 1
    block, meta = np.uint64(head[id_index.BLOCK]), column_of(head, slot, META)
    head[id_index.REPEATS] += np.int64(meta >> BLOCK_SHIFT == block)
    set_column(head, slot, META, (block << BLOCK_SHIFT) | (meta & _LOW))
    return 0


@kernel(no_cfunc_wrapper=True)
def undo_claims(address, slots, arrived):
    """Free the streams of a block that were created after generation ``arrived``, the newest first.

    GENERATION is not reset: no two owners of a slot ever have the same.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
        Negative where there is none.
    arrived : int64
        GENERATION before the block.
    """
    head = int64s_at(address, id_index.HEAD)
    for n in range(slots.shape[0] - 1, -1, -1):
        if slots[n] >= 0 and id_index.generation_of(head, slots[n], 0) > np.uint64(arrived):
            id_index.free_slot(head, slots[n])


@kernel(no_cfunc_wrapper=True)
def free(address, slot):
    """Free a slot and erase its state."""
    id_index.free_slot(int64s_at(address, id_index.HEAD), slot)


@kernel(no_cfunc_wrapper=True)
def move_index(address, index, places, keys):
    """Move the index to ``places`` zeros at address ``index``, with the keys at ``keys``."""
    head = int64s_at(address, id_index.HEAD)
    copy_bytes(id_index.keys_at(head), keys, 8 * KEYS)
    id_growth.replace_index(head, index, places)


@kernel(no_cfunc_wrapper=True)
def move_texts(address, texts, size):
    """Move the texts to ``size`` bytes at address ``texts``."""
    id_growth.replace_texts(int64s_at(address, id_index.HEAD), texts, size)


@kernel(no_cfunc_wrapper=True)
def seqs_follow(address, slots, seqs, before):
    """Tell whether every sequence number of a block may follow its stream's last; nothing changes.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
    seqs : uint64[B]
        Each 0, or one that may follow the last number of its slot, in the block or before it.
    before : uint64[B]
        Room for the numbers that they follow.
    """
    head = int64s_at(address, id_index.HEAD)
    good = 0
    while good < seqs.shape[0]:
        if seqs[good] != _ZERO:
            before[good] = column_of(head, slots[good], SEQ)
            if not may_follow(seqs[good], before[good]):
                break
            set_column(head, slots[good], SEQ, seqs[good])
        good += 1
    for n in range(good - 1, -1, -1):
        if seqs[n] != _ZERO:
            set_column(head, slots[n], SEQ, before[n])
    return good == seqs.shape[0]


@kernel(no_cfunc_wrapper=True)
def record_block(address, slots, seqs, times, Y, place):
    """Store the sequence numbers, with their predictions, and the times of a block after its step.

    Streams with a new number have no producer any more; who steps for one sets it afterwards.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
    seqs : uint64[B] or uint64[0]
        0 where an observation has no number.
    times : float64[B] or float64[0]
        NaN where it has no time.
    Y : float32[B, O]
    place : int64
        Offset of the prediction in a state row.
    """
    head = int64s_at(address, id_index.HEAD)
    size = 4 * Y.shape[1]
    for n in range(seqs.shape[0]):
        if seqs[n] != _ZERO:
            set_column(head, slots[n], SEQ, seqs[n])
            id_index.clear_producer(head, slots[n])
            id_index.store_prediction(head, slots[n], place, Y.ctypes.data + size * n, size)
    for n in range(times.shape[0]):
        if not np.isnan(times[n]):
            set_column(head, slots[n], TIME, bits_of(times[n]))


_words, _slots = types.Array(uint64, 1, "C"), types.Array(int64, 1, "C")
_times = types.Array(float64, 1, "C")
_text = types.unicode_type

# Every entry point, and the one signature that it is compiled for.
SIGNATURES = {
    integer_slot: (int64, uint64, int64),
    text_slot: (int64, _text, int64),
    integer_slots: (int64, _words, _slots),
    text_slots: (int64, _text, _slots, _slots),
    undo_claims: (int64, _slots, int64),
    free: (int64, int64),
    seqs_follow: (int64, _slots, _words, _words),
    record_block: (int64, _slots, _words, _times, types.Array(float32, 2, "C"), int64),
    move_index: (int64, int64, int64, int64),
    move_texts: (int64, int64, int64),
}
