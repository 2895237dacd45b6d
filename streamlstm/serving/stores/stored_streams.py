"""Reads streams from the store that are not in memory: restores, looks up and lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from ...engine.dirty_tracker import DirtyTracker
from ...engine.ids import MAX_INTEGER_ID, StreamId
from ...engine.records import RecordBatch, store_key, stream_from_key
from ...engine.stream_producers import Standing
from ...errors import StoreError
from .epochs import Epochs
from .outage import Outage
from .store import Store

_LAST_INTEGER = store_key(MAX_INTEGER_ID)
PRELOAD_STREAMS = 4096  # restored at a time


class StoredStreams:
    """The streams that are in a store and not in memory.

    Parameters
    ----------
    tracker : DirtyTracker
        The engine's, which restores streams.
    store : Store

    Attributes
    ----------
    epochs : Epochs or None
        Of the store's records; None where streams never restart.
    batch : RecordBatch
        Under way to the store; the streams that it deletes count as deleted.
    outage : Outage
        Of reading.
    returned : int
        Streams that were restored because a message needed them.
    """

    epochs: Epochs | None
    batch: RecordBatch

    def __init__(self, tracker: DirtyTracker, store: Store) -> None:
        self._tracker, self._store = tracker, store
        self._remaining = store.count()  # streams of the store that may not be in memory
        self.outage = Outage("read")
        self.returned = 0

    @property
    def count(self) -> int:
        """Number of streams in the store and not in memory."""
        return self._remaining

    def recount(self, streams: int) -> None:
        """Set the count, after the store has lost streams."""
        self._remaining = max(0, streams)

    def note_evicted(self, streams: int) -> None:
        """Count streams, all of which the store has, that were evicted from memory."""
        self._remaining += streams

    def restore(self, streams: Iterable[StreamId]) -> None:
        """Bring those of these streams into memory that are in the store and not in memory.

        Raises
        ------
        StoreError
            If the store cannot be read; nothing has changed.
        CapacityError
            If there are not enough slots for them; nothing has changed.
        """
        found = self._find(streams)
        if found:
            self._put_back(found)
            self.returned += len(found)

    def last_seqs(self, streams: Iterable[StreamId]) -> dict[bytes, int]:
        """Return the last sequence numbers, by key, of those streams that are not in memory.

        Raises
        ------
        StoreError
            If the store cannot be read, or what it has of them is damaged.
        """
        return {key: found.last for key, found in self.standings(streams).items()}

    def standings(self, streams: Iterable[StreamId]) -> dict[bytes, Standing]:
        """Return last numbers and producers, by key, of those streams that are not in memory.

        Raises
        ------
        StoreError
            If the store cannot be read, or what it has of them is damaged.
        """
        found = self._find(streams)
        ids = [stream_from_key(key) for key in found]
        standings = self._tracker.standings(ids, list(found.values()))
        return dict(zip(found, standings, strict=True))

    def list_page(
        self,
        prefix: str | None,
        after: StreamId | None,
        count: int,
        until: StreamId | None = None,
    ) -> list[tuple[StreamId, int]]:
        """Return the next streams that are not in memory, and their last sequence numbers.

        Parameters and order are those of :meth:`streamlstm.Engine.list_streams`; what comes after
        ``until`` may be left out, so that not all of a store has to be read that memory has too. A
        stream whose record is damaged has the number 0.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        start = b"" if after is None else store_key(after)
        if prefix is not None:
            start = max(start, _LAST_INTEGER)  # no integer has a prefix, not even the empty one
        end = None if until is None else store_key(until)
        listed: list[tuple[StreamId, int]] = []
        while self.count and len(listed) < count and (end is None or start < end):
            deleted = set(self.batch.deleted)
            page = self._store.page((prefix or "").encode(), start, count)
            if not page:
                break
            start = page[-1][0]
            records = {k: self._decode(r) for k, r in page if k not in deleted}
            absent = self._tracker.absent(map(stream_from_key, records))
            found = [records[store_key(stream)] for stream in absent]
            seqs = self._tracker.seqs_or_zero(absent, found)
            listed += zip(absent, seqs, strict=True)
        return listed[:count]

    def give_up(self, stream: StreamId) -> None:
        """Delete a stream that is not in memory, and whose record is damaged."""
        self._tracker.delete_absent(stream)
        self._remaining -= 1

    def preload(self, progress: Callable[[int, int], object], partial: bool = False) -> int:
        """Bring all streams of the store into memory; return how many were restored.

        Parameters
        ----------
        progress : callable
            Called as ``progress(done, total)``.
        partial : bool
            Whether to stop when memory is full, instead of raising CapacityError.

        Raises
        ------
        StoreError, CapacityError
            As for :meth:`restore`.
        """
        items, done, total = self._store.items(), 0, self._store.count()
        if partial:
            items = islice(items, self._tracker.free_slots)
        while found := {k: self._decode(r) for k, r in islice(items, PRELOAD_STREAMS)}:
            self._put_back(found)
            done += len(found)
            progress(done, total)
        return done

    def _find(self, streams: Iterable[StreamId]) -> dict[bytes, bytes]:
        """Return keys and records of those of these streams that are only in the store."""
        if not self.count:
            return {}
        absent = self._tracker.absent(streams)
        deleted = set(self.batch.deleted) if self.batch.deleted else ()
        keys = [key for key in map(store_key, absent) if key not in deleted]
        if not keys:
            return {}
        if self.outage.error is not None and self.outage.retry_in() > 0:
            raise self.outage.error
        try:
            records = self._store.get(keys)
        except StoreError as error:
            self.outage.record(error)
            raise
        self.outage.end()
        return {k: self._decode(r) for k, r in zip(keys, records, strict=True) if r}

    def _decode(self, record: bytes) -> bytes:
        """Return a record of the store, of whatever epoch, as one of the model that runs."""
        return record if self.epochs is None else self.epochs.current(record)

    def _put_back(self, found: dict[bytes, bytes]) -> None:
        self._tracker.restore([stream_from_key(key) for key in found], list(found.values()))
        self._remaining -= len(found)
