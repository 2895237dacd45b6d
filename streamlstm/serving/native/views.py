"""Views of records and counters, and the functions of C that all modules need."""

from numba import int64

from ...kernels.cache import internal
from ...kernels.pointers import c_int, int64s_at
from . import layout
from .layout import LINK, RECORD_HEAD

ROUTER_SOCKET, PULL_SOCKET, XPUB_SOCKET, WAKEUP = 0, 1, 2, 3  # positions in POLL_ITEMS
EINTR, EAGAIN = 4, 11  # values of errno
DONT_WAIT, SEND_MORE = 1, 2  # flags of ZeroMQ

_MONOTONIC = 1
_EVENTS = 15  # an option of sockets


@internal
def fields_of(record):
    """View the head of a record."""
    return int64s_at(record, RECORD_HEAD // 8)


@internal
def links_of(loop, client):
    """View the row of a client's messages in the queue."""
    return int64s_at(loop[layout.LINKS] + 8 * LINK * client, LINK)


@internal
def counts_of(loop):
    """View the counters of the worker."""
    return int64s_at(loop[layout.COUNTS], layout.COUNTS_SIZE)


@internal
def now(loop):
    """Return the monotonic clock in ns."""
    c_int(loop[layout.CLOCK], int64(_MONOTONIC), loop[layout.TIMESPEC], int64(0), int64(0))
    time = int64s_at(loop[layout.TIMESPEC], int64(2))
    return time[0] * 1_000_000_000 + time[1]


@internal
def error_number(loop):
    """Return the errno of the last call of libzmq or C that failed."""
    return c_int(loop[layout.ERROR_NUMBER], int64(0), int64(0), int64(0), int64(0))


@internal
def refresh(loop, socket):
    """Let a socket learn from ZeroMQ's I/O thread which queues have filled and emptied.

    By itself it asks once in 100 receives: 50 large messages of others later.
    """
    option = loop[layout.OPTION]
    c_int(loop[layout.GET_OPTION], socket, int64(_EVENTS), option, option + 8)
