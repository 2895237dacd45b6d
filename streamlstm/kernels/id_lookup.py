"""What a table of streams is asked from Python: one id, a block of ids, more room.

All take the address of the head (id_index.py) as an integer. Ids of a block are looked up in
groups, in passes over each: hash and ask for the places in the index; find the candidates and ask
for their records; compare. So the cache misses of a group overlap, and an id among a million costs
some tens of ns instead of three misses of a hundred each.
"""

import numpy as np
from numba import float32, float64, int64, types, uint64

from . import dirty, id_index
from .cache import kernel, part
from .hashing import hash_integer, hash_text
from .id_index import BLOCK_SHIFT, META, SEQ, TIME, column_of, set_column
from .memory import address_of, bits_of, byte_at, int64s_at, prefetch, trailing_zeros, word_at

GROUP = 64  # ids whose misses overlap

# What to do with an id that has no slot, and how the bytes of a text stand in the str.
FIND, CLAIM = 0, 1
ENCODED = 2

_LOWS, _HIGHS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_LOW = np.uint64(2**9 - 1)  # what stands in META below the block
_ZERO, _ONE = np.uint64(0), np.uint64(1)


@kernel(no_cfunc_wrapper=True)
def integer_slot(address, value, mode):
    """Find or claim the slot of one integer id; negative answers: id_index.py."""
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
        ASCII; or, if ``mode`` says ENCODED, the bytes of the id's UTF-8 as code points.
    mode : int64
        FIND or CLAIM, and ENCODED added.
    """
    head = int64s_at(address, id_index.HEAD)
    if not (text._is_ascii or mode & ENCODED):
        return id_index.NO_ID
    data = address_of(text._data)
    if not id_index.may_be_text(data, text._length):
        return id_index.NO_ID
    if mode & CLAIM:
        return id_index.claim_text_at(head, data, text._length)
    return id_index.find_text_at(head, data, text._length)


@kernel(no_cfunc_wrapper=True)
def integer_slots(address, values, slots):
    """Find the slots of a block of integer ids, and give new ones to those that have none.

    Parameters
    ----------
    address : int64
        Of the head.
    values : uint64[B]
    slots : int64[B]
        Where the slots go. REPEATS in the head says how many of them stand in it more than once.

    Returns
    -------
    int64
        0; or NEEDS_ROOM, and nothing has changed; or FULL, and :func:`undo_claims` must follow.
    """
    head = int64s_at(address, id_index.HEAD)
    count = slots.shape[0]
    head[id_index.BLOCK] += 1
    head[id_index.REPEATS] = 0
    absent = 0
    for first in range(0, count, GROUP):
        stop = first + GROUP if first + GROUP < count else count
        for n in range(first, stop):
            hashed = hash_integer(values[n])
            _ask_place(head, hashed)
            slots[n] = np.int64(hashed)
        _seek(head, slots, first, stop)
        for n in range(first, stop):
            if slots[n] >= 0 and not id_index.is_integer(head, slots[n], values[n]):
                slots[n] = id_index.ABSENT
            absent += _mark(head, slots[n])
    if absent == 0:
        dirty.note_all(head, slots)
        return 0
    if not id_index.has_room(head, absent, int64(0)):
        return id_index.NEEDS_ROOM
    for n in range(count):
        if slots[n] < 0:
            slots[n] = id_index.claim_integer(head, values[n])
            if _mark(head, slots[n]):
                return id_index.FULL
    dirty.note_all(head, slots)
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
        As :func:`integer_slots`; NO_ID if the text is not B ids of 1 to 255 bytes without NUL.
    """
    head = int64s_at(address, id_index.HEAD)
    count = slots.shape[0]
    data = address_of(text._data)
    if not _split(data, text._length, starts):
        return id_index.NO_ID
    head[id_index.BLOCK] += 1
    head[id_index.REPEATS] = 0
    absent = 0
    for first in range(0, count, GROUP):
        stop = first + GROUP if first + GROUP < count else count
        for n in range(first, stop):
            hashed = hash_text(data + starts[n], starts[n + 1] - starts[n] - 1)
            _ask_place(head, hashed)
            slots[n] = np.int64(hashed)
        _seek(head, slots, first, stop)
        for n in range(first, stop):
            if slots[n] >= 0 and id_index.length_of(head, slots[n]) > id_index.SHORT:
                prefetch(head[id_index.TEXTS] + np.int64(column_of(head, slots[n], id_index.KEY)))
        for n in range(first, stop):
            at, length = data + starts[n], starts[n + 1] - starts[n] - 1
            if slots[n] >= 0 and not id_index.is_text(head, slots[n], at, length):
                slots[n] = id_index.ABSENT
            absent += _mark(head, slots[n])
    if absent == 0:
        dirty.note_all(head, slots)
        return 0
    if not id_index.has_room(head, absent, text._length):
        return id_index.NEEDS_ROOM
    for n in range(count):
        if slots[n] < 0:
            at, length = data + starts[n], starts[n + 1] - starts[n] - 1
            slots[n] = id_index.claim_text_at(head, at, length)
            if _mark(head, slots[n]):
                return id_index.FULL
    dirty.note_all(head, slots)
    return 0


@part
def _split(data, size, starts):
    """Find where the texts of a block begin; return whether they are as many, and may be ids."""
    count = starts.shape[0] - 1
    starts[0] = 0
    starts[count] = size + 1
    found, place = 1, 0
    while place < size:
        if size - place >= 8:
            # The lowest high bit that is left stands in the first byte that is zero.
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


@part
def _ask_place(head, hashed):
    """Ask for the place in the index where an id of this hash is looked for first."""
    prefetch(head[id_index.INDEX] + 8 * (np.int64(hashed) & head[id_index.MASK]))


@part
def _seek(head, slots, first, stop):
    """Replace hashes by the slots that may be meant, and ask for their records."""
    for n in range(first, stop):
        slots[n] = id_index.candidate(head, np.uint64(slots[n]))
        # Of a slot that is none this is the address before the first: no harm.
        prefetch(head[id_index.RECORDS] + 8 * id_index.RECORD * slots[n])


@part
def _mark(head, slot):
    """Note that a slot is in the block, and count it if it was before; return 1 if it is none."""
    if slot < 0:
        return 1
    block, meta = np.uint64(head[id_index.BLOCK]), column_of(head, slot, META)
    head[id_index.REPEATS] += np.int64(meta >> BLOCK_SHIFT == block)
    set_column(head, slot, META, (block << BLOCK_SHIFT) | (meta & _LOW))
    return 0


@kernel(no_cfunc_wrapper=True)
def undo_claims(address, slots, arrived):
    """Forget the streams of a block that came after the first ``arrived``, the newest first.

    The count of arrivals goes on: what an owner was known by is never another's.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
        Negative where there is none.
    arrived : int64
        ARRIVED before the block.
    """
    head = int64s_at(address, id_index.HEAD)
    for n in range(slots.shape[0] - 1, -1, -1):
        if slots[n] >= 0 and id_index.arrival_of(head, slots[n], 0) > np.uint64(arrived):
            id_index.free_slot(head, slots[n])


@kernel(no_cfunc_wrapper=True)
def release(address, slot):
    """Forget the owner of a slot, erase its memory and let the slot go to another."""
    id_index.free_slot(int64s_at(address, id_index.HEAD), slot)


@kernel(no_cfunc_wrapper=True)
def enlarge(address, what, place, size):
    """Replace the index (``what`` is INDEX) or the texts by ``size`` elements at ``place``."""
    head = int64s_at(address, id_index.HEAD)
    if what == id_index.INDEX:
        id_index.replace_index(head, place, size)
    else:
        id_index.replace_texts(head, place, size)


@kernel(no_cfunc_wrapper=True)
def seqs_follow(address, slots, seqs):
    """Tell whether every number of a block may be applied; nothing changes.

    Parameters
    ----------
    address : int64
        Of the head.
    slots : int64[B]
    seqs : uint64[B]
        Each 0, or one more than the last number of its slot, in the block or before it.
    """
    head = int64s_at(address, id_index.HEAD)
    good = 0
    while good < seqs.shape[0]:
        if seqs[good] != _ZERO:
            if seqs[good] != column_of(head, slots[good], SEQ) + _ONE:
                break
            set_column(head, slots[good], SEQ, seqs[good])
        good += 1
    # Each number that was noted was one more than what stood there.
    for n in range(good):
        if seqs[n] != _ZERO:
            set_column(head, slots[n], SEQ, column_of(head, slots[n], SEQ) - _ONE)
    return good == seqs.shape[0]


@kernel(no_cfunc_wrapper=True)
def note_block(address, slots, seqs, times, Y, place):
    """Keep the numbers, with their predictions, and the times of a block that was applied.

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
        Where in a state row a prediction is kept.
    """
    head = int64s_at(address, id_index.HEAD)
    size = 4 * Y.shape[1]
    for n in range(seqs.shape[0]):
        if seqs[n] != _ZERO:
            set_column(head, slots[n], SEQ, seqs[n])
            id_index.keep_prediction(head, slots[n], place, Y.ctypes.data + size * n, size)
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
    release: (int64, int64),
    seqs_follow: (int64, _slots, _words),
    note_block: (int64, _slots, _words, _times, types.Array(float32, 2, "C"), int64),
    enlarge: (int64, int64, int64, int64),
}
