"""Who leads a fleet on many machines: looks in a thread, and tries to lead when nobody does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from ..errors import StoreError
from ..serving.stores.redis_lead import LEAD_SECONDS, Leader, RedisLead
from .door import has_room
from .record import Record
from .table_redis import TableRedis, stored

_LOG = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # between two looks
ALONE_SECONDS = 10.0  # without any leader, after which nobody is waited for


class Leading:
    """Knows who leads.

    Parameters
    ----------
    url : str
        The store.
    machine, address, public : str
        Of this machine, as in :class:`..serving.stores.redis_lead.Leader`.
    nudge : callable
        Called from the thread when something has changed.

    Attributes
    ----------
    leader : Leader or None
        None while nobody leads.
    is_known : bool
        Whether this machine has joined the fleet; set by whoever uses this.
    leads : bool
        Whether this machine has won, and leads or is about to; set to False by whoever uses this,
        when the table is closed.
    error : StoreError or None
        Why it cannot be told who leads.
    failed_at : float
        Since when that cannot be told, by the monotonic clock.
    """

    def __init__(
        self, url: str, machine: str, address: str, public: str, nudge: Callable[[], object]
    ) -> None:
        self._lead = RedisLead(url, stored(Record.new()), machine, address, public)
        self._nudge = nudge
        self.leader: Leader | None = None
        self.is_known = self.leads = False
        self.error: StoreError | None = None
        self.failed_at = 0.0
        self._won: TableRedis | None = None
        self._led_at = self._looked = time.monotonic()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leading", daemon=True)
        self._thread.start()

    def won(self) -> TableRedis | None:
        """Return, once, the table that this machine has to lead with; closed by who gets it."""
        won, self._won = self._won, None
        return won

    def _run(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            before = self.leader, self.error
            try:
                self._look()
                if self.error is not None and self.is_known:
                    _LOG.warning("%s: is there again", self._lead.place)
                self.error = None
            except StoreError as error:
                if self.error is None:
                    self.failed_at = time.monotonic()
                    if self.is_known:
                        _LOG.warning("%s", error)
                self.error = error
            if before != (self.leader, self.error) or self._won is not None:
                self._nudge()

    def _look(self) -> None:
        now = time.monotonic()
        leader = self._lead.leader()
        gone, self._looked = now - self._looked > LEAD_SECONDS / 2, now
        if leader is None and not self.leads and has_room():
            alone = now - self._led_at > ALONE_SECONDS
            if self._lead.lead(self.is_known and not alone):
                self.leads = True
                self._won = TableRedis(self._lead, grace=gone)
                leader = self._lead.leader()
        if leader is not None:
            self._led_at = now
        self.leader = leader

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()
        self._lead.disconnect()
