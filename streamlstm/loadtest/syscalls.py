"""System calls from compiled code: send, recv, and epoll with a timeout in nanoseconds."""

import platform
import select
import socket
from typing import Any

from numba import types

from .libzmq import EINTR, part, zmq_errno
from .load import ERRNO

NO_SIGNAL = int(socket.MSG_NOSIGNAL)
_CLOSING = int(select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
# struct epoll_event in words: events, then 64 bits whose first word is the descriptor.
EVENT_WORDS, _DESCRIPTOR = (3, 1) if platform.machine() == "x86_64" else (4, 2)

# Descriptor, data, bytes, flags; -1 means that errno is set, which zmq_errno() returns.
_BYTES = types.intp(types.int32, types.uintp, types.uintp, types.int32)
send, recv = types.ExternalFunction("send", _BYTES), types.ExternalFunction("recv", _BYTES)
_epoll_wait = types.ExternalFunction(
    "epoll_wait", types.int32(types.int32, types.uintp, types.int32, types.int32)
)
# Descriptors, their number, a timespec, no signal mask.
_ppoll = types.ExternalFunction(
    "ppoll", types.int32(types.uintp, types.uint64, types.uintp, types.uintp)
)


@part
def wait(connections: Any, timeout: Any, report: Any) -> Any:
    """Return the number of clients with events, after ``timeout`` at most: int64[2], a timespec."""
    poll, events = connections.poll, connections.events
    count = 1
    if timeout[0] or timeout[1]:  # the timeout of epoll is in milliseconds
        count = _ppoll(poll.ctypes.data, 1, timeout.ctypes.data, 0)
    if count > 0:
        count = _epoll_wait(poll[0], events.ctypes.data, events.shape[0], 0)
    if count < 0 and zmq_errno() != EINTR:
        report[ERRNO] = zmq_errno()
    return max(count, 0)


@part
def read_event(connections: Any, n: int) -> Any:
    """Return the client of event ``n``, and whether its connection is ending."""
    return connections.client_of[connections.events[n, _DESCRIPTOR]], connections.events[
        n, 0
    ] & _CLOSING != 0
