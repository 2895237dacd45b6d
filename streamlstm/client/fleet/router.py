"""Where the requests of a fleet's client go, and in which order. No sockets, no clock.

Requests of one partition are applied in the order in which they were made, although partitions
move: while any of them is at one worker, none goes to another; one that was refused keeps its
place; and after a change of owners one goes alone until it is answered, since of several that are
refused with ``busy`` a later one might be applied first.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from ... import wire

_IN_ORDER = attrgetter("number")


@dataclass
class Routed:
    """A request on its way.

    Attributes
    ----------
    item : object
        What the caller knows of it.
    partitions : frozenset of int
        Those of its streams.
    number : tuple of int
        Its place: that of the request, and within it that of a part of it.
    blocks : bool
        Whether nothing is to be sent behind it until it is answered: without sequence numbers, a
        later request could be applied although this one, of several partitions, was refused.
    router : str or None
        Where it is; None while it waits.
    """

    item: Any
    partitions: frozenset[int]
    number: tuple[int, ...]
    blocks: bool
    router: str | None = None


@dataclass
class _Partition:
    """What is known of a partition, and the requests that wait for it."""

    router: str | None = None
    epoch: int = 0
    in_flight: int = 0
    proven: bool = False  # the owner has answered since it became one, or was busy
    blocked: bool = False  # nothing goes behind what is in flight
    waiting: list[Routed] = field(default_factory=list)


class Router:
    """Routes requests.

    Attributes
    ----------
    needs_table : bool
        Whether requests wait for a partition whose owner is not known.
    """

    def __init__(self, table: wire.FleetTable) -> None:
        self._partitions = [_Partition() for _ in range(wire.PARTITIONS)]
        self._number = 0
        self._stirred: set[int] = set()  # partitions whose first request may be ready
        self.follow(table)

    # --- what is known ---

    def follow(self, table: wire.FleetTable) -> None:
        """Learn a table, as far as it is newer than what is known of each partition."""
        for n, partition in enumerate(self._partitions):
            owner = table.owner(n)
            self._learn(n, partition, int(table.epochs[n]), None if owner is None else owner.router)

    def _learn(self, n: int, partition: _Partition, epoch: int, router: str | None) -> None:
        if epoch < partition.epoch or (epoch == partition.epoch and partition.router == router):
            return
        partition.epoch, partition.router, partition.proven = epoch, router, False
        self._stirred.add(n)

    @property
    def needs_table(self) -> bool:
        """As above."""
        return any(each.waiting and each.router is None for each in self._partitions)

    def lost(self, router: str) -> None:
        """Forget a worker that is not there any more; who has its partitions has to be asked."""
        for partition in self._partitions:
            if partition.router == router:
                partition.router, partition.proven = None, False

    def router_of(self, partition: int) -> str | None:
        """Return the endpoint of a partition's owner; None if it is not known."""
        return self._partitions[partition].router

    # --- requests ---

    def add(self, item: Any, partitions: Iterable[int], numbered: bool) -> Routed:
        """Take a request; :meth:`ready` returns it when it may be sent.

        Parameters
        ----------
        item : object
        partitions : iterable of int
            Those of its streams.
        numbered : bool
            Whether its observations have sequence numbers, so that none can be applied too early.
        """
        self._number += 1
        of = frozenset(partitions)
        routed = Routed(item, of, (self._number,), len(of) > 1 and not numbered)
        self._wait(routed)
        return routed

    def _wait(self, routed: Routed) -> None:
        for n in routed.partitions:
            insort(self._partitions[n].waiting, routed, key=_IN_ORDER)
            self._stirred.add(n)

    def ready(self) -> list[Routed]:
        """Return requests that are to be sent now, each to its ``router``, in this order.

        One whose partitions have several owners is returned without a router: it has to be
        divided (:meth:`divide`).
        """
        found: list[Routed] = []
        while self._stirred:
            n = self._stirred.pop()
            while (waiting := self._partitions[n].waiting) and self._may_go(waiting[0]):
                routed = waiting[0]
                found.append(routed)
                routers = {self._partitions[p].router for p in routed.partitions}
                if len(routers) > 1:
                    break  # nothing passes it until it is divided
                self._take_out(routed)
                routed.router = routers.pop()
                for p in routed.partitions:
                    self._partitions[p].in_flight += 1
                    self._partitions[p].blocked = routed.blocks
        return sorted({id(routed): routed for routed in found}.values(), key=_IN_ORDER)

    def _may_go(self, routed: Routed) -> bool:
        partitions = [self._partitions[n] for n in routed.partitions]
        return all(
            each.waiting[0] is routed
            and each.router is not None
            and (each.in_flight == 0 or (each.proven and not each.blocked))
            for each in partitions
        )

    def _take_out(self, routed: Routed) -> None:
        for n in routed.partitions:
            self._partitions[n].waiting.pop(0)
            self._stirred.add(n)

    def divide(self, routed: Routed, parts: Iterable[tuple[Any, Iterable[int]]]) -> list[Routed]:
        """Replace a request by parts, each of partitions with one owner, in its place."""
        self._take_out(routed)
        made = [
            Routed(item, frozenset(partitions), (*routed.number, n), routed.blocks)
            for n, (item, partitions) in enumerate(parts)
        ]
        for part in made:
            self._wait(part)
        return made

    # --- answers ---

    def done(self, routed: Routed) -> None:
        """Note that a request was answered, and is not sent again."""
        for n in routed.partitions:
            if self._partitions[n].router == routed.router:
                self._partitions[n].proven = True
        self._land(routed)

    def again(self, routed: Routed) -> None:
        """Note that a request was refused for now; it is sent again, in its place."""
        for n in routed.partitions:
            self._partitions[n].proven = False
        self._land(routed)
        self._wait(routed)

    def moved(self, routed: Routed, partition: int, owner: wire.Owner) -> None:
        """Note that a request was answered ``moved``; it is sent again, in its place."""
        self._learn(partition, self._partitions[partition], owner.epoch, owner.router)
        self.again(routed)

    def _land(self, routed: Routed) -> None:
        routed.router = None
        for n in routed.partitions:
            self._partitions[n].in_flight -= 1
            self._stirred.add(n)
