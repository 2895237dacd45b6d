"""The hash table from stream id to slot: open addressing, with columns beside the state rows.

Everything is reached from one int64 array, the head, whose address never changes; its fields are
named below. The arrays that it points to are owned, and replaced by larger ones (id_growth.py), by
:class:`StateTable`; functions here never allocate. The caller holds a lock while one of them runs.

index : uint64[MASK + 1]
    A power of two. An entry is ``slot + 1`` in its low 40 bits and the top 24 bits of the id's
    keyed hash above; 0 is an empty place. Linear probing starts at the low bits of the hash.
    Deletion closes the gap at once, without tombstones, so that look-ups never slow down with age.
    An insertion or deletion that meets a run of places longer than PROBE_LIMIT asks for a new
    index with new keys. Every one of the same size doubles the limit, so that there are few.
records : uint64[S, RECORD]
    One a slot, two in a cache line: KEY, META, SEQ, TIME.
generations : uint64[S]
    The count of streams created so far when the owner of a slot was created, itself included; 0
    while the slot is free.
producers : uint64[S]
    Identity of the publisher that applied the last numbered observation of a stream or claimed the
    stream; 0 for none. A column of its own, because most observations never look at it.
texts : uint8[TEXT_SIZE]
    Texts of more than 8 bytes, contiguous; shorter ones are in their KEY.
"""

import numpy as np
from numba import int64

from .cache import inlined, internal
from .hashing import same_bytes, short_text
from .keyed_hash import KEYS, keyed_integer, keyed_text
from .pointers import bits_of, byte_at, column_access, copy_bytes

(
    INDEX,  # addresses of the arrays
    RECORDS,
    GENERATIONS,
    TEXTS,
    ROWS,
    INITIAL,
    MASK,  # places in the index, less one
    CAPACITY,  # slots
    ROW_SIZE,
    TEXT_SIZE,
    TEXT_USED,  # bytes of texts in use, by live or dead ids
    TEXT_LIVE,  # of these, bytes of live ids
    LIVE,  # streams
    USED,  # high-water mark: slots from this one on never had an owner
    FREE,  # 1 + the head of the free list, which the KEY of a free slot continues
    GENERATION,  # streams created since the table was made
    BLOCK,  # blocks looked up
    REPEATS,  # ids of the last block that are not the first of their stream in it
    DIRTY_RING,  # address of int64[S], the ring of dirty slots; 0 if untracked (dirty.py)
    DIRTY_FIRST,  # position in the ring of the slot that changed first
    DIRTY_COUNT,
    PRODUCERS,
    PROBE_LIMIT,  # longest run of occupied places that calls for no new keys
    LONG_RUN,  # 1: a longer one was met
    LIMIT,  # slots that new streams may take, of CAPACITY; it may change at any time
    HASH_KEYS,  # KEYS words (keyed_hash.py)
) = range(26)
HEAD = HASH_KEYS + KEYS

# The first PROBE_LIMIT. At the highest load an insertion meets a run of n places or more with a
# probability of about exp(-0.095 n): of 512, once in 10**21.
PROBES = 512

# Columns of a record. KEY is the integer, or the text itself, or its offset in texts. META is the
# length of the text in its low byte, 0 for an integer, then a bit that says that the slot is dirty,
# and from BLOCK_SHIFT on the last block that the slot was in. TIME is a float64.
KEY, META, SEQ, TIME = range(4)
RECORD = 4
IS_DIRTY = np.uint64(1 << 8)
BLOCK_SHIFT = np.uint64(9)

# Results instead of a slot.
ABSENT, FULL, NEEDS_ROOM, INVALID_ID = -1, -2, -3, -4

MAX_SLOTS = 2**40 - 1
MAX_TEXT = 255
SHORT = 8  # bytes of text that fit into a KEY

_SLOT_BITS = np.uint64(40)
_SLOT = np.uint64(2**40 - 1)
_LENGTH = np.uint64(255)
_ZERO = np.uint64(0)

# column_of(head, slot, KEY), set_column(head, slot, KEY, value); the others have one column, 0.
column_of, set_column = column_access(RECORDS, RECORD)
generation_of, set_generation = column_access(GENERATIONS, 1)
_producer_at, _set_producer_at = column_access(PRODUCERS, 1)
_entry_at, set_entry = column_access(INDEX, 1)

# Numba compiles a function once more for every literal among its arguments, hence int64(...).


@inlined
def keys_at(head):
    """Return the address of the keys of the hash."""
    return head.ctypes.data + 8 * HASH_KEYS


@internal
def length_of(head, slot):
    """Return how many bytes the text of a slot has; 0 if its id is an integer."""
    return np.int64(column_of(head, slot, META) & _LENGTH)


@internal
def producer_of(head, slot):
    """Return the identity of the publisher of a slot's stream; 0 for none."""
    return _producer_at(head, slot, 0)


@internal
def set_producer(head, slot, value):
    """Store the identity, a uint64, of the publisher of a slot's stream."""
    _set_producer_at(head, slot, 0, value)


@internal
def clear_producer(head, slot):
    """Record that nobody who has an identity applied the last numbered observation."""
    # A page of the column that no publisher has written to stays uncommitted.
    if producer_of(head, slot) != _ZERO:
        set_producer(head, slot, _ZERO)


@internal
def _matching(head, hashed, place):
    """Return the first place from ``place`` on that is empty or has the top bits of this hash."""
    entry = _entry_at(head, place, 0)
    while entry != _ZERO and entry >> _SLOT_BITS != hashed >> _SLOT_BITS:
        place = (place + 1) & head[MASK]
        entry = _entry_at(head, place, 0)
    return place


@internal
def _slot_at(head, place):
    """Return the slot of an entry, ABSENT for an empty place."""
    return np.int64(_entry_at(head, place, 0) & _SLOT) - 1


@internal
def candidate(head, hashed):
    """Return the first slot whose id may have this hash, ABSENT if there is none."""
    return _slot_at(head, _matching(head, hashed, np.int64(hashed) & head[MASK]))


@internal
def is_integer(head, slot, value):
    """Tell whether a slot is that of the integer ``value``."""
    return column_of(head, slot, KEY) == value and length_of(head, slot) == 0


@internal
def is_text(head, slot, address, length):
    """Tell whether a slot is that of the text at ``address``."""
    if length_of(head, slot) != length:
        return False
    key = column_of(head, slot, KEY)
    if length <= SHORT:
        return key == short_text(address, length)
    return same_bytes(head[TEXTS] + np.int64(key), address, length)


@internal
def find_integer(head, value):
    """Return the slot of the uint64 id ``value``, or ABSENT."""
    hashed = keyed_integer(keys_at(head), value)
    place = np.int64(hashed) & head[MASK]
    while True:
        place = _matching(head, hashed, place)
        slot = _slot_at(head, place)
        if slot == ABSENT or is_integer(head, slot, value):
            return slot
        place = (place + 1) & head[MASK]


@internal
def find_text_at(head, address, length):
    """Return the slot of the text id of 1 to 255 bytes at an int64 address, or ABSENT."""
    hashed = keyed_text(keys_at(head), address, length)
    place = np.int64(hashed) & head[MASK]
    while True:
        place = _matching(head, hashed, place)
        slot = _slot_at(head, place)
        if slot == ABSENT or is_text(head, slot, address, length):
            return slot
        place = (place + 1) & head[MASK]


@internal
def is_valid_text(address, length):
    """Tell whether a text of this length may be an id; UTF-8 is not checked."""
    return 0 < length <= MAX_TEXT and byte_at(address) != _ZERO


@internal
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
        The slot; ABSENT if the stream has none; INVALID_ID if the text cannot be an id.
    """
    address = buffer.ctypes.data + start
    if not is_valid_text(address, length):
        return INVALID_ID
    return find_text_at(head, address, length)


@internal
def has_room(head, streams, size):
    """Tell whether ``streams`` new ids of ``size`` bytes together fit in the present arrays.

    The load factor of the index is at most 5/8: a look-up probes two places on average, an
    unsuccessful one four.
    """
    total = head[LIVE] + streams
    if total > head[CAPACITY]:
        total = head[CAPACITY]
    full = total * 8 > (head[MASK] + 1) * 5 or head[LONG_RUN] != 0
    return not full and head[TEXT_USED] + size <= head[TEXT_SIZE]


@internal
def empty_place(head, hashed):
    """Return the first empty place for this hash; the index must have room."""
    place = np.int64(hashed) & head[MASK]
    while _entry_at(head, place, 0) != _ZERO:
        place = (place + 1) & head[MASK]
    return place


@internal
def _is_long(head, first, place):
    """Tell whether the run of occupied places from ``first`` to ``place`` calls for new keys."""
    if (place - first) & head[MASK] <= head[PROBE_LIMIT]:
        return False
    head[LONG_RUN] = 1
    return True


@internal
def insert(head, hashed, place, slot):
    """Insert a slot into the index at an empty place."""
    set_entry(head, place, 0, (hashed >> _SLOT_BITS << _SLOT_BITS) | np.uint64(slot + 1))


@internal
def reset_slot(head, slot):
    """Reset a slot to the state of a new stream."""
    size = 4 * head[ROW_SIZE]
    copy_bytes(head[ROWS] + size * slot, head[INITIAL], size)
    set_column(head, slot, SEQ, _ZERO)
    set_column(head, slot, TIME, bits_of(np.nan))
    clear_producer(head, slot)


@internal
def store_prediction(head, slot, place, y, size):
    """Copy the ``size`` bytes of a prediction at ``y`` to offset ``place`` of a stream's row."""
    copy_bytes(head[ROWS] + 4 * (head[ROW_SIZE] * slot + place), y, size)


@internal
def _allocate_slot(head, hashed, key, length):
    """Allocate a slot to a new id; NEEDS_ROOM if its place in the index is too far away."""
    place = empty_place(head, hashed)
    if _is_long(head, np.int64(hashed) & head[MASK], place):
        return NEEDS_ROOM
    if head[FREE]:
        slot = head[FREE] - 1
        head[FREE] = np.int64(column_of(head, slot, KEY))
    else:
        slot = head[USED]
        head[USED] += 1
    head[LIVE] += 1
    head[GENERATION] += 1
    set_generation(head, slot, 0, np.uint64(head[GENERATION]))
    set_column(head, slot, KEY, key)
    set_column(head, slot, META, np.uint64(length) | column_of(head, slot, META) & IS_DIRTY)
    reset_slot(head, slot)
    insert(head, hashed, place, slot)
    return slot


@internal
def claim_integer(head, value):
    """Return the slot of a uint64 id, allocating one if it has none.

    Returns
    -------
    int64
        The slot; FULL if no slot is free; NEEDS_ROOM if arrays must be replaced by larger ones
        first, or the index by one with other keys. Then nothing has changed.
    """
    slot = find_integer(head, value)
    if slot >= 0:
        return slot
    if head[LIVE] >= head[LIMIT]:
        return FULL
    if not has_room(head, int64(1), int64(0)):
        return NEEDS_ROOM
    return _allocate_slot(head, keyed_integer(keys_at(head), value), value, int64(0))


@internal
def claim_text_at(head, address, length):
    """Return the slot of the text id at an int64 address, as :func:`claim_integer`."""
    slot = find_text_at(head, address, length)
    if slot >= 0:
        return slot
    if head[LIVE] >= head[LIMIT]:
        return FULL
    if not has_room(head, int64(1), length):
        return NEEDS_ROOM
    start = head[TEXT_USED]
    key = short_text(address, length) if length <= SHORT else np.uint64(start)
    slot = _allocate_slot(head, keyed_text(keys_at(head), address, length), key, length)
    if slot >= 0 and length > SHORT:
        copy_bytes(head[TEXTS] + start, address, length)
        head[TEXT_USED] += length
        head[TEXT_LIVE] += length
    return slot


@internal
def hash_of_slot(head, slot):
    """Hash the id of a slot."""
    length, key = length_of(head, slot), column_of(head, slot, KEY)
    if length == 0:
        return keyed_integer(keys_at(head), key)
    if length <= SHORT:
        return keyed_text(keys_at(head), head[RECORDS] + 8 * (RECORD * slot + KEY), length)
    return keyed_text(keys_at(head), head[TEXTS] + np.int64(key), length)


@internal
def free_slot(head, slot):
    """Free a slot and erase its state."""
    mask = head[MASK]
    hole = np.int64(hash_of_slot(head, slot)) & mask
    while _slot_at(head, hole) != slot:
        hole = (hole + 1) & mask
    # Entries further on whose probe sequence passes the hole move into it, and leave the next hole.
    first = hole
    place = (hole + 1) & mask
    while _entry_at(head, place, 0) != _ZERO:
        home = np.int64(hash_of_slot(head, _slot_at(head, place))) & mask
        if (place - home) & mask >= (place - hole) & mask:
            set_entry(head, hole, 0, _entry_at(head, place, 0))
            hole = place
        place = (place + 1) & mask
    set_entry(head, hole, 0, _ZERO)
    _is_long(head, first, place)
    length = length_of(head, slot)
    if length > SHORT:
        head[TEXT_LIVE] -= length
        if np.int64(column_of(head, slot, KEY)) + length == head[TEXT_USED]:
            head[TEXT_USED] -= length
    set_generation(head, slot, 0, _ZERO)
    reset_slot(head, slot)
    # It stays in the ring of dirty slots, whose reader finds it free, or with a new owner.
    set_column(head, slot, META, column_of(head, slot, META) & IS_DIRTY)
    set_column(head, slot, KEY, np.uint64(head[FREE]))
    head[FREE] = slot + 1
    head[LIVE] -= 1
