"""Streams that were idle for long: found, and let go of, a piece at a time.

Every slot knows the last block that it was in. So the number of the block is a clock that costs
nothing; what is told here of time is told in blocks.
"""

import threading
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .lock_flag import Held
from .state_table import MAX_ID_BYTES, StateTable, StreamId

EXACT_SLOTS = 4096  # up to here all slots are looked at for the idle longest, above it a sample
SAMPLE = 1024


class Piece(NamedTuple):
    """What came of looking at some slots.

    Attributes
    ----------
    looked : int
        Slots that were looked at, fewer than asked for at the end of the table.
    freed : int
        Streams that have left.
    keys : list of bytes
        Their keys (streamlstm/engine/dirty.py), if they were asked for.
    """

    looked: int
    freed: int
    keys: list[bytes]


class Idle:
    """Tells how long streams of a table were idle, and frees their slots.

    Nothing is done to a stream that has changed since its changes were last taken
    (:class:`.dirty.Changes`); whoever takes them says when they are safe. Steps are
    seen if they come in blocks, as a worker makes them; a single one (``Engine.step``) is seen only
    while changes are asked for.

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
        self._call, self._ids = compile.leaving_entries(), id_index
        self._offset = 0
        self._no_keys = np.zeros(0, np.uint8)
        with lock, held:
            table.clocked = True

    @property
    def capacity(self) -> int:
        """How many streams fit."""
        return int(self._table.capacity)

    @property
    def room(self) -> int:
        """How many more streams fit at the moment."""
        return int(self._table.room)

    @property
    def used(self) -> int:
        """How many slots there are to look at."""
        return int(self._table.head[self._ids.USED])

    @property
    def row_bytes(self) -> int:
        """Bytes of a state row."""
        return 4 * int(self._table.rows.shape[1])

    def stamp(self) -> int:
        """Return a moment: what is used from now on is not used before it."""
        with self._lock, self._held:
            return self._tick()

    def _tick(self) -> int:
        self._table.head[self._ids.BLOCK] += 1
        return int(self._table.head[self._ids.BLOCK])

    def missing(self, streams: Iterable[StreamId]) -> tuple[int, int]:
        """Tell how many slots are missing for streams of which some may be here.

        Returns
        -------
        missing : int
            0 if all fit.
        before : int
            A moment before which none of those that are here was used, if any slot is missing.
        """
        with self._lock, self._held:
            table = self._table
            slots = np.array([table.find(s) for s in dict.fromkeys(streams)], np.int64)
            missing = int(np.count_nonzero(slots < 0)) - table.room
            if missing <= 0:
                return 0, 0
            before = self._tick()
            self._call.touch(table.address, slots)
            return missing, before

    def oldest(self, count: int, before: int) -> int:
        """Return a moment before which about ``count`` slots that may leave were used last.

        Parameters
        ----------
        count : int
        before : int
            A moment that it is not to be later than.

        Returns
        -------
        int
            0 if none may leave, as far as was looked.
        """
        used = self.used
        stride = 1 if used <= EXACT_SLOTS else used // SAMPLE
        found = np.empty(EXACT_SLOTS, np.int64)
        self._offset = (self._offset + 7919) % stride
        with self._lock, self._held:
            number = self._call.clocks(self._table.address, self._offset, stride, before, found)
        if number == 0:
            return 0
        rank = count - 1 if stride == 1 else count * 5 // (4 * stride)
        return int(np.sort(found[:number])[min(rank, number - 1)]) + 1

    def sweep(self, first: int, count: int, before: int, limit: int, named: bool) -> Piece:
        """Free slots that were last used before a moment.

        Parameters
        ----------
        first, count : int
            The slots to look at.
        before : int
            The moment.
        limit : int
            How many to free at most.
        named : bool
            Whether to tell whose they were.
        """
        ends = np.zeros(limit + 1, np.int64)
        keys = np.empty(limit * MAX_ID_BYTES, np.uint8) if named else self._no_keys
        table = self._table
        with self._lock, self._held:
            owners = table.generation[first : first + count]
            lived = None if table.on_host else owners > 0
            looked = self._call.sweep(table.address, first, count, before, ends, keys)
            if lived is not None:
                table.refill(first + np.flatnonzero(lived & (owners == 0)))
        freed = int(ends[0])
        if not named:
            return Piece(looked, freed, [])
        bounds = [0, *ends[1 : freed + 1].tolist()]
        text = keys[: bounds[-1]].tobytes()
        return Piece(looked, freed, [text[a:b] for a, b in pairwise(bounds)])

    def note_returned(self) -> None:
        """Let streams that were forgotten and have come anew no longer count as forgotten."""
        with self._lock, self._held:
            gone, table = self._table.gone, self._table
            gone -= {stream for stream in gone if stream in table}
