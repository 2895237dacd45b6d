"""Answer observations of streams whose partition another worker of the fleet has."""

from numba import int64, uint64

from ...kernels.cache import internal
from ...kernels.pointers import int64s_at
from . import layout, reader, writer
from .claim import ARRIVES
from .queue import advance, received, release, set_received
from .send import send_reply
from .views import counts_of, fields_of


@internal
def answer_moved(loop, record, reason):
    """Reply to the first message of the queue, which :func:`claim.claim_row` has not taken.

    Parameters
    ----------
    loop : int64[LOOP]
    record : int64
        Its address.
    reason : int64
        MOVED or ARRIVES.
    """
    count = loop[layout.MOVED_COUNT]
    set_received(loop, record, received(loop, record) + count)
    out = loop[layout.REPLY]
    end = _write_arriving(loop, out) if reason == ARRIVES else _write_moved(loop, out)
    send_reply(loop, fields_of(record), out, end - out)
    advance(loop, record, int64(1))
    release(loop, record)


@internal
def _write_subject(loop, at, elements):
    """Write the beginning of an ERROR, with the row that was noted."""
    at = writer.write_array(at, int64(elements))
    at = writer.write_unsigned(at, uint64(layout.ERROR))
    at = writer.write_id(at, loop[layout.MOVED_ID], loop[layout.MOVED_LENGTH])
    if loop[layout.MANY] != 0 and loop[layout.NUMBERED] == 0:
        return writer.write_byte(at, int64(reader.NIL))
    return writer.write_unsigned(at, uint64(loop[layout.MOVED_SEQ]))


@internal
def _write_arriving(loop, at):
    counts_of(loop)[layout.BUSY] += 1
    at = _write_subject(loop, at, int64(6))
    at = writer.write_bytes(at, loop[layout.ARRIVING_WORDS], loop[layout.ARRIVING_SIZE])
    return writer.write_unsigned(at, uint64(layout.ARRIVING_MS))


@internal
def _write_moved(loop, at):
    counts_of(loop)[layout.MOVED] += 1
    place = loop[layout.MOVED_PARTITION]
    owner = int64s_at(loop[layout.OWNERS] + 8 * layout.OWNER * place, layout.OWNER)
    at = _write_subject(loop, at, int64(8))
    at = writer.write_bytes(at, loop[layout.MOVED_WORDS], loop[layout.MOVED_SIZE])
    at = writer.write_unsigned(at, uint64(place))
    at = writer.write_unsigned(at, uint64(owner[layout.EPOCH]))
    if owner[layout.OWNER_SIZE] == 0:
        return writer.write_byte(at, int64(reader.NIL))
    return writer.write_bytes(at, owner[layout.OWNER_AT], owner[layout.OWNER_SIZE])
