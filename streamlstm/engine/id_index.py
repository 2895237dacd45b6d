"""The index from stream id to slot, and the columns beside it (kernels/id_index.py)."""

import os

import numpy as np
from numpy.typing import NDArray

from ..errors import CapacityError, UnknownStreamError, shown
from ..lazy_arrays import lazy_zeros
from .ids import MAX_ID_BYTES, PackedIds, StreamId, check_stream_id

_INDEX_PLACES, _TEXT_BYTES = 64, 4096  # initial sizes; both arrays grow


class IdIndex:
    """Assigns a slot to each of up to ``capacity`` stream ids.

    No stream has a Python object here: ids are columns that compiled code searches, by a hash with
    secret keys of each index, so that nobody can choose ids that collide. Memory is
    committed page by page as slots are first used; an index for many more streams than come costs
    next to nothing.

    Parameters
    ----------
    capacity : int
        S, how many streams can live at once.

    Attributes
    ----------
    generation : uint64[S]
        For a live stream the number of streams created up to and including it; 0 for a free slot.
        No two owners of a slot share one, so no late message for one owner can touch the next.
    producers : uint64[S]
        Identity of the publisher of a stream; 0 for none, and for a free slot.
    head : int64[HEAD]
        Addresses and sizes of all arrays, for compiled code; it never moves.
    address : int
        Address of ``head``.

    Raises
    ------
    MemoryError
        If the system does not reserve that much.
    """

    def __init__(self, capacity: int) -> None:
        # Numba loads only when an index is made: importing this module, or an error in an argument
        # before, must not take so long.
        from ..kernels import compile, id_index, id_lookup, listing

        self._layout, self._call = id_index, compile.id_entries()
        self._listing = listing
        self._integer_slot, self._text_slot = self._call.integer_slot, self._call.text_slot
        self._find, self._claim, self._encoded = id_lookup.FIND, id_lookup.CLAIM, id_lookup.ENCODED
        self._no_id = id_index.INVALID_ID
        if capacity > id_index.MAX_SLOTS:
            raise MemoryError
        self.capacity = capacity
        self._records = lazy_zeros(capacity * id_index.RECORD, np.uint64)
        self.generation = lazy_zeros(capacity, np.uint64)
        self.producers = lazy_zeros(capacity, np.uint64)
        self._index = np.zeros(_INDEX_PLACES, np.uint64)
        self._texts = np.zeros(_TEXT_BYTES, np.uint8)
        self.head = np.zeros(id_index.HEAD, np.int64)
        self.address = self.head.ctypes.data
        self.head[id_index.INDEX] = self._index.ctypes.data
        self.head[id_index.RECORDS] = self._records.ctypes.data
        self.head[id_index.GENERATIONS] = self.generation.ctypes.data
        self.head[id_index.PRODUCERS] = self.producers.ctypes.data
        self.head[id_index.TEXTS] = self._texts.ctypes.data
        self.head[id_index.MASK] = _INDEX_PLACES - 1
        self.head[id_index.CAPACITY] = self.head[id_index.LIMIT] = capacity
        self.head[id_index.TEXT_SIZE] = _TEXT_BYTES
        self.head[id_index.PROBE_LIMIT] = id_index.PROBES
        self.head[id_index.HASH_KEYS :] = self._new_keys()

    def __len__(self) -> int:
        return int(self.head[self._layout.LIVE])

    def __contains__(self, stream: StreamId) -> bool:
        return self.find(stream) >= 0

    @property
    def used_slots(self) -> int:
        """Slots below this one have had an owner."""
        return int(self.head[self._layout.USED])

    @property
    def free_slots(self) -> int:
        """Number of free slots, up to :attr:`limit`."""
        return max(self.limit - len(self), 0)

    @property
    def limit(self) -> int:
        """Slots that new streams may take: the capacity, or fewer; what is there may be more."""
        return int(self.head[self._layout.LIMIT])

    @limit.setter
    def limit(self, slots: int) -> None:
        self.head[self._layout.LIMIT] = min(slots, self.capacity)

    @property
    def arrivals(self) -> int:
        """Number of streams created since the index was made."""
        return int(self.head[self._layout.GENERATION])

    def streams(self) -> list[StreamId]:
        """Return the ids of all live streams, in the order in which they came."""
        slots = np.flatnonzero(self.generation[: self.used_slots])
        return self.ids_of(slots[np.argsort(self.generation[slots])])

    def key_and_length(self, slot: int) -> tuple[int, int]:
        """Return key and text length of one slot."""
        record = self._records[slot * self._layout.RECORD :]
        return int(record[self._layout.KEY]), int(record[self._layout.META]) & 255

    def text(self, key: int, length: int) -> str:
        """Return the text that a key and a length stand for."""
        if length <= self._layout.SHORT:
            return key.to_bytes(8, "little")[:length].decode()
        return self._texts[key : key + length].tobytes().decode()

    def ids_of(self, slots: NDArray[np.int64]) -> list[StreamId]:
        """Return the ids of slots that are live."""
        records = self._records.reshape(self.capacity, -1)[slots]
        keys = records[:, self._layout.KEY].tolist()
        lengths = (records[:, self._layout.META] & np.uint64(255)).tolist()
        texts, short = self._texts.data, self._layout.SHORT  # whose slices cost the least
        ids: list[StreamId] = []
        for key, length in zip(keys, lengths, strict=True):
            if length > short:
                ids.append(str(texts[key : key + length], "utf-8"))
            else:
                ids.append(self.text(key, length) if length else key)
        return ids

    def first_slots(
        self, prefix: str | None, after: StreamId | None, count: int
    ) -> NDArray[np.int64]:
        """Return the slots of the next streams in the order of kernels/listing.py.

        Parameters are those of :func:`.listing.list_page`.
        """
        page = np.empty(max(min(count, len(self)), 0), np.int64)
        if len(page) == 0:
            return page
        text = after.encode() if isinstance(after, str) else b""
        listing = self._listing
        start = listing.AFTER_TEXT if isinstance(after, str) else listing.AFTER_INTEGER
        if after is None:
            start = listing.AT_START
        found = self._call.select_page(
            self.address,
            start,
            after if isinstance(after, int) else 0,
            np.frombuffer(text, np.uint8),
            np.frombuffer((prefix or "").encode(), np.uint8),
            prefix is not None,
            page,
        )
        return page[:found]

    def find(self, stream: StreamId) -> int:
        """Return the slot of ``stream``, or a negative number if it has none."""
        return self._slot(stream, self._find)

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
                f"stream {shown(stream)}: has no state here; it begins with its first observation."
            )
        return slot

    def claim(self, stream: StreamId) -> int:
        """Return the slot of ``stream``, assigning a free one if it has none.

        Raises
        ------
        CapacityError
            If it needs a slot and none is free.
        StreamIdError
            If the id is not valid.
        """
        slot = self._slot(stream, self._claim)
        while slot == self._layout.NEEDS_ROOM:
            self.reserve(1, MAX_ID_BYTES)
            slot = self._slot(stream, self._claim)
        if slot == self._layout.FULL:
            raise self.full_error(stream)
        if slot < 0:
            check_stream_id(stream)
        return slot

    def _slot(self, stream: StreamId, mode: int) -> int:
        """Find or claim the slot of one id; a negative code of kernels/id_index.py if it fails."""
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

    def claim_block(self, packed: PackedIds, count: int) -> NDArray[np.int64] | None:
        """Return the slots of a block of streams, assigning free ones to new streams.

        Parameters
        ----------
        packed : uint64[B] or str
            The ids, checked as far as their types go.
        count : int
            B, at least 1.

        Returns
        -------
        int64[B] or None
            None if a text is not a valid id or not all new streams fit; then nothing has changed.
            :attr:`repeats` says whether a slot is in it more than once.
        """
        slots = np.empty(count, np.int64)
        arrivals = self.arrivals
        outcome = self._claim_packed(packed, slots)
        while outcome == self._layout.NEEDS_ROOM:
            self.undo_claims(slots, arrivals)
            self.reserve(count, len(packed) if isinstance(packed, str) else 0)
            outcome = self._claim_packed(packed, slots)
        if outcome == self._layout.FULL:
            self.undo_claims(slots, arrivals)
        return slots if outcome == 0 else None

    def _claim_packed(self, packed: PackedIds, slots: NDArray[np.int64]) -> int:
        if isinstance(packed, str):
            starts = np.empty(len(slots) + 1, np.int64)
            outcome: int = self._call.text_slots(self.address, packed, starts, slots)
        else:
            outcome = self._call.integer_slots(self.address, packed, slots)
        return outcome

    @property
    def repeats(self) -> bool:
        """True if a stream was in the last block more than once."""
        return bool(self.head[self._layout.REPEATS])

    def undo_claims(self, slots: NDArray[np.int64], arrivals: int) -> None:
        """Free those slots of a block that were assigned after :attr:`arrivals` was read."""
        self._call.undo_claims(self.address, slots, arrivals)

    def reserve(self, streams: int, size: int) -> None:
        """Make room for ``streams`` new ids whose texts have ``size`` bytes in all.

        An index in which ids collide too often is replaced by one with other keys.
        """
        layout, head = self._layout, self.head
        total = min(len(self) + streams, self.capacity)
        places = len(self._index)
        while total * 8 > places * 5:
            places *= 2
        if places > len(self._index) or head[layout.LONG_RUN]:
            index, keys = lazy_zeros(places, np.uint64), self._new_keys()
            self._call.move_index(self.address, index.ctypes.data, places, keys.ctypes.data)
            self._index = index
        if head[layout.TEXT_USED] + size > head[layout.TEXT_SIZE]:
            # Texts of freed streams are not copied. Half of the new array is free, so copying
            # costs no more than the ids that come and go in the meantime.
            texts = lazy_zeros(2 * (int(head[layout.TEXT_LIVE]) + size), np.uint8)
            self._call.move_texts(self.address, texts.ctypes.data, len(texts))
            self._texts = texts

    def _new_keys(self) -> NDArray[np.int64]:
        """Return secret keys of the hash (kernels/keyed_hash.py)."""
        count = self._layout.HEAD - self._layout.HASH_KEYS
        return np.frombuffer(os.urandom(8 * count), np.int64)

    def full_error(self, stream: StreamId) -> CapacityError:
        """Return the error for a new stream for which no slot is free."""
        return CapacityError(
            f"stream {shown(stream)}: all {self.limit} slots are taken; choose a larger "
            "capacity, or forget streams that have ended."
        )
