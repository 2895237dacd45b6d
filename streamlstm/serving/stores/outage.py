"""Tracks whether reading or writing a store fails, since when and why."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ...errors import StoreError
from .store import FencedError

_LOG = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between two attempts while the store fails


class Outage:
    """State of one kind of access to a store; logs when it begins to fail and when it recovers.

    Parameters
    ----------
    done : str
        The access as a participle, for the log: "read" or "written".
    leased : bool
        Whether the worker answers only under a lease, which it cannot renew meanwhile.

    Attributes
    ----------
    since : float or None
        Monotonic time of the first failure, in seconds; None while the access works.
    error : StoreError or None
        The last failure; None while the access works.
    """

    def __init__(self, done: str, leased: bool = False) -> None:
        self._done = done
        self._meanwhile = "Predictions continue"
        if leased:
            self._meanwhile = "The worker answers as long as it has its lease"
        self._retry_at = 0.0
        self.since: float | None = None
        self.error: StoreError | None = None

    def attempt(self, access: Callable[[], None], place: str) -> bool:
        """Access the store of a place; return whether that succeeded.

        Raises
        ------
        FencedError
            If another worker owns the store now.
        """
        try:
            access()
        except FencedError:
            raise
        except StoreError as error:
            self.record(error)
        except Exception as error:  # the thread must outlive whatever a store does
            _LOG.error("the store failed", exc_info=error)
            kind = type(error).__name__
            self.record(StoreError(f"{place}: failed with {kind}; the log says where."))
        else:
            self.end()
            return True
        return False

    def record(self, error: StoreError) -> None:
        """Record a failed attempt."""
        now = time.monotonic()
        if self.since is None:
            _LOG.warning("%s %s; it tries again every second.", error, self._meanwhile)
            self.since = now
        self._retry_at = now + RETRY_SECONDS
        self.error = error

    def end(self) -> None:
        """Record a successful attempt."""
        if self.since is not None:
            _LOG.warning(
                "store: is %s again after %.1f s", self._done, time.monotonic() - self.since
            )
        self.since = self.error = None

    def retry_in(self) -> float:
        """Return the seconds until the next attempt is due; 0 or less if it is due."""
        return self._retry_at - time.monotonic()
