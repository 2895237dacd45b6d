"""A socket's connections to what workers publish, who come and go."""

from __future__ import annotations

import time as clock
from collections.abc import Set
from typing import Any

import zmq

# Seconds for which what a worker published last may be on its way after it left the table: longer
# than its sockets linger (serving/sockets.py).
UNDER_WAY = 5.0
TOO_LATE = 60.0  # seconds after which nothing is kept for a reader who is too slow


class Listening:
    """Connects a socket to those who publish, and loses nothing of those who leave.

    A connection that ends takes with it what came there and was not read. So one to a worker that
    has left ends only when nothing more of it can come, and what has come was read.

    Parameters
    ----------
    socket : zmq.Socket
        A SUB or an XSUB.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._connected: set[str] = set()
        self._left: dict[str, float] = {}  # seconds of the clock

    def follow(self, there: Set[str]) -> None:
        """Connect to the endpoints of all who are there; note who has left."""
        for xpub in there - self._connected:
            self._socket.set(zmq.IPV6, int("[" in xpub))
            self._socket.connect(xpub)
        now = clock.monotonic()
        self._left = {xpub: self._left.get(xpub, now) for xpub in (self._connected - there)}
        self._connected |= there
        self.look()

    def look(self) -> None:
        """Disconnect from those who left, if nothing of theirs can be missed."""
        if not self._left:
            return
        is_read = not int(self._socket.get(zmq.EVENTS)) & zmq.POLLIN
        latest = clock.monotonic() - (UNDER_WAY if is_read else TOO_LATE)
        for xpub in [each for each, since in self._left.items() if since < latest]:
            self._socket.disconnect(xpub)
            self._connected.discard(xpub)
            del self._left[xpub]
