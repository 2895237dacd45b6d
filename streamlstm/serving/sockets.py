"""The three sockets of a worker: bound, configured and closed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import zmq

from .. import wire
from ..client.curve_handshake import stop_monitoring
from ..errors import EndpointError
from .access.curve_server import CurveServer
from .connections import Connections
from .endpoints import check_endpoint, describe_bind_error

_LOG = logging.getLogger(__name__)

HIGH_WATER_MARK = 1_000  # messages queued in each direction, for each peer of the ROUTER
# Messages queued from each peer of the PULL socket, of any size: their number times their size is
# what it can make ZeroMQ hold while it waits. The mark cannot follow the size: libzmq (4.3.5) stops
# a connection for ever whose mark is lowered below what it has counted. And it cannot be as low at
# the ROUTER, where a client with 500 requests in flight costs twice as much with 64; but there the
# loop refuses at once what has no room in its queue, and never lets messages wait in ZeroMQ's.
OBSERVATIONS = 32
# Subscriptions are applied to libzmq's trie by the thread of the loop, whatever it calls the socket
# for, as long as there is one: with more than one in the queue a flood of long topics held it for
# seconds.
EVENTS = 1
RECEIVE_MARKS: dict[int, int] = {
    zmq.ROUTER: HIGH_WATER_MARK,
    zmq.PULL: OBSERVATIONS,
    zmq.XPUB: EVENTS,
}
# A subscription is at most a topic of 255 bytes and a command's name; what else a subscriber sends
# is its part of the handshake, with a routing id of up to 255 bytes and perhaps keys.
MAX_EVENT_BYTES = 1_024
HANDSHAKE_MS = 10_000  # after which a connection that has not introduced itself is closed
# One STEPS is published as up to MAX_STREAMS messages at once, and a few of them in a row have to
# get through to a subscriber that reads. libzmq notices what was read in lots of half the mark, so
# half of it is sure. A full queue of short messages takes 17 MB for each subscriber.
PUBLICATIONS = 8 * wire.MAX_STREAMS
LINGER_MS = 2_000  # for which the last replies may be on their way


class Sockets(NamedTuple):
    """ROUTER for requests, PULL for observations without replies, XPUB for subscribers."""

    router: zmq.Socket[bytes]
    pull: zmq.Socket[bytes]
    xpub: zmq.Socket[bytes]

    def endpoints(self) -> dict[str, str]:
        """Return where the sockets are bound, by name."""
        return {
            name: socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
            for name, socket in zip(self._fields, self, strict=True)
        }

    def close(self) -> None:
        """Close the sockets; at most ``LINGER_MS`` later all replies are sent or dropped."""
        for socket in self:
            _close(socket, LINGER_MS)


class SocketFiles:
    """The files of sockets that are bound to ``ipc://``, which libzmq leaves behind.

    Parameters
    ----------
    sockets : iterable of zmq.Socket
        Bound just now.
    """

    def __init__(self, sockets: Iterable[zmq.Socket[bytes]]) -> None:
        endpoints = [socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0") for socket in sockets]
        paths = [e.removeprefix("ipc://") for e in endpoints if e.startswith("ipc://")]
        self._files = {path: _identity(path) for path in paths}

    def remove(self) -> None:
        """Remove them, but not one that another process has put in its place."""
        for path, identity in self._files.items():
            if identity is not None and _identity(path) == identity:
                with suppress(OSError):
                    os.unlink(path)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:  # an abstract one has no file
        return None
    return found.st_dev, found.st_ino


def bind_sockets(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoints: Sequence[str],
    *,
    max_bytes: int,
    insecure: bool = False,
    curve: CurveServer | None = None,
    connections: Connections | None = None,
    former_ports: Sequence[int] | None = None,
) -> Sockets:
    """Return the sockets of a worker, bound to the endpoints of ROUTER, PULL and XPUB.

    Parameters and errors are those of :func:`bind_socket`.
    """
    ports = former_ports or (None, None, None)
    bound: list[zmq.Socket[bytes]] = []
    try:
        for kind, name, endpoint, port in zip(
            (zmq.ROUTER, zmq.PULL, zmq.XPUB), Sockets._fields, endpoints, ports, strict=True
        ):
            bound.append(
                bind_socket(
                    context,
                    kind,
                    name,
                    endpoint,
                    max_bytes=max_bytes,
                    insecure=insecure,
                    curve=curve,
                    connections=connections,
                    former_port=port,
                )
            )
    except BaseException:
        SocketFiles(bound).remove()
        for socket in bound:
            _close(socket)
        raise
    return Sockets(*bound)


def bind_socket(
    context: zmq.Context[zmq.Socket[bytes]],
    kind: int,
    name: str,
    endpoint: str,
    *,
    max_bytes: int,
    insecure: bool = False,
    curve: CurveServer | None = None,
    connections: Connections | None = None,
    former_port: int | None = None,
) -> zmq.Socket[bytes]:
    """Return a bound socket.

    Parameters
    ----------
    context : zmq.Context
    kind : int
        ``zmq.ROUTER``, ``zmq.PULL`` or ``zmq.XPUB``.
    name : str
        What messages call the socket; the option of ``streamlstm serve``.
    endpoint : str
        Where to bind.
    max_bytes : int
        Larger messages are not received: their connection is closed.
    insecure : bool
        Whether addresses that other machines can reach are allowed.
    curve : CurveServer, optional
        Only clients with a key that it authorizes may connect; then all addresses are allowed.
    connections : Connections, optional
        Not started yet; bounds the number of connections.
    former_port : int, optional
        Where this worker was before it was started again: taken if it is free and the system
        chooses the port, so that addresses which clients know stay true.

    Raises
    ------
    EndpointError
        If the endpoint is not allowed, malformed or taken.
    """
    address = check_endpoint(name, endpoint, insecure, curve is not None)
    socket = context.socket(kind)
    try:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, MAX_EVENT_BYTES if kind == zmq.XPUB else max_bytes)
        socket.set(zmq.SNDHWM, PUBLICATIONS if kind == zmq.XPUB else HIGH_WATER_MARK)
        # With keys libzmq counts the user id of a connection as a message that is never read.
        socket.set(zmq.RCVHWM, RECEIVE_MARKS[kind] + int(curve is not None))
        socket.set(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.set(zmq.TCP_KEEPALIVE, 1)  # or what a vanished machine used would never be freed
        if kind == zmq.ROUTER:
            socket.set(zmq.ROUTER_MANDATORY, 1)  # a reply that cannot be sent is an error, counted
            # A client that comes back with its own routing id need not wait for the end of the
            # connection that it had before, which ZeroMQ may notice late or never.
            socket.set(zmq.ROUTER_HANDOVER, 1)
        if kind == zmq.XPUB:
            socket.set(zmq.XPUB_NODROP, 1)  # likewise, see Sender.publish
            # Each subscription of each peer is seen; within a process peers are not told apart.
            socket.set(zmq.XPUB_VERBOSER, int(not endpoint.startswith("inproc")))
        if curve is not None:
            curve.configure(socket, name)
        if connections is not None:
            connections.watch(socket, name)
        socket.set(zmq.IPV6, int("[" in address))
        if former_port is None or not _is_bound_again(socket, name, address, former_port):
            socket.bind(address)
    except zmq.ZMQError as error:
        _close(socket)
        reason = describe_bind_error(error, name)
        raise EndpointError(f"--{name} {endpoint}: {reason}") from None
    except BaseException:
        _close(socket)
        raise
    return socket


def _is_bound_again(socket: zmq.Socket[bytes], name: str, address: str, former_port: int) -> bool:
    """Bind a socket to its former port, if the system may choose that; tell whether it is."""
    if not address.endswith(":*"):
        return False
    try:
        socket.bind(f"{address[:-1]}{former_port}")
    except zmq.ZMQError as error:
        _LOG.warning(
            "--%s %s: port %d, where this worker was before, cannot be had again (%s); it is at "
            "another one now, which clients learn from the table",
            *(name, address, former_port, error.strerror),
        )
        return False
    return True


def _close(socket: zmq.Socket[bytes], linger: int = 0) -> None:
    stop_monitoring(socket)
    socket.close(linger=linger)
