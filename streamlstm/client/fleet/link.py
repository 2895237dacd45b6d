"""A client's connection to one worker of a fleet: what is in flight there, and what waits."""

from __future__ import annotations

import math
import time as clock
from collections import deque
from typing import Any

import zmq

from ..connection import connect
from ..curve_handshake import HandshakeFailure
from ..descriptors import opening
from ..keys import Credentials
from ..request_queue import NOBLOCK, SNDMORE
from .request import FleetRequest

POLLIN, POLLOUT = int(zmq.POLLIN), int(zmq.POLLOUT)  # as request_queue.py has its flags


class Link:
    """A DEALER and its requests.

    Parameters
    ----------
    context : zmq.Context
    router : str
        The worker's.
    keys : Credentials or None
    window : int
        How many requests may be in flight here.

    Attributes
    ----------
    socket : zmq.Socket
    router
        As given.
    in_flight : dict of bytes to FleetRequest
        Those without an answer, by their envelopes, in order.
    unsent : deque of FleetRequest
        Those that wait for a connection, or for room in the window.
    heard : float
        When something came last, or was sent while nothing was in flight.
    served : float
        When a request was answered last, and is not sent again.
    """

    def __init__(
        self, context: zmq.Context[Any], router: str, keys: Credentials | None, window: int
    ) -> None:
        self.router, self._window = router, window
        with opening():
            self.socket: zmq.Socket[bytes] = context.socket(zmq.DEALER, socket_class=zmq.Socket)
        # IMMEDIATE: nothing is sent but over a connection, so that it is known what was sent.
        self._handshake = connect(
            context, self.socket, router, keys, LINGER=0, IMMEDIATE=1, SNDHWM=0, RCVHWM=0
        )
        self._number = 0
        self._known = 1  # connections that there had been when nothing was in flight
        self._looked = b""  # the last that had been sent at the last look
        self.in_flight: dict[bytes, FleetRequest] = {}
        self.unsent: deque[FleetRequest] = deque()
        self.heard = clock.monotonic()
        self.served = -math.inf

    def send(self, request: FleetRequest) -> None:
        """Send a request as soon as there is a connection, and room."""
        if self.unsent or not self._sent(request):
            self.unsent.append(request)

    def flush(self) -> bool:
        """Send what waits, as far as that is possible; return whether anything was."""
        before = self._number
        while self.unsent and self._sent(self.unsent[0]):
            self.unsent.popleft()
        return self._number > before

    def _sent(self, request: FleetRequest) -> bool:
        in_flight, send = self.in_flight, self.socket.send
        if len(in_flight) >= self._window:
            return False
        number = (self._number + 1).to_bytes(8, "big")
        try:
            send(number, SNDMORE)
            send(request.frame, NOBLOCK)
        except zmq.Again:
            return False
        self._number += 1
        if not in_flight:
            self.heard = clock.monotonic()
        in_flight[number] = request
        return True

    def receive(self) -> list[tuple[FleetRequest, bytes]]:
        """Return the answers that have come, each with its request."""
        receive, received = self.socket.recv_multipart, []
        try:
            while True:
                received.append(receive(NOBLOCK))
        except zmq.Again:
            pass
        if not received:
            return []
        self.heard = clock.monotonic()
        pop = self.in_flight.pop
        answered = [(pop(frames[0], None), frames[-1]) for frames in received]
        return [(request, frame) for request, frame in answered if request is not None]

    def look(self) -> bool:
        """Return whether something in flight is lost: to be asked now and again.

        A worker that is started again at its address may have a new connection before anybody sees
        that the former one is gone, and with it what was sent there and has no answer.
        """
        if not self.in_flight:
            self._known = max(self._handshake.connections, 1)
            return False
        before, self._looked = self._looked, self._number.to_bytes(8, "big")
        return self._handshake.connections > self._known and next(iter(self.in_flight)) <= before

    @property
    def events(self) -> int:
        """What ZeroMQ says that can be done."""
        return int(self.socket.get(zmq.EVENTS))

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return bool(self.events & POLLOUT)

    def failure(self) -> HandshakeFailure:
        """Return the probable reason why there is no connection."""
        return self._handshake.failure()

    def close(self) -> None:
        """Close the connection; what was in flight stays noted."""
        self._handshake.close()
        self.socket.close()
