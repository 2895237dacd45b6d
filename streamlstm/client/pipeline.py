"""Many questions under way on one connection: Questions, and Pipeline, a thread that keeps them.

An answer finds its question by the number in the envelope
(docs/decisions/questions-carry-a-number-in-the-envelope.md), a question that gets none ends at its
deadline, and no more than a window of them is under way at once
(docs/decisions/a-window-of-questions.md).
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time as clock
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import zmq

from ..errors import BadValueError, StreamLSTMError
from .connection import closed, crowded, milliseconds, unanswered, unsent
from .handshake import Why

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")
Read: TypeAlias = Callable[[bytes], Result]

# Plain integers: joining the flags of pyzmq for every message takes as long as sending it.
_NOW, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
WINDOW = 500
QUEUE = 1_000  # answers that a worker keeps for a client; what comes beyond them is dropped


def check_window(window: Any) -> int:
    """Return how many questions may be under way at once.

    Raises
    ------
    BadValueError
        If it is no integer, or so large that a worker might drop answers.
    """
    if not isinstance(window, int) or isinstance(window, bool) or not 1 <= window < QUEUE:
        raise BadValueError(
            f"window: expected an integer from 1 to {QUEUE - 1}, got {window!r}; a worker keeps "
            f"{QUEUE} answers for a client and drops the rest"
        )
    return window


class Question:
    """A message, the future that waits for its answer, and how the answer is read."""

    __slots__ = ("deadline", "frame", "future", "number", "read", "timeout")

    def __init__(self, future: Any, frame: bytes, read: Read[Any], timeout: float) -> None:
        self.future = future
        self.frame = frame
        self.read = read
        self.timeout = timeout
        self.deadline = clock.monotonic() + timeout
        self.number = b""  # until its turn comes


class Questions:
    """The questions of one DEALER, in order; sends, receives and gives up, but never waits.

    Parameters
    ----------
    socket : zmq.Socket
        Used by one thread at a time.
    endpoint : str
        For errors.
    window : int
        How many questions may be under way.
    number : int
        The last number that was used on this socket.
    why : callable
        Says, in the thread of the socket, why no worker may take a message.

    Attributes
    ----------
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
        why: Callable[[], Why] = Why,
    ) -> None:
        self._socket: Final = socket
        self._endpoint = endpoint
        self._window = window
        self._number = number
        self._why = why
        self._waiting: deque[Question] = deque()
        self._asked: dict[bytes, Question] = {}
        self.due = math.inf
        self.blocked = False

    def __len__(self) -> int:
        """Return how many questions have not come to their end."""
        return len(self._waiting) + len(self._asked)

    def add(self, questions: Iterable[Question]) -> None:
        """Put questions behind the others."""
        for question in questions:
            self._waiting.append(question)
            if question.deadline < self.due:
                self.due = question.deadline

    def turn(self) -> bool:
        """Send what may be sent, take what has come, give up what is overdue.

        Returns
        -------
        bool
            Whether anything was sent or received.
        """
        # Receiving is last: it leaves nothing unnoticed, whereas sending may swallow the signal
        # that something has come.
        moved = self._send()
        moved |= self._receive()
        if clock.monotonic() >= self.due:
            self._expire()
        return moved

    def ready(self) -> bool:
        """Tell whether another turn would find something to do at once."""
        events = int(self._socket.get(zmq.EVENTS))
        return bool(events & zmq.POLLIN) or bool(events & zmq.POLLOUT and self._may_send())

    def end(self) -> None:
        """Fail every question, since the client is closed."""
        left = [*self._asked.values(), *self._waiting]
        self._asked.clear()
        self._waiting.clear()
        for question in left:
            self._settle(question, error=closed("client"))
            if not question.future.cancelled():
                question.future.exception()  # else asyncio would complain if nobody awaits it

    def _begin(self, question: Question) -> bool:
        """Tell whether anybody still waits for the answer, before it is sent or given up."""
        return not question.future.done()

    def _settle(
        self, question: Question, result: Any = None, error: Exception | None = None
    ) -> None:
        """Give a future its result or its error, if anybody still waits."""
        if question.future.done():
            return
        if error is None:
            question.future.set_result(result)
        else:
            question.future.set_exception(error)

    def _may_send(self) -> bool:
        return bool(self._waiting) and len(self._asked) < self._window

    def _send(self) -> bool:
        send, waiting, asked = self._socket.send, self._waiting, self._asked
        before = self._number
        self.blocked = False
        while waiting and len(asked) < self._window:
            question = waiting[0]
            if not self._begin(question):
                waiting.popleft()
                continue
            if not question.number:
                self._number += 1
                question.number = self._number.to_bytes(8, "big")
            try:
                send(question.number, _MORE)
                send(question.frame, _NOW)
            except zmq.Again:  # before the frame: the connection ended, and the number with it
                self.blocked = True
                break
            asked[question.number] = waiting.popleft()
        return self._number > before

    def _receive(self) -> bool:
        receive = self._socket.recv_multipart
        came = []
        try:
            while True:
                came.append(receive(_NOW))
        except zmq.Again:
            pass
        # All are taken before the first future gets its result, which may wake another thread: each
        # further call of ZeroMQ would hand it the interpreter and wait to get it back.
        for parts in came:
            question = self._asked.pop(parts[0], None)  # a late answer has no question any more
            if question is None:
                continue
            try:
                result = question.read(parts[-1])
            except Exception as error:
                self._settle(question, error=error)
            else:
                self._settle(question, result)
        return bool(came)

    def _expire(self) -> None:
        now = clock.monotonic()
        left = [question for question in self._waiting if question.deadline > now]
        unsaid = [question for question in self._waiting if question.deadline <= now]
        silent = [question for question in self._asked.values() if question.deadline <= now]
        self._waiting = deque(left)
        for question in silent:
            del self._asked[question.number]
        self.due = min(
            (question.deadline for question in [*left, *self._asked.values()]), default=math.inf
        )
        for question in silent:
            self._settle(question, error=unanswered(self._endpoint, question.timeout))
        for question in unsaid:
            self._settle(question, error=self._not_sent(question.timeout))

    def _not_sent(self, timeout: float) -> StreamLSTMError:
        if self.blocked:
            return unsent(self._endpoint, timeout, "router", self._why())
        return crowded(self._endpoint, timeout, self._window)


class _WithCallbacks(Questions):
    """Questions whose futures may be cancelled, and call back, in any thread."""

    def _begin(self, question: Question) -> bool:
        running = bool(question.number)  # a future can be told only once that it runs
        return running or question.future.set_running_or_notify_cancel()

    def _settle(
        self, question: Question, result: Any = None, error: Exception | None = None
    ) -> None:
        future = question.future
        if not self._begin(question):
            return
        try:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        except BaseException:  # an Exception of a callback is logged by the future itself
            _LOG.exception("a callback of a future ended with an error")


class Answer(Future[Result]):
    """The future of a question; the thread that brings the answer cannot wait for it."""

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self._thread = thread

    def result(self, timeout: float | None = None) -> Result:
        """Return the answer; raises as it does."""
        self._check()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the error, None if there is none."""
        self._check()
        return super().exception(timeout)

    def _check(self) -> None:
        if not self.done() and threading.current_thread() is self._thread:
            refuse("wait for another answer there")


def refuse(what: str) -> NoReturn:
    """Raise the error for a callback that would wait for its own thread."""
    raise StreamLSTMError(
        "a callback of a future runs in the thread that reads the answers, and would wait for "
        f"itself: do not {what}, but in another thread"
    )


class Pipeline:
    """A thread that owns a client's socket and keeps a window of questions under way.

    Parameters
    ----------
    socket : zmq.Socket
        Used by no other thread until :meth:`close`.
    endpoint : str
        For errors.
    window : int
        How many questions may have no answer yet; a further one waits for room.
    number : int
        The last number that was used on this socket.
    why : callable
        As for :class:`Questions`.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        endpoint: str,
        window: int,
        number: int,
        why: Callable[[], Why] = Why,
    ) -> None:
        self._socket = socket
        self._endpoint = endpoint
        self._window = window
        self._questions = _WithCallbacks(socket, endpoint, window, number, why)
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._incoming: list[Question] = []
        self._load = 0  # questions that have not come to their end
        self._asleep = self._closing = False
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="streamlstm-client", daemon=True)
        self._thread.start()

    def submit(self, frame: bytes, read: Read[Result], timeout: float) -> Future[Result]:
        """Ask as soon as there is room; never waits in a callback of a future."""
        future: Future[Result] = Answer(self._thread)
        with self._lock:
            if self._load >= self._window and not self._is_mine():
                self._wait_for_room(timeout)
            if self._closing:
                raise closed("client")
            self._incoming.append(Question(future, frame, read, timeout))
            self._load += 1
            self._wake()
        return future

    def ask(self, frame: bytes, read: Read[Result], timeout: float) -> Result:
        """Ask and wait for the answer."""
        if self._is_mine():
            refuse("ask and wait there")
        return self.submit(frame, read, timeout).result()

    def close(self) -> None:
        """Fail what is under way and end the thread. Closing twice is harmless."""
        if self._is_mine():
            refuse("close the client there")
        with self._lock:
            self._closing = True
            self._wake()
        self._thread.join()
        with self._lock:
            if self._wakeup >= 0:
                os.close(self._wakeup)
                self._wakeup = -1

    def _is_mine(self) -> bool:
        return threading.current_thread() is self._thread

    def _wait_for_room(self, timeout: float) -> None:
        def has_room() -> bool:
            return self._closing or self._load < self._window

        if not self._room.wait_for(has_room, timeout):
            raise crowded(self._endpoint, timeout, self._window)

    def _wake(self) -> None:
        if self._asleep and self._wakeup >= 0:
            self._asleep = False
            os.eventfd_write(self._wakeup, 1)

    # --- the thread ---

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except zmq.ZMQError as error:  # its context was ended
            _LOG.debug("the connection to %s ended", self._endpoint, exc_info=error)
        finally:
            with self._lock:
                self._closing = True
                self._questions.add(self._incoming)
                self._incoming = []
                self._room.notify_all()
            self._questions.end()

    def _turn(self) -> bool:
        """Do what can be done; once there is nothing, wait. False when the end has come."""
        moved = self._questions.turn()
        with self._lock:
            if self._closing:
                return False
            incoming, self._incoming = self._incoming, []
            load = len(incoming) + len(self._questions)
            self._load = load
            if load <= self._window // 2:  # waking for every answer would cost more than it brings
                self._room.notify_all()
            self._asleep = not (moved or incoming)
        if incoming:
            self._questions.add(incoming)
        elif not moved:
            self._wait()
        return True

    def _wait(self) -> None:
        """Wait for an answer, a question, a deadline or, if the socket is full, room in it."""
        events = zmq.POLLIN | (zmq.POLLOUT if self._questions.blocked else 0)
        left = self._questions.due - clock.monotonic()
        timeout = -1 if left == math.inf else milliseconds(left) + 1
        ready = zmq.zmq_poll([(self._socket, events), (self._wakeup, zmq.POLLIN)], timeout)
        if any(what == self._wakeup for what, _ in ready):
            os.eventfd_read(self._wakeup)
