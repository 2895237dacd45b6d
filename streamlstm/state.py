"""The state table: every stream's memory as one row, and the map from stream id to row."""

import numpy as np
from numpy.typing import NDArray

from .errors import CapacityError, StreamIdError, UnknownStreamError

StreamId = str | int
MAX_ID_BYTES = 255
MAX_INTEGER_ID = 2**64 - 1
_CACHE_LINE = 64


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
        return check_stream_id(str(stream))
    if isinstance(stream, int | np.integer) and not isinstance(stream, bool):
        if 0 <= stream <= MAX_INTEGER_ID:
            return int(stream)
        raise StreamIdError(f"stream id: expected an integer from 0 to 2**64 - 1, got {stream}.")
    raise StreamIdError(
        f"stream id: expected text or an unsigned integer, got {type(stream).__name__}."
    )


class StateTable:
    """State rows of up to ``capacity`` streams.

    Memory is asked for once, and the operating system gives it page by page as rows are first
    used; a table for many more streams than come costs next to nothing.

    Parameters
    ----------
    capacity : int
        S, how many streams can live at once.
    initial : float32[R]
        The row of a stream that has seen nothing.

    Attributes
    ----------
    rows : float32[S, R]
        The rows; each starts on a cache line if R is a multiple of 16.
    seq : uint64[S]
        Sequence number of the last observation, 0 if none was numbered.
    time : float64[S]
        Event time of the last observation in seconds, NaN if it had none.
    generation : uint32[S]
        Rises whenever a slot is freed, so that nothing meant for its last owner touches the next.
    """

    def __init__(self, capacity: int, initial: NDArray[np.float32]) -> None:
        if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
            raise CapacityError(f"capacity: expected an integer of 1 or more, got {capacity!r}.")
        self.capacity = capacity
        self.rows = _aligned_zeros(capacity, len(initial))
        self._initial = initial
        self.seq = np.zeros(capacity, np.uint64)
        self.time = np.full(capacity, np.nan)
        self.generation = np.zeros(capacity, np.uint32)
        self._slot_of: dict[StreamId, int] = {}
        self._free: list[int] = []
        self._used = 0  # slots below this one have had an owner

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, stream: StreamId) -> bool:
        return stream in self._slot_of

    @property
    def room(self) -> int:
        """How many more streams fit."""
        return self.capacity - len(self._slot_of)

    def streams(self) -> list[StreamId]:
        """Return the ids of all live streams, in the order in which they came."""
        return list(self._slot_of)

    def find(self, stream: StreamId) -> int:
        """Return the slot of ``stream``, or -1 if it has none."""
        return self._slot_of.get(stream, -1)

    def slot(self, stream: StreamId) -> int:
        """Return the slot of a live stream.

        Raises
        ------
        UnknownStreamError
            If the stream has no state here.
        """
        slot = self._slot_of.get(stream, -1)
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
        """
        slot = self._slot_of.get(stream, -1)
        if slot >= 0:
            return slot
        if self._free:
            slot = self._free.pop()
        elif self._used < self.capacity:
            slot = self._used
            self._used += 1
        else:
            raise self.full(stream)
        self.clear(slot)
        self._slot_of[stream] = slot
        return slot

    def full(self, stream: StreamId) -> CapacityError:
        """Return the error for a new stream that finds no slot."""
        return CapacityError(
            f"stream {stream!r}: all {self.capacity} slots are taken; forget streams that have "
            "ended or give the engine a larger capacity."
        )

    def clear(self, slot: int) -> None:
        """Set a slot to the state of a stream that has seen nothing."""
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
        del self._slot_of[stream]
        self.generation[slot] += 1
        self.clear(slot)
        self._free.append(slot)


def _aligned_zeros(count: int, row_size: int) -> NDArray[np.float32]:
    itemsize = np.dtype(np.float32).itemsize
    try:
        memory = np.zeros(count * row_size + _CACHE_LINE // itemsize, np.float32)
    except (MemoryError, ValueError):
        raise CapacityError(
            f"capacity: {count} streams of {row_size * itemsize} bytes are more than this machine "
            "can address; choose a smaller capacity."
        ) from None
    shift = -memory.ctypes.data % _CACHE_LINE // itemsize
    return memory[shift : shift + count * row_size].reshape(count, row_size)
