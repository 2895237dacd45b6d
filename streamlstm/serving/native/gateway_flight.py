"""Where the requests of a gateway are: each waits for its partition, or is at one worker.

Requests of one partition are applied in the order in which they came, although partitions move
(client/fleet/router.py says how and why): while any of them is at one worker, none goes to another;
one that was refused keeps its place; and a new owner gets a single one until it has answered.
"""

from numba import int64, uint64

from ...kernels.cache import internal
from ...kernels.pointers import c_int, copy_bytes, half_at, int64s_at, put_word
from . import gateway_layout as gl
from . import layout
from .views import DONT_WAIT, SEND_MORE, fields_of

_MAGIC = uint64(layout.PRODUCER_MAGIC)


@internal
def number_of(loop, record):
    """Return the number of a record."""
    return (record - loop[layout.RECORDS]) // layout.RECORD


@internal
def side_of(loop, gateway, record):
    """View what is known of a record besides its head."""
    return int64s_at(gateway[gl.SIDES] + 8 * gl.SIDE * number_of(loop, record), gl.SIDE)


@internal
def partition_row(gateway, partition):
    """View the row of a partition."""
    return int64s_at(gateway[gl.PARTITIONS] + 8 * gl.PARTITION * partition, gl.PARTITION)


@internal
def worker_row(gateway, worker):
    """View the row of a worker."""
    return int64s_at(gateway[gl.WORKERS] + 8 * gl.WORKER * worker, gl.WORKER)


@internal
def _write_ticket(loop, gateway, record, side):
    """Write the frame that a worker sends back; return its size.

    It names the producer that the last frame of the envelope names, since the worker looks there.
    """
    fields, at = fields_of(record), gateway[gl.TICKET]
    frames = fields[layout.FRAMES]
    if frames > 0:
        size = fields[layout.FRAME_SIZES] >> (8 * (frames - 1)) & 255
        last = fields[layout.MESSAGE] - size
        if size >= layout.PRODUCER_FRAME and half_at(last) == _MAGIC:
            copy_bytes(at, last, int64(layout.PRODUCER_FRAME))
            at += layout.PRODUCER_FRAME
    ticket = side[gl.GENERATION] << gl.TICKET_SHIFT | number_of(loop, record)
    put_word(at, uint64(ticket))
    return at + 8 - gateway[gl.TICKET]


@internal
def _send(loop, gateway, record, side, place):
    """Send a request to the owner of its partition; return False if that takes nothing now."""
    worker = worker_row(gateway, place[gl.OWNER])
    if worker[gl.SENT] >= gl.WINDOW or worker[gl.SOCKET] == 0:
        return False
    size, fields = _write_ticket(loop, gateway, record, side), fields_of(record)
    flags = int64(DONT_WAIT | SEND_MORE)
    worker[gl.READABLE] = 1  # sending consumes the edge, too
    if c_int(loop[layout.SEND], worker[gl.SOCKET], gateway[gl.TICKET], size, flags) < 0:
        return False
    message, socket = fields[layout.MESSAGE], worker[gl.SOCKET]
    c_int(loop[layout.SEND], socket, message, fields[layout.SIZE], int64(DONT_WAIT))
    worker[gl.SENT] += 1
    place[gl.IN_FLIGHT] += 1
    side[gl.AT_WORKER] = place[gl.OWNER] + 1
    return True


@internal
def _stir(gateway, partition, place):
    """Let the loop try the requests of a partition again."""
    if place[gl.IS_STIRRED] == 0:
        place[gl.IS_STIRRED] = 1
        stirred = int64s_at(gateway[gl.STIRRED], gateway[gl.STIRRED_COUNT] + 1)
        stirred[gateway[gl.STIRRED_COUNT]] = partition
        gateway[gl.STIRRED_COUNT] += 1


@internal
def start(loop, gateway, record, partition):
    """Send a new request on its way: behind those of its partition that wait."""
    side, place = side_of(loop, gateway, record), partition_row(gateway, partition)
    gateway[gl.NUMBER] += 1
    side[gl.ORDER] = gateway[gl.NUMBER]
    side[gl.GENERATION] += 1
    side[gl.OF_PARTITION], side[gl.AT_WORKER] = partition, 0
    side[gl.NUMBERED], side[gl.RESENT] = gateway[gl.READ_NUMBERED], 0
    is_first = place[gl.FIRST_WAITING] == 0 and _may_go(loop, place)
    if is_first and _send(loop, gateway, record, side, place):
        return
    side[gl.NEXT_WAITING] = 0
    if place[gl.FIRST_WAITING] == 0:
        place[gl.FIRST_WAITING] = record
    else:
        side_of(loop, gateway, place[gl.LAST_WAITING])[gl.NEXT_WAITING] = record
    place[gl.LAST_WAITING] = record
    _stir(gateway, partition, place)


@internal
def _may_go(loop, place):
    """Tell whether the first request of a partition may go to its owner."""
    if place[gl.OWNER] < 0 or loop[layout.NOW] < place[gl.RETRY_AT]:
        return False
    return place[gl.IN_FLIGHT] == 0 or place[gl.PROVEN] != 0


@internal
def put_back(loop, gateway, record):
    """Let a request that was refused, or lost, wait in its place among those of its partition."""
    side = side_of(loop, gateway, record)
    partition = side[gl.OF_PARTITION]
    place = partition_row(gateway, partition)
    before, after = int64(0), place[gl.FIRST_WAITING]
    while after != 0 and side_of(loop, gateway, after)[gl.ORDER] < side[gl.ORDER]:
        before, after = after, side_of(loop, gateway, after)[gl.NEXT_WAITING]
    side[gl.NEXT_WAITING] = after
    if before == 0:
        place[gl.FIRST_WAITING] = record
    else:
        side_of(loop, gateway, before)[gl.NEXT_WAITING] = record
    if after == 0:
        place[gl.LAST_WAITING] = record
    _stir(gateway, partition, place)


@internal
def take_off(loop, gateway, record):
    """Note that a request is at no worker any more."""
    side = side_of(loop, gateway, record)
    worker_row(gateway, side[gl.AT_WORKER] - 1)[gl.SENT] -= 1
    side[gl.AT_WORKER] = 0
    place = partition_row(gateway, side[gl.OF_PARTITION])
    place[gl.IN_FLIGHT] -= 1
    if place[gl.FIRST_WAITING] != 0:
        _stir(gateway, side[gl.OF_PARTITION], place)


@internal
def send_waiting(loop, gateway):
    """Send what waits and may go, one request of each partition after the other."""
    stirred = int64s_at(gateway[gl.STIRRED], gateway[gl.STIRRED_COUNT])
    sent = True
    while sent:
        sent = False
        for n in range(gateway[gl.STIRRED_COUNT]):
            sent |= _send_first(loop, gateway, partition_row(gateway, stirred[n]))
    kept = int64(0)
    for n in range(gateway[gl.STIRRED_COUNT]):
        place = partition_row(gateway, stirred[n])
        # An answer stirs it again where it waits for one.
        until_answer = place[gl.IN_FLIGHT] > 0 and place[gl.PROVEN] == 0
        if place[gl.FIRST_WAITING] == 0 or until_answer:
            place[gl.IS_STIRRED] = 0
        else:
            stirred[kept] = stirred[n]
            kept += 1
    gateway[gl.STIRRED_COUNT] = kept


@internal
def _send_first(loop, gateway, place):
    record = place[gl.FIRST_WAITING]
    if record == 0 or not _may_go(loop, place):
        return False
    side = side_of(loop, gateway, record)
    after = side[gl.NEXT_WAITING]
    if not _send(loop, gateway, record, side, place):
        return False
    place[gl.FIRST_WAITING] = after
    return True
