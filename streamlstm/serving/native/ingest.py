"""Turn a message into rows of the block: decode it, validate it, find its streams.

A message is accepted or handed over to Python as a whole, and a message that is handed over has
changed nothing. So everything is validated before anything changes, but for the sequence numbers
of a STEPS, whose rows may be of one stream: there changes are undone.
"""

import numpy as np
from numba import int64, uint64

from ...kernels import dirty, id_index
from ...kernels import layout as plan
from ...kernels.arguments import UNBOUNDED
from ...kernels.cache import internal
from ...kernels.id_index import (
    BLOCK_SHIFT,
    META,
    SEQ,
    TIME,
    column_of,
    generation_of,
    producer_of,
    set_column,
    set_producer,
)
from ...kernels.pointers import bits_of, floats_at, int64s_at, word_at
from ...kernels.single_step import is_valid
from . import layout, reader
from .layout import ID, LENGTH, ROUND, ROW
from .views import fields_of

_ZERO, _ONE = np.uint64(0), np.uint64(1)
_FOUR_BYTES, _MAGIC = np.uint64(2**32 - 1), np.uint64(layout.PRODUCER_MAGIC)

# Results other than a number of rows.
HAND_OVER, NEEDS_ROOM, NEXT_BLOCK = 0, -1, -2


@internal
def row_of(loop, row):
    """View a row of the block."""
    return int64s_at(loop[layout.ROWS] + 8 * ROW * row, ROW)


@internal
def _program(loop):
    task = int64s_at(loop[layout.TASK], plan.TASK)
    return int64s_at(task[plan.TASK_PROGRAM], UNBOUNDED)


@internal
def _inputs_at(loop, row):
    """Return the address of the observation of a row."""
    return loop[layout.X] + 4 * _program(loop)[plan.INPUTS] * row


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
def _note_producer(loop, record):
    """Set PRODUCER to the identity in the last frame of the envelope, 0 if it names none."""
    fields = fields_of(record)
    loop[layout.PRODUCER] = 0
    frames = fields[layout.FRAMES]
    if frames == 0:
        return
    size = fields[layout.FRAME_SIZES] >> (8 * (frames - 1)) & 255
    at = fields[layout.MESSAGE] - size
    if size >= layout.PRODUCER_FRAME and word_at(at) & _FOUR_BYTES == _MAGIC:
        loop[layout.PRODUCER] = int64(word_at(at + 4))


@internal
def _claim_row(loop, head, row, base):
    """Find or allocate the slot of a row whose id, number and values are valid.

    Returns
    -------
    int64
        1, and the number is stored; or HAND_OVER, NEEDS_ROOM or NEXT_BLOCK, and nothing has
        changed.
    """
    fields = row_of(loop, row)
    id, length, seq = fields[ID], fields[LENGTH], uint64(fields[layout.SEQ])
    slot = find(head, id, length)
    if slot < 0 and loop[layout.STORED] != 0:
        return int64(HAND_OVER)
    if row >= loop[layout.ONCE_FROM] and slot >= 0 and _round_of(head, slot, base) > 0:
        return int64(NEXT_BLOCK)
    if seq != _ZERO:
        last = column_of(head, slot, SEQ) if slot >= 0 else _ZERO
        if seq != last + _ONE:
            return int64(HAND_OVER)
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
def _undo_rows(loop, head, first, stop, arrived):
    """Undo what claiming these rows has changed, the newest first."""
    for row in range(stop - 1, first - 1, -1):
        slot = int64s_at(loop[layout.SLOTS] + 8 * row, int64(1))[0]
        if row_of(loop, row)[layout.SEQ] != 0:
            set_column(head, slot, SEQ, column_of(head, slot, SEQ) - _ONE)
        # The first row of a stream that came with this message is the last to be undone.
        if row_of(loop, row)[ROUND] == 0 and generation_of(head, slot, 0) > uint64(arrived):
            id_index.free_slot(head, slot)


@internal
def ingest(loop, head, record, row, base):
    """Make rows of the block, from ``row`` on, from the message of a record.

    Parameters
    ----------
    loop : int64[LOOP]
    head : int64[HEAD]
        Of the table of streams.
    record : int64
        Its address.
    row : int64
        Rows that the block has.
    base : int64
        Number of the block's first round.

    Returns
    -------
    int64
        How many rows were made; or HAND_OVER, NEEDS_ROOM or NEXT_BLOCK, and nothing has changed.
    """
    fields = fields_of(record)
    if (
        fields[layout.SIZE] > loop[layout.MAX_SIZE]
        or fields[layout.FRAMES_RECEIVED] != fields[layout.FRAMES]
    ):
        return int64(HAND_OVER)
    at = fields[layout.MESSAGE]
    end = at + fields[layout.SIZE]
    at, elements = reader.read_array(at, end)
    if at == 0:
        return int64(HAND_OVER)
    at, kind = reader.read_unsigned(at, end)
    if at != 0:
        if kind == uint64(layout.STEP) and 4 <= elements <= 5:
            loop[layout.MANY] = 0
            return _ingest_step(loop, head, record, at, end, elements == 5, row, base)
        if kind == uint64(layout.STEPS) and elements == 4:
            loop[layout.MANY] = 1
            return _ingest_steps(loop, head, record, at, end, row, base)
    return int64(HAND_OVER)


@internal
def _ingest_step(loop, head, record, at, end, timed, row, base):
    fields = row_of(loop, row)
    at, fields[ID], fields[LENGTH] = reader.read_id(at, end)
    if at == 0:
        return int64(HAND_OVER)
    at, seq = reader.read_unsigned(at, end)
    if at == 0:
        return int64(HAND_OVER)
    fields[layout.SEQ] = int64(seq)
    if seq != _ZERO:
        _note_producer(loop, record)
    program = _program(loop)
    inputs, to = program[plan.INPUTS], _inputs_at(loop, row)
    at = reader.read_vector(at, end, inputs, to)
    if at == 0:
        return int64(HAND_OVER)
    time = 0.0
    if timed:
        at, time = reader.read_number(at, end)
        if at == 0 or not np.isfinite(time):
            return int64(HAND_OVER)
    if at != end or not is_valid(program, floats_at(to, inputs)):
        return int64(HAND_OVER)
    entered = _claim_row(loop, head, row, base)
    if entered == 1 and timed:
        slot = int64s_at(loop[layout.SLOTS] + 8 * row, int64(1))[0]
        set_column(head, slot, TIME, bits_of(time))
    return entered


@internal
def _ingest_steps(loop, head, record, at, end, row, base):
    at, count = reader.read_array(at, end)
    if at == 0 or count == 0:
        return int64(HAND_OVER)
    if row > 0 and row + count > layout.BLOCK:
        return int64(NEXT_BLOCK)  # so that none of this block waits for the arithmetic of so many
    for n in range(count):
        place = row_of(loop, row + n)
        at, place[ID], place[LENGTH] = reader.read_id(at, end)
        if at == 0:
            return int64(HAND_OVER)
    at = _read_numbers(loop, at, end, row, count)
    if at == 0:
        return int64(HAND_OVER)
    if loop[layout.NUMBERED] != 0:
        _note_producer(loop, record)
    program = _program(loop)
    inputs = program[plan.INPUTS]
    at = _read_rows(at, end, inputs, count, _inputs_at(loop, row))
    if at != end:
        return int64(HAND_OVER)
    for n in range(count):
        if not is_valid(program, floats_at(_inputs_at(loop, row + n), inputs)):
            return int64(HAND_OVER)
    arrived, fields = head[id_index.GENERATION], fields_of(record)
    for n in range(count):
        entered = _claim_row(loop, head, row + n, base)
        if entered != 1:
            if entered == HAND_OVER and fields[layout.CLIENT] != loop[layout.MAX_MESSAGES]:
                _note_refused(loop, head, row + n, count, base)
            _undo_rows(loop, head, row, row + n, arrived)
            return entered
    return count


@internal
def _note_refused(loop, head, row, count, base):
    """Note a row whose number alone is why its STEPS, of so many rows, is refused.

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
    if seq != last + _ONE:
        loop[layout.REFUSED_ROW] = row
        loop[layout.REFUSED_COUNT] = count


@internal
def _read_numbers(loop, at, end, row, count):
    """Read the sequence numbers of a STEPS, or nil; NUMBERED says which. Return where they end."""
    loop[layout.NUMBERED] = 0
    if reader.is_nil(at, end):
        for n in range(count):
            row_of(loop, row + n)[layout.SEQ] = 0
        return at + 1
    loop[layout.NUMBERED] = 1
    at, numbers = reader.read_array(at, end)
    if at == 0 or numbers != count:
        return int64(0)
    for n in range(count):
        at, seq = reader.read_unsigned(at, end)
        if at == 0:
            return int64(0)
        row_of(loop, row + n)[layout.SEQ] = int64(seq)
    return at


@internal
def _read_rows(at, end, inputs, count, to):
    """Read X[B, F], one bin or an array of vectors; return where it ends."""
    start, length = reader.read_bin(at, end)
    if start != 0:
        return reader.read_vector(at, end, inputs * count, to)
    start, length = reader.read_array(at, end)
    if start == 0 or length != count:
        return int64(0)
    at = start
    for n in range(count):
        at = reader.read_vector(at, end, inputs, to + 4 * inputs * n)
        if at == 0:
            return int64(0)
    return at
