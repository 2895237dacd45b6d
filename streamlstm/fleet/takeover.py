"""What a new leader of a fleet finds out of the workers that go on: how far their moves are.

Workers serve on while nobody leads. Of each partition the record says who has it, and whether it
was on its way; of a move that was under way its two workers say how far they are. With both the
new leader goes on, or lets the former owner have the partition as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .actions import Action, Tell
from .moves import Move, Moves, Phase, owner_name
from .ownership import Ownership

LOOKS, SENDS, DELETES = "looks", "sends", "deletes"  # how far the former owner is


class Departing(NamedTuple):
    """Partitions that a worker hands over."""

    worker: str
    partitions: list[int]
    how_far: str


class Arriving(NamedTuple):
    """Partitions that come to a worker; ``complete``: it has all of them, and serves."""

    worker: str
    partitions: list[int]
    complete: bool


@dataclass
class Takeover:
    """Collects what workers report, then continues their moves.

    Attributes
    ----------
    waiting : set of str
        Workers that live and have not reported.
    ended : frozenset of str
        Workers that had ended before.
    """

    waiting: set[str]
    ended: frozenset[str] = frozenset()
    _departing: dict[int, Departing] = field(default_factory=dict)
    _arriving: dict[int, Arriving] = field(default_factory=dict)
    _reported: set[str] = field(default_factory=set)

    def reported(
        self,
        worker: str,
        departing: Sequence[tuple[int, list[int], str]],
        arriving: Sequence[tuple[int, list[int], bool]],
    ) -> None:
        """Note how far the moves of a worker are: numbers, partitions, how far."""
        self.waiting.discard(worker)
        self._reported.add(worker)
        for number, partitions, how_far in departing:
            self._departing[number] = Departing(worker, list(partitions), how_far)
        for number, partitions, complete in arriving:
            self._arriving[number] = Arriving(worker, list(partitions), complete)

    def finish(self, owned: Ownership, moves: Moves, arrived: Mapping[int, int]) -> list[Action]:
        """Continue all moves, or turn them back; return what to tell when that is published.

        Those of a worker that has not reported are left for what follows from its death.

        Parameters
        ----------
        owned : Ownership
        moves : Moves
            Without any.
        arrived : mapping of int to int
            As for :meth:`.ownership.Ownership.are_at`, of all workers.
        """
        tells: list[Action] = []
        told: set[int] = set()
        moves.numbers = max([moves.numbers, *self._departing, *self._arriving])
        for number in sorted({*self._departing, *self._arriving}):
            departing, arriving = self._departing.get(number), self._arriving.get(number)
            if _is_over(departing, arriving, owned):
                tells += _end(number, departing, arriving)
                continue
            either = departing or self._arriving[number]
            told.update(either.partitions)
            tells += self._continue(number, either.partitions, owned, moves, arrived)
        of_pairs: dict[tuple[str, str], list[int]] = {}
        for partition, before in owned.moving.items():
            if partition not in told:
                pair = before, owner_name(owned.table, partition)
                of_pairs.setdefault(pair, []).append(partition)
        for (before, after), partitions in of_pairs.items():
            moves.new(partitions, before, after, Phase.LEAVING)
        owned.forget([each for each in owned.leftovers if each not in told])
        return tells

    def _continue(
        self,
        number: int,
        partitions: list[int],
        owned: Ownership,
        moves: Moves,
        arrived: Mapping[int, int],
    ) -> list[Action]:
        departing, arriving = self._departing.get(number), self._arriving.get(number)
        before = owned.moving.get(partitions[0])
        if before is None:
            return self._unrecorded(number, departing, arriving, owned, moves)
        after = owner_name(owned.table, partitions[0])
        if arriving is not None and arriving.complete:
            moves.put(Move(number, partitions, before, after, Phase.ARRIVED))
            return []
        if owned.are_at(partitions, arrived):
            owned.arrive(partitions, before)
            moves.put(Move(number, partitions, before, after, Phase.KEPT))
            return [Tell(before, "kept", (number,))] if departing is not None else []
        if before not in self._reported or after not in self._reported:
            moves.put(Move(number, partitions, before, after, Phase.LEAVING))
            return []
        return self._turn_back(number, partitions, before, after, owned, moves)

    def _turn_back(
        self,
        number: int,
        partitions: list[int],
        before: str,
        after: str,
        owned: Ownership,
        moves: Moves,
    ) -> list[Action]:
        """Let the former owner have partitions; the other one deletes what has come of them."""
        owned.forget(partitions)
        owned.give(partitions, before)
        owned.arrive(partitions, after)
        purge = moves.new(partitions, after, before, Phase.KEPT)
        return [
            Tell(before, "stay", (number,)),
            Tell(after, "drop", (number,)),
            Tell(after, "purge", (purge.number, partitions)),
        ]

    def _unrecorded(
        self,
        number: int,
        departing: Departing | None,
        arriving: Arriving | None,
        owned: Ownership,
        moves: Moves,
    ) -> list[Action]:
        """End a move that the table does not speak of: not yet, or not any more."""
        tells: list[Action] = []
        if arriving is not None and not arriving.complete:
            tells.append(Tell(arriving.worker, "drop", (number,)))
        if departing is None:
            return tells
        worker, partitions, how_far = departing
        owner = owner_name(owned.table, partitions[0])
        if owner == worker:
            said = "drop" if how_far == LOOKS else "stay"
            return [*tells, Tell(worker, said, (number,))]
        owned.arrive(partitions, worker)
        moves.put(Move(number, partitions, worker, owner, Phase.KEPT))
        return tells if how_far == DELETES else [*tells, Tell(worker, "kept", (number,))]


def _is_over(departing: Departing | None, arriving: Arriving | None, owned: Ownership) -> bool:
    """Tell whether partitions have gone another way since: the record names other workers.

    Whoever led then has not come to tell those of the earlier move.
    """
    either = departing or arriving
    assert either is not None
    before = owned.moving.get(either.partitions[0])
    if before is None:
        return False
    left = departing is not None and departing.worker != before
    after = owner_name(owned.table, either.partitions[0])
    return left or (arriving is not None and arriving.worker != after)


def _end(number: int, departing: Departing | None, arriving: Arriving | None) -> list[Action]:
    """Let workers forget a move that is over, and what they have of it."""
    tells: list[Action] = []
    if arriving is not None:
        tells.append(Tell(arriving.worker, "drop", (number,)))
    if departing is not None and departing.how_far != DELETES:
        said = "drop" if departing.how_far == LOOKS else "kept"
        tells.append(Tell(departing.worker, said, (number,)))
    return tells
