"""A model of a store that all workers share, and of a worker with it.

It does what serving/stores/redis_scripts.py and redis_member.py do: a commit is written as far as
the worker is a member, and has each partition in the epoch of the table in the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamlstm import wire
from streamlstm.fleet.record import Record

from .worker import ARRIVING, HERE, Folder, Worker

LEASE = 2.0  # seconds, of workers
MARGIN = 0.2  # by which it ends earlier by the worker's own clock
RENEW = 0.4  # between two renewals of a worker's lease
LEAD = 1.5  # of whoever leads


@dataclass
class Store:
    """What is in the store.

    Attributes
    ----------
    record : Record
    folder : Folder
        The streams, and what has arrived.
    members : dict of str to int
        The process of each worker that is a member.
    leases : dict of str to float
        When that of each ends.
    term : int
        Of whoever leads.
    lead : float
        When its lease ends.
    away_until : float
        Before that time it does not answer.
    """

    record: Record
    folder: Folder = field(default_factory=Folder)
    members: dict[str, int] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    term: int = 0
    lead: float = 0.0
    away_until: float = 0.0

    def alive(self, now: float) -> list[str]:
        """Return the workers whose leases run."""
        return [name for name in self.members if self.leases[name] > now]


@dataclass
class SharedWorker(Worker):
    """A worker whose store others share.

    Attributes
    ----------
    store : Store
    pid : int
    until : float
        When its lease ends by its own clock.
    on_fenced : callable
        Called when it is no member any more.
    reaches : callable
        Tells whether the store answers.
    """

    store: Store = field(kw_only=True)
    pid: int = field(kw_only=True)
    until: float = 0.0
    on_fenced: Callable[[], object] = field(kw_only=True)
    reaches: Callable[[], bool] = field(default=lambda: True, kw_only=True)
    held: dict[int, int] = field(default_factory=dict)
    _going: dict[int, list[int]] = field(default_factory=dict)  # partitions that are deleted

    def renew(self, now: float) -> None:
        """Renew the lease."""
        if self.store.members.get(self.name) != self.pid:
            self.on_fenced()
            return
        self.store.leases[self.name] = now + LEASE
        self.until = now + LEASE - MARGIN

    def commit(self) -> None:
        """Write what has changed of partitions that are this worker's, then say what may be."""
        if not self.reaches():
            return
        if self.store.members.get(self.name) != self.pid:
            self.on_fenced()
            return
        self._commits += 1
        epochs = self.store.record.table.epochs
        mine = {p for p, epoch in self.held.items() if int(epochs[p]) == epoch}
        for p in set(self.held) - mine:
            assert int(epochs[p]) > self.held[p], f"{self.name} is ahead of the store at {p}"
            del self.held[p]
            self._unset([p])
        for stream in [stream for stream in self._dirty if stream[0] in mine]:
            self.folder.streams[stream] = self.memory[stream]
            self._dirty.discard(stream)
        for stream in [stream for stream in self._stepped if stream[0] in mine]:
            self.confirm(stream, self._stepped.pop(stream))
        for move in [move for move, ticket in self._deleted.items() if ticket <= self._commits]:
            del self._deleted[move], self._going[move]
            self.tell("left", [move])
        self._note_arrived(mine)

    def _note_arrived(self, mine: set[int]) -> None:
        for each in [each for each in self._unkept if each.ticket <= self._commits]:
            self.folder.arrived |= {p: e for p, e in each.epochs.items() if p in mine}
            self._unkept.remove(each)
            self.later(lambda move=each.move: self.tell("kept", [move]))

    def note(self) -> None:
        """Nothing: a commit notes what has come."""

    def end(self) -> None:
        """End as it was asked to."""
        self.commit()

    # --- what a leader says ---

    def told(self, name: str, fields: Any) -> None:
        """Do as it was told; no model changes here."""
        if name != "forget-reload":
            super().told(name, fields)

    def _set(self, partitions: Any, state: str) -> None:
        super()._set(partitions, state)
        if state == HERE:
            self.held.update({each: int(self.table.epochs[each]) for each in partitions})

    def _unset(self, partitions: Any) -> None:
        super()._unset(partitions)
        for each in partitions:
            self.held.pop(each, None)
            for stream in [stream for stream in self._stepped if stream[0] == each]:
                del self._stepped[stream]  # who has it now confirms what it commits

    def _table(self, table: wire.FleetTable) -> None:
        assert table.version >= self.table.version, f"{self.name}: an older table"
        super()._table(table)
        for p, state in self.states.items():
            owner = table.owner(p)
            newer = int(table.epochs[p]) > self.held.get(p, 0)
            if state == ARRIVING and newer and owner is not None and owner.name == self.name:
                self.held[p] = int(table.epochs[p])

    def _end(self, move: int) -> None:
        if move in self._coming:
            super()._end(move)

    def _delete(self, move: int, streams: Any) -> None:
        for stream in streams:
            self.memory.pop(stream, None)
            self._dirty.discard(stream)
        self._deleted[move] = self._commits + 1

    def _kept(self, move: int) -> None:
        departure = self._departures.pop(move)
        self._going[move] = departure.partitions
        self.later(lambda: self._delete(move, departure.keys))

    def _purge(self, move: int, partitions: list[int]) -> None:
        self._going[move] = partitions
        self.later(lambda: self._delete(move, [s for s in self.memory if s[0] in partitions]))

    def _report(self) -> None:
        """Tell whoever leads now how far all moves are."""
        departing = [
            (move, each.partitions, "sends" if each.released else "looks")
            for move, each in self._departures.items()
        ]
        departing += [(move, partitions, "deletes") for move, partitions in self._going.items()]
        arriving = [(move, partitions, False) for move, partitions in self._coming.items()]
        arriving += [(each.move, list(each.epochs), True) for each in self._unkept]
        self.tell("reported", [self.name, departing, arriving])


def table_of(value: dict[str, Any]) -> wire.FleetTable:
    """Return a table of fewer partitions than real ones have."""
    return wire.FleetTable(
        value["version"],
        tuple(wire.FleetWorker(**worker) for worker in value["workers"]),
        np.frombuffer(value["owners"], "<u2").astype(np.uint16),
        np.frombuffer(value["epochs"], "<u4").astype(np.uint32),
    )
