"""Which streams of an engine changed, taken a few at a time, and streams put back from a store.

A store has for each stream a key and a record. The key is the id: text as UTF-8, an integer as a
zero byte and eight bytes, big-endian, as on the wire. The record is the sequence number (uint64),
the event time (float64, NaN if there is none), the state row (float32) and a hash of 64 bits
(kernels/hashing.py) of all of that, little-endian and without gaps.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError, StoreError
from ..lazy_arrays import lazy_zeros
from .blocks import pack_ids
from .lock_flag import Held
from .state_table import MAX_ID_BYTES, StateTable, StreamId

FORMAT = 1  # of keys and records


def record_size(row_size: int) -> int:
    """Return the bytes of a record of rows of so many floats."""
    return 24 + 4 * row_size


class Batch:
    """Records of streams as they were taken, each consistent in itself.

    Parameters
    ----------
    room : int
        Records that it can hold.
    size : int
        Bytes of a record.

    Attributes
    ----------
    count : int
        Records that it holds.
    gone : list of bytes
        Keys of streams that were forgotten before these records were taken.
    """

    def __init__(self, room: int, size: int) -> None:
        self.room, self.size, self.count = room, size, 0
        self.gone: list[bytes] = []
        self.keys = lazy_zeros(room * MAX_ID_BYTES, np.uint8)
        self.ends = np.zeros(room + 1, np.int64)
        self.records = lazy_zeros(room * size, np.uint8)

    def __iter__(self) -> Iterator[tuple[bytes, memoryview]]:
        """Yield key and record of each stream; the record is a view of what stands here."""
        ends, size = self.ends[: self.count + 1].tolist(), self.size
        keys, records = self.keys[: ends[-1]].tobytes(), self.records.data
        at = 0
        for start, end in pairwise(ends):
            yield keys[start:end], records[at : at + size]
            at += size

    def clear(self) -> None:
        """Let go of what it holds."""
        self.count, self.gone = 0, []


class Changes:
    """Tells what changed in a table since it was last asked, and puts streams back.

    Parameters
    ----------
    table : StateTable
    lock : threading.Lock
        Of the engine; every method holds it.
    held : Held
    """

    def __init__(self, table: StateTable, lock: threading.Lock, held: Held) -> None:
        from ..kernels import compile, id_index

        self._table, self._lock, self._held = table, lock, held
        self._call, self._count = compile.changed_entries(), id_index.CHANGED_COUNT
        with lock, held:
            table.watch()

    @property
    def record_size(self) -> int:
        """Bytes of a record."""
        return record_size(self._table.rows.shape[1])

    @property
    def pending(self) -> int:
        """How many changes nobody has asked for yet."""
        return int(self._table.head[self._count]) + len(self._table.gone)

    @property
    def room(self) -> int:
        """How many more streams fit."""
        return self._table.room

    def take(self, batch: Batch, limit: int) -> None:
        """Add up to ``limit`` changes to a batch, the oldest first, as far as it has room."""
        with self._lock, self._held:
            if not batch.count and not batch.gone:
                # Once a batch, and before its records: a stream that has come back since is among
                # the changed, and one that goes while a batch is filled is for the next one.
                gone = [stream for stream in self._table.gone if stream not in self._table]
                batch.gone = [key_of(stream) for stream in gone]
                self._table.gone.clear()
            limit = min(limit, batch.room - batch.count)
            if self._table.on_host:
                batch.count = self._take(batch, limit, batch.records)
            else:
                self._take_from_afar(batch, limit)

    def _take(self, batch: Batch, limit: int, records: NDArray[np.uint8]) -> int:
        table = self._table.address
        count: int = self._call.take(table, limit, batch.count, batch.keys, batch.ends, records)
        return count

    def _take_from_afar(self, batch: Batch, limit: int) -> None:
        """Take numbers and times as ever, which leaves no place for rows, and put these between."""
        table = self._table
        slots = table.next_changed(limit)
        brief = record_size(0)
        records = np.empty(brief * (batch.count + len(slots)), np.uint8)
        done, batch.count = batch.count, self._take(batch, limit, records)
        made = batch.records.reshape(batch.room, -1)[done : batch.count]
        made[:, :16] = records.reshape(-1, brief)[done:, :16]
        made[:, 16:-8] = table.rows[slots].astype("<f4", copy=False).view(np.uint8)

    def note_all(self) -> None:
        """Let every live stream count as changed."""
        with self._lock, self._held:
            table = self._table
            table.note_changed(*np.flatnonzero(table.generation).tolist())

    def seal(self, batch: Batch) -> None:
        """Put the hashes into a batch; from any thread."""
        self._call.seal(batch.records, self.record_size, batch.count)

    def absent(self, streams: Iterable[StreamId]) -> list[StreamId]:
        """Return those that are not live and were not forgotten since :meth:`take`, once each."""
        with self._lock, self._held:
            table = self._table
            return [s for s in dict.fromkeys(streams) if table.find(s) < 0 and s not in table.gone]

    def seqs(self, streams: Sequence[StreamId], records: Sequence[bytes]) -> list[int]:
        """Return the number of the last observation that each record has.

        Raises
        ------
        StoreError
            If a record is damaged.
        """
        fields = self._fields(streams, records)
        numbers: list[int] = _column(fields, 0, 8, "<u8").tolist()
        return numbers

    def put_back(self, streams: Sequence[StreamId], records: Sequence[bytes]) -> None:
        """Let streams that are not live go on from what their records say.

        Raises
        ------
        StoreError
            If a record is damaged; then nothing has changed.
        CapacityError
            If there are not enough slots; then nothing has changed.
        """
        if not streams:
            return
        fields, count = self._fields(streams, records), len(streams)
        with self._lock, self._held:
            table = self._table
            if table.room < count:
                raise CapacityError(
                    f"store: {count} more of its streams do not fit beside {len(table)} in "
                    f"{table.capacity} slots; choose a larger capacity."
                )
            table.watch(False)
            try:
                slots = self._claim(streams)
            finally:
                table.watch()
            table.seq[slots] = _column(fields, 0, 8, "<u8")
            table.time[slots] = _column(fields, 8, 16, "<f8")
            table.rows[slots] = fields[:, 16:-8].copy().view("<f4")

    def _fields(self, streams: Sequence[StreamId], records: Sequence[bytes]) -> NDArray[np.uint8]:
        """Return records as rows of bytes, after looking at their hashes."""
        size, count = self.record_size, len(streams)
        data = np.frombuffer(bytearray().join(records), np.uint8)
        bad = self._call.broken(data, size, count) if len(data) == size * count else 0
        if bad >= 0:
            raise StoreError(
                f"store: the record of stream {streams[bad]!r} is damaged; restore the store from "
                "a copy, or begin with an empty one."
            )
        return data.reshape(count, size)

    def _claim(self, streams: Sequence[StreamId]) -> NDArray[np.int64]:
        table = self._table
        kinds = {type(stream) for stream in streams}
        packed = pack_ids(streams) if len(kinds) == 1 else None
        slots = None if packed is None else table.claim_block(packed, len(streams))
        if slots is None:
            slots = np.array([table.claim(stream) for stream in streams], np.int64)
        return slots


def _column(fields: NDArray[np.uint8], start: int, stop: int, kind: str) -> NDArray[Any]:
    column: NDArray[Any] = fields[:, start:stop].copy().view(kind)[:, 0]
    return column


def key_of(stream: StreamId) -> bytes:
    """Return the key of a stream."""
    return stream.encode() if isinstance(stream, str) else b"\0" + stream.to_bytes(8, "big")


def stream_of(key: bytes) -> StreamId:
    """Return the stream that a key is of."""
    return int.from_bytes(key[1:], "big") if key[:1] == b"\0" else key.decode()
