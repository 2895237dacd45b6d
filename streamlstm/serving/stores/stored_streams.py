"""Reads streams from the store that are not in memory: restores, looks up and lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np

from ...engine.dirty_tracker import DirtyTracker
from ...engine.ids import MAX_INTEGER_ID, StreamId
from ...engine.records import store_key, stream_from_key
from ...engine.stream_producers import Standing
from ...errors import DamagedRecordError, StoreError
from .adopted import Adopted
from .shared_store import SharedStore
from .store import Store
from .stored_records import StoredRecords

_LAST_INTEGER = store_key(MAX_INTEGER_ID)
PRELOAD_STREAMS = 4096  # restored at a time


class StoredStreams(StoredRecords):
    """The streams that are in a store, or elsewhere, and not in memory.

    Parameters
    ----------
    tracker : DirtyTracker
        The engine's, which restores streams.
    store : Store

    Attributes
    ----------
    returned : int
        Streams that were restored because a message needed them.
    preloads : bool
        Whether streams of a store that others share are brought into memory without need.
    are_own : callable or None
        Tells of each stream whether it is this worker's, where others share the store.
    """

    def __init__(self, tracker: DirtyTracker, store: Store) -> None:
        super().__init__(store)
        self._tracker = tracker
        self._shared = store if isinstance(store, SharedStore) else None
        self._remaining = store.count()  # streams of the store that may not be in memory
        self.returned = 0
        self.preloads = False
        self.are_own: Callable[[Sequence[StreamId]], list[bool]] | None = None

    @property
    def has_any(self) -> bool:
        """True if streams may be somewhere that are not in memory."""
        if self._shared is not None:
            return True  # others put streams there
        return self._remaining > 0 or bool(self.adopted)

    @property
    def count(self) -> int:
        """Number of streams in the store and not in memory.

        Where others share the store, this worker's part of it is estimated: partitions are alike.
        """
        if self._shared is None:
            return self._remaining
        mine = round(self._store.count() * float(np.mean(self._shared.held > 0)))
        return max(0, mine - self._tracker.live)

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
        own, others = self._find(streams)
        self._put_back(own)
        if others:
            self._tracker.restore(_streams(others), list(others.values()), dirty=True)
        self.returned += len(own) + len(others)

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
        own, others = self._find(streams)
        found = own | others
        standings = self._tracker.standings(_streams(found), list(found.values()))
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
        while self.has_any and len(listed) < count and (end is None or start < end):
            deleted = set(self.batch.deleted)
            page = self.page((prefix or "").encode(), start, count)
            if not page:
                break
            start = page[-1][0]
            records = {k: self.decode(r) for k, r in page if k not in deleted}
            absent = self._own(self._tracker.absent(map(stream_from_key, records)))
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
        while found := {k: self.decode(r) for k, r in islice(items, PRELOAD_STREAMS)}:
            self._put_back(found)
            done += len(found)
            progress(done, total)
        return done

    def preload_own(self, keys: Sequence[bytes], most: int) -> None:
        """Bring the first of those of these streams into memory that are this worker's.

        Parameters
        ----------
        keys : sequence of bytes
        most : int
            How many there is room for.

        Raises
        ------
        StoreError
            As for :meth:`restore`.
        """
        mine = self._own(self._tracker.absent(_streams(keys)))
        self._put_back(self._find(mine[:most])[0])

    def _own(self, streams: list[StreamId]) -> list[StreamId]:
        """Return those of these streams that are this worker's."""
        if self.are_own is None:
            return streams
        return [each for each, own in zip(streams, self.are_own(streams), strict=True) if own]

    # --- streams that have not been here ---

    def copy(self, adopted: Adopted, reserve: int) -> bool:
        """Take the next streams of adopted partitions over; tell whether these were the last.

        They come into memory as long as ``reserve`` slots are free besides, else to the store.

        Raises
        ------
        StoreError
            If something cannot be read.
        """
        keys = adopted.next_keys()
        if keys is None:
            return True
        own = self.read(keys := self._absent(_streams(keys)), [])[0]
        others = adopted.read([key for key in keys if key not in own])
        if others:
            self.take_over(others, reserve)
        adopted.note_copied()
        return False

    def take_over(self, records: dict[bytes, bytes], reserve: int) -> None:
        """Take streams over that are neither in memory nor in the store."""
        if self._tracker.free_slots - len(records) >= reserve:
            with suppress(DamagedRecordError):  # in the store it harms nobody until it is needed
                self._tracker.restore(_streams(records), list(records.values()), dirty=True)
                return
        self.incoming |= self.marked(records)
        self._remaining += len(records)

    def next_keys(self, after: bytes, count: int) -> list[bytes]:
        """Return the next keys of the store, in memory or not.

        Raises
        ------
        StoreError
            If it cannot be read.
        """
        try:
            return self._store.keys(b"", after, count)
        except StoreError as error:
            self.outage.record(error)
            raise

    def records_of(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the records of those streams that are in the store and not in memory.

        Raises
        ------
        StoreError
            As for :meth:`restore`.
        """
        return self._find(map(stream_from_key, keys))[0]

    def absent(self, streams: Iterable[StreamId]) -> list[StreamId]:
        """Return those of these streams that are not in memory."""
        return self._tracker.absent(streams)

    def absent_keys(self, streams: Iterable[StreamId]) -> list[bytes]:
        """Return the keys of those of these streams that are not in memory."""
        return [store_key(stream) for stream in self._tracker.absent(streams)]

    # --- reading ---

    def _find(self, streams: Iterable[StreamId]) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """Return keys and records of those of these streams that are not in memory.

        Returns
        -------
        own : dict of bytes to bytes
            Those that the store has, or will have with the next commit.
        others : dict of bytes to bytes
            Those that are in other folders only.
        """
        if not self.has_any:
            return {}, {}
        return self.read(self._absent(streams), self.adopted)

    def _absent(self, streams: Iterable[StreamId]) -> list[bytes]:
        """Return the keys of those of these streams that are neither in memory nor forgotten."""
        absent = self._tracker.absent(streams)
        deleted = set(self.batch.deleted) if self.batch.deleted else ()
        return [key for key in map(store_key, absent) if key not in deleted]

    def _put_back(self, found: dict[bytes, bytes]) -> None:
        self._tracker.restore(_streams(found), list(found.values()))
        self._remaining -= len(found)


def _streams(keys: Iterable[bytes]) -> list[StreamId]:
    return [stream_from_key(key) for key in keys]
