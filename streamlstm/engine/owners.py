"""Who brought which of an engine's streams into memory, for those who set limits."""

import threading
from collections.abc import Iterable

import numpy as np

from ..lazy_arrays import lazy_zeros
from .lock_flag import Held
from .state_table import StateTable, StreamId


class Owners:
    """A number for the owner of each slot of a table, good as long as its stream stays.

    Parameters
    ----------
    table : StateTable
    lock : threading.Lock
        Of the engine; every method holds it.
    held : Held
    """

    def __init__(self, table: StateTable, lock: threading.Lock, held: Held) -> None:
        self._table, self._lock, self._held = table, lock, held
        self._owner = lazy_zeros(table.capacity, np.uint64)
        self._since = lazy_zeros(table.capacity, np.uint64)  # generation of the stream it is of

    def absent(self, streams: Iterable[StreamId]) -> list[StreamId]:
        """Return those that do not live in memory, once each."""
        with self._lock, self._held:
            return [s for s in dict.fromkeys(streams) if self._table.find(s) < 0]

    def note(self, streams: Iterable[StreamId], owner: int) -> int:
        """Note who brought these streams; return how many there are not."""
        absent = 0
        with self._lock, self._held:
            for slot in map(self._table.find, streams):
                if slot >= 0:
                    self._owner[slot] = owner
                    self._since[slot] = self._table.generation[slot]
                else:
                    absent += 1
        return absent

    @property
    def left(self) -> int:
        """How many streams have left the table so far."""
        return int(self._table.arrived - len(self._table))

    def count(self, owner: int) -> int:
        """Return how many streams that live now are this owner's; looks at all slots."""
        with self._lock, self._held:
            slots = np.flatnonzero(self._owner[: self._table.used] == np.uint64(owner))
            since = self._since[slots]
            return int(np.count_nonzero((since == self._table.generation[slots]) & (since > 0)))
