"""The CURVE handshake: sets the keys of a client's socket, and records how it ended.

ZeroMQ itself reports nothing to a client whose handshake is refused.
"""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import zmq
from zmq.utils.monitor import recv_monitor_message

from .descriptors import NoDescriptorError, opening
from .keys import Credentials

_NUMBERS = count()  # an address that was used may stay taken for a moment

# Few events come: a client that was refused does not try again, and a connection succeeds once. The
# events of every attempt are left out, since nobody may be there to read them.
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
)


class HandshakeFailure(NamedTuple):
    """The reason why a worker cannot be reached, as a sentence, and whether it is certain."""

    reason: str = ""
    certain: bool = False


class Handshake:
    """Sets a socket's keys and monitors its handshake.

    Parameters
    ----------
    context : zmq.Context
    socket : zmq.Socket
        Not connected yet.
    credentials : Credentials or None
        None: the connection is not encrypted.
    """

    def __init__(
        self, context: zmq.Context[Any], socket: Any, credentials: Credentials | None
    ) -> None:
        self._has_key, self._socket = credentials is not None, socket
        self._last: int | None = None
        self._succeeded = 0
        if credentials is not None:
            socket.set(zmq.CURVE_PUBLICKEY, credentials.public)
            socket.set(zmq.CURVE_SECRETKEY, credentials.secret)
            socket.set(zmq.CURVE_SERVERKEY, credentials.server)
        self._events = monitor_handshakes(context, socket, _EVENTS)

    def _read(self) -> None:
        while not self._events.closed and self._events.poll(0):
            self._last = int(recv_monitor_message(self._events)["event"])
            self._succeeded += self._last == zmq.EVENT_HANDSHAKE_SUCCEEDED

    @property
    def connections(self) -> int:
        """How many connections there have been: ZeroMQ makes a new one when one breaks."""
        self._read()
        return self._succeeded

    def failure(self) -> HandshakeFailure:
        """Return the probable reason why a worker cannot be reached.

        Call it in the thread that uses the socket.
        """
        self._read()
        if self._last == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return HandshakeFailure()
        if self._last == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            return HandshakeFailure(
                "The worker refused this key: it is not authorized, or its role may not use this "
                "socket. ",
                True,
            )
        if self._has_key:
            return HandshakeFailure(
                "Perhaps the worker there has no key, or another one than the server key of this "
                "client. "
            )
        if self._last == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            return HandshakeFailure(
                "The worker requires keys (CURVE): give this client key and server. ", True
            )
        # Which end notices first that only one of them uses keys is chance: it may be the other.
        return HandshakeFailure(
            "Perhaps the worker there requires keys: then give key and server. "
        )

    def close(self) -> None:
        """Stop monitoring. Call it before the socket is closed."""
        stop_monitoring(self._socket)
        self._events.close()


def monitor_handshakes(context: zmq.Context[Any], socket: Any, events: int) -> zmq.Socket[bytes]:
    """Return a PAIR socket that receives events of another socket, until `stop_monitoring`."""
    with opening():
        monitor: zmq.Socket[bytes] = context.socket(zmq.PAIR, socket_class=zmq.Socket)
    monitor.set(zmq.LINGER, 0)
    monitor.set(zmq.RCVHWM, 0)  # without a bound: ZeroMQ's own thread would wait for room
    address = f"inproc://streamlstm.handshakes.{next(_NUMBERS)}"
    try:
        with opening():
            socket.monitor(address, events)
    except NoDescriptorError:
        monitor.close()
        raise
    monitor.connect(address)
    return monitor


def stop_monitoring(socket: Any) -> None:
    """Stop the events of a socket. Call it before the monitor is closed.

    ZeroMQ's own thread would otherwise wait forever for a reader.
    """
    socket.monitor(None, 0)
