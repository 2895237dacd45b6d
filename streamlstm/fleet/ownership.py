"""Who has which partition: the record of a fleet while it changes. No sockets, no processes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from .. import wire
from .actions import Publish
from .record import Record


class Ownership:
    """The record of a fleet; changes are made here and then published together.

    Attributes
    ----------
    record : Record
        As it was published last, but for the changes since.
    generations, sources, moving, leftovers, leaving, wanted
        Those of the record, which may be changed.
    """

    def __init__(self, record: Record | None = None) -> None:
        record = Record.new() if record is None else record
        self._table = record.table
        self._unlisted: dict[str, wire.FleetWorker] = {}
        self.generations = dict(record.generations)
        self.sources = dict(record.sources)
        self.moving, self.leftovers = dict(record.moving), dict(record.leftovers)
        self.leaving, self.wanted = record.leaving, dict(record.wanted)

    @property
    def table(self) -> wire.FleetTable:
        """The table of the record."""
        return self._table

    @property
    def record(self) -> Record:
        """All of it, as it is now."""
        return Record(
            self._table,
            dict(self.generations),
            dict(self.sources),
            dict(self.moving),
            dict(self.leftovers),
            self.leaving,
            dict(self.wanted),
        )

    def publish(self) -> Publish:
        """Return the action that stores the record as it is now, with a new version."""
        self._table = self._table._replace(version=self._table.version + 1)
        return Publish(self.record)

    # --- workers ---

    def list_workers(
        self,
        places: Mapping[str, wire.FleetWorker],
        members: Iterable[str],
        ending: Collection[str] = (),
    ) -> bool:
        """Note where workers are; tell whether that has changed.

        Those keep their place that are members, or have partitions; ``ending`` are listed only in
        the latter case.
        """
        before, members = self._table.workers, set(members).difference(ending)
        self._unlisted = {name: places[name] for name in ending if name in places}
        found = {worker.name: worker for worker in before} | dict(places)
        owned = {before[n].name for n in set(self._table.owners.tolist()) - {wire.NOBODY}}
        workers = tuple(w for w in found.values() if w.name in owned or w.name in members)
        if workers == before:
            return False
        numbers = {worker.name: n for n, worker in enumerate(workers)}
        owners = self._table.owners.copy()
        for place, worker in enumerate(before):
            if worker.name in numbers:
                owners[self._table.owners == place] = numbers[worker.name]
        self._table = self._table._replace(workers=workers, owners=owners)
        return True

    def _place(self, name: str) -> int:
        return next(n for n, worker in enumerate(self._table.workers) if worker.name == name)

    # --- partitions ---

    def give(self, partitions: Sequence[int], name: str) -> None:
        """Let a worker have partitions; their epochs rise."""
        if name in self._unlisted and all(each.name != name for each in self._table.workers):
            listed = (*self._table.workers, self._unlisted[name])  # it was to end; nobody else can
            self._table = self._table._replace(workers=listed)
        owners, epochs = self._table.owners.copy(), self._table.epochs.copy()
        owners[partitions] = self._place(name)
        epochs[partitions] += 1
        self._table = self._table._replace(owners=owners, epochs=epochs)

    def of(self, name: str) -> list[int]:
        """Return the partitions of a worker."""
        return self.of_each([name])[name]

    def of_nobody(self) -> list[int]:
        """Return the partitions that nobody has."""
        found: list[int] = np.flatnonzero(self._table.owners == wire.NOBODY).tolist()
        return found

    def of_each(self, names: Iterable[str]) -> dict[str, list[int]]:
        """Return the partitions of each worker."""
        found: dict[str, list[int]] = {name: [] for name in names}
        of_places = [found.get(worker.name) for worker in self._table.workers]
        for partition, place in enumerate(self._table.owners.tolist()):
            mine = None if place == wire.NOBODY else of_places[place]
            if mine is not None:
                mine.append(partition)
        return found

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many partitions each worker has."""
        return {name: len(mine) for name, mine in self.of_each(names).items()}

    def are_at(self, partitions: Sequence[int], arrived: Mapping[int, int]) -> bool:
        """Tell whether partitions have come to their owner in their present epochs.

        Parameters
        ----------
        partitions : sequence of int
        arrived : mapping of int to int
            The epochs in which partitions have come to the owner and were committed, as it noted.
        """
        epochs = self._table.epochs
        return all(arrived.get(each) == int(epochs[each]) for each in partitions)

    def depart(self, partitions: Sequence[int], before: str, after: str) -> None:
        """Let partitions be on their way from one worker to another, which is their owner now."""
        self.give(partitions, after)
        self.moving |= dict.fromkeys(partitions, before)

    def arrive(self, partitions: Sequence[int], leftovers: str) -> None:
        """Note that owners have partitions for certain, and a worker has some to delete."""
        self.forget(partitions)
        self.leftovers |= dict.fromkeys(partitions, leftovers)

    def forget(self, partitions: Iterable[int]) -> None:
        """Note that nobody else has anything of partitions."""
        for each in partitions:
            self.moving.pop(each, None)
            self.leftovers.pop(each, None)

    # --- folders of workers that have died ---

    def bequeath(self, partitions: Iterable[int], folder: str) -> None:
        """Note that partitions are to be read from a folder, before what was noted already."""
        for each in partitions:
            self.sources[each] = (folder, *self.sources.get(each, ()))

    def copied(self, partitions: Iterable[int]) -> list[str]:
        """Note that their owners have all of partitions; return the folders of no more use."""
        before = self._folders()
        for each in partitions:
            self.sources.pop(each, None)
        return sorted(before - self._folders())

    def is_source(self, folder: str) -> bool:
        """Tell whether partitions are still to be read from a folder."""
        return folder in self._folders()

    def _folders(self) -> set[str]:
        return {folder for folders in self.sources.values() for folder in folders}
