"""Follows the table of a fleet while nobody waits for what the workers publish."""

from __future__ import annotations

import threading

from .queue import FleetQueue

_TICK = 0.05  # seconds


class Follower:
    """A thread that processes a queue now and then.

    Parameters
    ----------
    lock : threading.Lock
        Of the queue. Whoever holds it for long processes the queue himself.
    queue : FleetQueue
    """

    def __init__(self, lock: threading.Lock, queue: FleetQueue) -> None:
        self._lock, self._queue = lock, queue
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="streamlstm-follower", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(_TICK):
            if self._lock.acquire(blocking=False):
                try:
                    self._queue.process()
                finally:
                    self._lock.release()

    def end(self) -> None:
        """End the thread, before the queue is closed."""
        self._ended.set()
        self._thread.join()
