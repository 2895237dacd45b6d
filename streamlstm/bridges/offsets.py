"""Offsets: how far a log was done with, although its messages are done in any order."""

from __future__ import annotations

import threading
from collections import deque


class Offsets:
    """The messages of one partition that are not done with, oldest first.

    Methods may be called from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: deque[int] = deque()
        self._done: set[int] = set()
        self._next: int | None = None

    def take(self, offset: int) -> None:
        """Note a message that was read; offsets rise."""
        with self._lock:
            self._taken.append(offset)

    def done(self, offset: int) -> None:
        """Note that a message is done with."""
        with self._lock:
            self._done.add(offset)
            while self._taken and self._taken[0] in self._done:
                first = self._taken.popleft()
                self._done.discard(first)
                self._next = first + 1

    def commit(self) -> int | None:
        """Return the offset before which everything is done; None if it is no news."""
        with self._lock:
            found, self._next = self._next, None
            return found

    def __len__(self) -> int:
        return len(self._taken)
