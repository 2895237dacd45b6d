"""The state table: all of a stream's state as one row, and which rows changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError, shown
from ..lazy_arrays import lazy_zeros
from .id_index import IdIndex
from .ids import StreamId, dict_key
from .last_prediction import PredictionSlice, copy_predictions

_RESET_ROWS = 65_536  # rows written at once


class StateTable(IdIndex):
    """State rows of up to ``capacity`` streams, found by stream id.

    Parameters
    ----------
    capacity : int
        S, how many streams can live at once.
    initial : float32[R]
        The row of a stream that has seen nothing.
    make_rows : callable, optional
        Makes rows outside the host's memory, of S and ``initial``, that are read and written as an
        array is (backends/cuda/rows.py). Every row begins as ``initial``.

    Attributes
    ----------
    rows : float32[S, R]
        The rows; each starts on a cache line if R is a multiple of 16.
    on_host : bool
        Whether they are in the host's memory, where compiled code reaches them.
    seq : uint64[S]
        Sequence number of the last observation, 0 if none was numbered.
    time : float64[S]
        Event time of the last observation in seconds, NaN if it had none.
    deleted : dict
        Streams that were freed since :meth:`track_changes`, by :func:`.ids.dict_key`, until the
        reader clears it.
    tracks_use : bool
        Whether the last use of slots is recorded (streamlstm/engine/idle_evictor.py).

    Raises
    ------
    CapacityError
        If the capacity is not a positive integer, or needs more memory than there is.
    """

    rows: Any  # an array, or what is read and written like one

    def __init__(
        self,
        capacity: int,
        initial: NDArray[np.float32],
        make_rows: Callable[[int, NDArray[np.float32]], Any] | None = None,
    ) -> None:
        if not isinstance(capacity, int | np.integer) or isinstance(capacity, bool) or capacity < 1:
            raise CapacityError(
                f"capacity: expected an integer of 1 or more, got {shown(capacity)}."
            )
        self.on_host = make_rows is None
        try:
            super().__init__(int(capacity))
            # Where rows are elsewhere, compiled code gets rows of size 0, and one row for the
            # predictions that it writes, which is never read.
            reached = self.capacity if self.on_host else 1
            in_head = lazy_zeros(reached * len(initial), np.float32)
        except MemoryError:
            raise CapacityError(
                f"capacity: {shown(capacity)} streams of {4 * len(initial)} bytes are more than "
                "the system lets this process reserve; choose a smaller capacity."
            ) from None
        self._initial = np.array(initial, np.float32)  # a copy: it is written to
        self.rows = in_head.reshape(reached, len(initial))
        if make_rows is not None:
            self.rows = make_rows(self.capacity, self._initial)
        self._set_rows_in_head(in_head)
        self.seq = self._records[self._layout.SEQ :: self._layout.RECORD]
        self.time = self._records.view(np.float64)[self._layout.TIME :: self._layout.RECORD]
        self._numbers_before = np.empty(0, np.uint64)
        self._dirty: NDArray[np.int64] | None = None
        self.tracks_use = False
        self.deleted: dict[str | bytes, StreamId] = {}

    def _set_rows_in_head(self, in_head: NDArray[np.float32]) -> None:
        self._in_head = in_head  # kept alive: the head has its address
        layout, head = self._layout, self.head
        head[layout.ROWS], head[layout.INITIAL] = in_head.ctypes.data, self._initial.ctypes.data
        head[layout.ROW_SIZE] = len(self._initial) if self.on_host else 0

    def last_seq(self, slot: int) -> int:
        """Return the last sequence number of a slot; 0 if there is none, or the slot is < 0."""
        return int(self.seq[slot]) if slot >= 0 else 0

    def seqs_follow(self, slots: NDArray[np.int64], seqs: NDArray[np.uint64]) -> bool:
        """Return whether each number of a block is 0 or may follow the last of its stream."""
        if len(self._numbers_before) < len(seqs):
            self._numbers_before = np.empty(len(seqs), np.uint64)
        before = self._numbers_before
        follow: bool = self._call.seqs_follow(self.address, slots, seqs, before)
        return follow

    def write_block(
        self,
        slots: NDArray[np.int64],
        seqs: NDArray[np.uint64],
        times: NDArray[np.float64],
        Y: NDArray[np.float32],
        start: int,
    ) -> None:
        """Write numbers (0: none) and times (NaN: none) of a block; either array may be empty.

        Where there is a number, its prediction, of Y[B, O], goes into the row from ``start`` on,
        and the stream has no producer any more.
        """
        self._call.record_block(self.address, slots, seqs, times, Y, start)

    def clear(self, slot: int) -> None:
        """Set a slot to the state of a stream that has seen nothing."""
        self.mark_dirty(np.array([slot]))
        self.rows[slot] = self._initial
        self.seq[slot] = 0
        self.time[slot] = np.nan
        self.producers[slot] = 0

    def free(self, stream: StreamId) -> None:
        """Erase the state of a stream and free its slot.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        slot = self.slot(stream)
        self.reset_free_rows(np.array([slot]))
        self._call.free(self.address, slot)
        if self._dirty is not None:
            self.deleted[dict_key(stream)] = stream

    def reset_free_rows(self, slots: NDArray[np.int64]) -> None:
        """Write initial rows to free slots where compiled code does not (rows not on the host)."""
        if not self.on_host:
            for start in range(0, len(slots), _RESET_ROWS):
                self.rows[slots[start : start + _RESET_ROWS]] = self._initial

    def set_initial(self, initial: NDArray[np.float32]) -> None:
        """Give streams that come from now on another initial row[R]."""
        changed = not self.on_host and not np.array_equal(self._initial, initial)
        self._initial[:] = initial
        if changed:
            self.reset_free_rows(np.flatnonzero(self.generation == 0))

    def restart_streams(
        self,
        initial: NDArray[np.float32],
        rows: Any,
        before: PredictionSlice,
        after: PredictionSlice,
    ) -> None:
        """Replace all rows: every live stream restarts.

        It keeps its number, its producer and its last prediction.

        Parameters
        ----------
        initial : float32[R]
        rows : float32[S, R]
            Those of slots that were used are initial; R may be another than before.
        before, after : PredictionSlice
            Where the last prediction is in the old and in the new rows.
        """
        slots = np.flatnonzero(self.generation[: self.used_slots])
        copy_predictions(self.rows, before, rows, after, slots[self.seq[slots] != 0])
        self.time[slots] = np.nan
        self._initial, self.rows = np.array(initial, np.float32), rows
        self._set_rows_in_head(rows if self.on_host else lazy_zeros(len(initial), np.float32))
        if self.head[self._layout.DIRTY_RING]:
            self._mark_dirty(slots)

    def track_changes(self, on: bool = True) -> None:
        """Start or stop recording which slots change (kernels/dirty.py)."""
        if self._dirty is None:
            self._dirty = lazy_zeros(self.capacity, np.int64)
        self.head[self._layout.DIRTY_RING] = self._dirty.ctypes.data if on else 0

    def mark_dirty(self, slots: NDArray[np.int64]) -> None:
        """Record that slots change; blocks that are looked up by id are recorded by themselves."""
        if self.tracks_use or self.head[self._layout.DIRTY_RING]:
            self._mark_dirty(slots)

    def _mark_dirty(self, slots: NDArray[np.int64]) -> None:
        from ..kernels.compile import dirty_entries

        dirty_entries().mark_dirty(self.address, slots)

    def first_dirty(self, limit: int) -> NDArray[np.int64]:
        """Return the live ones of the ``limit`` slots that changed first."""
        assert self._dirty is not None  # changes are tracked
        first = int(self.head[self._layout.DIRTY_FIRST])
        count = int(self.head[self._layout.DIRTY_COUNT])
        slots = self._dirty[(first + np.arange(min(limit, count))) % self.capacity]
        return slots[self.generation[slots] > 0]
