"""Takes the streams of partitions out of an engine, and puts them into another one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError, DamagedRecordError
from .ids import StreamId, dict_key
from .lock_flag import LockFlag
from .partitions import partitions_of
from .records import ROW_START, record_size, store_key, stream_from_key
from .state_table import StateTable
from .table_user import TableUser


class Parcel(NamedTuple):
    """Streams on their way: their keys and records (records.py), all of one size."""

    keys: list[bytes]
    records: bytes


class HandOver(TableUser):
    """Takes streams of partitions as records, a part of the table at a time, and puts them in.

    Attributes
    ----------
    deletes : bool
        Whether the store deletes those that leave, too: where it is this worker's alone.
    """

    def __init__(self, table: StateTable, lock: threading.Lock, flag: LockFlag) -> None:
        from ..kernels import compile

        super().__init__(table, lock, flag)
        self.deletes = True
        self._select = compile.partition_entries().slots_in
        self._checks = compile.dirty_entries()

    @property
    def record_size(self) -> int:
        """Bytes of a record."""
        return record_size(self._table.rows.shape[1])

    @property
    def limit(self) -> int:
        """Streams that may be here, for now."""
        return self._table.limit

    @property
    def free_slots(self) -> int:
        """Number of free slots."""
        return self._table.free_slots

    @property
    def used_slots(self) -> int:
        """Slots below this one have had a stream."""
        return self._table.used_slots

    def set_limit(self, slots: int) -> None:
        """Let new streams take so many slots in all; what is here stays."""
        with self._lock, self._flag:
            self._table.limit = slots

    def find(
        self, wanted: NDArray[np.uint8], first: int, stop: int, most: int
    ) -> tuple[NDArray[np.int64], int]:
        """Return slots of streams of partitions among the slots ``first`` to ``stop``.

        Parameters
        ----------
        wanted : uint8[PARTITIONS]
            1 for each of these partitions.
        first, stop : int
        most : int
            How many slots to return at most.

        Returns
        -------
        slots : int64[B]
        stop : int
            The slot to go on from.
        """
        with self._lock, self._flag:
            found = np.empty(most, np.int64)
            count = self._select(self._table.address, wanted, first, stop, found)
        return found[:count], stop if count < most else int(found[-1]) + 1

    def take(self, slots: NDArray[np.int64]) -> Parcel:
        """Return the streams that live in these slots, right after :meth:`find`."""
        if not len(slots):
            return Parcel([], b"")
        with self._lock, self._flag:
            table = self._table
            records = np.empty((len(slots), self.record_size), np.uint8)
            records[:, 0:8] = _bytes(table.seq[slots])
            records[:, 8:16] = _bytes(table.time[slots])
            records[:, 16:24] = _bytes(table.producers[slots])
            records[:, ROW_START:-8] = _bytes(np.ascontiguousarray(table.rows[slots]))
            keys = [store_key(stream) for stream in table.ids_of(slots)]
        self._checks.add_checksums(records.reshape(-1), self.record_size, len(slots))
        return Parcel(keys, records.tobytes())

    def put(self, streams: Sequence[StreamId], records: bytes) -> None:
        """Give streams the state in their records; what they had here is replaced.

        Raises
        ------
        DamagedRecordError
            If a record is damaged; then nothing has changed.
        CapacityError
            If there are not enough slots; then nothing has changed.
        """
        count, size = len(streams), self.record_size
        data = np.frombuffer(records, np.uint8)
        bad = self._checks.find_corrupt(data, size, count) if len(data) == size * count else 0
        if bad >= 0:
            raise DamagedRecordError(
                f"a record of stream {streams[bad]!r} came damaged from another worker",
                streams[bad],
            )
        fields = data.reshape(count, size)
        with self._lock, self._flag:
            table = self._table
            if table.capacity - len(table) < count:  # above the limit for a while, if need be
                raise CapacityError(
                    f"{count} streams of another worker do not fit beside {len(table)} in "
                    f"{table.capacity} slots; choose a larger capacity."
                )
            limit, table.limit = table.limit, table.capacity
            slots = np.array([table.claim(stream) for stream in streams], np.int64)
            table.limit = limit
            table.mark_dirty(slots)
            table.seq[slots] = fields[:, 0:8].copy().view("<u8")[:, 0]
            table.time[slots] = fields[:, 8:16].copy().view("<f8")[:, 0]
            table.producers[slots] = fields[:, 16:24].copy().view("<u8")[:, 0]
            table.rows[slots] = fields[:, ROW_START:-8].copy().view("<f4")

    def delete(self, streams: Sequence[StreamId]) -> None:
        """Free streams as far as they are here; where it :attr:`deletes` them, the store, too."""
        with self._lock, self._flag:
            for stream in streams:
                if stream in self._table:
                    self._table.free(stream)
                    if not self.deletes:
                        self._table.deleted.pop(dict_key(stream), None)

    def take_deleted(self, wanted: NDArray[np.uint8]) -> list[bytes]:
        """Return streams of partitions that were forgotten since the last commit, and forget it.

        Parameters
        ----------
        wanted : uint8[PARTITIONS]
            1 for each of these partitions.

        Returns
        -------
        list of bytes
            Their keys.
        """
        with self._lock, self._flag:
            deleted = self._table.deleted
            chosen = wanted[partitions_of(list(deleted.values()))]
            found = [s for s, mine in zip(deleted.values(), chosen.tolist(), strict=True) if mine]
            for stream in found:
                del deleted[dict_key(stream)]
            return [store_key(stream) for stream in found if stream not in self._table]

    def delete_stored(self, keys: Sequence[bytes]) -> None:
        """Let the next commit delete streams that are not here."""
        with self._lock, self._flag:
            for stream in map(stream_from_key, keys):
                if stream not in self._table:
                    self._table.deleted[dict_key(stream)] = stream

    def mark_changed(self, wanted: NDArray[np.uint8]) -> None:
        """Let the next commit write all streams of partitions, 1 in uint8[PARTITIONS]."""
        slots, _ = self.find(wanted, 0, self.used_slots, self.used_slots)
        with self._lock, self._flag:
            self._table.mark_dirty(slots)


def _bytes(column: NDArray[np.generic]) -> NDArray[np.uint8]:
    """View rows of numbers as rows of bytes, little-endian."""
    little = column.astype(column.dtype.newbyteorder("<"), copy=False)
    return little.reshape(len(column), -1).view(np.uint8)
