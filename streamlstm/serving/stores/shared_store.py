"""What a worker of a fleet needs of a store that all workers of the fleet share."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...engine.partitions import partitions_of
from ...engine.records import stream_from_key
from .lease import Lease


class SharedStore:
    """A store in which each worker may write the streams of its own partitions only.

    Attributes
    ----------
    held : uint32[PARTITIONS]
        The epoch in which this worker has each partition; 0 for those that it does not have.
    refused : dict of int to float
        Partitions with changes that were not written, since another worker has them by now, and
        since when.
    in_doubt : dict of int to int
        Partitions that have left with changes that may not be in the store, and the last commit of
        this worker that had all of them. No later commit counts for barriers, until whoever has
        the partition has committed what it got.
    committed, due : int
        Numbers of the last commit, and of the last one that is complete with the batch under way.
    lease : Lease
        Without it the worker answers nothing.
    """

    lease: Lease

    def __init__(self) -> None:
        self.held: NDArray[np.uint32] = np.zeros(wire.PARTITIONS, np.uint32)
        self.refused: dict[int, float] = {}
        self.in_doubt: dict[int, int] = {}
        self._lock, self._forgotten = threading.Lock(), list[bytes]()
        self.committed = self.due = 0
        self._arrivals: list[tuple[int, list[int]]] = []
        self._back: list[tuple[int, int]] = []

    # --- from the loop's thread ---

    def hold(self, partitions: Sequence[int] | NDArray[np.int64], table: wire.FleetTable) -> None:
        """Write these partitions from now on, in their epochs of a table."""
        places = np.array(partitions, np.int64)
        self.held[places] = table.epochs[places]
        self.take_forgotten(places)  # of a time before

    def drop(self, partitions: Sequence[int]) -> None:
        """Write these partitions no more; what of them is not in the store yet is in doubt."""
        had = [each for each in partitions if self.held[each] > 0]
        self.held[list(partitions)] = 0
        for each in partitions:
            self.refused.pop(each, None)
        self._doubt(had)

    def take_forgotten(self, partitions: Sequence[int] | NDArray[np.int64]) -> list[bytes]:
        """Return keys of streams that were forgotten, and are in the store still.

        They were not deleted there, as another worker has their partitions by now; so that one has
        to do it. Each is returned once.
        """
        if not self._forgotten:
            return []
        wanted = np.isin(np.arange(wire.PARTITIONS), np.array(partitions, np.int64))
        with self._lock:
            keys = self._forgotten
            mine = wanted[partitions_of([stream_from_key(key) for key in keys])].tolist()
            self._forgotten = [key for key, taken in zip(keys, mine, strict=True) if not taken]
        return [key for key, taken in zip(keys, mine, strict=True) if taken]

    def settle(self, partitions: Iterable[int]) -> None:
        """Note that whoever has these partitions has committed what it got."""
        for each in partitions:
            self.in_doubt.pop(each, None)

    def return_with(self, partitions: Iterable[int], ticket: int) -> None:
        """Note that partitions in doubt have come back, and are written again by a commit."""
        self._back += [(ticket, self.in_doubt.pop(each)) for each in partitions]

    def arrive(self, partitions: list[int], ticket: int) -> None:
        """Note in the store that partitions have come, together with a commit."""
        self._arrivals.append((ticket, partitions))

    def safe(self, committed: int) -> int:
        """Return the last commit that counts for barriers, of those that are in the store."""
        self._back = [(ticket, last) for ticket, last in self._back if ticket > committed]
        return min([committed, *self.in_doubt.values(), *(last for _, last in self._back)])

    # --- from the thread that commits ---

    def _refuse(self, partitions: Sequence[int]) -> None:
        """Note that another worker has partitions by now."""
        now = time.monotonic()
        refused = [each for each in partitions if self.held[each] > 0]
        self.refused |= dict.fromkeys(refused, now)
        self._doubt(refused)
        self.held[np.array(partitions, np.int64)] = 0

    def _note_forgotten(self, keys: Sequence[bytes], not_deleted: NDArray[np.bool_]) -> None:
        """Note keys of streams that were forgotten, and not deleted."""
        with self._lock:
            pairs = zip(keys, not_deleted.tolist(), strict=True)
            self._forgotten += [key for key, chosen in pairs if chosen]

    def _doubt(self, partitions: Iterable[int]) -> None:
        for each in partitions:
            self.in_doubt.setdefault(each, self.committed)

    def _arrived(self) -> list[tuple[int, list[int]]]:
        """Return the arrivals that are to be noted with the batch under way."""
        return [each for each in self._arrivals if each[0] <= self.due]

    def _forget_arrived(self, noted: Iterable[tuple[int, list[int]]]) -> None:
        """Note that these are noted; more may have come meanwhile."""
        for each in noted:
            self._arrivals.remove(each)
