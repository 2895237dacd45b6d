"""What became of a client's handshake: ZeroMQ itself says nothing where one is refused."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from .keys import Credentials

_NUMBERS = count()  # an address that was used may stay taken for a moment

# Few come: a client that was refused does not try again, and a connection succeeds once. What comes
# with every attempt is left out, since nobody may be there to take it.
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


class Why(NamedTuple):
    """Why a worker cannot be reached, as a sentence, and whether that is certain."""

    said: str = ""
    certain: bool = False


class Handshake:
    """Gives a socket its keys, and remembers how its last handshake ended.

    Parameters
    ----------
    context : zmq.Context
    socket : zmq.Socket
        Not connected yet.
    credentials : Credentials or None
        None: it speaks without keys.
    """

    def __init__(
        self, context: zmq.Context[Any], socket: Any, credentials: Credentials | None
    ) -> None:
        self._keyed, self._socket = credentials is not None, socket
        self._last: int | None = None
        if credentials is not None:
            socket.set(zmq.CURVE_PUBLICKEY, credentials.public)
            socket.set(zmq.CURVE_SECRETKEY, credentials.secret)
            socket.set(zmq.CURVE_SERVERKEY, credentials.server)
        self._events = listen(context, socket, _EVENTS)

    def why(self) -> Why:
        """Say what is probably wrong where a worker cannot be reached.

        By the thread that uses the socket.
        """
        while not self._events.closed and self._events.poll(0):
            self._last = int(recv_monitor_message(self._events)["event"])
        if self._last == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return Why()
        if self._last == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return Why(
                "The worker refused this key: it is not among those that it allows, or may not use "
                "this door. ",
                True,
            )
        if self._keyed:
            return Why(
                "Perhaps the worker there has no key, or another one than this client's server "
                "says. "
            )
        if self._last == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            return Why(
                "The worker speaks with keys only (CURVE): give this client key and server. ", True
            )
        # Which end notices first that only one of them wants keys is chance: it may be the other.
        return Why("Perhaps the worker there speaks with keys only: then give key and server. ")

    def close(self) -> None:
        """Stop listening; before the socket is closed."""
        stop_telling(self._socket)
        self._events.close()


def listen(context: zmq.Context[Any], socket: Any, events: int) -> zmq.Socket[bytes]:
    """Return a socket that hears of events of another, until :func:`stop_telling`."""
    heard: zmq.Socket[bytes] = context.socket(zmq.PAIR, socket_class=zmq.Socket)
    heard.set(zmq.LINGER, 0)
    heard.set(zmq.RCVHWM, 0)  # without a bound: ZeroMQ's own thread would wait for room
    address = f"inproc://streamlstm.handshakes.{next(_NUMBERS)}"
    socket.monitor(address, events)
    heard.connect(address)
    return heard


def stop_telling(socket: Any) -> None:
    """Let a socket tell of its handshakes no more, before who listens is closed.

    ZeroMQ's own thread would otherwise wait for ever for somebody to tell.
    """
    socket.monitor(None, 0)
