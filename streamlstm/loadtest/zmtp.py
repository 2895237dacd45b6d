"""Clients that implement a DEALER of ZMTP 3.0 over plain TCP connections.

A DEALER of libzmq needs an I/O thread, and its descriptor does not report each message: 64 of them
in one process took more of two cores than the worker under test. Here a request is one ``send`` and
a reply one ``recv`` without another thread, and all clients wait on one epoll (syscalls.py). User
and system time of the load for a request and its reply in us, on two cores, and that of the worker:

    requests a second    libzmq    here    worker
               10,000        72      39        42
               40,000        27      17        21
               90,000        12      10        11

The rest is spent in the kernel: a ``send`` over loopback also does the receiver's part of TCP.

The protocol is that of https://rfc.zeromq.org/spec/23: a greeting, a READY from each side, then
frames, each with a byte of flags, its size in one byte or eight, and its content.
"""

import errno
import select
import socket
import time
from itertools import pairwise
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np

from .libzmq import EAGAIN, EINTR, part, zmq_errno
from .load import BAD_SIZE, ERRNO, KEPT, ROOM, SENT, LoadError
from .messages import Messages
from .syscalls import EVENT_WORDS, NO_SIGNAL, recv, send

CONNECT_SECONDS = 10.0  # for all clients together
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_COMMAND, _LONG = 4, 2  # flags
_HEAD = 9  # bytes before a long frame
_SHORT = 255  # maximum bytes of a frame whose size takes one byte
_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_CLOSED, _TOO_LARGE, _NO_FRAME = errno.ECONNRESET, errno.EMSGSIZE, errno.EPROTO


class Connections(NamedTuple):
    """The connections as arrays for compiled code.

    Attributes
    ----------
    descriptors : int32[N]
    client_of : int64[...]
        The client of each descriptor.
    inbox : uint8[N, ...]
        Receive buffer of each client.
    unread, unsent : int64[N, 2]
        Begin and end of the unread bytes in the inbox, and of the unsent bytes of the message.
    poll : int32[2]
        struct pollfd of the epoll.
    events : int32[N, ...]
    """

    descriptors: Any
    client_of: Any
    inbox: Any
    unread: Any
    unsent: Any
    poll: Any
    events: Any


class Clients:
    """DEALERs that are connected to one ROUTER, until the end of a ``with`` block.

    Parameters
    ----------
    endpoint : str
        Such as ``tcp://127.0.0.1:5555``; without CURVE.
    count : int

    Attributes
    ----------
    endpoint : str
    connections : Connections

    Raises
    ------
    LoadError
        If no ROUTER answers there in time.
    """

    def __init__(self, endpoint: str, count: int) -> None:
        self.endpoint = endpoint
        self._open: list[socket.socket] = []
        self._epoll = select.epoll()
        deadline = time.monotonic() + CONNECT_SECONDS
        try:
            for _ in range(count):
                self._connect(deadline)
        except (OSError, ValueError) as error:
            self.close()
            raise LoadError(f"{endpoint}: {error}") from error
        self.connections = self._arrays()

    def _connect(self, deadline: float) -> None:
        where = urlsplit(self.endpoint)
        peer = socket.create_connection((where.hostname, where.port), _left(deadline))
        self._open.append(peer)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _handshake(peer, deadline)
        peer.setblocking(False)
        self._epoll.register(peer, _EVENTS)

    def _arrays(self) -> Connections:
        descriptors = np.array([peer.fileno() for peer in self._open], np.int32)
        client_of = np.full(descriptors.max() + 1, -1, np.int64)
        client_of[descriptors] = np.arange(len(descriptors))
        poll = np.array([self._epoll.fileno(), 0], np.int32)
        poll.view(np.int16)[2] = select.POLLIN
        return Connections(
            descriptors,
            client_of,
            np.zeros((len(descriptors), _HEAD + ROOM), np.uint8),
            np.zeros((len(descriptors), 2), np.int64),
            np.zeros((len(descriptors), 2), np.int64),
            poll,
            np.zeros((len(descriptors), EVENT_WORDS), np.int32),
        )

    def close(self) -> None:
        """Close all connections."""
        for peer in self._open:
            peer.close()
        self._epoll.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def framed(messages: Messages) -> Messages:
    """Return the messages with the ZMTP header of a frame before each."""
    at, parts = messages.frame_at, []
    for start, end in pairwise(at):
        size = int(end - start)
        parts.append(bytes([0, size]) if size <= _SHORT else bytes([_LONG]) + size.to_bytes(8))
        parts.append(messages.frames[start:end].tobytes())
    sizes = np.diff(at)
    frame_at = np.concatenate([[0], np.cumsum(sizes + np.where(sizes <= _SHORT, 2, _HEAD))])
    frames = np.frombuffer(bytearray().join(parts), np.uint8)
    return messages._replace(frames=frames, frame_at=frame_at)


# --- the handshake -------------------------------------------------------------------------------


def _handshake(peer: socket.socket, deadline: float) -> None:
    """Exchange greetings and READYs; raise ValueError if the peer's are not valid."""
    peer.sendall(GREETING + ready("DEALER"))
    greeting = _exactly(peer, len(GREETING), deadline)
    if greeting[0] != GREETING[0] or not greeting[9] & 1 or greeting[10] < 3:
        raise ValueError(f"expected the greeting of ZMTP 3, got {greeting!r}")
    if greeting[12:32] != GREETING[12:32]:
        raise ValueError(f"expected the mechanism NULL, got {greeting[12:32]!r}")
    flags = _exactly(peer, 1, deadline)[0]
    size = int.from_bytes(_exactly(peer, 8 if flags & _LONG else 1, deadline))
    if flags & ~_LONG != _COMMAND or size > ROOM:
        raise ValueError(f"expected a command, got {size} bytes with the flags {flags}")
    command = _exactly(peer, size, deadline)
    if not command.startswith(b"\5READY") or _property("Socket-Type", "ROUTER") not in command:
        raise ValueError(f"expected the READY of a ROUTER, got {command!r}")


def ready(kind: str) -> bytes:
    """Return the command READY of a socket without an identity."""
    body = b"\5READY" + _property("Socket-Type", kind) + _property("Identity", "")
    return bytes([_COMMAND, len(body)]) + body


def _property(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + len(value).to_bytes(4) + value.encode()


def _exactly(peer: socket.socket, size: int, deadline: float) -> bytes:
    data = b""
    while len(data) < size:
        peer.settimeout(_left(deadline))
        more = peer.recv(size - len(data))
        if not more:
            raise ValueError(f"it closed the connection after {data!r}")
        data += more
    return data


def _left(deadline: float) -> float:
    """Return the seconds until the deadline: never 0, which would make a socket non-blocking."""
    return max(deadline - time.monotonic(), 1e-3)


# --- compiled ------------------------------------------------------------------------------------


@part
def put(connections: Any, client: int, messages: Any, n: int, report: Any) -> bool:
    """Send message ``n``; return False if the client's last one is still unsent, or that failed.

    Bytes that the system does not accept at once are sent later by :func:`push`.
    """
    if not push(connections, client, messages, report):
        return False
    connections.unsent[client, 0], connections.unsent[client, 1] = (
        messages[1][n],
        messages[1][n + 1],
    )
    report[SENT] += 1
    push(connections, client, messages, report)
    return True


@part
def push(connections: Any, client: int, messages: Any, report: Any) -> bool:
    """Send the unsent bytes of a client; return False if some are left."""
    begin, end = connections.unsent[client]
    while begin < end:
        data = messages[0].ctypes.data + begin
        done = send(connections.descriptors[client], data, end - begin, NO_SIGNAL)
        if done >= 0:
            begin += done
            continue
        number = zmq_errno()
        if number == EINTR:
            continue
        if number != EAGAIN:
            report[ERRNO] = number
        break
    connections.unsent[client, 0] = begin
    return bool(begin == end)


@part
def pull(connections: Any, client: int, report: Any) -> Any:
    """Receive into an inbox; return 0 for nothing, 1 for everything, 2 if more may follow."""
    box, (begin, end) = connections.inbox[client], connections.unread[client]
    for i in range(begin, end):  # a partial frame, which is rare
        box[i - begin] = box[i]
    end -= begin
    room = box.size - end
    while True:
        came = recv(connections.descriptors[client], box.ctypes.data + end, room, 0)
        if came >= 0 or zmq_errno() != EINTR:
            break
    connections.unread[client, 0], connections.unread[client, 1] = 0, end + max(came, 0)
    if came > 0:
        return 2 if came == room else 1
    number = _CLOSED if came == 0 else zmq_errno()
    if number != EAGAIN:
        report[ERRNO] = number
    return 0


@part
def next_frame(connections: Any, client: int, reply: Any, report: Any) -> Any:
    """Take one frame out of a client's inbox; return its size, or -1 without a complete one.

    As with :func:`load.receive`, the first wrong reply stays in the buffer.
    """
    box, (begin, end) = connections.inbox[client], connections.unread[client]
    if end - begin < 2:
        return -1
    if box[begin] & ~_LONG != 0:  # a command, or a message of several frames
        report[ERRNO] = _NO_FRAME
        return -1
    head = 2
    size: Any = np.int64(box[begin + 1])
    if box[begin] == _LONG:
        head = _HEAD
        if end - begin < head:
            return -1
        for i in range(begin + 2, begin + head):
            size = min(size << 8 | box[i], 2**40)  # no size is negative
    if size > ROOM:
        report[ERRNO] = _TOO_LARGE
        return -1
    if end - begin < head + size:
        return -1
    behind, start = min(report[BAD_SIZE], KEPT), begin + head
    for i in range(size):
        reply[behind + i] = box[start + i]
    connections.unread[client, 0] = start + size
    return size
