"""Answer LAST in the loop: in Python, 16,384 ids would hold up everyone for ten milliseconds."""

from numba import int64, uint64

from ...kernels.cache import internal
from ...kernels.id_index import SEQ, column_of
from . import layout, reader, writer
from .claim import find, is_here
from .send import send_reply
from .views import fields_of


@internal
def answer_last(loop, head, record):
    """Reply to the message of a record if it is a LAST whose streams are all in memory or nowhere.

    Parameters
    ----------
    loop : int64[LOOP]
    head : int64[HEAD]
        Of the table of streams.
    record : int64
        Its address.

    Returns
    -------
    int64
        How many streams it has; 0 if it is for Python, and nothing was sent.
    """
    fields = fields_of(record)
    if (
        loop[layout.STORED] != 0
        or fields[layout.CLIENT] == loop[layout.MAX_MESSAGES]
        or fields[layout.SIZE] > loop[layout.MAX_SIZE]
        or fields[layout.FRAMES_RECEIVED] != fields[layout.FRAMES]
    ):
        return int64(0)
    role = fields[layout.ROLE]
    if role != layout.MAY_ALL and role != layout.MAY_STEP and role != layout.MAY_READ:
        return int64(0)
    at = fields[layout.MESSAGE]
    end = at + fields[layout.SIZE]
    at, elements = reader.read_array(at, end)
    if at == 0 or elements != 2:
        return int64(0)
    at, kind = reader.read_unsigned(at, end)
    if at == 0 or kind != uint64(layout.LAST_SEQS):
        return int64(0)
    at, count = reader.read_array(at, end)
    if at == 0 or count == 0:
        return int64(0)
    out = _write_numbers(loop, head, at, end, count)
    if out == 0:
        return int64(0)
    send_reply(loop, fields, loop[layout.REPLY], out - loop[layout.REPLY])
    return count


@internal
def _write_numbers(loop, head, at, end, count):
    """Write the reply to a LAST whose ids begin here; return its end, 0 if an id is not valid."""
    out = writer.write_array(loop[layout.REPLY], int64(4))
    out = writer.write_unsigned(out, uint64(layout.DONE))
    out = writer.write_unsigned(out, uint64(layout.LAST_SEQS))
    out = writer.write_byte(out, int64(reader.NIL))
    out = writer.write_array(out, count)
    for _ in range(count):
        at, id, length = reader.read_id(at, end)
        if at == 0:
            return int64(0)
        if not is_here(loop, id, length):
            return int64(0)
        slot = find(head, id, length)
        if slot < 0 and length > 0 and not reader.is_utf8(id, length):
            return int64(0)
        seq = uint64(0)
        if slot >= 0:
            seq = column_of(head, slot, SEQ)
        out = writer.write_unsigned(out, seq)
    return out if at == end else int64(0)
