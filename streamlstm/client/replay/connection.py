"""One connection of a publisher that replays: numbered questions, each with a deadline."""

from __future__ import annotations

import select
import time as clock
from typing import Generic, TypeVar

import zmq

from ..connection import connect, milliseconds
from ..keys import Credentials

What = TypeVar("What")
_NOW, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)


class BrokenLinkError(Exception):
    """A connection over which nothing comes any more, or something was lost."""


class Link(Generic[What]):
    """A DEALER and what was asked over it.

    Parameters
    ----------
    context : zmq.Context
    endpoint : str
        Of a worker's router.
    patience : float
        Seconds to wait for an answer.
    keys : Credentials, optional
        For a worker that has a key.

    Attributes
    ----------
    asked : dict of bytes to (What, float)
        What is without an answer, by number, and until when, in order.
    rows : int
        Observations that were sent over it and not refused as ``busy``.
    messages : int
        Messages that were sent over it.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        patience: float,
        keys: Credentials | None = None,
    ) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._handshake = connect(context, self._socket, endpoint, keys, LINGER=0, IMMEDIATE=1)
        self._patience = patience
        self.asked: dict[bytes, tuple[What, float]] = {}
        self.rows = self.messages = 0

    def can_send(self) -> bool:
        """Tell whether there is a connection that takes a message."""
        return bool(int(self._socket.get(zmq.EVENTS)) & zmq.POLLOUT)

    def send(self, frame: bytes, what: What, rows: int = 0) -> None:
        """Ask; raises BrokenLinkError if it cannot be sent at once."""
        number = (self.messages + 1).to_bytes(8, "big")
        try:
            self._socket.send(number, _MORE)
            self._socket.send(frame, _NOW)
        except zmq.Again:
            raise BrokenLinkError from None
        self.messages += 1
        self.rows += rows
        self.asked[number] = what, clock.monotonic() + self._patience

    def take(self) -> list[tuple[What, bytes]]:
        """Return what has come: answers, each with what was asked."""
        came: list[tuple[What, bytes]] = []
        while True:
            try:
                parts = self._socket.recv_multipart(_NOW)
            except zmq.Again:
                return came
            if asked := self.asked.pop(parts[0], None):
                came.append((asked[0], parts[-1]))

    @property
    def deadline(self) -> float:
        """Until when the oldest question may be without an answer."""
        return next((until for _, until in self.asked.values()), float("inf"))

    def wait(self, wakeup: int, until: float, writable: bool) -> None:
        """Wait for an answer, for room if that is wanted, or for the descriptor ``wakeup``."""
        events = int(self._socket.get(zmq.EVENTS))
        if events & (zmq.POLLIN | (zmq.POLLOUT if writable else 0)):
            return
        # The descriptor tells of all news, also that the connection has ended; zmq_poll would not.
        files = select.poll()
        files.register(self._socket.fileno(), select.POLLIN)
        files.register(wakeup, select.POLLIN)
        files.poll(milliseconds(until - clock.monotonic()) + 1)

    @property
    def is_broken(self) -> bool:
        """Whether the connection ended over which answers should come."""
        return bool(self.asked) and not self.can_send()

    def close(self) -> None:
        """Close the connection."""
        self._handshake.close()
        self._socket.close()
