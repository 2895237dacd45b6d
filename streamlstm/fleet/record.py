"""What a fleet has to remember: its table, and where streams are that an owner does not have."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from .. import wire
from ..errors import ProtocolError

_T = TypeVar("_T", bound=Hashable)


class Wanted(NamedTuple):
    """What people want of a machine.

    Attributes
    ----------
    run : str
        Of the agent's process that it is about: the next one begins with what it is started with.
    workers : int or None
        How many; None if the machine is to end.
    """

    run: str
    workers: int | None


class Record(NamedTuple):
    """What is stored of a fleet, all of it at once.

    Attributes
    ----------
    table : FleetTable
    generations : mapping of str to int
        How often each worker has begun with an empty folder; its store is in
        ``worker-NAME.GENERATION``.
    sources : mapping of int to tuple of str
        Partitions whose owner has not copied all of them: in which folders, of workers that have
        died, the rest is. What the owner has counts first, then the folders in their order.
    moving : mapping of int to str
        Partitions on their way to the owner, and from whom. Unless the owner has noted that they
        have come, the former one has all of them that counts.
    leftovers : mapping of int to str
        Partitions of which another worker than the owner has streams that do not count, and are to
        be deleted.
    leaving : frozenset of str
        Workers whose partitions are to go to others, and that are to end then.
    wanted : mapping of str to Wanted
        What people want of each machine.
    """

    table: wire.FleetTable
    generations: Mapping[str, int]
    sources: Mapping[int, tuple[str, ...]]
    moving: Mapping[int, str]
    leftovers: Mapping[int, str]
    leaving: frozenset[str] = frozenset()
    wanted: Mapping[str, Wanted] = MappingProxyType({})

    @classmethod
    def new(cls) -> Record:
        """Return the record of a fleet without workers."""
        return cls(wire.FleetTable.new(), {}, {}, {}, {})

    @classmethod
    def from_value(cls, value: Any) -> Record:
        """Return a record from :meth:`to_value`.

        Raises
        ------
        ProtocolError
            If it is malformed.
        """
        table = wire.FleetTable.from_value(value)
        try:
            generations = {str(k): int(v) for k, v in value.get("generations", {}).items()}
            sources = {
                int(partition): tuple(map(str, folders))
                for folders, partitions in value.get("sources", ())
                for partition in partitions
            }
            moving, leftovers = (
                {
                    int(partition): str(name)
                    for name, partitions in value.get(which, ())
                    for partition in partitions
                }
                for which in ("moving", "leftovers")
            )
            leaving = frozenset(map(str, value.get("leaving", ())))
            wanted = {
                str(machine): Wanted(str(run), None if workers is None else int(workers))
                for machine, (run, workers) in value.get("wanted", {}).items()
            }
        except (AttributeError, TypeError, ValueError) as error:
            raise ProtocolError(f"table: expected where streams are ({error})") from None
        return cls(table, generations, sources, moving, leftovers, leaving, wanted)

    def to_value(self) -> dict[str, Any]:
        """Return it as a map of what msgpack knows; only owners and epochs are bytes."""
        return {
            **self.table.to_value(),
            "generations": dict(self.generations),
            "sources": [[list(key), found] for key, found in grouped(self.sources).items()],
            "moving": [[key, found] for key, found in grouped(self.moving).items()],
            "leftovers": [[key, found] for key, found in grouped(self.leftovers).items()],
            "leaving": sorted(self.leaving),
            "wanted": {machine: list(each) for machine, each in self.wanted.items()},
        }

    def folder(self, worker: str) -> str:
        """Return the name of the folder with the store of a worker."""
        return f"worker-{worker}.{self.generations.get(worker, 0)}"


def grouped(values: Mapping[int, _T]) -> dict[_T, list[int]]:
    """Return the keys that have each value."""
    found: dict[_T, list[int]] = {}
    for key, value in values.items():
        found.setdefault(value, []).append(key)
    return found
