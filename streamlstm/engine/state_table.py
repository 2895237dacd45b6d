"""The state table: every stream's memory as one row, and the map from stream id to row."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError, StreamIdError, UnknownStreamError
from ..lazy_arrays import lazy_zeros
from .carry_over import Place, carry

StreamId = str | int
MAX_ID_BYTES = 255
MAX_INTEGER_ID = 2**64 - 1

# Ids of a block in the form in which they are looked up: integers, or texts in one str with a NUL
# between them, ASCII or the bytes of UTF-8 as code points.
PackedIds: TypeAlias = NDArray[np.uint64] | str

_FIRST_PLACES, _FIRST_BYTES = 64, 4096  # of an index and of texts; both grow
_REFILLED = 65_536  # rows at once


def check_stream_id(stream: object) -> StreamId:
    """Return ``stream`` as the text or integer that names a stream.

    Raises
    ------
    StreamIdError
        If it is not text of 1 to 255 bytes of UTF-8 without a leading NUL, nor an integer from
        0 to 2**64 - 1.
    """
    if type(stream) is str:
        if stream.isascii():
            size = len(stream)
        else:
            try:
                size = len(stream.encode())
            except UnicodeEncodeError:
                raise StreamIdError(
                    "stream id: expected text that can be written as UTF-8, got one with a lone "
                    "surrogate."
                ) from None
        if not 0 < size <= MAX_ID_BYTES:
            raise StreamIdError(
                f"stream id: expected text of 1 to {MAX_ID_BYTES} bytes, got {size} bytes."
            )
        if stream[0] == "\0":
            # On the XPUB socket a leading zero byte marks an integer id.
            raise StreamIdError("stream id: expected text that does not start with a NUL byte.")
        return stream
    if isinstance(stream, str):
        return check_stream_id(str.__str__(stream))  # the text itself, as it is sent
    if isinstance(stream, int | np.integer) and not isinstance(stream, bool):
        if 0 <= stream <= MAX_INTEGER_ID:
            return int(stream)
        raise StreamIdError(f"stream id: expected an integer from 0 to 2**64 - 1, got {stream}.")
    raise StreamIdError(
        f"stream id: expected text or an unsigned integer, got {type(stream).__name__}."
    )


class StateTable:
    """State rows of up to ``capacity`` streams.

    No stream has a Python object here: ids and what else is known of a stream stand in columns
    beside the rows, found by compiled code (kernels/id_index.py). Memory is given page by page as
    rows are first used; a table for many more streams than come costs next to nothing.

    Parameters
    ----------
    capacity : int
        S, how many streams can live at once.
    initial : float32[R]
        The row of a stream that has seen nothing.
    make_rows : callable, optional
        Makes rows elsewhere than in the host's memory, of S and ``initial``, that are read and
        written as those of an array are (backends/cuda/rows.py). Every row begins as ``initial``.

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
    generation : uint64[S]
        Of a live stream how many had come when it came, itself counted; 0 of a free slot. No two
        owners of a slot share one, so that nothing meant for the last touches the next.
    head : int64[HEAD]
        All of this by address, for compiled code; it stays where it is as long as the table.
    address : int
        Where the head stands.
    gone : set of str or int
        Streams that were freed since :meth:`watch`, and did not come back; who asks empties it.
    clocked : bool
        Whether somebody looks at when slots were used last (streamlstm/engine/idle.py).
    """

    rows: Any  # an array, or what is read and written like one

    def __init__(
        self,
        capacity: int,
        initial: NDArray[np.float32],
        make_rows: Callable[[int, NDArray[np.float32]], Any] | None = None,
    ) -> None:
        if not isinstance(capacity, int | np.integer) or isinstance(capacity, bool) or capacity < 1:
            raise CapacityError(f"capacity: expected an integer of 1 or more, got {capacity!r}.")
        capacity = int(capacity)
        # Numba is loaded by who makes a table, not by who only checks ids.
        from ..kernels import compile, id_lookup
        from ..kernels import id_index as ids

        self._ids, self._call = ids, compile.id_entries()
        self._integer_slot, self._text_slot = self._call.integer_slot, self._call.text_slot
        self._find, self._claim, self._encoded = id_lookup.FIND, id_lookup.CLAIM, id_lookup.ENCODED
        self._no_id = ids.NO_ID
        self._changed: NDArray[np.int64] | None = None
        self.clocked = False
        self.gone: set[StreamId] = set()
        self.capacity = capacity
        self._initial = np.array(initial, np.float32)  # its own: it is written to
        try:
            if capacity > ids.MAX_SLOTS:
                raise MemoryError
            # Where rows are elsewhere, compiled code finds rows of no size and one place for a
            # prediction, which nobody reads.
            reached = capacity if make_rows is None else 1
            in_head = lazy_zeros(reached * len(initial), np.float32)
            self._records = lazy_zeros(capacity * ids.RECORD, np.uint64)
            self.generation = lazy_zeros(capacity, np.uint64)
        except MemoryError:
            raise CapacityError(
                f"capacity: {capacity} streams of {4 * len(initial)} bytes are more than the "
                "system lets this process reserve; choose a smaller capacity."
            ) from None
        self.on_host = make_rows is None
        self.rows = in_head.reshape(reached, len(initial))
        if make_rows is not None:
            self._no_rows = in_head  # kept for the head
            self.rows = make_rows(capacity, self._initial)
        self.seq = self._records[ids.SEQ :: ids.RECORD]
        self.time = self._records.view(np.float64)[ids.TIME :: ids.RECORD]
        self._index = np.zeros(_FIRST_PLACES, np.uint64)
        self._texts = np.zeros(_FIRST_BYTES, np.uint8)
        self.head = np.zeros(ids.HEAD, np.int64)
        self.address = self.head.ctypes.data
        for place, array in (
            (ids.INDEX, self._index),
            (ids.RECORDS, self._records),
            (ids.ARRIVALS, self.generation),
            (ids.TEXTS, self._texts),
            (ids.ROWS, in_head),
            (ids.INITIAL, self._initial),
        ):
            self.head[place] = array.ctypes.data
        self.head[ids.MASK] = _FIRST_PLACES - 1
        self.head[ids.CAPACITY] = capacity
        self.head[ids.ROW_SIZE] = len(initial) if self.on_host else 0
        self.head[ids.TEXT_SIZE] = _FIRST_BYTES

    def __len__(self) -> int:
        return int(self.head[self._ids.LIVE])

    @property
    def used(self) -> int:
        """Slots below this one have had an owner."""
        return int(self.head[self._ids.USED])

    def __contains__(self, stream: StreamId) -> bool:
        return self.find(stream) >= 0

    @property
    def room(self) -> int:
        """How many more streams fit."""
        return self.capacity - len(self)

    def streams(self) -> list[StreamId]:
        """Return the ids of all live streams, in the order in which they came."""
        slots, keys, lengths = self.live()
        order = np.argsort(self.generation[slots])
        return [
            self.text(key, length) if length else key
            for key, length in zip(keys[order].tolist(), lengths[order].tolist(), strict=True)
        ]

    def live(self) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]:
        """Return slots, keys and lengths of all live streams (kernels/id_index.py)."""
        slots = np.flatnonzero(self.generation[: self.used])
        records = self._records.reshape(self.capacity, -1)[slots]
        return slots, records[:, self._ids.KEY], records[:, self._ids.META] & np.uint64(255)

    def text_heads(
        self, keys: NDArray[np.uint64], lengths: NDArray[np.uint64], size: int
    ) -> NDArray[np.uint64]:
        """Return the first ``size`` bytes of texts as numbers in their order, 8 bytes in each.

        Returns
        -------
        uint64[B, size / 8]
            What is behind the end of a text counts as zeros.
        """
        heads = np.zeros((len(keys), size), np.uint8)
        short = lengths <= self._ids.SHORT
        heads[short, :8] = keys[short].astype("<u8").view(np.uint8).reshape(-1, 8)
        places = keys[~short].astype(np.int64)[:, None] + np.arange(size)
        within = np.arange(size) < lengths[~short].astype(np.int64)[:, None]
        heads[~short] = np.where(within, self._texts[np.where(within, places, 0)], 0)
        return heads.view(">u8").astype(np.uint64)

    def text(self, key: int, length: int) -> str:
        """Return the text of a key and a length, as :meth:`live` gives them."""
        if length <= self._ids.SHORT:
            return key.to_bytes(8, "little")[:length].decode()
        return self._texts[key : key + length].tobytes().decode()

    def key_of(self, slot: int) -> tuple[int, int]:
        """Return key and length of one slot (kernels/id_index.py)."""
        record = self._records[slot * self._ids.RECORD :]
        return int(record[self._ids.KEY]), int(record[self._ids.META]) & 255

    def find(self, stream: StreamId) -> int:
        """Return the slot of ``stream``, or a negative number if it has none."""
        return self._slot(stream, self._find)

    def _slot(self, stream: StreamId, mode: int) -> int:
        """Find or claim one id; the answer is a slot or one of the negative ones of id_index.py."""
        if type(stream) is not str:
            slot: int = self._integer_slot(self.address, stream, mode)
            return slot
        slot = self._text_slot(self.address, stream, mode)
        if slot == self._no_id and not stream.isascii():
            try:
                # Compiled code reads a str as it lies in memory: the bytes, one a character.
                encoded = stream.encode().decode("latin-1")
            except UnicodeEncodeError:
                return slot
            slot = self._text_slot(self.address, encoded, mode | self._encoded)
        return slot

    def slot(self, stream: StreamId) -> int:
        """Return the slot of a live stream.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        slot = self.find(stream)
        if slot < 0:
            raise UnknownStreamError(
                f"stream {stream!r}: has no state here; it begins with its first observation."
            )
        return slot

    def claim(self, stream: StreamId) -> int:
        """Return the slot of ``stream``, giving it a fresh one if it has none.

        Raises
        ------
        CapacityError
            If it needs a slot and none is free.
        StreamIdError
            If no stream can be called so.
        """
        slot = self._slot(stream, self._claim)
        if slot == self._ids.NEEDS_ROOM:
            self.make_room(1, MAX_ID_BYTES)
            slot = self._slot(stream, self._claim)
        if slot == self._ids.FULL:
            raise self.full(stream)
        if slot < 0:
            check_stream_id(stream)
        return slot

    def claim_block(self, packed: PackedIds, count: int) -> NDArray[np.int64] | None:
        """Return the slots of a block of streams, giving fresh ones to those that have none.

        Parameters
        ----------
        packed : uint64[B] or str
            The ids, checked as far as their types go.
        count : int
            B, at least 1.

        Returns
        -------
        int64[B] or None
            None if a text among them is no id or new streams find no slot; then nothing has
            changed. :attr:`repeats` says whether slots stand in it more than once.
        """
        slots = np.empty(count, np.int64)
        arrived = self.arrived
        outcome = self._block(packed, slots)
        if outcome == self._ids.NEEDS_ROOM:
            self.make_room(count, len(packed) if isinstance(packed, str) else 0)
            outcome = self._block(packed, slots)
        if outcome == self._ids.FULL:
            self.undo_claims(slots, arrived)
        return slots if outcome == 0 else None

    def _block(self, packed: PackedIds, slots: NDArray[np.int64]) -> int:
        if isinstance(packed, str):
            starts = np.empty(len(slots) + 1, np.int64)
            outcome: int = self._call.text_slots(self.address, packed, starts, slots)
        else:
            outcome = self._call.integer_slots(self.address, packed, slots)
        return outcome

    @property
    def repeats(self) -> bool:
        """Whether a stream came more than once in the last block."""
        return bool(self.head[self._ids.REPEATS])

    def undo_claims(self, slots: NDArray[np.int64], arrived: int) -> None:
        """Take back from the streams of a block what was given since ``arrived``."""
        self._call.undo_claims(self.address, slots, arrived)

    @property
    def arrived(self) -> int:
        """How many streams have come since the table was made."""
        return int(self.head[self._ids.ARRIVED])

    def seqs_follow(self, slots: NDArray[np.int64], seqs: NDArray[np.uint64]) -> bool:
        """Tell whether each number of a block is 0 or the next one of its stream."""
        follow: bool = self._call.seqs_follow(self.address, slots, seqs)
        return follow

    def note(
        self,
        slots: NDArray[np.int64],
        seqs: NDArray[np.uint64],
        times: NDArray[np.float64],
        Y: NDArray[np.float32],
        place: int,
    ) -> None:
        """Keep numbers (0: none) and times (NaN: none) of a block; either array may be empty.

        Where there is a number, its prediction, of Y[B, O], goes to ``place`` in the row.
        """
        self._call.note_block(self.address, slots, seqs, times, Y, place)

    def make_room(self, streams: int, size: int) -> None:
        """Replace index and texts by larger ones if so many new ids, of so many bytes, need it."""
        ids, head = self._ids, self.head
        total = min(len(self) + streams, self.capacity)
        places = len(self._index)
        while total * 8 > places * 5:
            places *= 2
        if places > len(self._index):
            index = lazy_zeros(places, np.uint64)
            self._call.enlarge(self.address, ids.INDEX, index.ctypes.data, places)
            self._index = index
        if head[ids.TEXT_USED] + size > head[ids.TEXT_SIZE]:
            # Texts of streams that have gone are left behind. Half of the new array is free, so
            # that copying costs no more than the ids that come and go in the meantime.
            texts = lazy_zeros(2 * (int(head[ids.TEXT_LIVE]) + size), np.uint8)
            self._call.enlarge(self.address, ids.TEXTS, texts.ctypes.data, len(texts))
            self._texts = texts

    def full(self, stream: StreamId) -> CapacityError:
        """Return the error for a new stream that finds no slot."""
        return CapacityError(
            f"stream {stream!r}: all {self.capacity} places are taken; it takes a larger capacity, "
            "or streams that have ended to be forgotten."
        )

    def watch(self, on: bool = True) -> None:
        """Keep from now on which slots change (kernels/dirty.py), or no longer."""
        if self._changed is None:
            self._changed = lazy_zeros(self.capacity, np.int64)
        self.head[self._ids.CHANGED] = self._changed.ctypes.data if on else 0

    def note_changed(self, *slots: int) -> None:
        """Note that slots change, by another way than a block that was looked up."""
        if self.clocked or self.head[self._ids.CHANGED]:
            from ..kernels.compile import changed_entries

            changed_entries().note_slots(self.address, np.array(slots, np.int64))

    def start_with(self, initial: NDArray[np.float32]) -> None:
        """Let streams that come from now on begin with another row, of the same size."""
        stale = not self.on_host and not np.array_equal(self._initial, initial)
        self._initial[:] = initial
        if stale:
            self.refill(np.flatnonzero(self.generation == 0))

    def refill(self, slots: NDArray[np.int64]) -> None:
        """Let rows of free slots be initial ones, where compiled code does not reach them."""
        if not self.on_host:
            for start in range(0, len(slots), _REFILLED):
                self.rows[slots[start : start + _REFILLED]] = self._initial

    def begin_anew(
        self, initial: NDArray[np.float32], rows: Any, before: Place, after: Place
    ) -> None:
        """Let every live stream begin anew in other rows; numbers and last predictions stay.

        Parameters
        ----------
        initial : float32[R]
        rows : float32[S, R]
            Those of slots that were used are initial; R may be another than it was.
        before, after : Place
            Of the last prediction, in the old rows and in these.
        """
        slots = np.flatnonzero(self.generation[: self.used])
        carry(self.rows, before, rows, after, slots[self.seq[slots] != 0])
        self.time[slots] = np.nan
        self._initial, self.rows = np.array(initial, np.float32), rows
        ids, head = self._ids, self.head
        in_head = rows
        if not self.on_host:
            in_head = self._no_rows = lazy_zeros(len(initial), np.float32)
        head[ids.ROWS], head[ids.INITIAL] = in_head.ctypes.data, self._initial.ctypes.data
        head[ids.ROW_SIZE] = len(initial) if self.on_host else 0
        if head[ids.CHANGED]:
            from ..kernels.compile import changed_entries

            changed_entries().note_slots(self.address, slots)

    def next_changed(self, limit: int) -> NDArray[np.int64]:
        """Return the live ones of the ``limit`` slots that changed first (kernels/dirty.py)."""
        assert self._changed is not None  # of a table that is watched
        first, count = (
            int(self.head[n]) for n in (self._ids.CHANGED_FIRST, self._ids.CHANGED_COUNT)
        )
        slots = self._changed[(first + np.arange(min(limit, count))) % self.capacity]
        return slots[self.generation[slots] > 0]

    def clear(self, slot: int) -> None:
        """Set a slot to the state of a stream that has seen nothing."""
        self.note_changed(slot)
        self.rows[slot] = self._initial
        self.seq[slot] = 0
        self.time[slot] = np.nan

    def free(self, stream: StreamId) -> None:
        """Forget a stream: its state is erased and its slot free for another.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        slot = self.slot(stream)
        self.refill(np.array([slot]))
        self._call.release(self.address, slot)
        if self._changed is not None:
            self.gone.add(stream)
