"""Watches the connections to a worker's sockets, and bounds their number.

Everything that ZeroMQ holds for its peers it holds for each connection: queues, subscriptions, a
message that is half received, a descriptor. A bound on connections bounds all of it.

libzmq has no such bound. But it tells a monitor of every connection that it accepts, by its
descriptor, and descriptors belong to the whole process: one that is shut down makes libzmq drop the
connection and free what it holds.
"""

from __future__ import annotations

import logging
import os
import resource
import socket as posix
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..client.curve_handshake import monitor_handshakes
from ..errors import BadValueError
from .line_limit import LineLimit

_LOG = logging.getLogger(__name__)

MAX_CONNECTIONS = 1_000
# Descriptors that connections never get: for the store, the metrics port, files that are read
# again, and connections that libzmq accepts before this thread sees them. Without one left, libzmq
# would try to accept the same connection again and again, at the cost of a core.
RESERVE = 128
_LEAST = 8
SETTLE_SECONDS = 1.0  # for which the thread is waited for at most
_LOOK_MS = 1_000  # between two looks whether a descriptor is free

_FAILURES = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | _FAILURES


def connection_limit(wanted: int | None = None) -> int:
    """Return how many connections a worker may have.

    Parameters
    ----------
    wanted : int, optional
        None: ``MAX_CONNECTIONS``, or as many as the limit of descriptors leaves room for.

    Raises
    ------
    BadValueError
        If the process may not open as many descriptors.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    unlimited = files == resource.RLIM_INFINITY
    room = max(files - RESERVE, 0)
    if wanted is None:
        wanted = MAX_CONNECTIONS if unlimited else min(MAX_CONNECTIONS, max(room, _LEAST))
    if wanted > room and not unlimited:
        raise BadValueError(
            f"--max-connections {wanted}: this process may open {files} files (ulimit -n), of "
            f"which {RESERVE} stay free for others; allow it {wanted + RESERVE} files, or the "
            f"worker {room} connections"
        )
    return wanted


def allow_descriptors(connections: int | None = None) -> None:
    """Raise this process's soft limit of descriptors to what so many connections need.

    For a program that is nothing but a worker; as far as the hard limit allows.
    """
    needed = (MAX_CONNECTIONS if connections is None else connections) + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def inode_of(descriptor: int) -> int | None:
    """Return what tells the connection of a descriptor from the next one there; None if closed."""
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None


def cut(descriptor: int, addresses: set[int | str]) -> bool:
    """Shut a connection down if it is one of a socket that is bound at one of the addresses.

    libzmq then closes it and frees what it held. Another file that has got the descriptor
    meanwhile is left alone.

    Parameters
    ----------
    descriptor : int
    addresses : set of int and str
        Ports of TCP and paths of local sockets, from :func:`local_addresses`.
    """
    with suppress(OSError):
        connection = posix.socket(fileno=descriptor)
        try:
            if _local_address(connection.getsockname()) in addresses:
                connection.shutdown(posix.SHUT_RDWR)
                return True
        finally:
            connection.detach()
    return False


def _local_address(name: Any) -> int | str:
    if isinstance(name, tuple):
        return int(name[1])
    return os.fsdecode(name)


def peer_address(descriptor: int) -> str:
    """Return where a connection comes from, as the accounts of clients name it; "" if closed.

    That is the address of its machine, or user and group of the process at a local socket.
    """
    with suppress(OSError):
        connection = posix.socket(fileno=descriptor)
        try:
            if connection.family == posix.AF_UNIX:
                size = struct.calcsize("3i")
                peer = connection.getsockopt(posix.SOL_SOCKET, posix.SO_PEERCRED, size)
                _, user, group = struct.unpack("3i", peer)
                return f"localhost:{user}:{group}"
            numbers = posix.NI_NUMERICHOST | posix.NI_NUMERICSERV
            return posix.getnameinfo(connection.getpeername(), numbers)[0]
        finally:
            connection.detach()
    return ""


def local_addresses(endpoint: str) -> set[int | str]:
    """Return port or path of an endpoint as it was bound; nothing of ``inproc://``."""
    scheme, _, address = endpoint.partition("://")
    if scheme == "tcp":
        return {int(address.rpartition(":")[2])}
    return {address} if scheme == "ipc" else set()


class Connections:
    """Counts the connections to sockets in a thread, and cuts those above the limit.

    Parameters
    ----------
    context : zmq.Context
    limit : int
    on_failure : callable, optional
        Called in the thread with name and event of each handshake that fails.

    Attributes
    ----------
    limit : int
    refused : int
        Connections that were cut because as many as the limit were open.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        limit: int,
        on_failure: Callable[[str, Any], object] | None = None,
    ) -> None:
        self.limit, self.refused = limit, 0
        self._context, self._on_failure = context, on_failure
        self._monitors: dict[zmq.Socket[bytes], str] = {}  # and the names of their sockets
        self._addresses: set[int | str] = set()
        self._open: dict[int, int | None] = {}  # descriptors and inodes
        self._peers: dict[int, str] = {}  # descriptors of the ROUTER, and addresses
        self._from: Counter[str] = Counter()
        self._lines, self._next_look = LineLimit(), 0.0
        self._stop, self._stopped = posix.socketpair()  # to close one end makes the other ready
        self._settled = threading.Event()  # everything was noted that came before
        self._thread = threading.Thread(target=self._run, name="streamlstm-connections")
        self._thread.daemon = True

    @property
    def open(self) -> int:
        """Number of connections."""
        return len(self._open)

    def open_from(self, address: str, exact: bool = True) -> int:
        """Return how many connections of the ROUTER come from an address; from one thread.

        Exactly, or as far as the thread here has come: it may be behind the messages.
        """
        if exact and self._thread.is_alive():
            self._settled.clear()
            self._stop.send(b"?")
            self._settled.wait(SETTLE_SECONDS)
        return self._from[address]

    def watch(self, socket: zmq.Socket[bytes], name: str) -> None:
        """Watch the connections of a socket. Call it before the socket is bound."""
        self._monitors[monitor_handshakes(self._context, socket, _EVENTS)] = name

    def start(self, endpoints: Iterable[str]) -> None:
        """Begin, when the sockets are bound to these endpoints; what came before has waited."""
        for endpoint in endpoints:
            self._addresses |= local_addresses(endpoint)
        self._thread.start()

    def close(self) -> None:
        """Stop watching. Close the sockets before."""
        self._stop.close()
        if self._thread.is_alive():
            self._thread.join()
        self._stopped.close()
        for monitor in self._monitors:
            monitor.close()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._stopped.fileno(), zmq.POLLIN)
        for monitor in self._monitors:
            poller.register(monitor, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll(_LOOK_MS))
                asked = self._stopped.fileno() in ready
                if asked and not self._stopped.recv(64):
                    return
                for monitor in ready.keys() & self._monitors.keys():
                    self._note(recv_monitor_message(monitor), self._monitors[monitor])
                if asked:
                    self._note_all()
                    self._settled.set()
                self._look()
        except zmq.ZMQError as error:  # the context was terminated
            _LOG.debug("connections are no longer watched", exc_info=error)

    def _look(self) -> None:
        """Say so when no descriptor is free: libzmq does not."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_MS / 1000
        try:
            os.close(os.dup(self._stopped.fileno()))
        except OSError as error:
            said = f"no connection can be accepted: {error.strerror} (ulimit -n)"
            self._lines.warn(_LOG, said, "descriptors")

    def _note_all(self) -> None:
        for monitor, name in self._monitors.items():
            while monitor.poll(0):
                self._note(recv_monitor_message(monitor), name)

    def _note(self, event: Any, name: str) -> None:
        kind, descriptor = int(event["event"]), int(event["value"])
        if kind == zmq.EVENT_DISCONNECTED:
            self._close(descriptor)
        elif kind != zmq.EVENT_ACCEPTED:
            if self._on_failure is not None:
                self._on_failure(name, event)
        else:
            self._close(descriptor)  # if libzmq closed the one before without an event
            self._open[descriptor] = inode_of(descriptor)
            if name == "router":
                self._peers[descriptor] = peer_address(descriptor)
                self._from[self._peers[descriptor]] += 1
            if len(self._open) > self.limit:
                self._forget_closed()
            if len(self._open) > self.limit and cut(descriptor, self._addresses):
                self.refused += 1
                self._lines.warn(
                    _LOG,
                    f"{name}: refused a connection: {self.limit} are open, as many as "
                    "--max-connections allows",
                )

    def _close(self, descriptor: int) -> None:
        """Count a connection no more."""
        self._open.pop(descriptor, None)
        if (peer := self._peers.pop(descriptor, None)) is not None:
            self._from[peer] -= 1
            if not self._from[peer]:
                del self._from[peer]

    def _forget_closed(self) -> None:
        """Forget connections that libzmq has closed without an event."""
        for descriptor, inode in list(self._open.items()):
            if inode_of(descriptor) != inode:
                self._close(descriptor)
