"""Lines of the log about what may come often."""

from __future__ import annotations

import logging
import time as clock


class OncePerSecond:
    """Logs a thing that may come often once a second, with how often it came.

    Parameters
    ----------
    log : logging.Logger
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log, self._last, self._more = log, -1.0, 0
        self.count = 0

    def note(self, text: str) -> None:
        """Count one; log it if a second has passed since the last."""
        self.count += 1
        now = clock.monotonic()
        if now - self._last < 1:
            self._more += 1
            return
        more = f" ({self._more} more since the last line)" if self._more else ""
        self._last, self._more = now, 0
        self._log.warning("%s%s", text, more)


class Trouble:
    """Logs what is wrong with a connection when it begins, and not again each time it is tried.

    Parameters
    ----------
    log : logging.Logger
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log, self._last = log, ""

    def note(self, text: str) -> None:
        """Log it, unless it was the last."""
        if text != self._last:
            self._last = text
            self._log.warning("%s", text)

    def over(self, text: str) -> None:
        """Log that all is well."""
        self._last = ""
        self._log.info("%s", text)
