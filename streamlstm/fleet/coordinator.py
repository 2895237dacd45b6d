"""Decides which worker has which partition. No sockets, no processes, no clock.

Events come in by methods; each returns what has to be done for it. The supervisor does it; the
simulation does it in virtual time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .. import wire
from .actions import Action, Say, Stop, Tell, Wait
from .members import Member, machine_of
from .orders import Orders
from .ownership import Ownership
from .record import Record
from .restarts import STEADY_SECONDS, wait_before
from .sharing import deferred
from .takeover import Takeover

_NONE: Mapping[Any, Any] = MappingProxyType({})


@dataclass
class Coordinator(Orders):
    """The state of a fleet, and what follows from what happens to it."""

    def resume(self, record: Record, arrived: Mapping[str, Mapping[int, int]] = _NONE) -> None:
        """Go on from a record that was stored: its owners come back, with what they have.

        Parameters
        ----------
        record : Record
        arrived : mapping of str to mapping of int to int
            Of each worker, as for :meth:`.ownership.Ownership.are_at`.
        """
        self.begin(Ownership(record))
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
        return (
            self.takeover is None
            and not self.owned.of_nobody()
            and all(member.where is not None for member in self.members.values())
        )

    @property
    def is_settled(self) -> bool:
        """True when nothing has to move, be copied, start or leave."""
        leaving = any(member.leaves for member in self.members.values())
        under_way = leaving or self.moves or self.owned.sources or self.levels
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

    # --- workers that were somebody else's ---

    def take_over(self, record: Record, alive: Collection[str]) -> list[Action]:
        """Go on from the record of a fleet whose workers go on, but for those that have ended.

        Parameters
        ----------
        record : Record
        alive : collection of str
            Workers that may commit.
        """
        self.begin(Ownership(record))
        self.moves.numbers = record.table.version << 20  # above those of whoever led before
        known = {worker.name: worker for worker in record.table.workers}
        # Who served no more, and from whom partitions are still on their way, is in no table.
        lost = set(record.moving.values()).difference(known, alive)
        waiting = set(known).intersection(alive)
        self.takeover = Takeover(waiting, frozenset(known).difference(alive) | lost)
        for name in [*known, *sorted(lost)]:
            where = known[name] if name in waiting else None
            self.members[name] = Member(name, where, name in record.leaving)
            self.members[name].new = False
        return [self.owned.publish()]

    def found(self, where: wire.FleetWorker, pid: int) -> list[Action]:
        """Note that a worker of :meth:`take_over` is there; ask it how far its moves are."""
        name, member = where.name, self.members[where.name]
        member.where, member.pid, member.starts = where, pid, True
        self.list_workers()  # it may have begun anew at another place
        reason = "reload: another machine has begun to lead the fleet"
        told = {"table": (self.table.to_value(),), "forget-reload": (reason,), "report": ()}
        return [Tell(name, what, fields) for what, fields in told.items()]

    def begins(self, name: str) -> None:
        """Note that a worker of :meth:`take_over` has begun anew: nothing of it moves."""
        self.members[name].where = None  # until it serves
        self.reported(name, (), ())

    def reported(self, name: str, departing: Any, arriving: Any) -> None:
        """Note how far the moves of a worker are."""
        if self.takeover is not None and name in self.takeover.waiting:
            self.takeover.reported(name, departing, arriving)

    def finish_takeover(self, arrived: Mapping[int, int]) -> list[Action]:
        """Go on, when nobody is waited for any more.

        Parameters
        ----------
        arrived : mapping of int to int
            As for :meth:`.ownership.Ownership.are_at`, of all workers.
        """
        if self.takeover is None or self.takeover.waiting:
            return []
        tells, ended = self.takeover.finish(self.owned, self.moves, arrived), self.takeover.ended
        self.takeover = None
        coming = set(self.moves.partitions)
        for member in self.members.values():  # also who leaves: it serves until it has left
            if member.where is not None:  # whoever led before may not have come to tell it
                mine = [each for each in self.owned.of(member.name) if each not in coming]
                tells.append(Tell(member.name, "own", (mine,)))
        actions: list[Action] = [self.owned.publish(), *tells]
        for name in sorted(ended):
            actions += self._gone(self.members[name], arrived)
        while self.queued:
            actions += self.queued.pop(0)()
        return actions + self.advance()

    # --- what happens to workers and machines ---

    def left(self, machine: str, arrived: Mapping[int, int] = _NONE) -> list[Action]:
        """Note that a machine is not there any more; its workers may commit nothing.

        Parameters
        ----------
        machine : str
        arrived : mapping of int to int
            What its workers noted, as for :meth:`.ownership.Ownership.are_at`.
        """
        for member in self.members.values():
            if member.machine == machine:
                self._cannot_report(member.name)
        self.machines.pop(machine, None)
        return self._left(machine, arrived, self.joins.get(machine, 0))

    @deferred
    def _left(self, machine: str, arrived: Mapping[int, int], join: int) -> list[Action]:
        actions: list[Action] = []
        lost = [each for each in self.members.values() if each.machine == machine]
        wanted = self.owned.wanted.get(machine)
        if wanted is not None and (wanted.workers is not None or not lost):
            del self.owned.wanted[machine]  # one that was to end still is, if it comes back
        for member in lost:
            if member.join <= join:
                member.pid, member.starts, member.ends, member.waits = 0, False, False, False
            actions += self._gone(member, arrived)
        return actions + self.advance()

    @deferred
    def serves(self, where: wire.FleetWorker, pid: int) -> list[Action]:
        """Note that a worker serves."""
        name, member = where.name, self.members.get(where.name)
        if member is None:  # nobody waits for it any more
            return [Stop(name)]
        member.where, member.pid, member.new, member.at_home = where, pid, False, True
        self.former[name] = where
        self.levels = True
        self.list_workers()
        mine = self.owned.of(name)  # if it has come back, with what its store has
        own = self.heirs.adopt(name, mine)
        more = any(member.new for member in self.members.values())
        published = [] if more and not mine else [self.owned.publish()]  # once for all that start
        return [*published, *self.moves.to_purge(name), *own, *self.advance()]

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
        self._cannot_report(name)
        return self._died(name, lived, arrived, self.joins.get(machine_of(name), 0))

    @deferred
    def _died(self, name: str, lived: float, arrived: Mapping[int, int], join: int) -> list[Action]:
        member = self.members.get(name)
        if member is None:
            return []
        found = self._gone(member, arrived)
        if member.join <= join:  # else it was started again by its machine, which has left since
            member.pid, member.starts, member.ends = 0, False, False
            found += self._again(member, lived)
        return found + self.advance()

    def lost(self, name: str, arrived: Mapping[int, int] = _NONE) -> list[Action]:
        """Note that a worker may commit nothing any more, though its process may still be there.

        Parameters
        ----------
        name, arrived
            As for :meth:`died`, which comes when the process ends.
        """
        self._cannot_report(name)
        return self._lost(name, arrived)

    def _cannot_report(self, name: str) -> None:
        if self.takeover is not None:
            self.takeover.waiting.discard(name)

    @deferred
    def _lost(self, name: str, arrived: Mapping[int, int]) -> list[Action]:
        member = self.members.get(name)
        if member is None or member.where is None:
            return []
        return self._gone(member, arrived) + self.advance()

    def _gone(self, member: Member, arrived: Mapping[int, int]) -> list[Action]:
        """Give what a worker had to those that serve."""
        name, member.where, member.new = member.name, None, False
        serving, nothing = self.serving(), not self.owned.of(name)
        retires = bool(serving) or (member.leaves and nothing) or self.is_away(member)
        tells, inherited = self.moves.died(name, arrived, retires)
        self.heirs.died(name)
        if retires:
            tells += self.heirs.inherit(name, inherited)
            tells += self.heirs.retire(member, serving)
        self.list_workers()
        return [self.owned.publish(), *tells]

    @deferred
    def waited(self, name: str) -> list[Action]:
        """Note that the time of a :class:`Wait` is over."""
        member = self.members.get(name)
        if member is None or not member.waits:
            return []
        member.waits = False
        return [self.spawn(name)]

    @deferred
    def said(self, message: wire.Control) -> list[Action]:
        """Go on with what a worker speaks of."""
        if message.name == "copied":
            return [*self.heirs.copied(*message.fields), *self.advance()]
        actions = self.moves.said(message)
        return [self.owned.publish(), *self.advance()] if actions is None else actions

    # --- a worker that has died ---

    def _again(self, member: Member, lived: float) -> list[Action]:
        """Start a worker again, now or later; not one that leaves and has nothing left."""
        name, away = member.name, self.is_away(member)
        if (member.leaves or away) and not self.owned.of(name):
            del self.members[name]
            self.list_workers()
            return [self.owned.publish()]
        if away:
            return []
        member.restarts += 1
        member.quick = 1 if lived >= STEADY_SECONDS else member.quick + 1
        wait = wait_before(member.quick)
        if not wait:
            return [self.spawn(name)]
        member.waits = True
        said = (
            f"{name}: has ended {member.quick} times soon after its start, its own lines above say "
            f"why; it is started again in {wait:g} s"
        )
        return [Say(said), Wait(name, wait)]
