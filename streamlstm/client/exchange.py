"""One request to one worker, and the wait for its reply."""

from __future__ import annotations

import time as clock
from collections.abc import Callable

import zmq

from .connection import milliseconds
from .curve_handshake import HandshakeFailure
from .failures import no_reply, not_sent


def exchange(
    socket: zmq.Socket[bytes],
    endpoint: str,
    number: int,
    frame: bytes,
    timeout: float,
    failure: Callable[[], HandshakeFailure],
) -> bytes:
    """Send a request with a number in its envelope; return the reply with that number.

    Parameters
    ----------
    socket : zmq.Socket
        A DEALER.
    endpoint : str
        For errors.
    number : int
        Another one for each request.
    frame : bytes
    timeout : float
        In seconds.
    failure : callable
        Returns the reason why no worker may take a message.

    Raises
    ------
    WorkerTimeoutError
        If no reply comes in time.
    """
    envelope = number.to_bytes(8, "big")
    deadline = clock.monotonic() + timeout
    socket.set(zmq.SNDTIMEO, milliseconds(timeout))
    try:
        socket.send_multipart([envelope, frame])
    except zmq.Again:
        raise not_sent(endpoint, timeout, "router", failure()) from None
    while True:
        socket.set(zmq.RCVTIMEO, milliseconds(deadline - clock.monotonic()))
        try:
            frames = socket.recv_multipart()
        except zmq.Again:
            raise no_reply(endpoint, timeout) from None
        if frames[0] == envelope:
            return frames[-1]
