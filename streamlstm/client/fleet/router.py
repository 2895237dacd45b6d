"""Where the requests of a fleet's client go, and in which order. No sockets, no clock.

Requests of one partition are applied in the order in which they were made, although partitions
move: while any of them is at one worker, none goes to another; one that was refused keeps its
place; and after a change of owners one goes alone until it is answered, since of several that are
refused with ``busy`` a later one might be applied first.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from ... import wire

_IN_ORDER = attrgetter("number")


class Routed:
    """A request on its way.

    Parameters
    ----------
    partitions : tuple of int
        Those of its streams, each once.
    numbered : bool
        Whether its observations have sequence numbers, so that none can be applied too early.
    sparse : bool
        Whether numbers leave some out, so that one that is applied too early is in place of those
        that it has overtaken.

    Attributes
    ----------
    partitions
        As given.
    number : tuple of int
        Its place: that of the request, and within it that of a part of it.
    blocks : bool
        Whether nothing is to be sent behind it until it is answered: without sequence numbers, a
        later request could be applied although this one, of several partitions, was refused; with
        sparse ones this one would then never be, whatever its partitions.
    router : str or None
        Where it is; None while it waits.
    """

    __slots__ = ("blocks", "number", "partitions", "router", "sparse")

    def __init__(self, partitions: tuple[int, ...], numbered: bool, sparse: bool = False) -> None:
        self.partitions = partitions
        self.number: tuple[int, ...] = ()
        self.sparse = sparse
        self.blocks = sparse or (len(partitions) > 1 and not numbered)
        self.router: str | None = None


class _Partition:
    """What is known of a partition, and the requests that wait for it."""

    __slots__ = ("blocked", "epoch", "in_flight", "proven", "resting", "router", "waiting")

    def __init__(self) -> None:
        self.router: str | None = None
        self.epoch = self.in_flight = 0
        self.proven = False  # the owner has answered since it became one, or was busy
        self.blocked = False  # nothing goes behind what is in flight
        self.resting = 0  # requests that are not to be sent again yet
        self.waiting: list[Routed] = []


class Router:
    """Routes requests.

    Attributes
    ----------
    waiting : int
        How many requests wait.
    stirred : set of int
        Partitions whose first request may be ready.
    """

    def __init__(self, table: wire.FleetTable | None = None) -> None:
        self._partitions = [_Partition() for _ in range(wire.PARTITIONS)]
        self._number = self.waiting = 0
        self.stirred: set[int] = set()
        if table is not None:
            self.follow(table)

    # --- what is known ---

    def follow(self, table: wire.FleetTable) -> None:
        """Learn a table, as far as it is not older than what is known of each partition."""
        routers = [worker.router for worker in table.workers]
        pairs = zip(table.owners.tolist(), table.epochs.tolist(), strict=True)
        for n, (owner, epoch) in enumerate(pairs):
            self.learn(n, epoch, None if owner == wire.NOBODY else routers[owner])

    def learn(self, n: int, epoch: int, router: str | None) -> bool:
        """Learn who has a partition since an epoch; return whether that is new."""
        partition = self._partitions[n]
        if epoch < partition.epoch or (epoch == partition.epoch and partition.router == router):
            return False
        partition.epoch, partition.router, partition.proven = epoch, router, False
        self.stirred.add(n)
        return True

    @property
    def needs_table(self) -> bool:
        """Whether requests wait for a partition whose owner is not known."""
        return self.waiting > 0 and any(p.waiting and p.router is None for p in self._partitions)

    def lost(self, router: str) -> None:
        """Forget a worker that is not there any more; who has its partitions has to be asked."""
        for partition in self._partitions:
            if partition.router == router:
                # Any epoch is news then: the fleet may have begun anew, without its table.
                partition.router, partition.proven, partition.epoch = None, False, 0

    def router_of(self, partition: int) -> str | None:
        """Return the endpoint of a partition's owner; None if it is not known."""
        return self._partitions[partition].router

    def is_proven(self, partition: int) -> bool:
        """Return whether the owner of a partition has answered since it became one."""
        return self._partitions[partition].proven

    def doubt(self, partition: int) -> None:
        """Send requests of a partition one by one, until one is answered."""
        self._partitions[partition].proven = False

    # --- requests ---

    def add(self, routed: Routed) -> bool:
        """Take a request; return whether it is to be sent at once, to its ``router``.

        Otherwise :meth:`ready` returns it when it may be sent.
        """
        self._number += 1
        routed.number = (self._number,)
        if len(routed.partitions) == 1 and not routed.sparse:
            partition = self._partitions[routed.partitions[0]]
            if partition.proven and not partition.waiting and not partition.blocked:
                partition.in_flight += 1
                routed.router = partition.router
                return True
        self._wait(routed)
        return False

    def _wait(self, routed: Routed) -> None:
        for n in routed.partitions:
            insort(self._partitions[n].waiting, routed, key=_IN_ORDER)
            self.stirred.add(n)
        self.waiting += 1

    def ready(self) -> list[Routed]:
        """Return requests that are to be sent now, each to its ``router``, in this order.

        One whose partitions have several owners is returned without a router: it has to be
        divided (:meth:`divide`).
        """
        found: list[Routed] = []
        # Each is looked at once, not once for each of its partitions.
        divided: set[int] = set()
        held: set[int] = set()
        while self.stirred:
            n = self.stirred.pop()
            while waiting := self._partitions[n].waiting:
                routed = waiting[0]
                if id(routed) in divided or id(routed) in held:
                    break
                if not self._may_go(routed):
                    held.add(id(routed))
                    break
                found.append(routed)
                routers = {self._partitions[p].router for p in routed.partitions}
                if len(routers) > 1:
                    divided.add(id(routed))
                    break  # nothing passes it until it is divided
                self._take_out(routed)
                held.clear()  # one of them may be the first now
                routed.router = routers.pop()
                for p in routed.partitions:
                    self._partitions[p].in_flight += 1
                    self._partitions[p].blocked = routed.blocks
        return sorted(found, key=_IN_ORDER)

    def _may_go(self, routed: Routed) -> bool:
        partitions = [self._partitions[n] for n in routed.partitions]
        return all(
            each.waiting[0] is routed
            and each.router is not None
            and not each.resting
            and (each.in_flight == 0 or (each.proven and not each.blocked))
            for each in partitions
        )

    def _take_out(self, routed: Routed) -> None:
        for n in routed.partitions:
            self._partitions[n].waiting.remove(routed)
            self.stirred.add(n)
        self.waiting -= 1

    def divide(self, routed: Routed, parts: Sequence[Routed]) -> None:
        """Replace a request by parts, each of partitions with one owner, in its place."""
        self._take_out(routed)
        self.put(routed, parts)

    def put(self, routed: Routed, parts: Sequence[Routed]) -> None:
        """Let parts wait in the place of a request that does not wait itself."""
        for n, part in enumerate(parts):
            part.number, part.blocks = (*routed.number, n), routed.blocks
            self._wait(part)

    def cancel(self, routed: Routed) -> None:
        """Take out a request that waits: it is not sent any more."""
        self._take_out(routed)

    def all_waiting(self) -> Iterator[Routed]:
        """Yield the requests that wait, some of them several times."""
        if self.waiting:
            for partition in self._partitions:
                yield from partition.waiting

    # --- answers ---

    def done(self, routed: Routed) -> None:
        """Note that a request was answered, and is not sent again."""
        router = routed.router
        for n in routed.partitions:
            partition = self._partitions[n]
            partition.in_flight -= 1
            if partition.router == router:
                partition.proven = True
            if partition.waiting:
                self.stirred.add(n)
        routed.router = None

    def drop(self, routed: Routed) -> None:
        """Note that no answer to a request will come, and it is not sent again."""
        routed.router = None
        for n in routed.partitions:
            self._partitions[n].in_flight -= 1
            self.stirred.add(n)

    def again(self, routed: Routed) -> None:
        """Note that a request was refused for now; it is sent again, in its place."""
        for n in routed.partitions:
            self._partitions[n].proven = False
        self.drop(routed)
        self._wait(routed)

    def moved(self, routed: Routed, partition: int, owner: wire.Owner) -> bool:
        """Note that a request was answered ``moved``; it is sent again, in its place.

        Return whether that told anything new; if not, it is too early to ask again.
        """
        newer = owner.epoch > self._partitions[partition].epoch
        learned = newer and self.learn(partition, owner.epoch, owner.router)
        self.again(routed)
        return learned and owner.router is not None

    def has_earlier(self, routed: Routed) -> bool:
        """Return whether a request waits that is to be applied before one that was sent.

        Then the one that was sent has come too early: with numbers it is answered ``gap``.
        """
        first = (self._partitions[n].waiting[:1] for n in routed.partitions)
        return any(waiting and waiting[0].number < routed.number for waiting in first)

    def rest(self, partitions: Iterable[int]) -> None:
        """Send nothing of partitions until :meth:`wake`."""
        for n in partitions:
            self._partitions[n].resting += 1

    def wake(self, partitions: Iterable[int]) -> None:
        """End a rest."""
        for n in partitions:
            self._partitions[n].resting -= 1
            self.stirred.add(n)
