"""The requests in flight on a DEALER socket, matched with their replies.

A reply finds its request by the number in the envelope
(docs/decisions/request-ids-in-the-envelope.md), a request without a reply fails at its
deadline, and no more than a window of them is in flight at once
(docs/decisions/a-window-of-requests-in-flight.md).
"""

from __future__ import annotations

import logging
import math
import time as clock
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import zmq

from .. import wire
from ..errors import BadValueError, StreamLSTMError, shown
from .connection import milliseconds
from .curve_handshake import HandshakeFailure
from .failures import closed, no_reply, not_sent, window_full
from .replies import Decoder

_LOG = logging.getLogger(__name__)
# Plain integers: joining the flags of pyzmq for every message takes as long as sending it.
NOBLOCK, SNDMORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
WINDOW = 500
_MAX_REPLIES = 1_000  # that a worker queues for a client; it drops the rest


def check_window(window: Any) -> int:
    """Return how many requests may be in flight at once.

    Raises
    ------
    BadValueError
        If it is no integer, or so large that a worker might drop replies.
    """
    if not isinstance(window, int) or isinstance(window, bool) or not 1 <= window < _MAX_REPLIES:
        raise BadValueError(
            f"window: expected an integer from 1 to {_MAX_REPLIES - 1}, got {shown(window)}; a "
            f"worker queues {_MAX_REPLIES} replies for a client and drops the rest"
        )
    return window


def settle(future: Any, result: Any = None, error: Exception | None = None) -> None:
    """Set the result or the error of a future, unless it has one or was cancelled."""
    if future.done():
        return
    try:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
    except BaseException:  # an Exception of a callback is logged by the future itself
        _LOG.exception("a callback of a future raised an error")


class PendingRequest:
    """A message, the future of its reply, and the decoder of the reply."""

    __slots__ = ("deadline", "decode", "frame", "future", "number", "timeout")

    def __init__(self, future: Any, frame: bytes, decode: Decoder[Any], timeout: float) -> None:
        self.future = future
        self.frame = frame
        self.decode = decode
        self.timeout = timeout
        self.deadline = clock.monotonic() + timeout
        self.number = b""  # assigned when it is sent


class RequestQueue:
    """The requests of one DEALER, in order: sends them, receives replies, expires the overdue.

    Parameters
    ----------
    socket : zmq.Socket
        Used by one thread at a time.
    endpoint : str
        For errors.
    window : int
        How many requests may be in flight.
    number : int
        The last number that was used on this socket.
    failure : callable
        Returns, in the thread of the socket, the reason why no worker may take a message.

    Attributes
    ----------
    endpoint, window
        As given.
    due : float
        No deadline is earlier; in seconds of the monotonic clock.
    blocked : bool
        Whether the socket takes no message at the moment.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        endpoint: str,
        window: int,
        number: int = 0,
        failure: Callable[[], HandshakeFailure] = HandshakeFailure,
    ) -> None:
        self._socket: Final = socket
        self.endpoint, self.window = endpoint, window
        self._number = number
        self._failure = failure
        self._waiting: deque[PendingRequest] = deque()
        self._in_flight: dict[bytes, PendingRequest] = {}
        self.due = math.inf
        self.blocked = False

    def __len__(self) -> int:
        """Return how many requests are not settled."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def load(self) -> int:
        """How many of them keep others from being sent."""
        return len(self)

    def make(
        self,
        future: Any,
        message: wire.Request,  # noqa: ARG002 - a fleet's queue needs it
        frame: bytes,
        decode: Decoder[Any],
        timeout: float,
    ) -> PendingRequest:
        """Return a request to :meth:`add`; any thread may make one."""
        return PendingRequest(future, frame, decode, timeout)

    def add(self, requests: Iterable[PendingRequest]) -> None:
        """Append requests."""
        for request in requests:
            self._waiting.append(request)
            if request.deadline < self.due:
                self.due = request.deadline

    def process(self) -> bool:
        """Send what may be sent, settle what was answered, expire what is overdue; never waits.

        Return whether anything was sent or received.
        """
        # Receiving is last: it leaves nothing unnoticed, whereas sending may swallow the signal
        # that something has come.
        moved = self._send()
        moved |= self._receive()
        if clock.monotonic() >= self.due:
            self._expire()
        return moved

    def is_ready(self) -> bool:
        """Return whether `process` would find something to do at once."""
        events = int(self._socket.get(zmq.EVENTS))
        may_send = bool(self._waiting) and len(self._in_flight) < self.window
        return bool(events & zmq.POLLIN) or bool(events & zmq.POLLOUT and may_send)

    def wait(self, wakeup: int) -> bool:
        """Wait for a reply, a deadline, room if the socket is full, or a signal.

        Return whether there was a signal: whether the descriptor ``wakeup`` can be read.
        """
        events = zmq.POLLIN | (zmq.POLLOUT if self.blocked else 0)
        left = self.due - clock.monotonic()
        timeout = -1 if left == math.inf else milliseconds(left) + 1
        ready = zmq.zmq_poll([(self._socket, events), (wakeup, zmq.POLLIN)], timeout)
        return any(source == wakeup for source, _ in ready)

    def fail_all(self) -> None:
        """Fail every request, since the client is closed."""
        remaining = [*self._in_flight.values(), *self._waiting]
        self._in_flight.clear()
        self._waiting.clear()
        for request in remaining:
            self._settle(request, error=closed("client"))
            if not request.future.cancelled():
                request.future.exception()  # else asyncio would complain if nobody awaits it

    def _is_wanted(self, request: PendingRequest) -> bool:
        """Return whether a request was not cancelled, before it is sent or settled."""
        return not request.future.done()

    def _settle(
        self, request: PendingRequest, result: Any = None, error: Exception | None = None
    ) -> None:
        """Set a future's result or its error, unless it was cancelled."""
        if self._is_wanted(request):
            settle(request.future, result, error)

    def _send(self) -> bool:
        send, waiting, in_flight = self._socket.send, self._waiting, self._in_flight
        before = self._number
        self.blocked = False
        while waiting and len(in_flight) < self.window:
            request = waiting[0]
            if not self._is_wanted(request):
                waiting.popleft()
                continue
            if not request.number:
                self._number += 1
                request.number = self._number.to_bytes(8, "big")
            try:
                send(request.number, SNDMORE)
                send(request.frame, NOBLOCK)
            except zmq.Again:  # before the frame: the connection ended, and the number with it
                self.blocked = True
                break
            in_flight[request.number] = waiting.popleft()
        return self._number > before

    def _receive(self) -> bool:
        receive = self._socket.recv_multipart
        received = []
        try:
            while True:
                received.append(receive(NOBLOCK))
        except zmq.Again:
            pass
        # All are received before the first future gets its result, which may wake another thread:
        # each further call of ZeroMQ would hand it the interpreter and wait to get it back.
        for frames in received:
            request = self._in_flight.pop(frames[0], None)  # None: the reply came too late
            if request is None:
                continue
            try:
                result = request.decode(frames[-1])
            except Exception as error:
                self._settle(request, error=error)
            else:
                self._settle(request, result)
        return bool(received)

    def _expire(self) -> None:
        now = clock.monotonic()
        remaining = [request for request in self._waiting if request.deadline > now]
        unsent = [request for request in self._waiting if request.deadline <= now]
        unanswered = [request for request in self._in_flight.values() if request.deadline <= now]
        self._waiting = deque(remaining)
        for request in unanswered:
            del self._in_flight[request.number]
        self.due = min(
            (request.deadline for request in [*remaining, *self._in_flight.values()]),
            default=math.inf,
        )
        for request in unanswered:
            self._settle(request, error=no_reply(self.endpoint, request.timeout))
        for request in unsent:
            self._settle(request, error=self._unsent_error(request.timeout))

    def _unsent_error(self, timeout: float) -> StreamLSTMError:
        if self.blocked:
            return not_sent(self.endpoint, timeout, "router", self._failure())
        return window_full(self.endpoint, timeout, self.window)
