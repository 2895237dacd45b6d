"""What the workers that live get of one that has died: its partitions, and folders to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .actions import Action, Remove, Say, Tell
from .members import Member, Stores
from .moves import Moves
from .ownership import Ownership
from .spread import spread


@dataclass
class Inheritance:
    """Who reads which folders of workers that have died.

    A worker that gets partitions serves them at once. What is not in its own folder it reads from
    those of the dead, and copies it; then these are removed.

    Attributes
    ----------
    stores : Stores
    owned : Ownership
        Changed here.
    moves : Moves
    """

    stores: Stores
    owned: Ownership
    moves: Moves
    _adoptions: dict[int, tuple[str, list[int]]] = field(default_factory=dict)
    _numbers: int = 0

    def died(self, name: str) -> None:
        """Forget what a worker was copying: others will."""
        self._adoptions = {n: each for n, each in self._adoptions.items() if each[0] != name}

    def inherit(self, name: str, halves: Mapping[str, list[int]]) -> list[Action]:
        """Let owners read what has not come of their partitions from where they came from."""
        tells: list[Action] = []
        for heir, partitions in halves.items():
            if self.stores is Stores.OWN:
                self.owned.bequeath(partitions, self.owned.record.folder(name))
            tells += self.adopt(heir, partitions)
        return tells

    def retire(self, member: Member, serving: Sequence[str]) -> list[Action]:
        """Give up the folder of a worker; its partitions go to those that serve."""
        name, mine = member.name, self.owned.of(member.name)
        folder = self.owned.record.folder(name)
        if self.stores is Stores.OWN and member.at_home:
            self.owned.bequeath(mine, folder)
        self.owned.generations[name] = self.owned.generations.get(name, 0) + 1
        member.at_home = False
        actions = self.share(mine, serving)
        if self.stores is Stores.OWN and not self.owned.is_source(folder):
            actions.append(Remove(folder))
        return [*actions, Say(self._said(name, mine))]

    def share(self, partitions: Sequence[int], serving: Sequence[str]) -> list[Action]:
        """Give partitions of a worker that has died to those that serve."""
        tells: list[Action] = []
        counts = self.owned.counts(serving)
        for heir, theirs in spread(partitions, counts, self.moves.barred()).items():
            self.owned.give(theirs, heir)
            tells += self.adopt(heir, theirs)
        return tells

    def adopt(self, name: str, partitions: Sequence[int]) -> list[Action]:
        """Let a worker serve partitions, with what is in folders besides its own."""
        of_folders: dict[tuple[str, ...], list[int]] = {}
        for each in partitions:
            of_folders.setdefault(self.owned.sources.get(each, ()), []).append(each)
        tells: list[Action] = []
        for folders, found in of_folders.items():
            if not folders:
                tells.append(Tell(name, "own", (found,)))
                continue
            self._numbers += 1
            self._adoptions[self._numbers] = name, found
            tells.append(Tell(name, "adopt", (self._numbers, found, list(folders))))
        return tells

    def copied(self, number: int) -> list[Action]:
        """Forget the folders of an adoption: the worker has all that was in them."""
        if number not in self._adoptions:
            return []
        name, partitions = self._adoptions.pop(number)
        removed = [Remove(folder) for folder in self.owned.copied(partitions)]
        return [self.owned.publish(), Tell(name, "settled", (number,)), *removed]

    def _said(self, name: str, partitions: Sequence[int]) -> str:
        """Say what has become of the partitions of a worker."""
        table = self.owned.table
        heirs = {owner.name for each in partitions if (owner := table.owner(each)) is not None}
        said = f"{name}: has ended"
        if partitions:
            said += f"; its {len(partitions)} partitions are at {', '.join(sorted(heirs))} now"
        if self.stores is Stores.MEMORY and partitions:
            said += ", and their streams begin anew: --store memory keeps nothing of a worker"
        return said
