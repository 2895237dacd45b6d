"""Tracks which streams changed, takes their records, and restores streams from records."""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError, DamagedRecordError
from .block_packing import pack_ids
from .ids import StreamId, dict_key, unique
from .lock_flag import LockFlag
from .records import NEVER, ROW_START, RecordBatch, record_size, store_key
from .state_table import StateTable
from .stream_producers import Standing
from .table_user import TableUser


class DirtyTracker(TableUser):
    """Takes the records of streams that changed, a few at a time, and restores streams."""

    def __init__(self, table: StateTable, lock: threading.Lock, flag: LockFlag) -> None:
        from ..kernels import compile, id_index

        super().__init__(table, lock, flag)
        self._call, self._count = compile.dirty_entries(), id_index.DIRTY_COUNT
        with lock, flag:
            table.track_changes()

    @property
    def record_size(self) -> int:
        """Bytes of a record."""
        return record_size(self._table.rows.shape[1])

    @property
    def pending(self) -> int:
        """Number of changed or deleted streams that were not taken yet."""
        return int(self._table.head[self._count]) + len(self._table.deleted)

    @property
    def live(self) -> int:
        """Number of streams in memory."""
        return len(self._table)

    @property
    def free_slots(self) -> int:
        """Number of free slots."""
        return self._table.free_slots

    def take(self, batch: RecordBatch, limit: int) -> None:
        """Add the records of up to ``limit`` changed streams to a batch, the oldest change first.

        Fewer are taken if the batch is full before.
        """
        with self._lock, self._flag:
            if not batch.count and not batch.deleted:
                # Once a batch, and before its records: a stream that has come back since is among
                # the changed, and one that goes while a batch is filled is for the next one.
                deleted = self._table.deleted.values()
                batch.deleted = [
                    store_key(stream) for stream in deleted if stream not in self._table
                ]
                self._table.deleted.clear()
                batch.oldest[0] = NEVER
            limit = min(limit, batch.capacity - batch.count)
            if self._table.on_host:
                batch.count = self._take(batch, limit, batch.records)
            else:
                self._take_from_device(batch, limit)

    def _take(self, batch: RecordBatch, limit: int, records: NDArray[np.uint8]) -> int:
        count: int = self._call.drain(
            self._table.address, limit, batch.count, batch.keys, batch.ends, records, batch.oldest
        )
        return count

    def _take_from_device(self, batch: RecordBatch, limit: int) -> None:
        """Take records without rows, then put the rows in between."""
        table = self._table
        slots = table.first_dirty(limit)
        size = record_size(0)
        records = np.empty(size * (batch.count + len(slots)), np.uint8)
        done, batch.count = batch.count, self._take(batch, limit, records)
        made = batch.records.reshape(batch.capacity, -1)[done : batch.count]
        made[:, :ROW_START] = records.reshape(-1, size)[done:, :ROW_START]
        made[:, ROW_START:-8] = table.rows[slots].astype("<f4", copy=False).view(np.uint8)

    def mark_all(self) -> None:
        """Mark every live stream as changed."""
        with self._lock, self._flag:
            self._table.mark_dirty(np.flatnonzero(self._table.generation))

    def seal(self, batch: RecordBatch) -> None:
        """Write the hashes of a batch's records; from any thread, without the lock."""
        self._call.add_checksums(batch.records, self.record_size, batch.count)

    def absent(self, streams: Iterable[StreamId]) -> list[StreamId]:
        """Return those that are neither live nor deleted since :meth:`take`, once each."""
        with self._lock, self._flag:
            table = self._table
            absent = unique(s for s in streams if table.find(s) < 0)
            return [s for s in absent if dict_key(s) not in table.deleted]

    def seqs(self, streams: Sequence[StreamId], records: Sequence[bytes]) -> list[int]:
        """Return the last sequence number in each record.

        Raises
        ------
        StoreError
            If a record is damaged.
        """
        fields = self._fields(streams, records)
        numbers: list[int] = _column(fields, 0, 8, "<u8").tolist()
        return numbers

    def seqs_or_zero(self, streams: Sequence[StreamId], records: Sequence[bytes]) -> list[int]:
        """Return the last sequence number in each record, 0 for one that is damaged."""
        try:
            return self.seqs(streams, records)
        except DamagedRecordError:
            if len(streams) == 1:
                return [0]
        half = len(streams) // 2
        return [
            *self.seqs_or_zero(streams[:half], records[:half]),
            *self.seqs_or_zero(streams[half:], records[half:]),
        ]

    def delete_absent(self, stream: StreamId) -> None:
        """Delete a stream that is in the store only: with the next commit."""
        with self._lock, self._flag:
            self._table.deleted[dict_key(stream)] = stream

    def standings(self, streams: Sequence[StreamId], records: Sequence[bytes]) -> list[Standing]:
        """Return the last sequence number and the producer in each stream's record.

        Raises
        ------
        StoreError
            If a record is damaged.
        """
        fields = self._fields(streams, records)
        numbers, producers = _column(fields, 0, 8, "<u8"), _column(fields, 16, 24, "<u8")
        return list(map(Standing, numbers.tolist(), producers.tolist()))

    def restore(
        self, streams: Sequence[StreamId], records: Sequence[bytes], dirty: bool = False
    ) -> None:
        """Give streams that are not live the state in their records.

        Parameters
        ----------
        streams : sequence of str or int
        records : sequence of bytes
        dirty : bool
            Whether they have still to be taken: the store does not have them.

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
        with self._lock, self._flag:
            table = self._table
            if table.free_slots < count:
                raise CapacityError(
                    f"store: {count} more of its streams do not fit beside {len(table)} in "
                    f"{table.capacity} slots; choose a larger capacity."
                )
            table.track_changes(False)
            try:
                slots = self._claim(streams)
            finally:
                table.track_changes()
            if dirty:
                table.mark_dirty(slots)
            table.seq[slots] = _column(fields, 0, 8, "<u8")
            table.time[slots] = _column(fields, 8, 16, "<f8")
            table.producers[slots] = _column(fields, 16, 24, "<u8")
            table.rows[slots] = fields[:, ROW_START:-8].copy().view("<f4")

    def _fields(self, streams: Sequence[StreamId], records: Sequence[bytes]) -> NDArray[np.uint8]:
        """Return records as rows of bytes after checking their hashes."""
        size, count = self.record_size, len(streams)
        data = np.frombuffer(bytearray().join(records), np.uint8)
        bad = self._call.find_corrupt(data, size, count) if len(data) == size * count else 0
        if bad >= 0:
            raise DamagedRecordError(
                f"store: the record of stream {streams[bad]!r} is damaged; restore the store from "
                "a backup, or give this stream up: streamlstm forget.",
                streams[bad],
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
