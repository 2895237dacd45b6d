"""Shares the partitions of a fleet among its workers: first owners, heirs, moves, who may end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import wire
from .actions import Action, Dismiss, Stop, Tell
from .balance import NARROW, WIDE, next_shift, weights
from .inheritance import Inheritance
from .members import Member, Stores
from .moves import Moves
from .ownership import Ownership
from .record import Wanted
from .takeover import Takeover

AT_ONCE = 32  # partitions of one move: few, so that each is away for a moment only


_S = TypeVar("_S", bound="Sharing")
_P = ParamSpec("_P")


def deferred(
    event: Callable[Concatenate[_S, _P], list[Action]],
) -> Callable[Concatenate[_S, _P], list[Action]]:
    """Let what follows from an event wait until a takeover is over."""

    @wraps(event)
    def happened(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> list[Action]:
        if self.takeover is None:
            return event(self, *args, **kwargs)
        self.queued.append(partial(event, self, *args, **kwargs))
        return []

    return happened


@dataclass
class Sharing:
    """What a fleet has, and who is there to have it.

    Attributes
    ----------
    stores : Stores
    owned : Ownership
    members : dict of str to Member
    machines : dict of str to bool
        Those that are there, and whether each leaves.
    joins : dict of str to int
        How often each machine has joined.
    runs : dict of str to str
        The process of each machine's agent, as it calls itself.
    former : dict of str to FleetWorker
        Where each worker was that has served; on its machine it can be there again.
    weight : float64[PARTITIONS]
        Of each partition (balance.py).
    moves : Moves
        Those under way.
    held : bool
        No move begins.
    takeover : Takeover or None
        While it is found out how far workers are that were somebody else's until now. What happens
        meanwhile follows when that is known.
    queued : list of callable
        What has happened meanwhile.
    """

    stores: Stores = Stores.OWN
    owned: Ownership = field(default_factory=Ownership)
    members: dict[str, Member] = field(default_factory=dict)
    machines: dict[str, bool] = field(default_factory=lambda: {"": False})
    joins: dict[str, int] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    former: dict[str, wire.FleetWorker] = field(default_factory=dict)
    weight: NDArray[np.float64] = field(default_factory=lambda: weights(np.zeros(wire.PARTITIONS)))
    moves: Moves = field(init=False)
    held: bool = False
    heirs: Inheritance = field(init=False)
    levels: bool = True  # partitions move until workers have nearly as much each
    takeover: Takeover | None = None
    queued: list[Callable[[], list[Action]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begin(self.owned)

    def begin(self, owned: Ownership) -> None:
        """Share what a record says."""
        self.owned = owned
        self.former |= {worker.name: worker for worker in owned.table.workers if worker.router}
        self.moves = Moves(owned)
        self.heirs = Inheritance(self.stores, owned, self.moves)

    def serving(self) -> list[str]:
        """Return who serves: those that stay, or else those that leave."""
        serving = [member for member in self.members.values() if member.where is not None]
        staying = [member for member in serving if not member.leaves]
        return [member.name for member in staying or serving]

    def is_away(self, member: Member) -> bool:
        """Tell whether the machine of a worker is not there: nobody can start it."""
        return member.machine not in self.machines

    def list_workers(self) -> None:
        """Note where workers are, but for those that leave and were asked to end.

        A worker that ends when it was asked to has answered all that it has applied. So clients
        whose connection to it ends know that it applied nothing more, if nobody lists it any more.
        """
        there = {each.name: each.where for each in self.members.values() if each.where is not None}
        ending = {each.name for each in self.members.values() if each.leaves and each.ends}
        self.owned.list_workers(there, self.members, ending)
        self._note_wishes()

    def _note_wishes(self) -> None:
        """Note what people want, where whoever leads next reads it.

        Without other machines the next supervisor is told by its own options. While machines join
        a new leader, what the one before has noted of them counts.
        """
        if self.stores is not Stores.SHARED or self.queued:
            return
        self.owned.leaving = frozenset(k for k, each in self.members.items() if each.leaves)
        staying = Counter(each.machine for each in self.members.values() if not each.leaves)
        for machine, ends in self.machines.items():
            workers = None if ends else staying[machine]
            self.owned.wanted[machine] = Wanted(self.runs.get(machine, ""), workers)

    def wished(self) -> list[Action]:
        """Note what people want, before anything follows from it: the record has it then."""
        self.list_workers()
        return [self.owned.publish()] if self.stores is Stores.SHARED else []

    def is_same_run(self, machine: str) -> bool:
        """Tell whether what people wanted of a machine was wanted of the process that it has."""
        wanted, run = self.owned.wanted.get(machine), self.runs[machine]
        return wanted is not None and bool(run) and wanted.run == run

    def advance(self) -> list[Action]:
        """Do what can be done now: orphans, first owners, the next move, workers that may end."""
        if not self.serving():
            return self._dismiss()
        actions = self._find_heirs()
        if any(member.new for member in self.members.values()):
            return actions  # soon there are more to share with
        actions += self._first_owners()
        if not self.moves and not self.held:
            actions += self._next_move()
        for member in list(self.members.values()):
            away = self.is_away(member)
            if not (member.leaves or away) or self.owned.of(member.name):
                continue
            if self.moves.involve(member.name):
                continue
            if member.where is not None and not member.ends:
                member.ends = True
                self.list_workers()
                actions += [self.owned.publish(), Stop(member.name)]
            elif member.where is None and (away or not member.starts):
                del self.members[member.name]
        return actions + self._dismiss()

    def _dismiss(self) -> list[Action]:
        """Let machines end that have no worker any more, or all, if none is to stay."""
        leaving = [machine for machine, leaves in self.machines.items() if leaves]
        if len(leaving) < len(self.machines):
            busy = {member.machine for member in self.members.values()}
            leaving = [machine for machine in leaving if machine not in busy]
        return [Dismiss(machine) for machine in leaving]

    def _find_heirs(self) -> list[Action]:
        """Give away partitions of workers that do not serve."""
        tells: list[Action] = []
        before, serving = self.owned.table, self.serving()
        for member in self.members.values():
            comes_back = member.at_home and not member.waits and not self.is_away(member)
            if member.where is not None or comes_back or not (mine := self.owned.of(member.name)):
                continue
            if not member.at_home:
                tells += self.heirs.share(mine, serving)
            else:
                tells += self.heirs.retire(member, serving)
        return [self.owned.publish(), *tells] if self.owned.table is not before else []

    def _first_owners(self) -> list[Action]:
        """Give partitions that nobody has to those that serve and stay."""
        free = self.owned.of_nobody()
        if not free:
            return []
        names = self.serving()
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
        tolerance = NARROW if self.levels else WIDE
        found = next_shift(owned, leaving, self.weight, tolerance, AT_ONCE)
        self.levels = found is not None
        if found is None:
            return []
        able = [each for each in found.partitions if each not in self.owned.sources]
        return self.moves.begin(able, found.before, found.after) if able else []
