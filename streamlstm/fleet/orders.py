"""What people ask of a fleet, and how many workers its machines have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..errors import BadValueError
from .actions import Action, Spawn
from .balance import weights
from .members import Member
from .placement import resize, spread_over
from .sharing import Sharing, deferred

_NONE: Mapping[str, int] = MappingProxyType({})


@dataclass
class Orders(Sharing):
    """A fleet whose size and partitions people change."""

    def scale(self, workers: int, machine: str | None = None) -> list[Action]:
        """Have so many workers, on all machines or on one: start some, or let the last ones leave.

        Raises
        ------
        BadValueError
            If the machine is not there, or nobody would be left.
        """
        self._check_known("scale")
        staying = {name for name, leaves in self.machines.items() if not leaves}
        having = dict.fromkeys(staying, 0)
        for member in self.members.values():
            if member.machine in having and not member.leaves:
                having[member.machine] += 1
        if not having:
            raise BadValueError("scale: every machine of the fleet is about to end; add one first")
        if machine is not None and machine not in having:
            known = ", ".join(sorted(having))
            raise BadValueError(f"machine: expected one of {known}, got {machine!r}")
        wanted = having | {machine: workers} if machine is not None else None
        if workers < 0 or sum(wanted.values() if wanted else [workers]) < 1:
            raise BadValueError(f"workers: expected 1 or more, got {workers}")
        for each, count in (wanted or spread_over(workers, having)).items():
            resize(self.members, each, count)
        return [*self.wished(), *self.resized()]

    def resized(self) -> list[Action]:
        """Start workers that are to be there."""
        self.levels = True
        self.list_workers()
        actions = [
            self.spawn(name)
            for name, member in self.members.items()
            if member.where is None
            and not (member.starts or member.waits)
            and not self.is_away(member)
        ]
        return actions + self.advance()

    def drain(self, name: str) -> list[Action]:
        """Let a worker leave, or a machine: its partitions go to the others, then it ends."""
        self._check_known("drain")
        machine = name if name and name in self.machines else None
        leaving = [each for each in self.members.values() if each.machine == machine]
        if machine is None:
            leaving = [self.member(name)]
        if all(other.leaves for other in self.members.values() if other not in leaving):
            raise BadValueError(f"{name}: it is the last worker; stop the fleet, or add one first")
        if machine is not None:
            return self.leaves(machine)
        leaving[0].leaves = True
        return [*self.wished(), *self.advance()]

    def move(self, partition: int, name: str) -> list[Action]:
        """Move one partition to a worker."""
        self._check_known(f"partition {partition}")
        if self.held:
            raise BadValueError(f"partition {partition}: the model is being changed; ask again")
        member = self.member(name)
        if not 0 <= partition < wire.PARTITIONS:
            raise BadValueError(f"partition: expected 0 to {wire.PARTITIONS - 1}, got {partition}")
        owner = self.owned.table.owner(partition)
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

    @deferred
    def _advance(self) -> list[Action]:
        return self.advance()

    def _check_known(self, what: str) -> None:
        if self.takeover is not None:
            raise BadValueError(f"{what}: another machine has begun to lead the fleet; ask again")

    # --- what happens to machines ---

    def joined(
        self,
        machine: str,
        workers: int,
        running: Mapping[str, int] = _NONE,
        run: str = "",
    ) -> list[Action]:
        """Note that a machine is there.

        Parameters
        ----------
        machine : str
        workers : int
            That it is to have.
        running : mapping of str to int
            Process ids of its workers that run.
        run : str
            Of its agent's process: what people have wanted of it since it was started counts.
        """
        self.machines[machine], self.runs[machine] = False, run
        self.joins[machine] = self.joins.get(machine, 0) + 1
        for name, pid in running.items():
            leaves = name in self.owned.leaving and self.is_same_run(machine)
            member = self.members.setdefault(name, Member(name, leaves=leaves))
            member.starts, member.pid, member.join = True, pid, self.joins[machine]
        return self._joined(machine, workers, self.joins[machine])

    @deferred
    def _joined(self, machine: str, workers: int, join: int) -> list[Action]:
        if not self._is_there(machine, join):
            return []
        wanted = self.owned.wanted[machine].workers if self.is_same_run(machine) else workers
        if wanted is None:
            return self._leaves(machine, join)
        resize(self.members, machine, wanted)
        return self.resized()

    def leaves(self, machine: str) -> list[Action]:
        """Let a machine hand over all that it has, and end."""
        return self._leaves(machine, self.joins.get(machine, 0))

    def _is_there(self, machine: str, join: int) -> bool:
        """Tell whether a machine has not left since it joined for the so manieth time."""
        return machine in self.machines and self.joins.get(machine, 0) == join

    @deferred
    def _leaves(self, machine: str, join: int) -> list[Action]:
        if not self._is_there(machine, join):
            return []
        self.machines[machine] = True
        for member in self.members.values():
            member.leaves |= member.machine == machine
        return [*self.wished(), *self.advance()]

    # --- one worker ---

    def spawn(self, name: str) -> Action:
        """Let the process of a worker be started."""
        member = self.members[name]
        member.starts, member.ends = True, False
        member.join = self.joins.get(member.machine, 0)
        return Spawn(name, self.owned.record.folder(name), self.former.get(name))

    def member(self, name: str) -> Member:
        """Return a worker by its name, which a person has given."""
        if name not in self.members:
            known = ", ".join(self.members)
            raise BadValueError(f"worker: expected one of {known}, got {name!r}")
        return self.members[name]
