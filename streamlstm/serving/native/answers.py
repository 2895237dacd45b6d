"""The ways out of the loop: answers to who asked, predictions to who listens.

Nobody is waited for who does not read. But compiled code makes answers quicker than ZeroMQ's own
thread sends them, so that the queue towards a client that reads as fast as it can may be full for a
moment. For this the loop has some patience: a share of the time, whatever clients do. One that
stops has more of it, once: there may be no later moment for these answers to be asked for again.
"""

from numba import int64, uint64

from ...kernels.cache import part
from ...kernels.memory import c_int, int64s_at
from . import layout, reader, writer
from .layout import DATA, ID, LENGTH, SEQ
from .observe import row_of
from .queue import EAGAIN, ROUTER_DOOR, XPUB_DOOR, counts_of, error_number, fields_of, moment

_DONT_WAIT, _SEND_MORE = 1, 2
_EVENTS = 15
_NAP = 50  # us
_XPUB_NODROP = 69


@part
def _send(loop, socket, at, size, flags):
    return c_int(loop[layout.SEND], socket, at, size, flags)


@part
def _look(loop, socket):
    """Let a socket hear from ZeroMQ's own thread which queues have emptied."""
    option = loop[layout.OPTION]
    c_int(loop[layout.GET_OPTION], socket, int64(_EVENTS), option, option + 8)


@part
def _is_patient(loop):
    """Tell whether to wait once more for a client's queue to empty."""
    if loop[layout.PATIENCE] > 0:
        return True
    return loop[layout.PATIENT_UNTIL] != 0 and moment(loop) < loop[layout.PATIENT_UNTIL]


@part
def reply(loop, head, at, size):
    """Send ``size`` bytes at ``at`` back to where the message with this head came from."""
    counts = counts_of(loop)
    loop[layout.FULL] |= 1 << ROUTER_DOOR  # sending takes news of what has arrived, too
    socket, back = loop[layout.ROUTER], head[DATA]
    flags = int64(_SEND_MORE | _DONT_WAIT)
    size_of_name = head[layout.IDENTITY_SIZE]
    sent = _send(loop, socket, back, size_of_name, flags)
    while sent < 0 and error_number(loop) == EAGAIN and _is_patient(loop):
        loop[layout.PATIENCE] -= 1_000 * _NAP
        c_int(loop[layout.SLEEP], int64(_NAP), int64(0), int64(0), int64(0))
        _look(loop, socket)
        sent = _send(loop, socket, back, size_of_name, flags)
    if sent < 0:
        counts[layout.DROPPED_ANSWERS] += 1  # it does not read, or it has gone
        return
    back += head[layout.IDENTITY_SIZE]
    sizes = head[layout.FRAME_SIZES]
    for _ in range(head[layout.FRAMES]):
        _send(loop, socket, back, sizes & 255, flags)
        back += sizes & 255
        sizes >>= 8
    _send(loop, socket, at, size, int64(_DONT_WAIT))
    counts[layout.ANSWERS] += 1


@part
def _no_drop(loop, wanted):
    option = int64s_at(loop[layout.OPTION], int64(1))
    option[0] = wanted
    c_int(
        loop[layout.SET_OPTION],
        loop[layout.XPUB],
        int64(_XPUB_NODROP),
        loop[layout.OPTION],
        int64(4),
    )


@part
def _publish(loop, topic, at, end):
    """Send the topic from ``topic`` to ``at`` and the message from there to ``end``."""
    counts = counts_of(loop)
    socket, flags = loop[layout.XPUB], int64(_SEND_MORE | _DONT_WAIT)
    counts[layout.PUBLICATIONS] += 1
    loop[layout.FULL] |= 1 << XPUB_DOOR
    if _send(loop, socket, topic, at - topic, flags) < 0:
        # Some subscriber's queue is full, and in this mode no one was sent anything. Send to all
        # the others: libzmq then passes the full one over until it has read half of its queue.
        counts[layout.SUBSCRIBER_OVERFLOWS] += 1
        _no_drop(loop, int64(0))
        _send(loop, socket, topic, at - topic, flags)
        _send(loop, socket, at, end - at, int64(_DONT_WAIT))
        _no_drop(loop, int64(1))
        return
    _send(loop, socket, at, end - at, int64(_DONT_WAIT))


@part
def answer_message(loop, message, size):
    """Publish the predictions of a message of the block, and answer it.

    Parameters
    ----------
    loop : int64[LOOP]
    message : int64[BATCH_ROW]
    size : int64
        Bytes of a prediction's outputs.
    """
    kept = fields_of(message[layout.BATCH_RECORD])
    asked = kept[layout.CLIENT] != loop[layout.MAX_MESSAGES]
    many = message[layout.BATCH_MANY] != 0
    heard = counts_of(loop)[layout.SUBSCRIPTIONS] > 0
    topic = loop[layout.REPLY]
    first, count = message[layout.BATCH_FIRST], message[layout.BATCH_COUNT]
    if heard or not many:
        for row in range(first, first + count):
            fields = row_of(loop, row)
            at = writer.write_topic(topic, fields[ID], fields[LENGTH])
            end = writer.write_prediction(
                at,
                fields[ID],
                fields[LENGTH],
                uint64(fields[SEQ]),
                loop[layout.Y] + size * row,
                size,
            )
            if heard:
                _publish(loop, topic, at, end)
            if asked and not many:
                reply(loop, kept, at, end - at)
    if asked and many:
        end = _write_predictions(loop, topic, message, size)
        reply(loop, kept, topic, end - topic)


@part
def _write_predictions(loop, at, message, size):
    first, count = message[layout.BATCH_FIRST], message[layout.BATCH_COUNT]
    at = writer.write_array(at, int64(4))
    at = writer.write_unsigned(at, uint64(layout.PREDICTIONS))
    at = writer.write_array(at, count)
    for row in range(first, first + count):
        fields = row_of(loop, row)
        at = writer.write_id(at, fields[ID], fields[LENGTH])
    if message[layout.BATCH_NUMBERED]:
        at = writer.write_array(at, count)
        for row in range(first, first + count):
            at = writer.write_unsigned(at, uint64(row_of(loop, row)[SEQ]))
    else:
        at = writer.write_byte(at, int64(reader.NIL))
    at = writer.write_bin_head(at, size * count)
    return writer.write_bytes(at, loop[layout.Y] + size * first, size * count)


@part
def answer_busy(loop, head):
    """Answer the message in the scratch, for which there is no room, with ``busy``."""
    wait = loop[layout.PACE] * counts_of(loop)[layout.QUEUED]
    _answer_busy(loop, head, wait, loop[layout.BUSY_WORDS], loop[layout.BUSY_SIZE])


@part
def answer_too_quick(loop, head, wait):
    """Answer the message in the scratch, whose client has to wait so many ns, with ``busy``."""
    _answer_busy(loop, head, wait + 999_999, loop[layout.RATE_WORDS], loop[layout.RATE_SIZE])


@part
def _answer_busy(loop, head, wait, words, size):
    """Answer code and sentence in ``words``, and how long to wait."""
    counts_of(loop)[layout.BUSY] += 1
    at = head[layout.MESSAGE]
    stream, number = _named(at, at + min(head[layout.SIZE], loop[layout.MAX_FRAME]))
    out = loop[layout.REPLY]
    at = writer.write_array(out, int64(6))
    at = writer.write_unsigned(at, uint64(layout.ERROR))
    at = _write_named(at, stream, number)
    at = writer.write_bytes(at, words, size)
    at = writer.write_unsigned(at, uint64(max(wait // 1_000_000, 1)))
    reply(loop, head, out, at - out)


@part
def _named(at, end):
    """Find the stream and the number that a message is about.

    Returns
    -------
    stream, number : int64
        Where they stand; 0 where the message says none.
    """
    at, elements = reader.read_array(at, end)
    if at == 0:
        return int64(0), int64(0)
    at, kind = reader.read_unsigned(at, end)
    about_one = (uint64(1) <= kind <= uint64(5) and kind != uint64(2)) or kind == uint64(11)
    if at == 0 or elements < 2 or not about_one:
        return int64(0), int64(0)
    stream = at
    at, id, length = reader.read_id(stream, end)
    if at == 0 or (length > 0 and not reader.is_utf8(id, length)):
        return int64(0), int64(0)
    if kind != uint64(layout.STEP) or elements < 3:
        return stream, int64(0)
    after, _ = reader.read_unsigned(at, end)
    return stream, at if after != 0 else int64(0)


@part
def _write_named(at, stream, number):
    """Write stream and number from where they stand, nil where they do not."""
    long = int64(10 + layout.MAX_IDENTITY)  # they were read before: this is within the message
    if stream == 0:
        at = writer.write_byte(at, int64(reader.NIL))
    else:
        _, id, length = reader.read_id(stream, stream + long)
        at = writer.write_id(at, id, length)
    if number == 0:
        return writer.write_byte(at, int64(reader.NIL))
    _, seq = reader.read_unsigned(number, number + long)
    return writer.write_unsigned(at, seq)
