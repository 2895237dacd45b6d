"""The messages that wait in the worker: bounded in number and bytes, fair to every client.

Messages of a client stay in their order. Clients take turns, one message each, and so do the two
doors, so that whoever sends a thousand messages makes nobody wait for more than one of them.

A client may have as many messages and bytes here as are still free for all: the dynamic threshold
of shared-memory switches (Choudhury and Hahne 1998). One that floods a worker gets half of the
queue, two of them a third each, and there is always room for one who comes late. What is beyond
that is answered ``busy``; the pull door, which cannot answer, is not taken from until there is
room, so that its senders wait.

A client has a line in a table, with the number of observations that came from it. There are as many
lines as messages may wait; when all are taken, one whose owner has no message waiting is freed.
"""

import numpy as np
from numba import int64, uint64

from ...kernels import id_index
from ...kernels.cache import part
from ...kernels.id_index import BLOCK_SHIFT, META, SEQ, TIME, column_of, set_column
from ...kernels.memory import byte_at, c_int, c_word, copy_bytes, int64s_at
from . import layout
from .layout import DATA, FIRST, LAST, LINK, NEXT, NEXT_CLIENT, RECORD, RECORD_HEAD

# Columns of the table of clients, under the names that they have for streams; where a stream has
# its last block, behind the length of the id, a client has the number of its observations.
_MESSAGES, _BYTES = SEQ, TIME

_DONT_WAIT, _RCVMORE = 1, 13
_MONOTONIC = 1
_ZERO, _ONE = np.uint64(0), np.uint64(1)
ROUTER_DOOR, PULL_DOOR, XPUB_DOOR, WAKEUP = 0, 1, 2, 3  # as they stand in FILES
EINTR, EAGAIN = 4, 11


@part
def fields_of(record):
    """View the head of a record."""
    return int64s_at(record, RECORD_HEAD // 8)


@part
def _links(loop, client):
    return int64s_at(loop[layout.LINKS] + 8 * LINK * client, LINK)


@part
def _clients(loop):
    return int64s_at(loop[layout.CLIENTS], id_index.HEAD)


@part
def counts_of(loop):
    """View what is counted."""
    return int64s_at(loop[layout.COUNTS], layout.COUNTS_SIZE)


@part
def moment(loop):
    """Return the time in ns from some fixed moment on."""
    c_int(loop[layout.CLOCK], int64(_MONOTONIC), loop[layout.MOMENT], int64(0), int64(0))
    time = int64s_at(loop[layout.MOMENT], int64(2))
    return time[0] * 1_000_000_000 + time[1]


# --- coming in -----------------------------------------------------------------------------------


@part
def _receive(loop, socket, at, room, flags):
    return c_int(loop[layout.RECEIVE], socket, at, room, flags)


@part
def _receive_known(loop, socket, at, head):
    """Receive an identity, and note user id and role of who sent the message.

    The user id is a property of the message itself, which the lock gave to its connection: nothing
    that a client says about itself can change it.
    """
    message = loop[layout.KNOWN]
    size = c_int(loop[layout.RECEIVE_KNOWN], message, socket, int64(_DONT_WAIT), int64(0))
    if size < 0:
        return size
    size = min(size, layout.MAX_IDENTITY)
    data = c_word(loop[layout.DATA_OF], message, int64(0), int64(0), int64(0))
    copy_bytes(at, data, size)
    user = c_word(loop[layout.PROPERTY_OF], message, loop[layout.USER_ID], int64(0), int64(0))
    loop[layout.USER] = user
    head[layout.ROLE] = int64(0)
    if user != 0:
        head[layout.ROLE] = int64(byte_at(user))
    return size


@part
def error_number(loop):
    """Return the errno of the last call of libzmq or C that failed."""
    return c_int(loop[layout.ERROR_NUMBER], int64(0), int64(0), int64(0), int64(0))


@part
def note_empty(loop, door):
    """Note why nothing could be taken from a door: there is nothing, or it is broken."""
    number = error_number(loop)
    if number == EAGAIN:
        loop[layout.FULL] &= ~(1 << door)
    elif number != EINTR:
        loop[layout.FAILED] = number


@part
def _more(loop, socket):
    """Tell whether the frame that was received last is followed by others of its message."""
    c_int(
        loop[layout.GET_OPTION],
        socket,
        int64(_RCVMORE),
        loop[layout.OPTION],
        loop[layout.OPTION] + 8,
    )
    return int64s_at(loop[layout.OPTION], int64(1))[0] & 0xFFFFFFFF != 0


@part
def take_one(loop, door, head):
    """Take a message from a door into the scratch; ``head`` gets what a record's head says.

    Returns
    -------
    bool
        False if there was none.
    """
    socket = loop[layout.ROUTER + door]
    at = loop[layout.SCRATCH]
    head[DATA] = at
    head[layout.IDENTITY_SIZE] = 0
    head[layout.ROLE] = layout.MAY_ALL  # at the pull door the lock has seen to it
    if door == ROUTER_DOOR:
        if loop[layout.KNOWN] != 0:
            size = _receive_known(loop, socket, at, head)
        else:
            size = _receive(loop, socket, at, int64(layout.MAX_IDENTITY), int64(_DONT_WAIT))
        if size < 0:
            note_empty(loop, door)
            return False
        head[layout.IDENTITY_SIZE] = size
        at += size
    head[layout.FRAMES] = 0
    head[layout.FRAME_SIZES] = 0
    head[layout.FRAMES_CAME] = 0
    head[layout.LONGEST] = 0
    while True:
        size = _receive(loop, socket, at, loop[layout.MAX_FRAME], int64(_DONT_WAIT))
        if size < 0:
            note_empty(loop, door)
            return False
        if not _more(loop, socket):
            break
        head[layout.FRAMES_CAME] += 1
        head[layout.LONGEST] = max(head[layout.LONGEST], size)
        frames = head[layout.FRAMES]
        if (
            door == ROUTER_DOOR
            and frames < layout.MAX_ENVELOPE
            and size <= layout.MAX_ENVELOPE_BYTES
        ):
            head[layout.FRAME_SIZES] |= size << (8 * frames)
            head[layout.FRAMES] = frames + 1
            at += size
    head[layout.MESSAGE] = at
    head[layout.SIZE] = size
    counts_of(loop)[layout.MESSAGES] += 1
    return True


@part
def kept_size(loop, head):
    """Return how many bytes of a message in the scratch are to be kept."""
    return head[layout.MESSAGE] - head[DATA] + min(head[layout.SIZE], loop[layout.MAX_FRAME])


@part
def free_messages(loop):
    """Return how many more messages fit."""
    return loop[layout.MAX_MESSAGES] - counts_of(loop)[layout.QUEUED]


@part
def free_bytes(loop):
    """Return how many more bytes fit."""
    return loop[layout.MAX_BYTES] - counts_of(loop)[layout.QUEUED_BYTES]


@part
def pull_has_room(loop):
    """Tell whether the pull door may have one more message in the queue, whatever its size."""
    links = _links(loop, loop[layout.MAX_MESSAGES])
    return links[layout.PULL_MESSAGES] < free_messages(loop) and (
        links[layout.PULL_BYTES] + loop[layout.MAX_FRAME] + RECORD <= free_bytes(loop)
    )


@part
def _client_of(loop, head):
    """Return the number of a message's client, giving it one; negative if there is no room.

    There must be room for a message.
    """
    clients = _clients(loop)
    at, size = head[DATA], head[layout.IDENTITY_SIZE]
    client = id_index.claim_text_at(clients, at, size)
    if client == id_index.NEEDS_ROOM:
        # Long identities of clients that were forgotten fill the room for texts: move to the spare.
        texts = clients[id_index.TEXTS]
        id_index.replace_texts(clients, loop[layout.SPARE_TEXTS], clients[id_index.TEXT_SIZE])
        loop[layout.SPARE_TEXTS] = texts
        client = id_index.claim_text_at(clients, at, size)
    if client == id_index.FULL:
        _forget_one(loop, clients)
        client = id_index.claim_text_at(clients, at, size)
    return client


@part
def _forget_one(loop, clients):
    """Free the line of a client that has no message waiting; the next time, of one behind it.

    Should it come again it is counted from 0, and its barriers tell it so.
    """
    for _ in range(loop[layout.MAX_MESSAGES]):
        client = loop[layout.HAND]
        loop[layout.HAND] = (client + 1) % loop[layout.MAX_MESSAGES]
        if column_of(clients, client, _MESSAGES) == _ZERO:
            id_index.free_slot(clients, client)
            return


@part
def received(loop, record):
    """Return how many observations came from the client of a record; 0 at the pull door."""
    client = fields_of(record)[layout.CLIENT]
    if client == loop[layout.MAX_MESSAGES]:
        return int64(0)
    return int64(column_of(_clients(loop), client, META) >> BLOCK_SHIFT)


@part
def set_received(loop, record, count):
    """Keep how many observations came from the client of a record."""
    client = fields_of(record)[layout.CLIENT]
    if client != loop[layout.MAX_MESSAGES]:
        clients = _clients(loop)
        length = uint64(id_index.length_of(clients, client))
        set_column(clients, client, META, uint64(count) << BLOCK_SHIFT | length)


@part
def admit(loop, head, door):
    """Let a message in the scratch wait its turn.

    Returns
    -------
    bool
        False if its client has its share of the queue already; then nothing is kept.
    """
    size = kept_size(loop, head)
    owned = size > RECORD - RECORD_HEAD
    charged = int64(RECORD)
    if owned:
        charged += size
    client = loop[layout.MAX_MESSAGES]
    if door == ROUTER_DOOR:
        if free_messages(loop) <= 0:
            return False
        client = _client_of(loop, head)
        if client < 0:
            return False
        clients = _clients(loop)
        waiting = int64(column_of(clients, client, _MESSAGES))
        if waiting == 0:  # it is new here, or new again
            set_column(clients, client, _BYTES, _ZERO)
            _links(loop, client)[FIRST] = 0
        taken = int64(column_of(clients, client, _BYTES))
        if waiting >= free_messages(loop) or taken + charged > free_bytes(loop):
            return False
    data = int64(0)
    if owned:
        data = c_word(loop[layout.ALLOCATE], size, int64(0), int64(0), int64(0))
        if data == 0:
            return False
    record = _new_record(loop)
    kept = fields_of(record)
    if not owned:
        data = record + RECORD_HEAD
    copy_bytes(data, head[DATA], size)
    for n in range(RECORD_HEAD // 8):
        kept[n] = head[n]
    kept[NEXT] = 0
    kept[layout.CLIENT] = client
    kept[layout.OWNED] = owned
    kept[layout.CHARGED] = charged
    kept[layout.MESSAGE] += data - kept[DATA]
    kept[DATA] = data
    kept[layout.TAKEN] = loop[layout.NOW]
    _charge(loop, client, int64(1), charged)
    _append(loop, client, record)
    return True


@part
def _new_record(loop):
    record = loop[layout.FREE]
    if record != 0:
        loop[layout.FREE] = fields_of(record)[NEXT]
        return record
    loop[layout.USED] += 1
    return loop[layout.RECORDS] + RECORD * (loop[layout.USED] - 1)


@part
def _charge(loop, client, messages, size):
    """Add to what a client and the queue hold."""
    counts = counts_of(loop)
    counts[layout.QUEUED] += messages
    counts[layout.QUEUED_BYTES] += size
    counts[layout.QUEUE_PEAK] = max(counts[layout.QUEUE_PEAK], counts[layout.QUEUED])
    if client == loop[layout.MAX_MESSAGES]:
        links = _links(loop, client)
        links[layout.PULL_MESSAGES] += messages
        links[layout.PULL_BYTES] += size
        return
    clients = _clients(loop)
    waiting = column_of(clients, client, _MESSAGES) + uint64(messages)
    set_column(clients, client, _MESSAGES, waiting)
    set_column(clients, client, _BYTES, column_of(clients, client, _BYTES) + uint64(size))


@part
def _append(loop, client, record):
    """Put a record behind the others of its client, and the client behind the others."""
    links = _links(loop, client)
    if links[FIRST] != 0:
        fields_of(links[LAST])[NEXT] = record
        links[LAST] = record
        return
    links[FIRST] = record
    links[LAST] = record
    if client != loop[layout.MAX_MESSAGES]:
        _line_up(loop, client)


@part
def _line_up(loop, client):
    """Put a client at the end of those whose turn will come."""
    _links(loop, client)[NEXT_CLIENT] = 0
    if loop[layout.FIRST_CLIENT] == 0:
        loop[layout.FIRST_CLIENT] = client + 1
    else:
        _links(loop, loop[layout.LAST_CLIENT] - 1)[NEXT_CLIENT] = client + 1
    loop[layout.LAST_CLIENT] = client + 1


# --- going on ------------------------------------------------------------------------------------


@part
def next_record(loop):
    """Return the address of the record whose turn it is, 0 if none waits."""
    pulled = _links(loop, loop[layout.MAX_MESSAGES])[FIRST]
    client = loop[layout.FIRST_CLIENT] - 1
    if client < 0 or (pulled != 0 and loop[layout.DOOR] == PULL_DOOR):
        return pulled
    return _links(loop, client)[FIRST]


@part
def advance(loop, record):
    """Take the record whose turn it is out of the line; it stays charged until it is released."""
    kept = fields_of(record)
    client = kept[layout.CLIENT]
    links = _links(loop, client)
    links[FIRST] = kept[NEXT]
    if client == loop[layout.MAX_MESSAGES]:
        loop[layout.DOOR] = ROUTER_DOOR
        return
    loop[layout.DOOR] = PULL_DOOR
    loop[layout.FIRST_CLIENT] = links[NEXT_CLIENT]
    if links[FIRST] != 0:
        _line_up(loop, client)


@part
def release(loop, record):
    """Give back what a record takes."""
    kept = fields_of(record)
    if kept[layout.OWNED]:
        c_word(loop[layout.RELEASE], kept[DATA], int64(0), int64(0), int64(0))
    _charge(loop, kept[layout.CLIENT], int64(-1), -kept[layout.CHARGED])
    kept[NEXT] = loop[layout.FREE]
    loop[layout.FREE] = record
