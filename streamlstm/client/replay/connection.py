"""One connection of a replaying publisher: numbered requests, each with a deadline."""

from __future__ import annotations

import select
import time as clock
from typing import Generic, TypeVar

import zmq

from ... import wire
from ..connection import connect, milliseconds
from ..descriptors import opening
from ..keys import Credentials
from ..request_queue import NOBLOCK, SNDMORE

Context = TypeVar("Context")


class ConnectionBrokenError(Exception):
    """A connection over which nothing comes any more, or something was lost."""


class ReplayConnection(Generic[Context]):
    """A DEALER and the requests in flight on it, each with the context of its reply.

    Parameters
    ----------
    context : zmq.Context
    endpoint : str
        Endpoint of a worker's ROUTER.
    timeout : float
        Seconds to wait for a reply.
    keys : Credentials or None
        For a worker that requires keys.
    producer : int
        Who sends, as every message says.

    Attributes
    ----------
    endpoint : str
        As given.
    in_flight : dict of bytes to (Context, float)
        Context and deadline of each request without a reply, by its envelope, in order.
    rows : int
        Observations that were sent over it and not refused as ``busy``.
    messages : int
        Messages that were sent over it.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        timeout: float,
        keys: Credentials | None,
        producer: int,
    ) -> None:
        self.endpoint = endpoint
        with opening():
            self._socket = context.socket(zmq.DEALER)
        self._handshake = connect(context, self._socket, endpoint, keys, LINGER=0, IMMEDIATE=1)
        self._timeout = timeout
        self._envelope = wire.envelope_of(producer)
        self.in_flight: dict[bytes, tuple[Context, float]] = {}
        self.rows = self.messages = 0

    def can_send(self) -> bool:
        """Return whether there is a connection that takes a message."""
        return bool(int(self._socket.get(zmq.EVENTS)) & zmq.POLLOUT)

    def send(self, frame: bytes, context: Context, rows: int = 0) -> None:
        """Send a request; raises ConnectionBrokenError if it cannot be sent at once."""
        number = self._envelope + (self.messages + 1).to_bytes(8, "big")
        try:
            self._socket.send(number, SNDMORE)
            self._socket.send(frame, NOBLOCK)
        except zmq.Again:
            raise ConnectionBrokenError from None
        self.messages += 1
        self.rows += rows
        self.in_flight[number] = context, clock.monotonic() + self._timeout

    def receive(self) -> list[tuple[Context, bytes]]:
        """Return the replies that have come, each with the context of its request."""
        replies: list[tuple[Context, bytes]] = []
        while True:
            try:
                frames = self._socket.recv_multipart(NOBLOCK)
            except zmq.Again:
                return replies
            if request := self.in_flight.pop(frames[0], None):
                replies.append((request[0], frames[-1]))

    @property
    def deadline(self) -> float:
        """Moment at which the oldest request times out, in seconds of the monotonic clock."""
        return next((deadline for _, deadline in self.in_flight.values()), float("inf"))

    def has_something(self, for_room: bool) -> bool:
        """Return whether a reply has come or, with ``for_room``, there is room to send."""
        events = int(self._socket.get(zmq.EVENTS))
        return bool(events & (zmq.POLLIN | (zmq.POLLOUT if for_room else 0)))

    def fileno(self) -> int:
        """Return a descriptor that can be read after each change, once."""
        return self._socket.fileno()

    def wait(self, wakeup: int, until: float, for_room: bool) -> None:
        """Wait for a reply, the descriptor ``wakeup`` or, with ``for_room``, room to send."""
        if self.has_something(for_room):
            return
        # The descriptor signals every change, also the end of the connection; zmq_poll would not.
        files = select.poll()
        files.register(self._socket.fileno(), select.POLLIN)
        files.register(wakeup, select.POLLIN)
        files.poll(milliseconds(until - clock.monotonic()) + 1)

    @property
    def is_broken(self) -> bool:
        """True if the connection ended over which replies should come."""
        return bool(self.in_flight) and not self.can_send()

    @property
    def is_another(self) -> bool:
        """True if ZeroMQ has reconnected by itself, maybe to another worker at the endpoint."""
        return self._handshake.connections > 1

    def close(self) -> None:
        """Close the connection."""
        self._handshake.close()
        self._socket.close()
