"""Limits the lines of the log that clients can cause: one a second of each kind."""

from __future__ import annotations

import logging
import threading
import time

LOG_SECONDS = 1.0  # between two lines of a kind


class LineLimit:
    """Writes at most one line a second of each kind, and how many were left out; from any thread.

    Kinds are words of the code, such as "refused", never of a client: there are few of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent: dict[str, tuple[float, int]] = {}  # until when, and lines left out

    def is_silent(self, kind: str) -> bool:
        """Return whether a line of a kind would be left out now."""
        return time.monotonic() < self._silent.get(kind, (0.0, 0))[0]

    def write(
        self,
        log: logging.Logger,
        level: int,
        sentence: str,
        kind: str = "",
        error: Exception | None = None,
    ) -> None:
        """Log a sentence, with the traceback of an error if there is one."""
        now = time.monotonic()
        with self._lock:
            silent_until, unlogged = self._silent.get(kind, (0.0, 0))
            if now < silent_until:
                self._silent[kind] = silent_until, unlogged + 1
                return
            self._silent[kind] = now + LOG_SECONDS, 0
        more = f" ({unlogged} more since the last line)" if unlogged else ""
        log.log(level, "%s%s", sentence, more, exc_info=error)

    def warn(self, log: logging.Logger, sentence: str, kind: str = "") -> None:
        """Log a warning."""
        self.write(log, logging.WARNING, sentence, kind)

    def write_rest(self, log: logging.Logger) -> None:
        """Log how many lines of each kind were left out since the last one."""
        with self._lock:
            left_out = {kind: unlogged for kind, (_, unlogged) in self._silent.items() if unlogged}
            self._silent.clear()
        for kind, unlogged in left_out.items():
            log.warning("%s %d more since the last line", kind, unlogged)
