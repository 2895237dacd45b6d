"""The table of a fleet in Redis, beside the streams that its workers share there.

The fleet owns the store: a thread renews its lease, writes again what Redis has lost of the fleet,
and ends the membership of workers whose leases have ended (serving/stores/redis_fleet.py).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from .. import wire
from ..errors import ProtocolError, StoreError
from ..serving.stores.lease import LEASE_SECONDS
from ..serving.stores.redis_fleet import RedisFleet, Registered, StoredTable
from ..serving.stores.store import FencedError
from .record import Record

_LOG = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # between two looks at the leases


class TableRedis:
    """The table of a fleet in Redis.

    Parameters
    ----------
    fleet : RedisFleet
        That owns the store; closed with this.
    grace : bool
        Whether workers may have been unable to renew their leases.

    Attributes
    ----------
    epoch : int
        The fleet's: higher than that of whoever had the store before.
    on_change : callable
        Called from a thread when :meth:`lost` or :meth:`fenced` has something new.
    fenced : FencedError or None
        Set when somebody else has taken the store: this fleet has to end.
    """

    def __init__(self, fleet: RedisFleet, grace: bool = False) -> None:
        self._fleet = fleet
        self.epoch = self._fleet.epoch
        self.on_change: Callable[[], object] = lambda: None
        self.fenced: FencedError | None = None
        self._lost: list[str] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._looked, self._grace_until = time.monotonic(), 0.0
        if grace:
            self._let_renew()
        self._thread = threading.Thread(target=self._watch, name="leases", daemon=True)
        self._thread.start()

    def read(self) -> Record:
        """Return the record that was written last; an empty one if there is none."""
        try:
            return Record.from_value(wire.decode_control(self._fleet.stored.table).fields[0])
        except (ProtocolError, IndexError) as error:
            raise StoreError(
                f"{self._fleet.place}: expected the table of a fleet ({error}); choose another "
                "place, or delete the key streamlstm:fleet there: streams stay."
            ) from None

    def write(self, record: Record) -> None:
        """Replace the record, if it is the one that was read or written last.

        Raises
        ------
        FencedError
            If somebody else has taken the store, or written a table.
        StoreError
            If it cannot be written now; to be tried again.
        """
        self._fleet.write_table(stored(record))

    def arrived(self) -> dict[int, int]:
        """Return the epochs in which partitions have come to their owners, as these noted."""
        return self._fleet.arrived()

    def ended(self, worker: str) -> None:
        """Note that the process of a worker has ended: it need not wait for its lease."""
        with self._lock:
            for member in self._fleet.members():
                if member.name == worker:
                    self._fleet.expel(worker, member.token, ended=True)

    def members(self) -> list[str]:
        """Return the workers that are members."""
        return [member.name for member in self._fleet.members()]

    def alive(self) -> list[str]:
        """End the memberships of workers without a lease; return the others.

        So none of them commits anything any more, whatever it does later.
        """
        with self._lock:
            found = self._fleet.members()
            if not self._may_renew_yet:
                gone = [each for each in found if not each.lives]
                ended = {each for each in gone if self._fleet.expel(each.name, each.token)}
                found = [each for each in found if each not in ended]
        return [member.name for member in found]

    def lost(self) -> list[str]:
        """Return the workers whose leases have ended since the last call: they commit nothing."""
        with self._lock:
            lost, self._lost = self._lost, []
            return lost

    # --- in the thread ---

    def _watch(self) -> None:
        failing = False
        while not self._closing.wait(LOOK_SECONDS):
            try:
                self._look()
            except FencedError as error:
                self.fenced = error
                self.on_change()
                return
            except StoreError as error:
                if not failing:
                    _LOG.warning("%s Workers answer busy until it is back.", error)
                failing = True
            else:
                if failing:
                    _LOG.warning("%s: is there again", self._fleet.place)
                failing = False

    def _let_renew(self) -> None:
        """Wait for the workers: they could not renew their leases either."""
        self._grace_until = time.monotonic() + LEASE_SECONDS

    @property
    def _may_renew_yet(self) -> bool:
        """Whether a worker without a lease may be one that could not renew it until now."""
        until = max(self._grace_until, self._fleet.restored + LEASE_SECONDS)
        return time.monotonic() < until

    def _look(self) -> None:
        """Renew the fleet's lease, and end the memberships of workers without one."""
        fleet = self._fleet
        fleet.renew()
        fleet.complete_order(fleet.renew)
        members, now = fleet.members(), time.monotonic()
        if now - self._looked > LEASE_SECONDS / 2:  # Redis was gone, or did not answer
            self._let_renew()
        self._looked = now
        if self._may_renew_yet:
            return
        for member in members:
            if not member.lives:
                self._expel(member)

    def _expel(self, member: Registered) -> None:
        with self._lock:
            if not self._fleet.expel(member.name, member.token):
                return
            self._lost.append(member.name)
        _LOG.warning(
            "%s: the lease of worker %s has ended; its streams go to the others",
            self._fleet.place,
            member.name,
        )
        self.on_change()

    def close(self) -> None:
        """Let another fleet use the store."""
        self._closing.set()
        self._thread.join()
        self._fleet.close()


def open_table(url: str, take_over: bool = False) -> TableRedis:
    """Return the table in a store, which belongs to this fleet from now on.

    Parameters
    ----------
    url : str
        As for ``--store``.
    take_over : bool
        Whether to take the store from its owner.

    Raises
    ------
    StoreError
        If it cannot be reached, or another fleet or worker uses it.
    """
    fleet = RedisFleet(url, stored(Record.new()))
    fleet.take(take_over)
    return TableRedis(fleet)


def stored(record: Record) -> StoredTable:
    """Return a record as the store has it."""
    encoded, table = wire.encode_control("table", record.to_value()), record.table
    return StoredTable(table.version, encoded, table.epochs.astype("<u4").tobytes())
