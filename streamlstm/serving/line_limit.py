"""Limits log lines that clients can cause to one a second of each kind."""

from __future__ import annotations

import logging
import time

LOG_SECONDS = 1.0  # between two lines of a kind


class LineLimit:
    """Logs at most one line a second of each kind, of which there are few; from one thread."""

    def __init__(self) -> None:
        self._silent: dict[str, tuple[float, int]] = {}  # until when, and lines left out

    def warn(self, log: logging.Logger, sentence: str, kind: str = "") -> None:
        """Log a warning, with the number of those left out since the last one."""
        now = time.monotonic()
        silent_until, unlogged = self._silent.get(kind, (0.0, 0))
        if now < silent_until:
            self._silent[kind] = silent_until, unlogged + 1
            return
        more = f" ({unlogged} more since the last line)" if unlogged else ""
        log.warning("%s%s", sentence, more)
        self._silent[kind] = now + LOG_SECONDS, 0
