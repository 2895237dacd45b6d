"""Receive a message, with the routing frames before it, into the scratch."""

from numba import int64

from ...kernels.cache import internal
from ...kernels.pointers import byte_at, c_int, c_word, copy_bytes, int64s_at
from . import layout
from .layout import DATA
from .queue import room_for
from .views import DONT_WAIT, EAGAIN, EINTR, ROUTER_SOCKET, counts_of, error_number

_RCVMORE = 13


@internal
def _receive_frame(loop, socket, at, room, flags):
    return c_int(loop[layout.RECEIVE], socket, at, room, flags)


@internal
def _receive_identity(loop, socket, at, head):
    """Receive an identity, and set user id and role, or else the address, of the sender.

    Both are properties of the message itself, which the authenticator or libzmq gave to its
    connection: nothing that a client says about itself can change them.
    """
    message = loop[layout.MESSAGE_OBJECT]
    size = c_int(loop[layout.RECEIVE_MESSAGE], message, socket, int64(DONT_WAIT), int64(0))
    if size < 0:
        return size
    size = min(size, layout.MAX_IDENTITY)
    data = c_word(loop[layout.DATA_OF], message, int64(0), int64(0), int64(0))
    copy_bytes(at, data, size)
    user = c_word(loop[layout.PROPERTY_OF], message, loop[layout.USER_ID], int64(0), int64(0))
    loop[layout.USER] = user
    if loop[layout.BY_ADDRESS] != 0:
        return size
    head[layout.ROLE] = int64(0)
    if user != 0:
        head[layout.ROLE] = int64(byte_at(user))
    return size


@internal
def note_receive_error(loop, source):
    """Handle a failed receive: the socket is empty, or broken."""
    number = error_number(loop)
    if number == EAGAIN:
        loop[layout.READABLE] &= ~(1 << source)
    elif number != EINTR:
        loop[layout.FAILED] = number


@internal
def _more(loop, socket):
    """Tell whether further frames of the message follow the one received last."""
    c_int(
        loop[layout.GET_OPTION],
        socket,
        int64(_RCVMORE),
        loop[layout.OPTION],
        loop[layout.OPTION] + 8,
    )
    return int64s_at(loop[layout.OPTION], int64(1))[0] & 0xFFFFFFFF != 0


@internal
def receive(loop, source, head):
    """Receive a message from the socket ``source`` into the scratch; fills the record's ``head``.

    Returns
    -------
    bool
        False if there was none.
    """
    socket = loop[layout.ROUTER + source]
    at = loop[layout.SCRATCH]
    head[DATA] = at
    head[layout.IDENTITY_SIZE] = 0
    head[layout.ROLE] = layout.MAY_ALL  # at the PULL socket the authenticator has checked it
    if source == ROUTER_SOCKET:
        if loop[layout.MESSAGE_OBJECT] != 0:
            size = _receive_identity(loop, socket, at, head)
        else:
            size = _receive_frame(loop, socket, at, int64(layout.MAX_IDENTITY), int64(DONT_WAIT))
        if size < 0:
            note_receive_error(loop, source)
            return False
        head[layout.IDENTITY_SIZE] = size
        at += size
    head[layout.FRAMES] = 0
    head[layout.FRAME_SIZES] = 0
    head[layout.FRAMES_RECEIVED] = 0
    head[layout.LONGEST] = 0
    room = loop[layout.MAX_FRAME]
    if source == ROUTER_SOCKET:
        room = room_for(loop, head)
    while True:
        size = _receive_frame(loop, socket, at, room, int64(DONT_WAIT))
        if size < 0:
            note_receive_error(loop, source)
            return False
        if not _more(loop, socket):
            break
        head[layout.FRAMES_RECEIVED] += 1
        head[layout.LONGEST] = max(head[layout.LONGEST], size)
        frames = head[layout.FRAMES]
        if (
            source == ROUTER_SOCKET
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
