"""Turn a message into rows of the block: decode it, validate it, find its streams.

A message is accepted or handed over to Python as a whole, and a message that is handed over has
changed nothing. So everything is validated before anything changes, but for the sequence numbers
of a STEPS, whose rows may be of one stream: there changes are undone.
"""

import numpy as np
from numba import int64, uint64

from ...kernels import id_index
from ...kernels import layout as plan
from ...kernels.arguments import UNBOUNDED
from ...kernels.cache import internal
from ...kernels.id_index import TIME, set_column
from ...kernels.pointers import bits_of, doubles_at, floats_at, int64s_at, word_at
from ...kernels.single_step import is_valid
from . import layout, reader
from .claim import HAND_OVER, NEXT_BLOCK, claim_row, note_refused, row_of, undo_rows
from .layout import ID, LENGTH
from .views import fields_of

_ZERO = np.uint64(0)
_FOUR_BYTES, _MAGIC = np.uint64(2**32 - 1), np.uint64(layout.PRODUCER_MAGIC)


@internal
def _program(loop):
    task = int64s_at(loop[layout.TASK], plan.TASK)
    return int64s_at(task[plan.TASK_PROGRAM], UNBOUNDED)


@internal
def _inputs_at(loop, row):
    """Return the address of the observation of a row."""
    return loop[layout.X] + 4 * _program(loop)[plan.WIDTH] * row


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
        How many rows were made; or HAND_OVER, NEEDS_ROOM, NEXT_BLOCK, MOVED or ARRIVES, and
        nothing has changed.
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
        if kind == uint64(layout.STEPS) and 4 <= elements <= 5:
            loop[layout.MANY] = 1
            return _ingest_steps(loop, head, record, at, end, elements == 5, row, base)
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
    at = reader.read_vector(at, end, inputs, to, loop[layout.INPUT_OFFSETS])
    if at == 0:
        return int64(HAND_OVER)
    time = np.nan
    if timed:
        at, time = reader.read_number(at, end)
        if at == 0 or not np.isfinite(time):
            return int64(HAND_OVER)
    if at != end or not is_valid(program, floats_at(to, program[plan.WIDTH])):
        return int64(HAND_OVER)
    if program[plan.TIMED] != 0 and not timed:
        return int64(HAND_OVER)
    int64s_at(loop[layout.TIMES] + 8 * row, int64(1))[0] = int64(bits_of(time))
    loop[layout.MOVED_COUNT] = 1
    entered = claim_row(loop, head, row, base)
    if entered == 1 and timed:
        slot = int64s_at(loop[layout.SLOTS] + 8 * row, int64(1))[0]
        set_column(head, slot, TIME, bits_of(time))
    return entered


@internal
def _ingest_steps(loop, head, record, at, end, timed, row, base):
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
    if program[plan.TIMED] != 0 and not timed:
        return int64(HAND_OVER)
    offsets = loop[layout.INPUT_OFFSETS]
    width = program[plan.WIDTH]
    at = _read_rows(at, end, inputs, count, _inputs_at(loop, row), width, offsets)
    if at == 0:
        return int64(HAND_OVER)
    at = _read_times(loop, at, end, timed, row, count)
    if at != end:
        return int64(HAND_OVER)
    times = doubles_at(loop[layout.TIMES] + 8 * row, count)
    for n in range(count):
        if not is_valid(program, floats_at(_inputs_at(loop, row + n), width)):
            return int64(HAND_OVER)
        if program[plan.TIMED] != 0 and np.isnan(times[n]):
            return int64(HAND_OVER)
    arrived, fields = head[id_index.GENERATION], fields_of(record)
    for n in range(count):
        entered = claim_row(loop, head, row + n, base)
        if entered != 1:
            loop[layout.MOVED_COUNT] = count
            if entered == HAND_OVER and fields[layout.CLIENT] != loop[layout.MAX_MESSAGES]:
                note_refused(loop, head, row + n, row + count, count, base)
            undo_rows(loop, head, row, row + n, base, arrived)
            return entered
    if timed:
        _keep_times(loop, head, row, times)
    return count


@internal
def _keep_times(loop, head, row, times):
    """Store the event times of rows that have their streams; the last one of a stream stays."""
    slots = int64s_at(loop[layout.SLOTS] + 8 * row, times.size)
    for n in range(times.size):
        if not np.isnan(times[n]):
            set_column(head, slots[n], TIME, bits_of(times[n]))


@internal
def _read_times(loop, at, end, timed, row, count):
    """Read the event times of a STEPS, NaN for nil or none; return where they end."""
    times = doubles_at(loop[layout.TIMES] + 8 * row, count)
    times[:] = np.nan
    if not timed:
        return at
    at, numbers = reader.read_array(at, end)
    if at == 0 or numbers != count:
        return int64(0)
    for n in range(count):
        if reader.is_nil(at, end):
            at += 1
            continue
        at, times[n] = reader.read_number(at, end)
        if at == 0 or not np.isfinite(times[n]):
            return int64(0)
    return at


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
def _read_rows(at, end, inputs, count, to, width, offsets):
    """Read X[B, F], one bin or an array of vectors, to rows of ``width``; return where it ends."""
    start, length = reader.read_bin(at, end)
    if start != 0:
        return reader.read_vector(at, end, inputs * count, to, offsets)
    start, length = reader.read_array(at, end)
    if start == 0 or length != count:
        return int64(0)
    at = start
    for n in range(count):
        at = reader.read_vector(at, end, inputs, to + 4 * width * n, offsets)
        if at == 0:
            return int64(0)
    return at
