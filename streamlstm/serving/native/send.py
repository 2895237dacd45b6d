"""Send replies to clients and publish predictions to subscribers.

The loop never blocks on a client that does not read. But compiled code makes replies faster than
ZeroMQ's I/O thread sends them, so that the queue to a client that reads as fast as it can may be
full for a short time. The loop waits for such queues within SEND_BUDGET, a bounded fraction of the
time, whatever clients do. A worker that stops waits longer, until DRAIN_UNTIL: clients may have no
later chance to ask for these replies again.
"""

from numba import int64, uint64

from ...kernels import layout as plan
from ...kernels.arguments import UNBOUNDED
from ...kernels.cache import internal
from ...kernels.pointers import c_int, doubles_at, floats_at, int64s_at
from . import layout, reader, writer
from .block import values_at
from .claim import row_of
from .large import may_hold, send_large
from .layout import DATA, ID, LENGTH, SEQ
from .results import wants_values
from .views import (
    DONT_WAIT,
    EAGAIN,
    ROUTER_SOCKET,
    SEND_MORE,
    XPUB_SOCKET,
    counts_of,
    error_number,
    fields_of,
    now,
    refresh,
)

_RETRY_PAUSE = 50  # us
_XPUB_NODROP = 69


@internal
def _send(loop, socket, at, size, flags):
    return c_int(loop[layout.SEND], socket, at, size, flags)


@internal
def _may_wait(loop):
    """Tell whether to wait once more for the queue to a client to empty."""
    if loop[layout.SEND_BUDGET] > 0:
        return True
    return loop[layout.DRAIN_UNTIL] != 0 and now(loop) < loop[layout.DRAIN_UNTIL]


@internal
def _pause(loop, socket):
    """Let ZeroMQ's I/O thread send something, at the cost of the budget."""
    loop[layout.SEND_BUDGET] -= 1_000 * _RETRY_PAUSE
    c_int(loop[layout.SLEEP], int64(_RETRY_PAUSE), int64(0), int64(0), int64(0))
    refresh(loop, socket)


@internal
def _wait_for_room(loop, client, size):
    """Wait until a client's large replies leave room for one more; tell whether they do."""
    while not may_hold(loop, client, size):
        if not _may_wait(loop):
            return False
        _pause(loop, loop[layout.ROUTER])
    return True


@internal
def send_reply(loop, head, at, size):
    """Send ``size`` bytes at ``at`` to the sender of the message with this head."""
    counts = counts_of(loop)
    loop[layout.READABLE] |= 1 << ROUTER_SOCKET  # sending consumes the edge, too
    socket, back = loop[layout.ROUTER], head[DATA]
    flags = int64(SEND_MORE | DONT_WAIT)
    size_of_name, client = head[layout.IDENTITY_SIZE], head[layout.CLIENT]
    large = size > layout.LARGE
    if large and not _wait_for_room(loop, client, size):
        counts[layout.DROPPED_ANSWERS] += 1  # the client does not read
        return
    sent = _send(loop, socket, back, size_of_name, flags)
    while sent < 0 and error_number(loop) == EAGAIN and _may_wait(loop):
        _pause(loop, socket)
        sent = _send(loop, socket, back, size_of_name, flags)
    if sent < 0:
        counts[layout.DROPPED_ANSWERS] += 1  # the client does not read, or has disconnected
        return
    back += head[layout.IDENTITY_SIZE]
    sizes = head[layout.FRAME_SIZES]
    for _ in range(head[layout.FRAMES]):
        _send(loop, socket, back, sizes & 255, flags)
        back += sizes & 255
        sizes >>= 8
    if not large or not send_large(loop, client, at, size, int64(DONT_WAIT)):
        _send(loop, socket, at, size, int64(DONT_WAIT))
    counts[layout.ANSWERS] += 1


@internal
def set_no_drop(loop, wanted):
    """Let the XPUB socket say whether a subscriber's queue is full, or leave such ones out."""
    option = int64s_at(loop[layout.OPTION], int64(1))
    option[0] = wanted
    c_int(
        loop[layout.SET_OPTION],
        loop[layout.XPUB],
        int64(_XPUB_NODROP),
        loop[layout.OPTION],
        int64(4),
    )


@internal
def _publish(loop, topic, at, end):
    """Send the topic from ``topic`` to ``at`` and the message from there to ``end``."""
    counts = counts_of(loop)
    socket, flags = loop[layout.XPUB], int64(SEND_MORE | DONT_WAIT)
    counts[layout.PUBLICATIONS] += 1
    loop[layout.READABLE] |= 1 << XPUB_SOCKET
    if _send(loop, socket, topic, at - topic, flags) < 0:
        # A subscriber's queue is full, and in this mode the message went to none. Send it to all
        # others: libzmq then skips the full one until it has read half of its queue.
        counts[layout.SUBSCRIBER_OVERFLOWS] += 1
        set_no_drop(loop, int64(0))
        _send(loop, socket, topic, at - topic, flags)
        _send(loop, socket, at, end - at, int64(DONT_WAIT))
        set_no_drop(loop, int64(1))
        return
    _send(loop, socket, at, end - at, int64(DONT_WAIT))


@internal
def send_results(loop, message, size, width, alarm):
    """Publish the predictions of a message of the block, and reply to it.

    Parameters
    ----------
    loop : int64[LOOP]
    message : int64[BATCH_ROW]
    size : int64
        Bytes of a prediction's outputs,
    width : int64
        And of a whole result.
    alarm : int64
        Where in it the alarm stands, in bytes; 0 if nobody subscribes to alarms.
    """
    head = fields_of(message[layout.BATCH_RECORD])
    wants_reply = head[layout.CLIENT] != loop[layout.MAX_MESSAGES]
    many = message[layout.BATCH_MANY] != 0
    has_subscribers = counts_of(loop)[layout.SUBSCRIPTIONS] > 0
    with_values = has_subscribers and wants_values(loop)
    topic = loop[layout.REPLY] + layout.BEFORE_TOPIC
    first, count = message[layout.BATCH_FIRST], message[layout.BATCH_COUNT]
    if has_subscribers or not many:
        for row in range(first, first + count):
            fields, result = row_of(loop, row), loop[layout.Y] + width * row
            at = writer.write_topic(topic, fields[ID], fields[LENGTH])
            end = writer.write_prediction(
                loop,
                at,
                fields[ID],
                fields[LENGTH],
                uint64(fields[SEQ]),
                result,
                size,
            )
            if has_subscribers:
                _publish(loop, topic, at, end)
            if alarm != 0 and floats_at(result + alarm, int64(1))[0] > 0.0:
                _publish(loop, _write_before(topic, uint64(layout.ALARM_TOPIC)), at, end)
            if wants_reply and not many:
                send_reply(loop, head, at, end - at)
            if with_values:
                end = _append_values(loop, at, end, row)
                _publish(loop, _write_before(topic, uint64(layout.VALUE_TOPIC)), at, end)
    if wants_reply and many:
        end = _write_predictions(loop, topic, message, size, width)
        send_reply(loop, head, topic, end - topic)


@internal
def _write_before(topic, words):
    """Make a topic that of alarms, or of values: write what these begin with before it."""
    prefix = topic - layout.BEFORE_TOPIC
    writer.write_big_endian(prefix, words, int64(layout.BEFORE_TOPIC))
    return prefix


@internal
def _append_values(loop, at, end, row):
    """Append x and the time of a row of the block to its PREDICTION; return where it ends."""
    program = int64s_at(int64s_at(loop[layout.TASK], plan.TASK)[plan.TASK_PROGRAM], UNBOUNDED)
    if loop[layout.EXTRAS] == 0:
        end = writer.write_byte(end, int64(reader.NIL))
    writer.write_array(at, int64(7))  # one byte, as before
    x, inputs = values_at(loop) + 4 * program[plan.WIDTH] * row, program[plan.INPUTS]
    end = writer.write_inputs(end, x, inputs, loop[layout.INPUT_OFFSETS])
    return writer.write_number(end, doubles_at(loop[layout.TIMES], row + 1)[row])


@internal
def _write_predictions(loop, at, message, size, width):
    first, count = message[layout.BATCH_FIRST], message[layout.BATCH_COUNT]
    has_extras = loop[layout.EXTRAS] != 0
    at = writer.write_array(at, int64(5 if has_extras else 4))
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
    results, wide = loop[layout.Y] + width * first, loop[layout.OUTPUT_OFFSETS] != 0
    at = writer.write_array(at, count) if wide else writer.write_bin_head(at, size * count)
    for row in range(count):
        if wide:
            at = writer.write_outputs(loop, at, results + width * row, size)
        else:
            at = writer.write_bytes(at, results + width * row, size)
    if not has_extras:
        return at
    return writer.write_extras(loop, at, results, count, width)


@internal
def reply_busy(loop, head):
    """Reply ``busy`` to the message in the scratch, for which the queue has no room."""
    wait = loop[layout.PACE] * counts_of(loop)[layout.QUEUED]
    _reply_busy(loop, head, wait, loop[layout.BUSY_WORDS], loop[layout.BUSY_SIZE])


@internal
def reply_throttled(loop, head, wait):
    """Reply ``busy`` to the message in the scratch, whose account has to wait so many ns."""
    _reply_busy(loop, head, wait + 999_999, loop[layout.RATE_WORDS], loop[layout.RATE_SIZE])


@internal
def _reply_busy(loop, head, wait, words, size):
    """Reply with the code and sentence in ``words``, and the ms to wait."""
    counts_of(loop)[layout.BUSY] += 1
    at = head[layout.MESSAGE]
    stream, number = find_subject(at, at + min(head[layout.SIZE], loop[layout.MAX_FRAME]))
    out = loop[layout.REPLY]
    at = writer.write_array(out, int64(6))
    at = writer.write_unsigned(at, uint64(layout.ERROR))
    at = write_subject(at, stream, number)
    at = writer.write_bytes(at, words, size)
    at = writer.write_unsigned(at, uint64(max(wait // 1_000_000, 1)))
    send_reply(loop, head, out, at - out)


@internal
def find_subject(at, end):
    """Find the stream and the sequence number of a message.

    Returns
    -------
    stream, number : int64
        Their addresses; 0 where the message has none.
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


@internal
def write_subject(at, stream, number):
    """Write the stream and the number at these addresses, nil for address 0."""
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
