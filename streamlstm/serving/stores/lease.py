"""The lease of a worker of a fleet: renewed in the store, and counted by the worker's own clock."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ...errors import StoreError

_LOG = logging.getLogger(__name__)

LEASE_SECONDS = 2.0  # without a renewal, until others may have what the worker has
MARGIN_SECONDS = 0.2  # by which it ends here before it can end in the store
RENEW_SECONDS = 0.4  # between two renewals; each may take as long


class Lease:
    """Renews a lease in a thread of its own, until it is closed or the worker is no member.

    Here it runs from when a renewal was asked for, in the store from when that was done, which is
    later: it ends here first. No two clocks are compared.

    Parameters
    ----------
    renew : callable
        Renews it in the store; returns False if this worker is no member of its fleet any more.
        Raises StoreError if it cannot tell.
    asked : float
        Monotonic time just before the lease was taken.
    place : str
        Of the store, for the log.

    Attributes
    ----------
    until : float
        Monotonic time at which it ends here.
    """

    def __init__(self, renew: Callable[[], bool], asked: float, place: str) -> None:
        self._renew, self._place = renew, place
        self.until = asked + LEASE_SECONDS - MARGIN_SECONDS
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        """True while this worker may answer."""
        return time.monotonic() < self.until

    def _run(self) -> None:
        told = False
        while not self._closing.wait(RENEW_SECONDS):
            asked = time.monotonic()
            try:
                if not self._renew():
                    self.until = 0.0
                    return  # the next commit or check says so
            except StoreError as error:
                if not self.runs and not told:
                    told = True
                    _LOG.warning(
                        "%s The lease of this worker has ended: it answers busy until it is "
                        "renewed.",
                        error,
                    )
                continue
            self.until = asked + LEASE_SECONDS - MARGIN_SECONDS
            if told:
                told = False
                _LOG.warning("%s: the lease is renewed, this worker answers again", self._place)

    def close(self) -> None:
        """Renew it no more."""
        self._closing.set()
        self._thread.join()
