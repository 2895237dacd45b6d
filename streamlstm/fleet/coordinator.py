"""Decides which worker has which partition. No sockets, no processes, no clock.

Events come in by methods; each returns what has to be done for it. The supervisor does it; the
simulation does it in virtual time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..errors import BadValueError
from .actions import Action, Say, Spawn, Stop, Tell, Wait
from .balance import NARROW, WIDE, next_shift, weights
from .inheritance import Inheritance
from .members import Member, Stores
from .moves import Moves
from .ownership import Ownership
from .record import Record
from .restarts import STEADY_SECONDS, wait_before

AT_ONCE = 32  # partitions of one move: few, so that each is away for a moment only
_NONE: Mapping[Any, Any] = MappingProxyType({})


@dataclass
class Coordinator:
    """The state of a fleet.

    Attributes
    ----------
    stores : Stores
    owned : Ownership
    members : dict of str to Member
    moves : Moves
        Those under way.
    weight : float64[PARTITIONS]
        Of each partition (balance.py).
    held : bool
        No move begins.
    """

    stores: Stores = Stores.OWN
    owned: Ownership = field(default_factory=Ownership)
    members: dict[str, Member] = field(default_factory=dict)
    weight: NDArray[np.float64] = field(default_factory=lambda: weights(np.zeros(wire.PARTITIONS)))
    moves: Moves = field(init=False)
    held: bool = False
    _heirs: Inheritance = field(init=False)
    _levels: bool = True  # partitions move until workers have nearly as much each

    def __post_init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.moves = Moves(self.owned)
        self._heirs = Inheritance(self.stores, self.owned, self.moves)

    def resume(self, record: Record, arrived: Mapping[str, Mapping[int, int]] = _NONE) -> None:
        """Go on from a record that was stored: its owners come back, with what they have.

        Parameters
        ----------
        record : Record
        arrived : mapping of str to mapping of int to int
            Of each worker, as for :meth:`.ownership.Ownership.are_at`.
        """
        self.owned = Ownership(record)
        self._begin()
        self.moves.resume(arrived)
        for worker in record.table.workers:
            self.members[worker.name] = Member(worker.name)

    @property
    def table(self) -> wire.FleetTable:
        """The table as it was published last."""
        return self.owned.table

    @property
    def is_ready(self) -> bool:
        """True when every partition has an owner that serves."""
        return not self.owned.of_nobody() and all(
            member.where is not None for member in self.members.values()
        )

    @property
    def is_settled(self) -> bool:
        """True when nothing has to move, be copied, start or leave."""
        leaving = any(member.leaves for member in self.members.values())
        under_way = leaving or self.moves or self.owned.sources or self._levels
        return self.is_ready and not under_way

    def live(self) -> list[str]:
        """Return the endpoints of the ROUTERs of the workers that serve."""
        return [member.where.router for member in self.members.values() if member.where is not None]

    def status(self) -> dict[str, Any]:
        """Return the workers and what they have."""
        counts = self.owned.counts(self.members)
        return {
            "version": self.table.version,
            "settled": self.is_settled,
            "moving": len(self.moves.partitions),
            "copying": len(self.owned.sources),
            "workers": [each.status(counts[each.name]) for each in self.members.values()],
        }

    # --- what a person asks for ---

    def scale(self, workers: int) -> list[Action]:
        """Have so many workers: start some, or let the last ones leave."""
        if workers < 1:
            raise BadValueError(f"workers: expected 1 or more, got {workers}")
        staying = [member for member in self.members.values() if not member.leaves]
        actions: list[Action] = []
        self._levels = True
        for member in staying[workers:]:
            member.leaves = True
        for member in list(self.members.values()):
            if member.leaves and len(staying) < workers:
                member.leaves = False
                staying.append(member)
        self._list_workers()
        for _ in range(workers - len(staying)):
            name = self._new_name()
            self.members[name] = Member(name)
        for name, member in self.members.items():
            if member.where is None and not (member.starts or member.waits):
                actions.append(self._spawn(name))
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
        if self.held:
            raise BadValueError(f"partition {partition}: the model is being changed; ask again")
        member = self._member(name)
        if not 0 <= partition < wire.PARTITIONS:
            raise BadValueError(f"partition: expected 0 to {wire.PARTITIONS - 1}, got {partition}")
        owner = self.table.owner(partition)
        if owner is None or None in (member.where, self.members[owner.name].where):
            raise BadValueError(f"partition {partition}: its worker starts; ask again")
        if partition in self.owned.sources or partition in self.moves.partitions:
            raise BadValueError(f"partition {partition}: it is on its way; ask again")
        if owner.name == name:
            return []
        return self.moves.begin([partition], owner.name, name)

    def hold(self, held: bool) -> list[Action]:
        """Begin no move for a while, or again."""
        self.held = held
        return self._advance()

    def weigh(self, loads: NDArray[np.float64]) -> list[Action]:
        """Note the observations a second of each partition; move some if workers differ much."""
        self.weight = weights(loads)
        return self._advance()

    # --- what happens to workers ---

    def serves(self, where: wire.FleetWorker, pid: int) -> list[Action]:
        """Note that a worker serves."""
        name, member = where.name, self._member(where.name)
        member.where, member.pid, member.new, member.at_home = where, pid, False, True
        self._levels = True
        self._list_workers()
        mine = self.owned.of(name)  # if it has come back, with what its store has
        own = self._heirs.adopt(name, mine)
        more = any(member.new for member in self.members.values())
        published = [] if more and not mine else [self.owned.publish()]  # once for all that start
        return [*published, *self.moves.to_purge(name), *own, *self._advance()]

    def died(
        self, name: str, lived: float = 0.0, arrived: Mapping[int, int] = _NONE
    ) -> list[Action]:
        """Note that a worker's process has ended.

        Parameters
        ----------
        name : str
        lived : float
            For how many seconds it had served.
        arrived : mapping of int to int
            What it noted, as for :meth:`.ownership.Ownership.are_at`.
        """
        member = self.members[name]
        member.pid, member.starts, member.ends = 0, False, False
        found = [*self._gone(member, arrived), *self._again(member, lived)]
        return found + self._advance()

    def lost(self, name: str, arrived: Mapping[int, int] = _NONE) -> list[Action]:
        """Note that a worker may commit nothing any more, though its process may still be there.

        Parameters
        ----------
        name, arrived
            As for :meth:`died`, which comes when the process ends.
        """
        member = self.members.get(name)
        if member is None or member.where is None:
            return []
        return self._gone(member, arrived) + self._advance()

    def _gone(self, member: Member, arrived: Mapping[int, int]) -> list[Action]:
        """Give what a worker had to those that serve."""
        name, member.where, member.new = member.name, None, False
        serving = self._serving()
        retires = bool(serving) or (member.leaves and not self.owned.of(name))
        tells, inherited = self.moves.died(name, arrived, retires)
        self._heirs.died(name)
        if retires:
            tells += self._heirs.inherit(name, inherited)
            tells += self._heirs.retire(member, serving)
        self._list_workers()
        return [self.owned.publish(), *tells]

    def waited(self, name: str) -> list[Action]:
        """Note that the time of a :class:`Wait` is over."""
        member = self.members.get(name)
        if member is None or not member.waits:
            return []
        member.waits = False
        return [self._spawn(name)]

    def said(self, message: wire.Control) -> list[Action]:
        """Go on with what a worker speaks of."""
        if message.name == "copied":
            return [*self._heirs.copied(*message.fields), *self._advance()]
        actions = self.moves.said(message)
        return [self.owned.publish(), *self._advance()] if actions is None else actions

    # --- a worker that has died ---

    def _again(self, member: Member, lived: float) -> list[Action]:
        """Start a worker again, now or later; not one that leaves and has nothing left."""
        name = member.name
        if member.leaves and not self.owned.of(name):
            del self.members[name]
            self._list_workers()
            return [self.owned.publish()]
        member.restarts += 1
        member.quick = 1 if lived >= STEADY_SECONDS else member.quick + 1
        wait = wait_before(member.quick)
        if not wait:
            return [self._spawn(name)]
        member.waits = True
        said = (
            f"{name}: has ended {member.quick} times soon after its start, its own lines above say "
            f"why; it is started again in {wait:g} s"
        )
        return [Say(said), Wait(name, wait)]

    def _spawn(self, name: str) -> Action:
        self.members[name].starts = True
        return Spawn(name, self.owned.record.folder(name))

    # --- sharing ---

    def _advance(self) -> list[Action]:
        """Do what can be done now: orphans, first owners, the next move, workers that may end."""
        if not self._serving():
            return []
        actions = self._find_heirs()
        if any(member.new for member in self.members.values()):
            return actions  # soon there are more to share with
        actions += self._first_owners()
        if not self.moves and not self.held:
            actions += self._next_move()
        for member in list(self.members.values()):
            if not member.leaves or self.owned.of(member.name) or self.moves.involve(member.name):
                continue
            if member.where is not None and not member.ends:
                member.ends = True
                self._list_workers()
                actions += [self.owned.publish(), Stop(member.name)]
            elif member.waits:
                del self.members[member.name]
        return actions

    def _find_heirs(self) -> list[Action]:
        """Give away partitions of workers that do not serve."""
        tells: list[Action] = []
        before, serving = self.table, self._serving()
        for member in self.members.values():
            comes_back = member.at_home and not member.waits
            if member.where is not None or comes_back or not (mine := self.owned.of(member.name)):
                continue
            if not member.at_home:
                tells += self._heirs.share(mine, serving)
            else:
                tells += self._heirs.retire(member, serving)
        return [self.owned.publish(), *tells] if self.table is not before else []

    def _first_owners(self) -> list[Action]:
        """Give partitions that nobody has to those that serve and stay."""
        free = self.owned.of_nobody()
        if not free:
            return []
        names = self._serving()
        actions: list[Action] = []
        for name, mine in zip(names, np.array_split(free, len(names)), strict=True):
            self.owned.give(mine.tolist(), name)
            actions.append(Tell(name, "own", (mine.tolist(),)))
        return [self.owned.publish(), *actions]

    def _next_move(self) -> list[Action]:
        """Begin to move the next partitions, none of which is still copied to its owner."""
        serving = [member for member in self.members.values() if member.where is not None]
        leaving = {member.name for member in serving if member.leaves}
        owned = self.owned.of_each(member.name for member in serving)
        tolerance = NARROW if self._levels else WIDE
        found = next_shift(owned, leaving, self.weight, tolerance, AT_ONCE)
        self._levels = found is not None
        if found is None:
            return []
        able = [each for each in found.partitions if each not in self.owned.sources]
        return self.moves.begin(able, found.before, found.after) if able else []

    def _serving(self) -> list[str]:
        """Return who serves: those that stay, or else those that leave."""
        serving = [member for member in self.members.values() if member.where is not None]
        staying = [member for member in serving if not member.leaves]
        return [member.name for member in staying or serving]

    def _list_workers(self) -> None:
        """Note where workers are, but for those that leave and were asked to end.

        A worker that ends when it was asked to has answered all that it has applied. So clients
        whose connection to it ends know that it applied nothing more, if nobody lists it any more.
        """
        there = {each.name: each.where for each in self.members.values() if each.where is not None}
        ending = {each.name for each in self.members.values() if each.leaves and each.ends}
        self.owned.list_workers(there, self.members, ending)

    def _member(self, name: str) -> Member:
        if name not in self.members:
            known = ", ".join(self.members)
            raise BadValueError(f"worker: expected one of {known}, got {name!r}")
        return self.members[name]

    def _new_name(self) -> str:
        return next(n for n in map("w{}".format, range(2**20)) if n not in self.members)
