"""Moves of partitions between two workers, and what becomes of them when one of the two dies.

Until the new owner has committed what came, and noted so in its folder, the former one has all that
counts: it gets the partitions back if the new owner dies. From then on the new owner has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from .. import wire
from .actions import Action, Tell
from .ownership import Ownership


class Phase(Enum):
    """How far a move is."""

    PREPARED = "prepared"  # the former owner notes which streams are not in its memory,
    EXPECTED = "expected"  # the new one answers `busy` from now on,
    LEAVING = "leaving"  # the former one sends the rows,
    ARRIVED = "arrived"  # the new one serves, and has not committed yet,
    KEPT = "kept"  # the former one deletes what it had


@dataclass
class Move:
    """Partitions on their way from one worker to another."""

    number: int
    partitions: list[int]
    before: str
    after: str
    phase: Phase = Phase.PREPARED


@dataclass
class Moves:
    """The moves that are under way.

    Attributes
    ----------
    owned : Ownership
        Changed by them.
    numbers : int
        The last that was given.
    """

    owned: Ownership
    _moves: dict[int, Move] = field(default_factory=dict)
    numbers: int = 0

    def __len__(self) -> int:
        return len(self._moves)

    @property
    def partitions(self) -> list[int]:
        """Those that are on their way."""
        return [each for move in self._moves.values() for each in move.partitions]

    def barred(self) -> dict[int, str]:
        """Return workers that cannot have a partition now, as they delete what they had of it."""
        kept = [move for move in self._moves.values() if move.phase is Phase.KEPT]
        return {each: move.before for move in kept for each in move.partitions}

    def involve(self, name: str) -> bool:
        """Tell whether a worker is part of a move."""
        return any(name in (move.before, move.after) for move in self._moves.values())

    # --- a move that goes well ---

    def begin(self, partitions: list[int], before: str, after: str) -> list[Action]:
        """Begin to move partitions."""
        move = self.new(partitions, before, after, Phase.PREPARED)
        return [Tell(before, "look", (move.number, partitions))]

    def new(self, partitions: list[int], before: str, after: str, phase: Phase) -> Move:
        """Note a move that is so far."""
        move = Move(self.numbers + 1, partitions, before, after, phase)
        self.put(move)
        return move

    def put(self, move: Move) -> None:
        """Note a move that somebody else has begun."""
        self.numbers = max(self.numbers, move.number)
        self._moves[move.number] = move

    def said(self, message: wire.Control) -> list[Action] | None:
        """Go on with the move that a worker speaks of; None if that was its end."""
        number, *rest = message.fields
        move = self._moves.get(number)
        if move is None:
            return []
        match message.name, move.phase:
            case "looked", Phase.PREPARED:
                move.phase = Phase.EXPECTED
                return [Tell(move.after, "expect", (number, move.partitions))]
            case "expecting", Phase.EXPECTED:
                return self._release(move)
            case "records", Phase.LEAVING:
                return [Tell(move.after, "records", (number, *rest))]
            case "end", Phase.LEAVING:
                move.phase = Phase.ARRIVED
                return [Tell(move.after, "end", (number, *rest))]
            case "kept", Phase.ARRIVED:
                told = self._keep(move)
                return [self.owned.publish(), *told]
            case "left", Phase.KEPT:
                self._forget(move)
                return None
        return []

    def _release(self, move: Move) -> list[Action]:
        """Change the owner in the table, then tell the former one."""
        move.phase = Phase.LEAVING
        self.owned.depart(move.partitions, move.before, move.after)
        published = self.owned.publish()
        fields = (move.number, move.partitions, self.owned.table.to_value())
        return [published, Tell(move.before, "release", fields)]

    def _keep(self, move: Move) -> list[Action]:
        """Let the new owner have for certain what has come to it."""
        move.phase = Phase.KEPT
        self.owned.arrive(move.partitions, move.before)
        return [Tell(move.before, "kept", (move.number,))]

    def _forget(self, move: Move) -> None:
        del self._moves[move.number]
        self.owned.forget(move.partitions)

    # --- a worker dies, or all of them did ---

    def died(
        self, name: str, arrived: Mapping[int, int], retires: bool
    ) -> tuple[list[Action], dict[str, list[int]]]:
        """End or turn the moves that a worker was part of.

        Parameters
        ----------
        name : str
        arrived : mapping of int to int
            As for :meth:`.ownership.Ownership.are_at`, of the worker.
        retires : bool
            Whether its folder is given up; else it comes back with it.

        Returns
        -------
        tells : list of Action
            What to tell others when the record is published.
        inherited : dict of str to list of int
            Partitions that workers have whose other half is in the folder of the dead one.
        """
        tells: list[Action] = []
        inherited: dict[str, list[int]] = {}
        for move in list(self._moves.values()):
            if name == move.after:
                tells += self._lost_after(move, arrived)
            elif name == move.before and move.phase is not Phase.KEPT:
                self._forget(move)
                said = "drop"
                if move.phase not in (Phase.PREPARED, Phase.EXPECTED):
                    # What has come is as new as what the dead one has committed, or newer.
                    said = "abandon"
                    inherited[move.after] = inherited.get(move.after, []) + move.partitions
                tells.append(Tell(move.after, said, (move.number,)))
            elif name == move.before and retires:  # what it still has is of no use to anybody
                self._forget(move)
        return tells, inherited

    def _lost_after(self, move: Move, arrived: Mapping[int, int]) -> list[Action]:
        if move.phase is Phase.KEPT:
            return []
        if move.phase in (Phase.PREPARED, Phase.EXPECTED):
            self._forget(move)
            return [Tell(move.before, "drop", (move.number,))]
        if self.owned.are_at(move.partitions, arrived):
            return self._keep(move)
        self._forget(move)
        self.owned.give(move.partitions, move.before)
        return [Tell(move.before, "stay", (move.number,))]

    def resume(self, arrived: Mapping[str, Mapping[int, int]]) -> None:
        """Decide who has what was moving when all workers ended: the other one has to delete it."""
        owned = self.owned
        for partition, before in list(owned.moving.items()):
            after = owner_name(owned.table, partition)
            if owned.are_at([partition], arrived.get(after, {})):
                owned.arrive([partition], before)
            else:
                owned.give([partition], before)
                owned.arrive([partition], after)
        members = {worker.name for worker in owned.table.workers}
        owned.forget([each for each, name in owned.leftovers.items() if name not in members])
        of_pairs: dict[tuple[str, str], list[int]] = {}
        for partition, name in owned.leftovers.items():
            pair = name, owner_name(owned.table, partition)
            of_pairs.setdefault(pair, []).append(partition)
        for (before, after), partitions in of_pairs.items():
            self.new(partitions, before, after, Phase.KEPT)

    def to_purge(self, name: str) -> list[Action]:
        """Tell a worker that has come back to delete what it has of others' partitions."""
        return [
            Tell(name, "purge", (move.number, move.partitions))
            for move in self._moves.values()
            if move.before == name and move.phase is Phase.KEPT
        ]


def owner_name(table: wire.FleetTable, partition: int) -> str:
    """Return the name of the owner of a partition that has one."""
    owner = table.owner(partition)
    assert owner is not None
    return owner.name
