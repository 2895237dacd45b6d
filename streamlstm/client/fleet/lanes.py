"""What a replaying publisher has for each worker of a fleet: outboxes over one journal.

A partition's streams are in one lane at a time, that of the worker which has them. They change
lanes only while nothing of theirs is in flight. In the new lane they are claimed again: the worker
says how far they are, and what it has applied, or got with the stream from the worker before, is
confirmed by its own barriers. So an observation leaves the journal when the worker that has its
stream has committed it, whoever applied it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ... import wire
from ...errors import RemoteError
from ..replay.claims import Claims
from ..replay.connection import ReplayConnection
from ..replay.outbox import Entry, Outbox
from ..replay.protocol import ReplayProtocol, Request
from .ids import PartitionMemory
from .router import Router

MakeProtocol = Callable[[Outbox, Claims, Callable[[wire.Error], float]], ReplayProtocol]

_EARLY = 0.005  # seconds until a worker that knew nothing new is asked again


class Lane:
    """The streams of one worker; without a connection, those whose worker is not known."""

    def __init__(
        self, router: str | None, outbox: Outbox, claims: Claims, protocol: ReplayProtocol
    ) -> None:
        self.router, self.outbox, self.claims, self.protocol = router, outbox, claims, protocol
        self.connection: ReplayConnection[Request] | None = None

    @property
    def has_something(self) -> bool:
        """Whether anything waits here for a worker."""
        return bool(self.outbox.rows or self.outbox.wanted)


class Lanes:
    """All lanes of a publisher. Its lock guards every method.

    It stands for the outbox and the :class:`Claims` that a publisher to a single worker has.

    Parameters
    ----------
    outbox, claims : Outbox, Claims
        Of streams whose worker is not known; the others share what these know.
    one_in_flight : bool
        As for :class:`Outbox`.
    make : callable
        Returns the protocol of a lane.

    Attributes
    ----------
    router : Router
        Who has which partition, as far as it is known.
    left_out : list of RemoteError
        As of :class:`ReplayProtocol`, of all lanes.
    """

    def __init__(
        self, outbox: Outbox, claims: Claims, one_in_flight: bool, make: MakeProtocol
    ) -> None:
        self._one_in_flight, self._make = one_in_flight, make
        self.router, self._ids = Router(), PartitionMemory()
        self.left_out: list[RemoteError] = []
        self.last_seqs, self.claimed = outbox.last_seqs, claims.claimed
        self._confirmed = outbox.confirmed
        self._past = 0  # observations that closed lanes have sent again
        self._full: bool | None = None
        self.nowhere = self._lane(None, outbox, claims)
        self._lanes: dict[str | None, Lane] = {None: self.nowhere}
        self._of: list[Lane] = [self.nowhere] * wire.PARTITIONS

    def _lane(self, router: str | None, outbox: Outbox, claims: Claims) -> Lane:
        protocol = self._make(outbox, claims, self._moved)
        protocol.share(self, self.left_out)
        return Lane(router, outbox, claims, protocol)

    # --- what the publisher asks of its outbox, its claims and its protocol ---

    def __iter__(self) -> Iterator[Entry]:
        """Yield all entries, each stream in its order."""
        for lane in self._lanes.values():
            yield from lane.outbox

    @property
    def rows(self) -> int:
        """Number of unconfirmed observations."""
        return sum(lane.outbox.rows for lane in self._lanes.values())

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(lane.outbox.size for lane in self._lanes.values())

    @property
    def full(self) -> bool | None:
        """Whether the workers need numbers of full precision; None before one has said so."""
        known = (lane.outbox.full for lane in self._lanes.values())
        self._full = next((full for full in known if full is not None), self._full)
        return self._full

    @property
    def replayed(self) -> int:
        """Number of observations that were sent again."""
        return self._past + sum(lane.protocol.replayed for lane in self._lanes.values())

    def add(self, entry: Entry) -> None:
        """Add an observation that has the next number of its stream."""
        self._of[self._partition(entry.stream)].outbox.add(entry)

    def release(self, entry: Entry) -> None:
        """Record that one is applied whose prediction was held."""
        self._of[self._partition(entry.stream)].outbox.release(entry)

    def want(self, streams: Iterable[wire.StreamId]) -> None:
        """Claim new streams as well, for calls that wait for them."""
        for stream in streams:
            self._of[self._partition(stream)].claims.want([stream])

    def _partition(self, stream: wire.StreamId) -> int:
        return self._ids.of([stream])[0]

    # --- lanes ---

    def all(self) -> list[Lane]:
        """Return the lanes that have a worker."""
        return [lane for lane in self._lanes.values() if lane is not self.nowhere]

    def follow(self, table: wire.FleetTable) -> None:
        """Learn a table; lanes at which nothing is in flight get and give streams."""
        self.router.follow(table)
        self.sort(self.nowhere)
        for lane in self.all():
            if lane.connection is None or lane.protocol.is_halted:
                self.sort(lane)

    def sort(self, lane: Lane) -> bool:
        """Give the streams of a lane at which nothing is in flight to where they belong.

        Return whether any were given: then other lanes have something to do.
        """
        for n in [n for n, of in enumerate(self._of) if of is lane]:
            router = self.router.router_of(n)
            if router is not None and router not in self._lanes:
                beside = Outbox(self._one_in_flight, self.last_seqs, self._confirmed)
                self._lanes[router] = self._lane(router, beside, lane.claims.beside(beside))
            self._of[n] = self._lanes[router]
        return self._hand_over(lane)

    def _hand_over(self, lane: Lane) -> bool:
        given = False
        for stream in lane.outbox.streams:
            to = self._of[self._partition(stream)]
            if to is not lane:
                to.outbox.take_over(stream, lane.outbox.give_away(stream))
                given = True
        for stream in lane.claims.waiting:
            to = self._of[self._partition(stream)]
            if to is not lane:
                lane.claims.give_away(stream)
                to.claims.want([stream])
                given = True
        return given

    def close(self, lane: Lane) -> None:
        """Do without a worker; its streams wait until it is known who has them."""
        assert lane.router is not None
        self.router.lost(lane.router)
        self._past += lane.protocol.replayed
        self._full = self.full
        del self._lanes[lane.router]
        lane.outbox.suspend(everything=True)
        self._of = [self.nowhere if of is lane else of for of in self._of]
        self._hand_over(lane)

    def _moved(self, error: wire.Error) -> float:
        """Learn from a refusal who has a partition; return for how long to send nothing."""
        number, owner = error.number, error.owner
        if number is None or owner is None:
            return _EARLY
        return 0.0 if self.router.learn(number, owner.epoch, owner.router) else _EARLY

    def is_done_with(self, lane: Lane) -> bool:
        """Return whether the worker of a lane has nothing any more that is sent here."""
        return not lane.has_something and not any(of is lane for of in self._of)

    @property
    def are_stuck(self) -> bool:
        """Whether something waits for a worker that is not known, or not there."""
        return self.nowhere.has_something or any(
            lane.protocol.blocked and lane.has_something for lane in self.all()
        )
