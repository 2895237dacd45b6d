"""The thread that owns the socket of a blocking client and pipelines its requests."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import Future
from typing import Any, NoReturn

import zmq

from .. import wire
from ..errors import StreamLSTMError
from .descriptors import opening
from .failures import closed, forked, window_full
from .fleet.queue import FleetQueue
from .replies import Decoder, Result
from .request_queue import PendingRequest, RequestQueue

_LOG = logging.getLogger(__name__)


class ThreadSafeQueue(RequestQueue):
    """A queue whose futures may be cancelled, and call back, in any thread."""

    def _is_wanted(self, request: PendingRequest) -> bool:
        is_running = bool(request.number)  # a future may be set running only once
        return is_running or request.future.set_running_or_notify_cancel()


class ReplyFuture(Future[Result]):
    """The future of a reply; the thread that receives the reply cannot wait for it."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self._thread = thread

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result of the request, or raise its error."""
        self._check_thread()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the error of the request, None if there is none."""
        self._check_thread()
        return super().exception(timeout)

    def _check_thread(self) -> None:
        if self.done():
            return
        if threading.current_thread() is self._thread:
            refuse("wait for another reply there")
        if not self._thread.is_alive():  # it settles every future before it ends
            raise forked("client")


def refuse(action: str) -> NoReturn:
    """Raise the error for a callback that would wait for its own thread."""
    raise StreamLSTMError(
        "a callback of a future runs in the thread that receives the replies, and would wait for "
        f"itself: do not {action}, but in another thread"
    )


class Pipeline:
    """A thread that owns a client's requests and the socket, and keeps a window of them in flight.

    Parameters
    ----------
    queue : ThreadSafeQueue or FleetQueue
        Used by no other thread until :meth:`close`; a request beyond its window waits for room.
    """

    def __init__(self, queue: ThreadSafeQueue | FleetQueue) -> None:
        self._queue: Any = queue
        self._window = queue.window
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._incoming: list[Any] = []
        self._load = 0  # unsettled requests
        self._asleep = self._closing = False
        with opening():
            self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="streamlstm-client", daemon=True)
        self._thread.start()

    def submit(
        self, message: wire.Request, frame: bytes, decode: Decoder[Result], timeout: float
    ) -> Future[Result]:
        """Send a request as soon as there is room; never waits in a callback of a future."""
        future: Future[Result] = ReplyFuture(self._thread)
        request = self._queue.make(future, message, frame, decode, timeout)
        with self._lock:
            if self._load >= self._window and not self._is_own_thread():
                self._wait_for_room(timeout)
            if self._closing:
                raise closed("client")
            self._incoming.append(request)
            self._load += 1
            self._wake()
        return future

    def call(
        self, message: wire.Request, frame: bytes, decode: Decoder[Result], timeout: float
    ) -> Result:
        """Send a request and wait for its reply."""
        if self._is_own_thread():
            refuse("send a request and wait there")
        return self.submit(message, frame, decode, timeout).result()

    @property
    def is_full(self) -> bool:
        """Whether :meth:`submit` would wait."""
        return self._load >= self._window

    def drain(self, seconds: float | None = None) -> bool:
        """Wait until all requests are settled, so many seconds at most; tell whether they are."""

        def is_empty() -> bool:
            return self._closing or not (self._load or self._incoming or len(self._queue))

        with self._lock:
            self._wake()
            return self._room.wait_for(is_empty, seconds)

    def close(self) -> None:
        """Fail the requests in flight and end the thread. Closing twice is harmless."""
        if self._is_own_thread():
            refuse("close the client there")
        with self._lock:
            self._closing = True
            self._wake()
        self._thread.join()
        with self._lock:
            if self._wakeup >= 0:
                os.close(self._wakeup)
                self._wakeup = -1

    def _is_own_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _wait_for_room(self, timeout: float) -> None:
        def has_room() -> bool:
            return self._closing or self._load < self._window

        if not self._room.wait_for(has_room, timeout):
            raise window_full(self._queue.endpoint, timeout, self._window)

    def _wake(self) -> None:
        if self._asleep and self._wakeup >= 0:
            self._asleep = False
            os.eventfd_write(self._wakeup, 1)

    # --- the thread ---

    def _run(self) -> None:
        try:
            while self._process():
                pass
        except zmq.ZMQError as error:  # its context was terminated
            _LOG.debug("the connection to %s ended", self._queue.endpoint, exc_info=error)
        finally:
            with self._lock:
                self._closing = True
                self._queue.add(self._incoming)
                self._incoming = []
                self._room.notify_all()
            self._queue.fail_all()

    def _process(self) -> bool:
        """Do what can be done; if there is nothing, wait. Return False at the end."""
        moved = self._queue.process()
        with self._lock:
            if self._closing:
                return False
            incoming, self._incoming = self._incoming, []
            load = len(incoming) + self._queue.load
            self._load = load
            if load <= self._window // 2:  # waking for every reply would cost more than it brings
                self._room.notify_all()
            self._asleep = not (moved or incoming)
        if incoming:
            self._queue.add(incoming)
        elif not moved and self._queue.wait(self._wakeup):
            os.eventfd_read(self._wakeup)
        return True
