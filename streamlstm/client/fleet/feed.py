"""Observations that a publisher sends to a fleet.

They go to the ROUTERs of the workers, not to their PULL sockets: those tell nobody that a stream
has moved, so that what comes there meanwhile would be lost. Nobody waits for the replies; rows are
independent, as at a PULL socket: one that is refused keeps no other from being applied.
"""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import zmq

from ... import wire
from ...errors import RemoteError
from ..batching import Observations
from ..failures import unanswered
from ..keys import Credentials
from ..pipeline import Pipeline
from ..replies import decode_nothing
from ..request_queue import WINDOW
from .queue import FleetQueue
from .seeds import Seeds

_LOG = logging.getLogger(__name__)
_ANSWER_SECONDS = 1.0  # without an answer after which one that closes waits no longer
_LINE_SECONDS = 1.0  # between two lines of the log about observations that were refused


class FleetFeed:
    """Sends observations and looks after their replies, in a thread of its own.

    Parameters
    ----------
    context : zmq.Context
    seeds : Seeds
    keys : Credentials or None
    timeout : float
        Seconds in which an observation has to be answered, unless the workers that it waits for
        answer others meanwhile.
    on_lost : callable
        Told, in the thread, how many observations were neither applied nor refused, and why.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        seeds: Seeds,
        keys: Credentials | None,
        timeout: float,
        on_lost: Callable[[int, BaseException], object],
    ) -> None:
        starts = Future[Any].set_running_or_notify_cancel
        self._pipeline = Pipeline(FleetQueue(context, seeds, keys, WINDOW, starts))
        self._timeout, self._on_lost = timeout, on_lost
        self._endpoint = seeds.text
        self._answers = self._refused = 0
        self._waited: float | None = None  # seconds, when it does not wait for answers any more
        self._next_line = 0.0

    @property
    def is_full(self) -> bool:
        """Whether :meth:`send` would wait."""
        return self._pipeline.is_full

    def send(self, message: Observations, frame: bytes) -> None:
        """Send a message as soon as there is room.

        Raises
        ------
        WorkerTimeoutError
            If there is none in time.
        """
        future = self._pipeline.submit(message, frame, decode_nothing, self._timeout)
        rows = len(message.streams) if isinstance(message, wire.Steps) else 1
        future.add_done_callback(partial(self._done, rows))

    def flush(self) -> None:
        """Wait until everything is answered, or given up."""
        self._pipeline.drain()

    def close(self, linger: float) -> None:
        """Wait until everything is answered, and end.

        It waits for ``linger`` seconds, and then as long as a second brings another answer, up to
        the timeout.
        """
        began, seconds = clock.monotonic(), linger
        before = self._answers
        while not self._pipeline.drain(seconds):
            moved, before = self._answers > before, self._answers
            seconds = min(_ANSWER_SECONDS, began + self._timeout - clock.monotonic())
            if not (linger and moved and seconds > 0):
                break
        self._waited = clock.monotonic() - began
        self._pipeline.close()

    def _done(self, rows: int, future: Future[list[tuple[int, Exception]] | None]) -> None:
        """Look at the reply to a message of some rows; in the thread of the pipeline."""
        self._answers += 1
        error = future.exception()
        parts = (future.result() or []) if error is None else [(rows, error)]
        for count, each in parts:
            if not isinstance(each, RemoteError):
                self._on_lost(count, each if self._waited is None else self._unanswered())
            elif each.code != "duplicate":
                self._note(each)

    def _unanswered(self) -> Exception:
        return unanswered(self._endpoint, self._waited or 0.0)

    def _note(self, error: RemoteError) -> None:
        """Write a line about an observation that was refused, if there was none just now."""
        self._refused += 1
        if clock.monotonic() >= self._next_line:
            more = f" ({self._refused - 1} more since the last line)" if self._refused > 1 else ""
            _LOG.warning("refused, %s: %s%s", error.code, error, more)
            self._refused, self._next_line = 0, clock.monotonic() + _LINE_SECONDS
