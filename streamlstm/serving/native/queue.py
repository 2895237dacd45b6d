"""The queue of messages that wait in the worker: bounded in number and bytes, fair to every client.

Messages of a client keep their order. Whose message is next is decided by what the messages of each
client cost so far (native/order.py).

A client may have as many messages and bytes in the queue as are still free: the dynamic threshold
of shared-memory switches (Choudhury and Hahne 1998). One client that floods a worker gets half of
the queue, two of them a third each, and there is always room for one that comes late. Messages
beyond that are answered ``busy``. The PULL socket, which cannot answer, is not read until there is
room, so that its senders wait.

Each client has a row in a table, with the number of observations received from it. There are as
many rows as messages may wait; when all are taken, a row of a client without a message is evicted.
"""

import numpy as np
from numba import int64, uint64

from ...kernels import id_index
from ...kernels.cache import inlined, internal
from ...kernels.id_index import BLOCK_SHIFT, META, SEQ, TIME, column_of, set_column
from ...kernels.pointers import c_word, copy_bytes, int64s_at
from . import layout, order
from .layout import DATA, FIRST, LAST, NEXT, RECORD, RECORD_HEAD, VIRTUAL_TIME
from .tables import make_room
from .views import ROUTER_SOCKET, counts_of, fields_of, links_of

# Columns of the table of clients, which is one of streams (kernels/id_index.py); in META, where a
# stream has its last block, behind the length of the id, a client has its number of observations.
_MESSAGES, _BYTES = SEQ, TIME

_HEAD_OF_REFUSED = 1_024  # bytes: `busy` names stream and number

_ZERO = np.uint64(0)


@internal
def _clients(loop):
    return int64s_at(loop[layout.CLIENTS], id_index.HEAD)


@internal
def size_in_memory(loop, head):
    """Return how many bytes of a message in the scratch a record has to store."""
    return head[layout.MESSAGE] - head[DATA] + min(head[layout.SIZE], loop[layout.MAX_FRAME])


@internal
def free_messages(loop):
    """Return how many more messages fit."""
    return loop[layout.MAX_MESSAGES] - counts_of(loop)[layout.QUEUED]


@internal
def free_bytes(loop):
    """Return how many more bytes fit."""
    return loop[layout.MAX_BYTES] - counts_of(loop)[layout.QUEUED_BYTES]


@internal
def has_room_for_pull(loop):
    """Tell whether the queue has room for one more message of any size from the PULL socket."""
    links = links_of(loop, loop[layout.MAX_MESSAGES])
    return links[layout.PULL_MESSAGES] < free_messages(loop) and (
        links[layout.PULL_BYTES] + loop[layout.MAX_FRAME] + RECORD <= free_bytes(loop)
    )


@internal
def _client_of(loop, head):
    """Return the row of a message's client, adding it if it is new; negative if there is no room.

    The queue must have room for a message.
    """
    clients = _clients(loop)
    at, size = head[DATA], head[layout.IDENTITY_SIZE]
    client = id_index.claim_text_at(clients, at, size)
    if client == id_index.FULL:
        _evict_one(loop, clients)
        client = id_index.claim_text_at(clients, at, size)
    while client == id_index.NEEDS_ROOM:
        make_room(loop, clients, int64(layout.SPARE_TEXTS))
        client = id_index.claim_text_at(clients, at, size)
    return client


@internal
def _evict_one(loop, clients):
    """Evict a client that has no message waiting; the search goes on from the last one evicted.

    Should the client come again it is counted from 0, and its barriers tell it so.
    """
    for _ in range(loop[layout.MAX_MESSAGES]):
        client = loop[layout.CLIENT_HAND]
        loop[layout.CLIENT_HAND] = (client + 1) % loop[layout.MAX_MESSAGES]
        if column_of(clients, client, _MESSAGES) == _ZERO:
            id_index.free_slot(clients, client)
            links_of(loop, client)[VIRTUAL_TIME] = 0
            return


@internal
def received(loop, record):
    """Return how many observations came from the client of a record; 0 for the PULL socket."""
    client = fields_of(record)[layout.CLIENT]
    if client == loop[layout.MAX_MESSAGES]:
        return int64(0)
    return int64(column_of(_clients(loop), client, META) >> BLOCK_SHIFT)


@internal
def set_received(loop, record, count):
    """Set how many observations came from the client of a record."""
    client = fields_of(record)[layout.CLIENT]
    if client != loop[layout.MAX_MESSAGES]:
        clients = _clients(loop)
        length = uint64(id_index.length_of(clients, client))
        set_column(clients, client, META, uint64(count) << BLOCK_SHIFT | length)


@inlined
def room_for(loop, head):
    """Return how many bytes to receive of the message whose identity is in the scratch.

    A longer one will not be admitted. It is not copied, so that messages are refused several times
    quicker than ZeroMQ's thread receives them, and do not pile up there.
    """
    if 4 * counts_of(loop)[layout.QUEUED_BYTES] < loop[layout.MAX_BYTES]:
        return loop[layout.MAX_FRAME]  # it is admitted, as nearly always
    return _room_in_full_queue(loop, head)


@internal
def _room_in_full_queue(loop, head):
    if free_messages(loop) <= 0:
        return int64(_HEAD_OF_REFUSED)
    client = _client_of(loop, head)
    room = free_bytes(loop)
    if client >= 0 and column_of(_clients(loop), client, _MESSAGES) != _ZERO:
        room -= int64(column_of(_clients(loop), client, _BYTES))
    return min(max(room, _HEAD_OF_REFUSED), loop[layout.MAX_FRAME])


@internal
def admit(loop, head, source):
    """Append a message in the scratch to the queue.

    Returns
    -------
    bool
        False if its client has its share of the queue already; then nothing has changed.
    """
    size = size_in_memory(loop, head)
    owned = size > RECORD - RECORD_HEAD
    charged = int64(RECORD)
    if owned:
        charged += size
    client = loop[layout.MAX_MESSAGES]
    if source == ROUTER_SOCKET:
        if free_messages(loop) <= 0:
            return False
        client = _client_of(loop, head)
        if client < 0:
            return False
        clients = _clients(loop)
        waiting = int64(column_of(clients, client, _MESSAGES))
        if waiting == 0:  # new, or without a message for a while
            set_column(clients, client, _BYTES, _ZERO)
            links_of(loop, client)[FIRST] = 0
        taken = int64(column_of(clients, client, _BYTES))
        if waiting >= free_messages(loop) or taken + charged > free_bytes(loop):
            return False
    data = int64(0)
    if owned:
        data = c_word(loop[layout.ALLOCATE], size, int64(0), int64(0), int64(0))
        if data == 0:
            return False
    record = _new_record(loop)
    fields = fields_of(record)
    if not owned:
        data = record + RECORD_HEAD
    copy_bytes(data, head[DATA], size)
    for n in range(RECORD_HEAD // 8):
        fields[n] = head[n]
    fields[NEXT] = 0
    fields[layout.CLIENT] = client
    fields[layout.OWNED] = owned
    fields[layout.CHARGED] = charged
    fields[layout.MESSAGE] += data - fields[DATA]
    fields[DATA] = data
    fields[layout.TAKEN] = loop[layout.NOW]
    _charge(loop, client, int64(1), charged)
    _append(loop, client, record)
    return True


@internal
def _new_record(loop):
    record = loop[layout.FREE]
    if record != 0:
        loop[layout.FREE] = fields_of(record)[NEXT]
        return record
    loop[layout.USED] += 1
    return loop[layout.RECORDS] + RECORD * (loop[layout.USED] - 1)


@internal
def _charge(loop, client, messages, size):
    """Add to the messages and bytes that a client and the queue hold."""
    counts = counts_of(loop)
    counts[layout.QUEUED] += messages
    counts[layout.QUEUED_BYTES] += size
    counts[layout.QUEUE_PEAK] = max(counts[layout.QUEUE_PEAK], counts[layout.QUEUED])
    if client == loop[layout.MAX_MESSAGES]:
        links = links_of(loop, client)
        links[layout.PULL_MESSAGES] += messages
        links[layout.PULL_BYTES] += size
        return
    clients = _clients(loop)
    waiting = column_of(clients, client, _MESSAGES) + uint64(messages)
    set_column(clients, client, _MESSAGES, waiting)
    set_column(clients, client, _BYTES, column_of(clients, client, _BYTES) + uint64(size))


@inlined
def _append(loop, client, record):
    """Append a record to its client's messages."""
    links = links_of(loop, client)
    if links[FIRST] != 0:
        fields_of(links[LAST])[NEXT] = record
        links[LAST] = record
        return
    links[FIRST] = record
    links[LAST] = record
    order.enter(loop, client)


@inlined
def next_record(loop):
    """Return the address of the next record to serve, 0 if the queue is empty."""
    client = order.first_client(loop)
    return links_of(loop, client)[FIRST] if client >= 0 else int64(0)


@inlined
def advance(loop, record, rows):
    """Remove the next record, of so many observations, from the queue.

    Its memory stays charged until it is released.
    """
    fields = fields_of(record)
    client = fields[layout.CLIENT]
    links = links_of(loop, client)
    links[FIRST] = fields[NEXT]
    if links[FIRST] != 0:
        order.pay(loop, client, order.UNIT * rows)
    else:
        order.leave(loop, client, order.UNIT * rows)


@internal
def hand_over(loop):
    """Remove the next record from the queue, for Python to answer."""
    record = next_record(loop)
    fields = fields_of(record)
    links_of(loop, fields[layout.CLIENT])[FIRST] = fields[NEXT]
    order.suspend(loop, fields[layout.CLIENT])
    loop[layout.HANDED_RECORD] = record
    loop[layout.HANDED_TIME] = 0
    loop[layout.RECEIVED] = received(loop, record)


@internal
def finish_handed(loop):
    """Free the record that Python has answered, if there is one; before any message is queued."""
    record = loop[layout.HANDED_RECORD]
    if record == 0:
        return
    loop[layout.HANDED_RECORD] = 0
    set_received(loop, record, loop[layout.RECEIVED])
    client = fields_of(record)[layout.CLIENT]
    has_more = links_of(loop, client)[FIRST] != 0
    order.resume(loop, client, loop[layout.HANDED_TIME], has_more)
    release(loop, record)


@internal
def release(loop, record):
    """Free a record."""
    fields = fields_of(record)
    if fields[layout.OWNED]:
        c_word(loop[layout.RELEASE], fields[DATA], int64(0), int64(0), int64(0))
    _charge(loop, fields[layout.CLIENT], int64(-1), -fields[layout.CHARGED])
    fields[NEXT] = loop[layout.FREE]
    loop[layout.FREE] = record
