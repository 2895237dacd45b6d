"""Records which client brought each stream into memory, for limits per client."""

import threading
from collections.abc import Iterable

import numpy as np

from ..lazy_arrays import lazy_zeros
from .ids import StreamId, unique
from .lock_flag import LockFlag
from .state_table import StateTable
from .table_user import TableUser


class StreamOwners(TableUser):
    """The owner, a number, of each slot of a table, valid as long as its stream lives."""

    def __init__(self, table: StateTable, lock: threading.Lock, flag: LockFlag) -> None:
        super().__init__(table, lock, flag)
        self._owner = lazy_zeros(table.capacity, np.uint64)
        self._generation = lazy_zeros(table.capacity, np.uint64)  # of the stream that is owned

    def absent(self, streams: Iterable[StreamId]) -> list[StreamId]:
        """Return those streams that are not in memory, once each."""
        with self._lock, self._flag:
            return unique(s for s in streams if self._table.find(s) < 0)

    def assign(self, streams: Iterable[StreamId], owner: int) -> int:
        """Set the owner of streams; return how many of them are not in memory."""
        absent = 0
        with self._lock, self._flag:
            for slot in map(self._table.find, streams):
                if slot >= 0:
                    self._owner[slot] = owner
                    self._generation[slot] = self._table.generation[slot]
                else:
                    absent += 1
        return absent

    @property
    def departures(self) -> int:
        """Number of streams that have left the table so far."""
        return int(self._table.arrivals - len(self._table))

    def count(self, owner: int) -> int:
        """Return how many live streams an owner has; reads all slots."""
        return self.counts([owner]).get(owner, 0)

    def counts(self, owners: Iterable[int]) -> dict[int, int]:
        """Return how many live streams each owner has that has any; reads all slots."""
        wanted = np.fromiter(owners, np.uint64)
        with self._lock, self._flag:
            slots = np.flatnonzero(np.isin(self._owner[: self._table.used_slots], wanted))
            owned = self._generation[slots]
            live = slots[(owned == self._table.generation[slots]) & (owned > 0)]
            found, numbers = np.unique(self._owner[live], return_counts=True)
        return dict(zip(found.tolist(), numbers.tolist(), strict=True))
