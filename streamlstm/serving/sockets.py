"""The three sockets of a worker: bound, configured and closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import zmq

from .. import wire
from ..client.curve_handshake import stop_monitoring
from ..errors import EndpointError
from .access.authenticator import Authenticator
from .access.curve_server import CurveServer
from .endpoints import check_endpoint, describe_bind_error

HIGH_WATER_MARK = 1_000  # messages queued in each direction, for each peer
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


def bind_sockets(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoints: Sequence[str],
    *,
    max_bytes: int,
    insecure: bool = False,
    curve: CurveServer | None = None,
    authenticator: Authenticator | None = None,
) -> Sockets:
    """Return the sockets of a worker, bound to the endpoints of ROUTER, PULL and XPUB.

    Parameters and errors are those of :func:`bind_socket`.
    """
    bound: list[zmq.Socket[bytes]] = []
    try:
        for kind, name, endpoint in zip(
            (zmq.ROUTER, zmq.PULL, zmq.XPUB), Sockets._fields, endpoints, strict=True
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
                    authenticator=authenticator,
                )
            )
    except BaseException:
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
    authenticator: Authenticator | None = None,
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
    authenticator : Authenticator, optional
        Not started yet; logs clients that fail before they show a key.

    Raises
    ------
    EndpointError
        If the endpoint is not allowed, malformed or taken.
    """
    check_endpoint(name, endpoint, insecure, curve is not None)
    socket = context.socket(kind)
    try:
        socket.set(zmq.LINGER, 0)
        socket.set(zmq.MAXMSGSIZE, max_bytes)
        socket.set(zmq.SNDHWM, PUBLICATIONS if kind == zmq.XPUB else HIGH_WATER_MARK)
        socket.set(zmq.RCVHWM, HIGH_WATER_MARK)
        socket.set(zmq.TCP_KEEPALIVE, 1)  # or what a vanished machine used would never be freed
        if kind == zmq.ROUTER:
            socket.set(zmq.ROUTER_MANDATORY, 1)  # a reply that cannot be sent is an error, counted
            # A client that comes back with its own routing id need not wait for the end of the
            # connection that it had before, which ZeroMQ may notice late or never.
            socket.set(zmq.ROUTER_HANDOVER, 1)
        if kind == zmq.XPUB:
            socket.set(zmq.XPUB_NODROP, 1)  # likewise, see Sender.publish
        if curve is not None:
            curve.configure(socket, name)
        if authenticator is not None:
            authenticator.monitor(socket, name)
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        _close(socket)
        reason = describe_bind_error(error, name)
        raise EndpointError(f"--{name} {endpoint}: {reason}") from None
    except BaseException:
        _close(socket)
        raise
    return socket


def _close(socket: zmq.Socket[bytes], linger: int = 0) -> None:
    stop_monitoring(socket)
    socket.close(linger=linger)
