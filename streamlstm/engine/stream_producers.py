"""The producer of each stream: who may apply its next numbered observation.

A producer is one life of a publisher (docs/decisions/fencing-publishers.md). A stream's is that of
the last numbered observation, or of a later claim; 0 if the sender had none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..errors import FencedError
from .ids import StreamId, dict_key, unique
from .table_user import TableUser


class Standing(NamedTuple):
    """Where a stream stands: its last sequence number and its producer, both 0 if it has none."""

    last: int
    producer: int

    def is_claimed_by(self, producer: int, before: int | None) -> bool:
        """Return whether a claim takes the stream: of any producer if ``before`` is None."""
        return before is None or self.producer in (before, producer)


class StreamProducers(TableUser):
    """Checks, sets and claims the producers of streams in memory."""

    def check(
        self, streams: Sequence[StreamId], seqs: Sequence[int], producers: Sequence[int]
    ) -> None:
        """Check that the producer of each numbered observation may apply it, one after another.

        Raises
        ------
        FencedError
            For the first one that may not, with its ``position``. A stream without a number is
            anybody's; without a producer (0) an observation is not checked.
        """
        before: dict[StreamId | bytes, int] = {}  # producers within the block
        with self._lock, self._flag:
            for n, (stream, seq, producer) in enumerate(zip(streams, seqs, producers, strict=True)):
                if not seq:
                    continue
                last, owner = self._standing(stream)
                key = dict_key(stream)
                owner = before.get(key, owner)
                if producer not in (0, owner) and (owner or last or key in before):
                    error = _fenced(stream, seq, last)
                    error.position = n
                    raise error
                before[key] = producer

    def assign(
        self, streams: Sequence[StreamId], seqs: Sequence[int], producers: Sequence[int]
    ) -> None:
        """Set the producers of applied observations; a step has set those without one to 0."""
        rows = zip(streams, seqs, producers, strict=True)
        with self._lock, self._flag:
            for stream, seq, producer in rows:
                if seq:
                    self._table.producers[self._table.find(stream)] = producer

    def claim(
        self, streams: Iterable[StreamId], producer: int, before: int | None
    ) -> list[tuple[StreamId, Standing]]:
        """Make streams in memory those of a producer, as far as they are ``before``'s.

        Returns
        -------
        list of (stream, Standing)
            How each of those in memory stood, once each.
        """
        found: list[tuple[StreamId, Standing]] = []
        with self._lock, self._flag:
            for stream in unique(streams):
                slot = self._table.find(stream)
                if slot < 0:
                    continue
                standing = self._standing(stream)
                found.append((stream, standing))
                if standing.producer != producer and standing.is_claimed_by(producer, before):
                    self._table.mark_dirty(np.array([slot]))
                    self._table.producers[slot] = producer
        return found

    def _standing(self, stream: StreamId) -> Standing:
        slot = self._table.find(stream)
        if slot < 0:
            return Standing(0, 0)
        return Standing(self._table.last_seq(slot), int(self._table.producers[slot]))


def _fenced(stream: StreamId, seq: int, last: int) -> FencedError:
    return FencedError(
        f"stream {stream!r}: observation {seq} comes from another publisher than the one that the "
        f"stream belongs to, which has reached {last}; a publisher takes a stream over with CLAIM.",
        last,
    )
