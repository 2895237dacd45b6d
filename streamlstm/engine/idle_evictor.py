"""Finds the streams that were idle longest and frees their slots, a part of the table at a time.

Every slot records the last block that it was in, so the number of the block is a clock that costs
nothing. All times here are such block numbers.
"""

import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .ids import MAX_ID_BYTES, StreamId, unique
from .lock_flag import LockFlag
from .state_table import StateTable
from .table_user import TableUser

EXACT_SLOTS = 4096  # up to here all slots are read to find the idle longest, above it a sample
SAMPLE = 1024


class SweepResult(NamedTuple):
    """Outcome of one sweep over a part of the table.

    Attributes
    ----------
    scanned : int
        Slots that were read, fewer than asked for at the end of the table.
    evicted : int
        Streams whose slots were freed.
    keys : list of bytes
        Their keys (streamlstm/engine/records.py), if they were asked for.
    """

    scanned: int
    evicted: int
    keys: list[bytes]


class IdleEvictor(TableUser):
    """Measures how long streams of a table were idle, and frees their slots.

    A dirty stream, one that changed after its record was last taken (:class:`.DirtyTracker`), is
    never evicted. The caller sweeps only while the records that were taken are safe in the store.
    Steps count as use if they come in blocks, as a worker makes them; a single one
    (``Engine.step``) counts only while changes are tracked.

    Attributes
    ----------
    kept : uint8[PARTITIONS] or uint8[0]
        1 for partitions whose streams are not evicted; empty if there are none.
    """

    def __init__(self, table: StateTable, lock: threading.Lock, flag: LockFlag) -> None:
        from ..kernels import compile, id_index

        super().__init__(table, lock, flag)
        self._call, self._clock = compile.eviction_entries(), id_index.BLOCK
        self._offset = 0
        self._no_keys = self.kept = np.zeros(0, np.uint8)
        with lock, flag:
            table.tracks_use = True

    @property
    def capacity(self) -> int:
        """Maximum number of live streams."""
        return int(self._table.capacity)

    @property
    def free_slots(self) -> int:
        """Number of free slots."""
        return int(self._table.free_slots)

    @property
    def used_slots(self) -> int:
        """Number of slots to sweep."""
        return int(self._table.used_slots)

    @property
    def arrivals(self) -> int:
        """Number of streams that were created or restored since the table was made."""
        return int(self._table.arrivals)

    @property
    def row_bytes(self) -> int:
        """Bytes of a state row."""
        return 4 * int(self._table.rows.shape[1])

    def advance_clock(self) -> int:
        """Return a new time: all use so far is before it, all later use is not."""
        with self._lock, self._flag:
            return self._tick()

    def _tick(self) -> int:
        self._table.head[self._clock] += 1
        return int(self._table.head[self._clock])

    def missing_slots(self, streams: Sequence[StreamId]) -> tuple[int, int]:
        """Tell how many slots are missing for streams, some of which may be in memory.

        Returns
        -------
        missing : int
            0 if all fit.
        before : int
            If slots are missing, a time before which none of the streams in memory was used.
        """
        with self._lock, self._flag:
            table = self._table
            slots = [table.find(stream) for stream in streams]
            absent = unique(s for s, slot in zip(streams, slots, strict=True) if slot < 0)
            missing = len(absent) - table.free_slots
            if missing <= 0:
                return 0, 0
            before = self._tick()
            self._call.touch(table.address, np.array(slots, np.int64))
            return missing, before

    def cutoff(self, count: int, before: int) -> int:
        """Return a time before which about ``count`` evictable streams were last used.

        Parameters
        ----------
        count : int
        before : int
            A time that the cutoff is not to exceed.

        Returns
        -------
        int
            0 if no stream that was read is evictable.
        """
        used = self.used_slots
        stride = 1 if used <= EXACT_SLOTS else used // SAMPLE
        found = np.empty(EXACT_SLOTS, np.int64)
        self._offset = (self._offset + 7919) % stride
        with self._lock, self._flag:
            number = self._call.last_used(self._table.address, self._offset, stride, before, found)
        if number == 0:
            return 0
        rank = count - 1 if stride == 1 else count * 5 // (4 * stride)
        return int(np.sort(found[:number])[min(rank, number - 1)]) + 1

    def sweep(
        self, first: int, count: int, before: int, limit: int, with_keys: bool
    ) -> SweepResult:
        """Free slots that were last used before a time.

        Parameters
        ----------
        first, count : int
            The slots to read.
        before : int
            The time.
        limit : int
            How many to free at most.
        with_keys : bool
            Whether to return the keys of the evicted streams.
        """
        ends = np.zeros(limit + 1, np.int64)
        keys = np.empty(limit * MAX_ID_BYTES, np.uint8) if with_keys else self._no_keys
        table = self._table
        with self._lock, self._flag:
            generation = table.generation[first : first + count]
            lived = None if table.on_host else generation > 0
            scanned = self._call.sweep(table.address, first, count, before, self.kept, ends, keys)
            if lived is not None:
                table.reset_free_rows(first + np.flatnonzero(lived & (generation == 0)))
        evicted = int(ends[0])
        if not with_keys:
            return SweepResult(scanned, evicted, [])
        bounds = [0, *ends[1 : evicted + 1].tolist()]
        text = keys[: bounds[-1]].tobytes()
        return SweepResult(scanned, evicted, [text[a:b] for a, b in pairwise(bounds)])

    def undelete_returned(self) -> None:
        """Remove streams that were forgotten and came back from the deleted ones."""
        with self._lock, self._flag:
            deleted, table = self._table.deleted, self._table
            for key in [key for key, stream in deleted.items() if stream in table]:
                del deleted[key]
