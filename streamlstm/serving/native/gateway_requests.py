"""Take the requests of a gateway's clients from the queue and find out where they go."""

from numba import int64, uint64

from ...kernels.cache import internal
from . import gateway_layout as gl
from . import layout, order, reader
from .claim import partition_of
from .gateway_flight import side_of, start
from .queue import advance, next_record, received, set_received
from .views import fields_of, links_of

_RESET, _IMPORT, _FORGET, _LABEL = 3, 5, 11, 14  # besides STEP: what is about one stream alone,
# but EXPORT, whose reply may be large


@internal
def take_request(loop, gateway):
    """Send the next request of the queue on its way.

    Returns
    -------
    bool
        Whether Python has to deal with it: HANDED_RECORD. It stays the first one of its client, of
        whom nothing is taken until :func:`finish`.
    """
    record = next_record(loop)
    fields = fields_of(record)
    client = fields[layout.CLIENT]
    links = links_of(loop, client)
    partition = _find_partition(gateway, loop, fields)
    if partition < 0:
        order.suspend(loop, client)
        if links[gl.OUTSTANDING] > 0:
            links[gl.STOPPED] = gl.UNTIL_QUIET
            return False
        links[gl.STOPPED] = gl.UNTIL_PYTHON
        gateway[gl.HANDED_RECORD] = record
        loop[layout.RECEIVED] = received(loop, record)
        return True
    if links[gl.OUTSTANDING] >= gl.MAX_OUTSTANDING:
        order.suspend(loop, client)
        links[gl.STOPPED] = gl.UNTIL_ROOM
        return False
    side = side_of(loop, gateway, record)
    side[gl.ROWS_SENT] = int64(gateway[gl.READ_KIND] == layout.STEP)
    if side[gl.ROWS_SENT] != 0:
        set_received(loop, record, received(loop, record) + 1)
    links[gl.OUTSTANDING] += 1
    if fields[layout.FRAMES] == 0 and client != loop[layout.MAX_MESSAGES]:
        _await_answer(loop, gateway, links, record, side)
    advance(loop, record, int64(1))
    start(loop, gateway, record, partition)
    return False


@internal
def _await_answer(loop, gateway, links, record, side):
    """Append a record to those whose replies are sent in their order."""
    side[gl.NEXT_ANSWERED] = 0
    if links[gl.FIRST_ANSWER] == 0:
        links[gl.FIRST_ANSWER] = record
    else:
        side_of(loop, gateway, links[gl.LAST_ANSWER])[gl.NEXT_ANSWERED] = record
    links[gl.LAST_ANSWER] = record


@internal
def _find_partition(gateway, loop, fields):
    """Return the partition of a request about one stream, -1 of one that is for Python.

    READ_KIND and READ_NUMBERED say what it is.
    """
    other = int64(-1)
    if (
        fields[layout.SIZE] > loop[layout.MAX_SIZE]
        or fields[layout.FRAMES_RECEIVED] != fields[layout.FRAMES]
    ):
        return other
    at = fields[layout.MESSAGE]
    end = at + fields[layout.SIZE]
    at, elements = reader.read_array(at, end)
    if at == 0 or elements < 2:
        return other
    at, kind = reader.read_unsigned(at, end)
    if at == 0:
        return other
    gateway[gl.READ_KIND], gateway[gl.READ_NUMBERED] = int64(kind), 0
    role = fields[layout.ROLE]
    if kind == uint64(layout.STEP):
        if elements < 4 or (role != layout.MAY_ALL and role != layout.MAY_STEP):
            return other
    elif (
        role != layout.MAY_ALL
        or fields[layout.CLIENT] == loop[layout.MAX_MESSAGES]
        or (
            (kind != uint64(_RESET) and kind != uint64(_IMPORT))
            and (kind != uint64(_FORGET) and kind != uint64(_LABEL))
        )
    ):
        return other
    at, id, length = reader.read_id(at, end)
    if at == 0 or (length > 0 and not reader.is_utf8(id, length)):
        return other
    if kind == uint64(layout.STEP):
        at, seq = reader.read_unsigned(at, end)
        if at == 0:
            return other
        gateway[gl.READ_NUMBERED] = int64(seq != uint64(0))
    return partition_of(id, length)
