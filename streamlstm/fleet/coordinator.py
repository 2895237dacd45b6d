"""Decides which worker has which partition. No sockets, no processes, no clock.

Events come in by methods; each returns what has to be done for it. The supervisor does it; the
simulation does it in virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..errors import BadValueError
from .actions import Action, Publish, Spawn, Stop, Tell
from .balance import NARROW, WIDE, next_shift, weights

AT_ONCE = 32  # partitions of one move: few, so that each is away for a moment only


class Phase(Enum):
    """How far a move is."""

    EXPECTED = "expected"  # the new owner has to answer `busy` first
    LEAVING = "leaving"  # the former owner sends the rows
    ARRIVED = "arrived"  # the new owner serves, and has not committed yet
    KEPT = "kept"  # the former owner deletes what it had


@dataclass
class Move:
    """Partitions on their way from one worker to another."""

    number: int
    partitions: list[int]
    before: str
    after: str
    phase: Phase = Phase.EXPECTED


@dataclass
class Member:
    """A worker as the coordinator knows it."""

    name: str
    where: wire.FleetWorker | None = None  # None: it has not said that it serves
    leaves: bool = False  # its partitions go to the others, and then it ends
    restarts: int = 0
    pid: int = 0
    starts: bool = False  # its process was started


@dataclass
class Coordinator:
    """The state of a fleet.

    Attributes
    ----------
    table : FleetTable
        As it was published last.
    members : dict of str to Member
    moves : dict of int to Move
        Those under way.
    weight : float64[PARTITIONS]
        Of each partition (balance.py).
    """

    table: wire.FleetTable = field(default_factory=wire.FleetTable.new)
    members: dict[str, Member] = field(default_factory=dict)
    moves: dict[int, Move] = field(default_factory=dict)
    weight: NDArray[np.float64] = field(default_factory=lambda: weights(np.zeros(wire.PARTITIONS)))
    _levels: bool = True  # partitions move until workers have nearly as much each
    _numbers: int = 0

    def resume(self, table: wire.FleetTable) -> None:
        """Go on from a table that was stored: its owners come back, with what they have."""
        self.table = table
        for worker in table.workers:
            self.members[worker.name] = Member(worker.name)

    @property
    def is_ready(self) -> bool:
        """True when every partition has an owner that serves."""
        owned = not (self.table.owners == wire.NOBODY).any()
        return owned and all(member.where is not None for member in self.members.values())

    @property
    def is_settled(self) -> bool:
        """True when nothing has to move, start or leave."""
        leaving = any(member.leaves for member in self.members.values())
        return self.is_ready and not (leaving or self.moves or self._levels)

    def status(self) -> dict[str, Any]:
        """Return the workers and what they have."""
        counts = self._counts()
        return {
            "version": self.table.version,
            "settled": self.is_settled,
            "moving": sum(len(move.partitions) for move in self.moves.values()),
            "workers": [
                {
                    "name": member.name,
                    "pid": member.pid,
                    "router": None if member.where is None else member.where.router,
                    "pull": None if member.where is None else member.where.pull,
                    "xpub": None if member.where is None else member.where.xpub,
                    "partitions": counts[member.name],
                    "restarts": member.restarts,
                    "leaves": member.leaves,
                }
                for member in self.members.values()
            ],
        }

    # --- what a person asks for ---

    def scale(self, workers: int) -> list[Action]:
        """Have so many workers: start some, or let the last ones leave."""
        self._levels = True
        if workers < 1:
            raise BadValueError(f"workers: expected 1 or more, got {workers}")
        staying = [member for member in self.members.values() if not member.leaves]
        actions: list[Action] = []
        for member in staying[workers:]:
            member.leaves = True
        for member in list(self.members.values()):
            if member.leaves and len(staying) < workers:
                member.leaves = False
                staying.append(member)
        for _ in range(workers - len(staying)):
            name = self._new_name()
            self.members[name] = Member(name)
        for name, member in self.members.items():
            if member.where is None and not member.starts:
                member.starts = True
                actions.append(Spawn(name))
        return actions + self._advance()

    def drain(self, name: str) -> list[Action]:
        """Let a worker leave: its partitions go to the others, then it ends."""
        member = self._member(name)
        if all(other.leaves for other in self.members.values() if other is not member):
            raise BadValueError(f"{name}: it is the last worker; stop the fleet, or add one first")
        member.leaves = True
        return self._advance()

    def move(self, partition: int, name: str) -> list[Action]:
        """Move one partition to a worker."""
        member = self._member(name)
        if not 0 <= partition < wire.PARTITIONS:
            raise BadValueError(f"partition: expected 0 to {wire.PARTITIONS - 1}, got {partition}")
        owner = self.table.owner(partition)
        if member.where is None or owner is None or self._is_moving([partition]):
            raise BadValueError(f"partition {partition}: it is on its way, or its worker starts")
        if owner.name == name:
            return []
        return self._begin([partition], owner.name, name)

    def weigh(self, loads: NDArray[np.float64]) -> list[Action]:
        """Note the observations a second of each partition; move some if workers differ much."""
        self.weight = weights(loads)
        return self._advance()

    # --- what workers say ---

    def serves(self, where: wire.FleetWorker, pid: int) -> list[Action]:
        """Note that a worker serves."""
        member = self._member(where.name)
        member.where, member.pid, self._levels = where, pid, True
        actions = self._list_workers()
        mine = self._partitions_of(where.name)
        if mine:  # it has come back, with what its store has
            actions.append(Tell(where.name, "own", (mine,)))
        return actions + self._advance()

    def died(self, name: str) -> list[Action]:
        """Note that a worker's process has ended."""
        member = self.members[name]
        member.where = None
        if member.leaves and not self._partitions_of(name):
            del self.members[name]
            return self._list_workers()
        member.restarts += 1
        return [Spawn(name), *self._list_workers()]

    def said(self, message: wire.Control) -> list[Action]:
        """Go on with the move that a worker speaks of."""
        number, *rest = message.fields
        move = self.moves.get(number)
        if move is None:
            return []
        match message.name:
            case "expecting":
                return self._release(move)
            case "records":
                return [Tell(move.after, "records", (number, *rest))]
            case "end":
                return [Tell(move.after, "end", (number, *rest))]
            case "arrived":
                move.phase = Phase.ARRIVED
            case "kept":
                move.phase = Phase.KEPT
                return [Tell(move.before, "kept", (number,))]
            case "left":
                del self.moves[number]
                return self._advance()
        return []

    # --- moves ---

    def _advance(self) -> list[Action]:
        """Do what can be done now: first owners, the next move, workers that may end."""
        ready = [member for member in self.members.values() if member.where is not None]
        if len(ready) < len(self.members) or not ready:
            return []
        actions = self._first_owners([m.name for m in ready if not m.leaves])
        if not self.moves:
            leaving = {member.name for member in ready if member.leaves}
            owned = {member.name: self._partitions_of(member.name) for member in ready}
            tolerance = NARROW if self._levels else WIDE
            found = next_shift(owned, leaving, self.weight, tolerance, AT_ONCE)
            self._levels = found is not None
            if found is not None:
                actions += self._begin(found.partitions, found.before, found.after)
        for member in ready:
            if member.leaves and not self._partitions_of(member.name) and not self.moves:
                actions.append(Stop(member.name))
        return actions

    def _first_owners(self, names: list[str]) -> list[Action]:
        """Give partitions that nobody has to these workers."""
        free = np.flatnonzero(self.table.owners == wire.NOBODY)
        if not len(free):
            return []
        owners, epochs = self.table.owners.copy(), self.table.epochs.copy()
        actions: list[Action] = []
        for name, mine in zip(names, np.array_split(free, len(names)), strict=True):
            owners[mine], epochs[mine] = self._place(name), epochs[mine] + 1
            actions.append(Tell(name, "own", (mine.tolist(),)))
        return [self._publish(owners=owners, epochs=epochs), *actions]

    def _begin(self, partitions: list[int], before: str, after: str) -> list[Action]:
        self._numbers += 1
        move = Move(self._numbers, partitions, before, after)
        self.moves[move.number] = move
        return [Tell(after, "expect", (move.number, partitions))]

    def _release(self, move: Move) -> list[Action]:
        """Change the owner in the table, then tell the former one."""
        move.phase = Phase.LEAVING
        owners, epochs = self.table.owners.copy(), self.table.epochs.copy()
        owners[move.partitions] = self._place(move.after)
        epochs[move.partitions] += 1
        published = self._publish(owners=owners, epochs=epochs)
        fields = (move.number, move.partitions, self.table.to_value())
        return [published, Tell(move.before, "release", fields)]

    # --- the table ---

    def _publish(self, **changes: Any) -> Publish:
        self.table = self.table._replace(version=self.table.version + 1, **changes)
        return Publish(self.table)

    def _list_workers(self) -> list[Action]:
        """Publish where the workers are; owners keep their places as long as they have some."""
        before = self.table.workers
        found = {worker.name: worker for worker in before}
        for member in self.members.values():
            if member.where is not None:
                found[member.name] = member.where
        owned = {before[place].name for place in set(self.table.owners.tolist()) - {wire.NOBODY}}
        workers = tuple(w for w in found.values() if w.name in owned or w.name in self.members)
        if workers == before:
            return []
        places = {worker.name: place for place, worker in enumerate(workers)}
        owners = self.table.owners.copy()
        for place, worker in enumerate(before):
            if worker.name in places:
                owners[self.table.owners == place] = places[worker.name]
        return [self._publish(workers=workers, owners=owners)]

    def _place(self, name: str) -> int:
        return next(n for n, worker in enumerate(self.table.workers) if worker.name == name)

    def _partitions_of(self, name: str) -> list[int]:
        places = [n for n, worker in enumerate(self.table.workers) if worker.name == name]
        found: list[int] = np.flatnonzero(np.isin(self.table.owners, places)).tolist()
        return found

    def _counts(self) -> dict[str, int]:
        return {name: len(self._partitions_of(name)) for name in self.members}

    def _is_moving(self, partitions: list[int]) -> bool:
        return any(set(partitions) & set(move.partitions) for move in self.moves.values())

    def _member(self, name: str) -> Member:
        if name not in self.members:
            known = ", ".join(self.members)
            raise BadValueError(f"worker: expected one of {known}, got {name!r}")
        return self.members[name]

    def _new_name(self) -> str:
        return next(n for n in map("w{}".format, range(2**20)) if n not in self.members)
