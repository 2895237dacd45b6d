"""Clients that are plain TCP connections and speak ZMTP 3.0 themselves, as DEALERs do.

A DEALER of libzmq has a thread behind it and a descriptor that says little: 64 of them in one
process took more of two cores than the worker that they were to measure. Here a question is one
``send`` and an answer one ``recv``, without another thread, and all clients wait on one epoll
(system.py). On two cores, us of user and system time of the load for a question and its answer,
and the worker's beside it:

    questions a second    libzmq    here    worker
                10,000        72      39        42
                40,000        27      17        21
                90,000        12      10        11

What is left is the system's: a ``send`` over loopback also does the receiver's part of TCP.

The exchange is that of https://rfc.zeromq.org/spec/23: a greeting, a READY from each side, then
frames, each with a byte of flags, its size in one byte or eight, and its bytes.
"""

import errno
import select
import socket
import time
from itertools import pairwise
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import numpy as np

from .libzmq import EAGAIN, EINTR, part, zmq_errno
from .load import BAD_SIZE, ERRNO, KEPT, ROOM, SENT, LoadError
from .messages import Messages
from .system import EVENT_WORDS, QUIETLY, recv, send

CONNECT_SECONDS = 10.0  # for all clients together
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_COMMAND, _LONG = 4, 2  # flags
_HEAD = 9  # bytes before a long frame
_SHORT = 255  # bytes of a frame at most that has its size in one
_NEWS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_CLOSED, _TOO_LARGE, _NO_FRAME = errno.ECONNRESET, errno.EMSGSIZE, errno.EPROTO


class Lines(NamedTuple):
    """The connections, as compiled code takes them.

    Attributes
    ----------
    descriptors : int32[N]
    client_of : int64[...]
        The client of each descriptor.
    inbox : uint8[N, ...]
        What has come to each client and was not looked at yet.
    unread, unsent : int64[N, 2]
        Where that begins and ends; the same of what a client still has to send of its message.
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
    """DEALERs that are connected to one ROUTER, until the end of a ``with``.

    Parameters
    ----------
    endpoint : str
        Such as ``tcp://127.0.0.1:5555``; without CURVE.
    count : int

    Attributes
    ----------
    endpoint : str
    lines : Lines

    Raises
    ------
    LoadError
        If it is not a ROUTER that answers there, or not in time.
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
        self.lines = self._lines()

    def _connect(self, deadline: float) -> None:
        where = urlsplit(self.endpoint)
        peer = socket.create_connection((where.hostname, where.port), _left(deadline))
        self._open.append(peer)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _introduce(peer, deadline)
        peer.setblocking(False)
        self._epoll.register(peer, _NEWS)

    def _lines(self) -> Lines:
        descriptors = np.array([peer.fileno() for peer in self._open], np.int32)
        client_of = np.full(descriptors.max() + 1, -1, np.int64)
        client_of[descriptors] = np.arange(len(descriptors))
        poll = np.array([self._epoll.fileno(), 0], np.int32)
        poll.view(np.int16)[2] = select.POLLIN
        return Lines(
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def framed(messages: Messages) -> Messages:
    """Return the same messages, each with what goes before a frame."""
    at, parts = messages.frame_at, []
    for start, end in pairwise(at):
        size = int(end - start)
        parts.append(bytes([0, size]) if size <= _SHORT else bytes([_LONG]) + size.to_bytes(8))
        parts.append(messages.frames[start:end].tobytes())
    sizes = np.diff(at)
    frame_at = np.concatenate([[0], np.cumsum(sizes + np.where(sizes <= _SHORT, 2, _HEAD))])
    frames = np.frombuffer(bytearray().join(parts), np.uint8)
    return messages._replace(frames=frames, frame_at=frame_at)


# --- the first bytes -----------------------------------------------------------------------------


def _introduce(peer: socket.socket, deadline: float) -> None:
    """Exchange greetings and READYs; a ValueError says what is not as it should be."""
    peer.sendall(GREETING + ready("DEALER"))
    said = _exactly(peer, len(GREETING), deadline)
    if said[0] != GREETING[0] or not said[9] & 1 or said[10] < 3:
        raise ValueError(f"expected the greeting of ZMTP 3, it said {said!r}")
    if said[12:32] != GREETING[12:32]:
        raise ValueError(f"expected the mechanism NULL, it wants {said[12:32]!r}")
    flags = _exactly(peer, 1, deadline)[0]
    size = int.from_bytes(_exactly(peer, 8 if flags & _LONG else 1, deadline))
    if flags & ~_LONG != _COMMAND or size > ROOM:
        raise ValueError(f"expected a command, it sent {size} bytes with the flags {flags}")
    command = _exactly(peer, size, deadline)
    if not command.startswith(b"\5READY") or _property("Socket-Type", "ROUTER") not in command:
        raise ValueError(f"expected the READY of a ROUTER, it said {command!r}")


def ready(kind: str) -> bytes:
    """Return the command READY of a socket that has no name."""
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
    """Return the seconds until then: never 0, with which a socket would not wait at all."""
    return max(deadline - time.monotonic(), 1e-3)


# --- compiled ------------------------------------------------------------------------------------


@part
def put(lines: Any, client: int, messages: Any, n: int, report: Any) -> bool:
    """Send message ``n``; False if the client has not sent its last one yet, or if that failed.

    What the system does not take at once goes when there is room, see :func:`push`.
    """
    if not push(lines, client, messages, report):
        return False
    lines.unsent[client, 0], lines.unsent[client, 1] = messages[1][n], messages[1][n + 1]
    report[SENT] += 1
    push(lines, client, messages, report)
    return True


@part
def push(lines: Any, client: int, messages: Any, report: Any) -> bool:
    """Send what a client still has to send; False if something is left."""
    begin, end = lines.unsent[client]
    while begin < end:
        data = messages[0].ctypes.data + begin
        done = send(lines.descriptors[client], data, end - begin, QUIETLY)
        if done >= 0:
            begin += done
            continue
        number = zmq_errno()
        if number == EINTR:
            continue
        if number != EAGAIN:
            report[ERRNO] = number
        break
    lines.unsent[client, 0] = begin
    return bool(begin == end)


@part
def pull(lines: Any, client: int, report: Any) -> Any:
    """Receive into a client's inbox: 0 if nothing was there, 1 if all came, 2 if there is more."""
    box, (begin, end) = lines.inbox[client], lines.unread[client]
    for i in range(begin, end):  # the beginning of a frame, which is rare
        box[i - begin] = box[i]
    end -= begin
    room = box.size - end
    while True:
        came = recv(lines.descriptors[client], box.ctypes.data + end, room, 0)
        if came >= 0 or zmq_errno() != EINTR:
            break
    lines.unread[client, 0], lines.unread[client, 1] = 0, end + max(came, 0)
    if came > 0:
        return 2 if came == room else 1
    number = _CLOSED if came == 0 else zmq_errno()
    if number != EAGAIN:
        report[ERRNO] = number
    return 0


@part
def next_frame(lines: Any, client: int, answer: Any, report: Any) -> Any:
    """Take one frame out of a client's inbox: its bytes, -1 if there is no whole one.

    As with :func:`load.take`, once an answer was bad, it is kept and others go behind it.
    """
    box, (begin, end) = lines.inbox[client], lines.unread[client]
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
        answer[behind + i] = box[start + i]
    lines.unread[client, 0] = start + size
    return size
