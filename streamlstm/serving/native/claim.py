"""Give rows of the block their streams, and take that back if their message is not accepted."""

import numpy as np
from numba import int64, uint64

from ...kernels import dirty, id_index, partition
from ...kernels.cache import internal
from ...kernels.id_index import (
    BLOCK_SHIFT,
    META,
    SEQ,
    column_of,
    generation_of,
    producer_of,
    set_column,
    set_producer,
)
from ...kernels.numbers import SPARSE, may_follow
from ...kernels.pointers import byte_at, half_at, int64s_at, put_half
from . import layout, reader
from .layout import ID, JUMP, JUMP_BASE, JUMP_FROM, JUMP_SLOT, LENGTH, ROUND, ROW

_ZERO, _ONE = np.uint64(0), np.uint64(1)

# Results other than a number of rows.
HAND_OVER, NEEDS_ROOM, NEXT_BLOCK, MOVED, ARRIVES = 0, -1, -2, -3, -4


@internal
def row_of(loop, row):
    """View a row of the block."""
    return int64s_at(loop[layout.ROWS] + 8 * ROW * row, ROW)


@internal
def find(head, id, length):
    """Return the slot of a stream whose id the reader gave, a negative number if it has none."""
    if length == 0:
        return id_index.find_integer(head, uint64(id))
    return id_index.find_text_at(head, id, length)


@internal
def _claim(head, id, length):
    """Allocate a slot to a new stream; negative results are those of id_index.py."""
    if length == 0:
        return id_index.claim_integer(head, uint64(id))
    if not reader.is_utf8(id, length):
        return id_index.INVALID_ID
    return id_index.claim_text_at(head, id, length)


@internal
def _round_of(head, slot, base):
    """Return how many rows of the block a stream has already.

    META has the last block of a slot; a block has a number for each of its rounds, ``base`` first.
    """
    return max(int64(column_of(head, slot, META) >> BLOCK_SHIFT) - base + 1, 0)


@internal
def partition_of(id, length):
    """Return the partition of a stream whose id the reader gave."""
    if length == 0:
        return partition.of_integer(uint64(id))
    return partition.of_text(id, length)


@internal
def is_here(loop, id, length):
    """Tell whether this worker has the partition of a stream; without a fleet it has all."""
    if loop[layout.STATES] == 0:
        return True
    return byte_at(loop[layout.STATES] + partition_of(id, length)) == uint64(layout.HERE)


@internal
def _enters(loop, id, length):
    """Tell whether this worker has the partition of an observation; if so, count it there."""
    states = loop[layout.STATES]
    if states == 0:
        return True
    place = partition_of(id, length)
    if byte_at(states + place) != uint64(layout.HERE):
        return False
    count = states + layout.PARTITIONS + 4 * place
    put_half(count, half_at(count) + _ONE)
    return True


@internal
def _refuse_partition(loop, fields):
    """Note the row of another worker's partition; return why it is not taken."""
    id, length = fields[ID], fields[LENGTH]
    if length > 0 and not reader.is_utf8(id, length):
        return int64(HAND_OVER)
    place = partition_of(id, length)
    loop[layout.MOVED_ID], loop[layout.MOVED_LENGTH] = id, length
    loop[layout.MOVED_SEQ], loop[layout.MOVED_PARTITION] = fields[layout.SEQ], place
    if byte_at(loop[layout.STATES] + place) == uint64(layout.ARRIVING):
        return int64(ARRIVES)
    return int64(MOVED)


@internal
def _jump_of(loop, row):
    return int64s_at(loop[layout.JUMPS] + 8 * JUMP * row, JUMP)


@internal
def _note_jump(loop, row, base, slot, last):
    """Note that a sparse number of a row leaves some out, and the one before, to undo that."""
    jump = _jump_of(loop, row)
    jump[JUMP_BASE], jump[JUMP_SLOT], jump[JUMP_FROM] = base, slot, int64(last)


@internal
def _before(loop, row, base, slot, seq):
    """Return the number that the number of a row was put in the place of.

    A row and a slot meet once in the blocks of one ``base``, so a jump of another row is not taken
    for one of this.
    """
    jump = _jump_of(loop, row)
    if jump[JUMP_BASE] == base and jump[JUMP_SLOT] == slot and seq >= SPARSE:
        return uint64(jump[JUMP_FROM])
    return seq - _ONE


@internal
def claim_row(loop, head, row, base):
    """Find or allocate the slot of a row whose id, number and values are valid.

    Returns
    -------
    int64
        1, and the number is stored; or HAND_OVER, NEEDS_ROOM, NEXT_BLOCK, MOVED or ARRIVES, and
        nothing has changed.
    """
    fields = row_of(loop, row)
    id, length, seq = fields[ID], fields[LENGTH], uint64(fields[layout.SEQ])
    if not _enters(loop, id, length):
        return _refuse_partition(loop, fields)
    slot = find(head, id, length)
    if slot < 0 and loop[layout.STORED] != 0:
        return int64(HAND_OVER)
    if row >= loop[layout.ONCE_FROM] and slot >= 0 and _round_of(head, slot, base) > 0:
        return int64(NEXT_BLOCK)
    if seq != _ZERO:
        last = column_of(head, slot, SEQ) if slot >= 0 else _ZERO
        if seq != last + _ONE:
            if seq < SPARSE or seq <= last:
                return int64(HAND_OVER)
            _note_jump(loop, row, base, slot, last)
        # Whether a stream may change its producer is for Python; so there is none to be restored.
        if slot >= 0 and producer_of(head, slot) != uint64(loop[layout.PRODUCER]):
            return int64(HAND_OVER)
    if slot < 0:
        slot = _claim(head, id, length)
        if slot == id_index.NEEDS_ROOM:
            return int64(NEEDS_ROOM)
        if slot < 0:
            return int64(HAND_OVER)
        if seq != _ZERO and loop[layout.PRODUCER] != 0:
            set_producer(head, slot, uint64(loop[layout.PRODUCER]))
    if seq != _ZERO:
        set_column(head, slot, SEQ, seq)
    meta = column_of(head, slot, META)
    round_ = _round_of(head, slot, base)
    low = dirty.mark_in_meta(head, slot, meta)
    set_column(head, slot, META, uint64(base + round_) << BLOCK_SHIFT | low)
    fields[ROUND] = round_
    loop[layout.LAST_ROUND] = max(loop[layout.LAST_ROUND], round_)
    int64s_at(loop[layout.SLOTS] + 8 * row, int64(1))[0] = slot
    return int64(1)


@internal
def undo_rows(loop, head, first, stop, base, arrived):
    """Undo what claiming these rows has changed, the newest first."""
    for row in range(stop - 1, first - 1, -1):
        slot = int64s_at(loop[layout.SLOTS] + 8 * row, int64(1))[0]
        seq = uint64(row_of(loop, row)[layout.SEQ])
        if seq != _ZERO:
            set_column(head, slot, SEQ, _before(loop, row, base, slot, seq))
        # The first row of a stream that came with this message is the last to be undone.
        if row_of(loop, row)[ROUND] == 0 and generation_of(head, slot, 0) > uint64(arrived):
            id_index.free_slot(head, slot)


@internal
def note_refused(loop, head, row, stop, count, base):
    """Note a row whose number alone is why its STEPS, of so many rows up to ``stop``, is refused.

    Python then refuses this row, and need not decode the others: a microsecond each. Where another
    row might be refused for a reason that comes first, and where the stream has a row before this
    one, the message is left to Python as it is.
    """
    fields = row_of(loop, row)
    id, length, seq = fields[ID], fields[LENGTH], uint64(fields[layout.SEQ])
    if seq == _ZERO or loop[layout.STORED] != 0 or loop[layout.PRODUCER] != 0:
        return
    slot = find(head, id, length)
    last = _ZERO
    if slot >= 0:
        if _round_of(head, slot, base) > 0:
            return
        last = column_of(head, slot, SEQ)
    elif length > 0 and not reader.is_utf8(id, length):
        return
    for other in range(row + 1, stop):
        later = row_of(loop, other)
        if later[LENGTH] > 0 and not reader.is_utf8(later[ID], later[LENGTH]):
            return  # the message is no STEPS
    if not may_follow(seq, last):
        loop[layout.REFUSED_ROW] = row
        loop[layout.REFUSED_COUNT] = count
