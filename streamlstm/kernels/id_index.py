"""The map from stream id to slot: open addressing over columns that stand beside the state rows.

Everything is reached from one int64 array, the head, whose address never changes; its places are
named below. The arrays that it points to are owned, and replaced by larger ones, by
:class:`StateTable`; functions here never allocate. The caller keeps others out
while one of them runs.

index : uint64[MASK + 1]
    A power of two. An entry is ``slot + 1`` in its low 40 bits and the top 24 bits of the id's
    hash above; 0 is an empty place. An id stands at the first free place from the low bits of its
    hash on. What is freed is closed up at once, so that look-ups never slow down with age.
records : uint64[S, RECORD]
    One a slot, two in a cache line: KEY, META, SEQ, TIME.
arrivals : uint64[S]
    How many streams had come when the owner of a slot came, itself counted; 0 while it is free.
texts : uint8[TEXT_SIZE]
    Texts of more than 8 bytes, one after the other; shorter ones stand in their KEY.
"""

import numpy as np
from numba import int64

from .cache import part
from .hashing import hash_integer, hash_text, same_bytes, short_text
from .memory import bits_of, byte_at, column_access, copy_bytes, prefetch

(
    INDEX,  # addresses of the arrays
    RECORDS,
    ARRIVALS,
    TEXTS,
    ROWS,
    INITIAL,
    MASK,  # places in the index, less one
    CAPACITY,  # slots
    ROW_SIZE,
    TEXT_SIZE,
    TEXT_USED,  # bytes from the start of texts that are, or were, an id's
    TEXT_LIVE,  # of these, bytes of live ids
    LIVE,  # streams
    USED,  # slots below this one have had an owner
    FREE,  # 1 + the slot that was freed last; the KEY of a free slot goes on from there
    ARRIVED,  # streams that have come since the table was made
    BLOCK,  # blocks that were looked up
    REPEATS,  # ids of the last block that had come before in it
    CHANGED,  # address of int64[S], the slots that changed; 0 if nobody asks for them (dirty.py)
    CHANGED_FIRST,  # where the one that changed first stands; they go on from the end at the start
    CHANGED_COUNT,
) = range(21)
HEAD = 24

# Columns of a record. KEY is the integer, or the text itself, or where in texts it stands. META
# is the length of the text in its low byte, 0 for an integer, then a bit that says that the slot is
# among the changed, and from BLOCK_SHIFT on the last block that the slot was in. TIME is a float64.
KEY, META, SEQ, TIME = range(4)
RECORD = 4
IS_CHANGED = np.uint64(1 << 8)
BLOCK_SHIFT = np.uint64(9)

# What is answered instead of a slot.
ABSENT, FULL, NEEDS_ROOM, NO_ID = -1, -2, -3, -4

MAX_SLOTS = 2**40 - 1
MAX_TEXT = 255
SHORT = 8  # bytes of text that fit into a KEY

_SLOT_BITS = np.uint64(40)
_SLOT = np.uint64(2**40 - 1)
_LENGTH = np.uint64(255)
_ZERO = np.uint64(0)
_AHEAD = 16  # slots whose places in a new index are fetched ahead

# column_of(head, slot, KEY), set_column(head, slot, KEY, value); the others have one column, 0.
column_of, set_column = column_access(RECORDS, RECORD)
arrival_of, set_arrival = column_access(ARRIVALS, 1)
_entry_at, _set_entry = column_access(INDEX, 1)

# Numba compiles a function once more for every literal among its arguments, hence int64(...).


@part
def length_of(head, slot):
    """Return how many bytes the text of a slot has; 0 if its id is an integer."""
    return np.int64(column_of(head, slot, META) & _LENGTH)


@part
def _matching(head, hashed, place):
    """Return the first place from ``place`` on that is empty, or may be of an id of this hash."""
    entry = _entry_at(head, place, 0)
    while entry != _ZERO and entry >> _SLOT_BITS != hashed >> _SLOT_BITS:
        place = (place + 1) & head[MASK]
        entry = _entry_at(head, place, 0)
    return place


@part
def _slot_at(head, place):
    """Return the slot of an entry, ABSENT for an empty place."""
    return np.int64(_entry_at(head, place, 0) & _SLOT) - 1


@part
def candidate(head, hashed):
    """Return the first slot whose id may have this hash, ABSENT if there is none."""
    return _slot_at(head, _matching(head, hashed, np.int64(hashed) & head[MASK]))


@part
def is_integer(head, slot, value):
    """Tell whether a slot is that of the integer ``value``."""
    return column_of(head, slot, KEY) == value and length_of(head, slot) == 0


@part
def is_text(head, slot, address, length):
    """Tell whether a slot is that of the text at ``address``."""
    if length_of(head, slot) != length:
        return False
    key = column_of(head, slot, KEY)
    if length <= SHORT:
        return key == short_text(address, length)
    return same_bytes(head[TEXTS] + np.int64(key), address, length)


@part
def find_integer(head, value):
    """Return the slot of the uint64 id ``value``, ABSENT if it has none."""
    hashed = hash_integer(value)
    place = np.int64(hashed) & head[MASK]
    while True:
        place = _matching(head, hashed, place)
        slot = _slot_at(head, place)
        if slot == ABSENT or is_integer(head, slot, value):
            return slot
        place = (place + 1) & head[MASK]


@part
def find_text_at(head, address, length):
    """Return the slot of the text id of 1 to 255 bytes at an int64 address, ABSENT if none."""
    hashed = hash_text(address, length)
    place = np.int64(hashed) & head[MASK]
    while True:
        place = _matching(head, hashed, place)
        slot = _slot_at(head, place)
        if slot == ABSENT or is_text(head, slot, address, length):
            return slot
        place = (place + 1) & head[MASK]


@part
def may_be_text(address, length):
    """Tell whether a text of this length may be an id; whether it is UTF-8 is not looked at."""
    return 0 < length <= MAX_TEXT and byte_at(address) != _ZERO


@part
def find_text(head, buffer, start, length):
    """Return the slot of the text id in ``buffer[start : start + length]``.

    Parameters
    ----------
    head : int64[HEAD]
    buffer : uint8[...]
    start, length : int64

    Returns
    -------
    int64
        The slot; ABSENT if the stream has none; NO_ID if no stream may be called so.
    """
    address = buffer.ctypes.data + start
    if not may_be_text(address, length):
        return NO_ID
    return find_text_at(head, address, length)


@part
def has_room(head, streams, size):
    """Tell whether ``streams`` new ids of ``size`` bytes together fit in the arrays there are.

    At most five places in eight of the index are taken: a look-up sees two of them on average,
    one that finds nothing four.
    """
    total = head[LIVE] + streams
    if total > head[CAPACITY]:
        total = head[CAPACITY]
    return total * 8 <= (head[MASK] + 1) * 5 and head[TEXT_USED] + size <= head[TEXT_SIZE]


@part
def enter(head, hashed, slot):
    """Enter a slot into the index, which must have room."""
    place = np.int64(hashed) & head[MASK]
    while _entry_at(head, place, 0) != _ZERO:
        place = (place + 1) & head[MASK]
    _set_entry(head, place, 0, (hashed >> _SLOT_BITS << _SLOT_BITS) | np.uint64(slot + 1))


@part
def clear_slot(head, slot):
    """Give a slot the memory of a stream that has seen nothing."""
    size = 4 * head[ROW_SIZE]
    copy_bytes(head[ROWS] + size * slot, head[INITIAL], size)
    set_column(head, slot, SEQ, _ZERO)
    set_column(head, slot, TIME, bits_of(np.nan))


@part
def keep_prediction(head, slot, place, y, size):
    """Copy ``size`` bytes at ``y``, a prediction, to where it stands in a stream's row."""
    copy_bytes(head[ROWS] + 4 * (head[ROW_SIZE] * slot + place), y, size)


@part
def _take_slot(head, hashed, key, length):
    """Give an id that has none a slot; FULL if there is none to give."""
    if head[LIVE] == head[CAPACITY]:
        return FULL
    if head[FREE]:
        slot = head[FREE] - 1
        head[FREE] = np.int64(column_of(head, slot, KEY))
    else:
        slot = head[USED]
        head[USED] += 1
    head[LIVE] += 1
    head[ARRIVED] += 1
    set_arrival(head, slot, 0, np.uint64(head[ARRIVED]))
    set_column(head, slot, KEY, key)
    set_column(head, slot, META, np.uint64(length) | column_of(head, slot, META) & IS_CHANGED)
    clear_slot(head, slot)
    enter(head, hashed, slot)
    return slot


@part
def claim_integer(head, value):
    """Return the slot of a uint64 id, giving it one if it has none.

    Returns
    -------
    int64
        The slot; FULL if no slot is free; NEEDS_ROOM if arrays must be replaced by larger ones
        first. Then nothing has changed.
    """
    slot = find_integer(head, value)
    if slot >= 0:
        return slot
    if not has_room(head, int64(1), int64(0)):
        return NEEDS_ROOM
    return _take_slot(head, hash_integer(value), value, int64(0))


@part
def claim_text_at(head, address, length):
    """Return the slot of the text id at an int64 address, as :func:`claim_integer`."""
    slot = find_text_at(head, address, length)
    if slot >= 0:
        return slot
    if not has_room(head, int64(1), length):
        return NEEDS_ROOM
    start = head[TEXT_USED]
    key = short_text(address, length) if length <= SHORT else np.uint64(start)
    slot = _take_slot(head, hash_text(address, length), key, length)
    if slot >= 0 and length > SHORT:
        copy_bytes(head[TEXTS] + start, address, length)
        head[TEXT_USED] += length
        head[TEXT_LIVE] += length
    return slot


@part
def hash_of_slot(head, slot):
    """Hash the id that a slot belongs to."""
    length, key = length_of(head, slot), column_of(head, slot, KEY)
    if length == 0:
        return hash_integer(key)
    if length <= SHORT:
        return hash_text(head[RECORDS] + 8 * (RECORD * slot + KEY), length)
    return hash_text(head[TEXTS] + np.int64(key), length)


@part
def free_slot(head, slot):
    """Forget the owner of a slot and erase its memory."""
    mask = head[MASK]
    hole = np.int64(hash_of_slot(head, slot)) & mask
    while _slot_at(head, hole) != slot:
        hole = (hole + 1) & mask
    # Whatever stands further on and could stand in the hole moves there, and leaves the next hole.
    place = (hole + 1) & mask
    while _entry_at(head, place, 0) != _ZERO:
        home = np.int64(hash_of_slot(head, _slot_at(head, place))) & mask
        if (place - home) & mask >= (place - hole) & mask:
            _set_entry(head, hole, 0, _entry_at(head, place, 0))
            hole = place
        place = (place + 1) & mask
    _set_entry(head, hole, 0, _ZERO)
    length = length_of(head, slot)
    if length > SHORT:
        head[TEXT_LIVE] -= length
        if np.int64(column_of(head, slot, KEY)) + length == head[TEXT_USED]:
            head[TEXT_USED] -= length
    set_arrival(head, slot, 0, _ZERO)
    clear_slot(head, slot)
    # Its place among the changed stays: whoever comes to it finds the slot free, or a new owner.
    set_column(head, slot, META, column_of(head, slot, META) & IS_CHANGED)
    set_column(head, slot, KEY, np.uint64(head[FREE]))
    head[FREE] = slot + 1
    head[LIVE] -= 1


@part
def replace_index(head, index, places):
    """Enter every live slot into a new index of zeros at the int64 address ``index``."""
    head[INDEX], head[MASK] = index, places - 1
    for slot in range(head[USED]):
        ahead = slot + _AHEAD
        if ahead < head[USED]:
            prefetch(index + 8 * (np.int64(hash_of_slot(head, ahead)) & head[MASK]))
        if arrival_of(head, slot, 0) != _ZERO:
            enter(head, hash_of_slot(head, slot), slot)


@part
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
