"""What workers reply to a gateway: passed on to the client, or the request is sent again."""

from numba import int64, uint64

from ...kernels import id_index
from ...kernels.cache import internal
from ...kernels.id_index import META, set_column
from ...kernels.pointers import c_int, c_word, copy_bytes, int64s_at, word_at
from . import gateway_layout as gl
from . import layout, order, reader, writer
from .gateway_flight import partition_row, put_back, side_of, take_off, worker_row
from .histograms import count_in
from .queue import received, release, set_received
from .send import find_subject, send_reply, write_subject
from .views import DONT_WAIT, EAGAIN, EINTR, counts_of, error_number, fields_of, links_of, refresh

_RECEIVED = 64  # replies of a worker that are taken in one go
_BUSY, _MOVED = int.from_bytes(b"busy"), int.from_bytes(b"moved")
_DUPLICATE = int.from_bytes(b"duplicate"[:8])


@internal
def answer(loop, gateway, record, at, size):
    """Reply to the client of a record, after those to its earlier requests where it needs that.

    A client that adds no envelope tells replies apart by their order alone.
    """
    fields = fields_of(record)
    client = fields[layout.CLIENT]
    links = links_of(loop, client)
    links[gl.OUTSTANDING] -= 1
    if client == loop[layout.MAX_MESSAGES]:
        _free(loop, gateway, record)
    elif fields[layout.FRAMES] > 0:
        send_reply(loop, fields, at, size)
        _free(loop, gateway, record)
    elif links[gl.FIRST_ANSWER] != record:
        _hold(loop, gateway, record, at, size)
    else:
        send_reply(loop, fields, at, size)
        _send_held(loop, gateway, links, record)
    _go_on(loop, client, links)


@internal
def _free(loop, gateway, record):
    side_of(loop, gateway, record)[gl.GENERATION] += 1
    fields = fields_of(record)
    count_in(
        loop,
        int64(layout.LATENCY),
        max(loop[layout.NOW] - fields[layout.TAKEN], 0),
        int64(layout.TIME_UNIT),
    )
    release(loop, record)


@internal
def _hold(loop, gateway, record, at, size):
    side = side_of(loop, gateway, record)
    side[gl.GENERATION] += 1
    data = c_word(loop[layout.ALLOCATE], size + 1, int64(0), int64(0), int64(0))
    side[gl.HELD_AT], side[gl.HELD_BYTES] = data, size
    if data != 0:
        copy_bytes(data, at, size)
    side[gl.AT_WORKER] = -1  # it is answered


@internal
def _send_held(loop, gateway, links, record):
    """Free a record whose reply was sent, and send those that waited for it."""
    while True:
        after = side_of(loop, gateway, record)[gl.NEXT_ANSWERED]
        links[gl.FIRST_ANSWER] = after
        _free(loop, gateway, record)
        if after == 0:
            return
        side = side_of(loop, gateway, after)
        if side[gl.AT_WORKER] != -1:
            return
        record, held = after, side[gl.HELD_AT]
        if held == 0:  # there was no memory for it
            counts_of(loop)[layout.DROPPED_ANSWERS] += 1
            continue
        send_reply(loop, fields_of(record), held, side[gl.HELD_BYTES])
        c_word(loop[layout.RELEASE], held, int64(0), int64(0), int64(0))


@internal
def _go_on(loop, client, links):
    """Take requests of a client again that has so few outstanding now."""
    stopped, outstanding = links[gl.STOPPED], links[gl.OUTSTANDING]
    has_room = stopped == gl.UNTIL_ROOM and 2 * outstanding <= gl.MAX_OUTSTANDING
    if has_room or (stopped == gl.UNTIL_QUIET and outstanding == 0):
        links[gl.STOPPED] = 0
        order.resume(loop, client, int64(0), links[layout.FIRST] != 0)


@internal
def receive_replies(loop, gateway, number):
    """Take what a worker has replied.

    Returns
    -------
    bool
        Whether Python has to deal with the last of them.
    """
    worker = worker_row(gateway, number)
    socket = worker[gl.SOCKET]
    if socket == 0 or worker[gl.READABLE] == 0:
        return False
    refresh(loop, socket)
    for _ in range(_RECEIVED):
        room = int64(layout.PRODUCER_FRAME + 8)
        size = c_int(loop[layout.RECEIVE], socket, gateway[gl.TICKET], room, int64(DONT_WAIT))
        if size < 0:
            if error_number(loop) == EAGAIN:
                worker[gl.READABLE] = 0
            elif error_number(loop) != EINTR:
                loop[layout.FAILED] = error_number(loop)
            return False
        message = gateway[gl.REPLY_MESSAGE]
        flags = int64(DONT_WAIT)
        length = c_int(loop[layout.RECEIVE_MESSAGE], message, socket, flags, int64(0))
        at = c_word(loop[layout.DATA_OF], message, int64(0), int64(0), int64(0))
        if length < 0 or size < 8:
            continue
        ticket = word_at(gateway[gl.TICKET] + size - 8)
        if ticket >> uint64(gl.OF_PYTHON) != uint64(0):
            _hand_over(gateway, int64(0), int64(ticket), number, at, length)
            return True
        if _take(loop, gateway, int64(ticket), number, at, length):
            return True
    return False


@internal
def _hand_over(gateway, record, ticket, worker, at, size):
    gateway[gl.HANDED_RECORD] = record
    gateway[gl.HANDED_TICKET] = ticket
    gateway[gl.HANDED_WORKER] = worker
    gateway[gl.HANDED_AT], gateway[gl.HANDED_SIZE] = at, size


@internal
def _take(loop, gateway, ticket, worker, at, size):
    """Take a reply to a request; return whether Python has to deal with it."""
    number = ticket & ((1 << gl.TICKET_SHIFT) - 1)
    if number >= loop[layout.USED]:
        return False
    record = loop[layout.RECORDS] + layout.RECORD * number
    side = side_of(loop, gateway, record)
    late = side[gl.GENERATION] != ticket >> gl.TICKET_SHIFT
    if late or side[gl.AT_WORKER] != worker + 1:
        return False
    place = partition_row(gateway, side[gl.OF_PARTITION])
    take_off(loop, gateway, record)
    length, code, rest = _read_code(at, at + size)
    if length == 5 and code == uint64(_MOVED):
        _follow_moved(loop, gateway, place, worker, rest, at + size)
        put_back(loop, gateway, record)
        return False
    if length == 4 and code == uint64(_BUSY):
        if place[gl.PROVEN] == 0:  # the partition is on its way there
            place[gl.RETRY_AT] = loop[layout.NOW] + gl.RETRY
            put_back(loop, gateway, record)
            return False
        set_received(loop, record, max(received(loop, record) - side[gl.ROWS_SENT], 0))
    elif place[gl.OWNER] == worker:
        place[gl.PROVEN] = 1
    pulled = fields_of(record)[layout.CLIENT] == loop[layout.MAX_MESSAGES]
    resent = side[gl.RESENT] != 0 and length == 9 and code == uint64(_DUPLICATE)
    if (length > 0 and pulled) or resent:
        _hand_over(gateway, record, int64(0), worker, at, size)
        return True
    answer(loop, gateway, record, at, size)
    return False


@internal
def _read_code(at, end):
    """Read the code of an ERROR: its length, its first bytes as a number, and where it ends.

    The length is 0 of another reply.
    """
    nothing = int64(0), uint64(0), int64(0)
    if end - at < 6 or word_at(at) & uint64(0xFFFFF0) != uint64(0xFFCC90):
        at, elements = reader.read_array(at, end)
        if at == 0 or elements < 5:
            return nothing
        at, kind = reader.read_unsigned(at, end)
        if at == 0 or kind != uint64(layout.ERROR):
            return nothing
    else:
        at += 3
    at = _skip(_skip(at, end), end)
    if at == 0:
        return nothing
    start, length = reader.read_text(at, end)
    if start == 0 or length == 0:
        return nothing
    return length, reader.big_endian(start, min(length, 8)), start + length


@internal
def _skip(at, end):
    """Return where a stream's id, a number or nil ends."""
    if at == 0:
        return int64(0)
    if reader.is_nil(at, end):
        return at + 1
    start, length = reader.read_text(at, end)
    if start != 0:
        return start + length
    return reader.read_unsigned(at, end)[0]


@internal
def _follow_moved(loop, gateway, place, worker, at, end):
    """Learn the owner that a ``moved`` names, whose message begins here."""
    start, length = reader.read_text(at, end)
    if start == 0:
        return
    at, _ = reader.read_unsigned(start + length, end)  # the partition, which is known
    if at == 0:
        return
    at, epoch = reader.read_unsigned(at, end)
    if at == 0:
        return
    start, length = reader.read_text(at, end)
    if int64(epoch) > place[gl.EPOCH]:
        place[gl.EPOCH], place[gl.OWNER], place[gl.PROVEN] = int64(epoch), -1, 0
    if start != 0 and int64(epoch) == place[gl.EPOCH] and place[gl.OWNER] < 0:
        place[gl.OWNER] = _find_worker(gateway, start, length)
    if place[gl.OWNER] == worker:  # it does not know yet that it owns it
        place[gl.PROVEN] = 0
        place[gl.RETRY_AT] = loop[layout.NOW] + gl.RETRY


@internal
def _find_worker(gateway, endpoint, size):
    """Return the number of the worker with this endpoint, -1 if it is not known."""
    for number in range(gl.MAX_WORKERS):
        worker = worker_row(gateway, number)
        if worker[gl.SOCKET] != 0 and worker[gl.ENDPOINT_SIZE] == size:
            same = int64(0)
            while same < size and _byte(worker[gl.ENDPOINT_AT] + same) == _byte(endpoint + same):
                same += 1
            if same == size:
                return int64(number)
    return int64(-1)


@internal
def _byte(at):
    return reader.big_endian(at, int64(1))


@internal
def lose(loop, gateway, number):
    """Deal with the requests at a worker that is gone: send them again, or say that it is open.

    Nobody knows whether it has applied them. A numbered one is sent again to whoever has its stream
    now, and applied once. Another is answered with an error that says so.
    """
    for n in range(loop[layout.USED]):
        record = loop[layout.RECORDS] + layout.RECORD * n
        side = side_of(loop, gateway, record)
        if side[gl.AT_WORKER] != number + 1:
            continue
        take_off(loop, gateway, record)
        if side[gl.NUMBERED] != 0:
            side[gl.RESENT] = 1
            put_back(loop, gateway, record)
        else:
            _answer_in_doubt(loop, gateway, record)


@internal
def _answer_in_doubt(loop, gateway, record):
    message, size = fields_of(record)[layout.MESSAGE], fields_of(record)[layout.SIZE]
    stream, number = find_subject(message, message + min(size, loop[layout.MAX_FRAME]))
    out = loop[layout.REPLY]
    at = writer.write_array(out, int64(5))
    at = writer.write_unsigned(at, uint64(layout.ERROR))
    at = write_subject(at, stream, number)
    at = writer.write_bytes(at, gateway[gl.DOUBT_WORDS], gateway[gl.DOUBT_SIZE])
    answer(loop, gateway, record, out, at - out)


@internal
def forget_received(loop):
    """Begin to count the observations of all clients anew: their next barriers tell them so."""
    clients = int64s_at(loop[layout.CLIENTS], id_index.HEAD)
    for client in range(loop[layout.MAX_MESSAGES]):
        set_column(clients, client, META, uint64(id_index.length_of(clients, client)))
