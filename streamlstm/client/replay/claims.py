"""Which streams a replaying publisher claims at the worker, and whether it may go on with them.

A stream is claimed before it gets its first number here, and again on each connection before
anything of it is sent. The worker's reply says where the stream stands: its last number, and the
producer that it belonged to (docs/decisions/fencing-publishers.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ... import wire
from ..requests import id_size
from .failures import fed_elsewhere, state_lost
from .outbox import Outbox

_MAX_STREAMS = 1_000  # in a claim
_HEAD = 100  # bytes of a claim besides its ids, at most


class Claims:
    """Decides what to claim next, and what the replies mean. No sockets here.

    Parameters
    ----------
    producer : int
        This publisher's identity.
    formers : sequence of int
        Those of the publishers that had its journal before, the latest last.
    outbox : Outbox
    limit : int
        Maximum bytes of a message.

    Attributes
    ----------
    claimed : set
        Streams that this publisher has claimed: the next number of each is known.
    """

    def __init__(self, producer: int, formers: Sequence[int], outbox: Outbox, limit: int) -> None:
        self._producer, self._outbox, self._limit = producer, outbox, limit
        self._former = formers[-1] if formers else producer
        self._trusted = {producer, *formers}
        self.claimed: set[wire.StreamId] = set()
        self._waiting: set[wire.StreamId] = set()  # new streams that calls wait for
        self._expected: dict[wire.StreamId, int] = {}  # producers of streams not taken, as replied
        # Producers before the last claim of streams, until the store is known to have the claim:
        # a worker that is killed before may come back with the stream as it was then.
        self._taken_from: dict[wire.StreamId, int] = {}
        self._rows = _MAX_STREAMS

    def beside(self, outbox: Outbox) -> Claims:
        """Return the claims of another outbox of the same publisher, at another worker."""
        other = Claims(self._producer, (), outbox, self._limit)
        other._former, other._trusted = self._former, self._trusted
        other.claimed, other._expected = self.claimed, self._expected
        other._taken_from = self._taken_from
        return other

    @property
    def waiting(self) -> list[wire.StreamId]:
        """New streams that calls wait for."""
        return list(self._waiting)

    def give_away(self, stream: wire.StreamId) -> None:
        """Wait for a stream no more: another worker has it."""
        self._waiting.discard(stream)
        self._outbox.wanted.pop(stream, None)

    def want(self, streams: Iterable[wire.StreamId]) -> None:
        """Claim new streams as well, for calls that wait for them."""
        for stream in streams:
            if stream not in self._waiting:
                self._waiting.add(stream)
                self._outbox.wanted[stream] = None

    def restart(self, everything: bool) -> None:
        """Claim again what has unconfirmed observations; nothing is in flight.

        ``everything``: on a new connection, where other streams have to be claimed again too
        before anything of them is sent.
        """
        self._outbox.suspend(everything)
        self._outbox.wanted |= dict.fromkeys(self._waiting)

    def next(self) -> wire.Claim | None:
        """Return the next claim to send; None if there is none."""
        wanted = self._outbox.wanted
        if not wanted:
            return None
        streams: list[wire.StreamId] = []
        before, size = self._before(next(iter(wanted))), _HEAD
        for stream in wanted:
            size += id_size(stream)
            full = len(streams) == self._rows or (bool(streams) and size > self._limit)
            if full or self._before(stream) != before:
                break
            streams.append(stream)
        for stream in streams:
            del wanted[stream]
        return wire.Claim(streams, before)

    def _before(self, stream: wire.StreamId) -> int | None:
        """Return whose a stream should be; None if anybody's will do, for one that is new here."""
        if stream in self._expected:
            return self._expected[stream]
        if stream not in self._outbox.last_seqs:
            return None
        return self._producer if stream in self.claimed else self._former

    def divide(self, claim: wire.Claim) -> None:
        """Send a claim again in parts: the worker has no room for so many streams at once."""
        self._rows = max(1, len(claim.streams) // 2)
        self._outbox.wanted |= dict.fromkeys(claim.streams)

    def handle(
        self, claim: wire.Claim, standings: Sequence[tuple[int, int]], message: int = 0
    ) -> None:
        """Continue each stream after the worker's last number, or claim it as it stands.

        Parameters
        ----------
        claim : wire.Claim
        standings : sequence of (int, int)
            Last number and producer of each of its streams.
        message : int
            How many messages were sent before the next one.

        Raises
        ------
        StreamLSTMError
            If a stream cannot continue from there.
        """
        for stream, (last, producer) in zip(claim.streams, standings, strict=True):
            if self._outbox.is_ready(stream):
                continue  # claimed twice, for its observations and for a call; it may be under way
            self._check(stream, last, producer)
            if claim.before is not None and producer not in (claim.before, self._producer):
                self._expected[stream] = producer
                self._outbox.wanted[stream] = None
                continue
            self._expected.pop(stream, None)
            if producer != self._producer:
                self._taken_from[stream] = producer
            self._waiting.discard(stream)
            self.claimed.add(stream)
            self._outbox.resume(stream, last, message)

    def confirm(self, ends: Iterable[tuple[wire.StreamId, int]]) -> None:
        """Record that observations of streams are in the store, and so are the claims before."""
        for stream, _ in ends:
            self._taken_from.pop(stream, None)

    def _check(self, stream: wire.StreamId, last: int, producer: int) -> None:
        """Raise if the worker lost confirmed observations, or may have somebody else's as these."""
        entries = self._outbox.entries_of(stream)
        rolled_back = producer in (0, self._taken_from.get(stream))
        if entries and entries[0].is_given:
            confirmed = self._outbox.confirmed.get(stream, 0)
            if last < confirmed:
                raise state_lost(stream, last, confirmed + 1)
            if not rolled_back and producer not in self._trusted and stream in self.claimed:
                raise fed_elsewhere(stream, last, entries)
            return
        oldest = entries[0].seq if entries else self._outbox.last_seqs.get(stream, last) + 1
        if last < oldest - 1:
            raise state_lost(stream, last, oldest)
        if not entries:
            return
        if last < oldest:  # none of them was applied
            goes_on = rolled_back or producer in self._trusted or stream not in self.claimed
        else:
            never_sent = any(not entry.tries for entry in entries if entry.seq <= last)
            goes_on = producer in self._trusted and not never_sent
        if not goes_on:
            raise fed_elsewhere(stream, last, entries)
