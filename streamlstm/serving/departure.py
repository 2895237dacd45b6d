"""Partitions that leave a worker: their streams are sent to another one, and deleted later.

A stream is in memory, or in the store only. Those that are in the store only are found before the
partitions leave, while they are still served; until all has left, none of their streams is evicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from ..engine.hand_over import HandOver, Parcel
from ..engine.records import stream_from_key
from .stores.adopted import SCANNED, of_partitions, wanted
from .stores.stored_streams import StoredStreams

SLOTS = 16_384  # that are looked at in one turn: some 0.2 ms,
PIECE = 256  # and streams that are sent,
DELETED = 64  # or deleted: some 0.1 ms


class Stage(Enum):
    """How far a departure is."""

    LOOKING = 1  # for streams that are in the store only
    READY = 2
    SENDING = 3
    SENT = 4
    DELETING = 5


class Departure:
    """Streams of partitions that leave this worker, a piece at a time.

    Parameters
    ----------
    streams : HandOver
        Of the engine.
    stored : StoredStreams or None
        Those that are not in memory.
    partitions : sequence of int
    purges : bool
        Whether its streams are deleted only: they are elsewhere already.

    Attributes
    ----------
    stage : Stage
    purges : bool
    sent : int
        Streams that were sent.
    forgotten : list of bytes
        Keys of streams that a shared store still has, though they were forgotten.
    """

    def __init__(
        self,
        streams: HandOver,
        stored: StoredStreams | None,
        partitions: Sequence[int],
        purges: bool = False,
    ) -> None:
        self._streams, self._stored, self.purges = streams, stored, purges
        self.partitions, self.wanted = list(partitions), wanted(partitions)
        self.stage = Stage.LOOKING
        self._after, self._slot = b"", 0  # how far the store and memory were looked through
        self._absent: list[bytes] = []  # those in the store only
        self._keys: list[bytes] = []  # all that are to be deleted
        self.sent = 0
        self.forgotten: list[bytes] = []

    def report(self) -> tuple[list[int], str]:
        """Return its partitions, and how far it is, for fleet/takeover.py."""
        if self.purges or self.stage is Stage.DELETING:
            return self.partitions, "deletes"
        return self.partitions, "looks" if self.stage in (Stage.LOOKING, Stage.READY) else "sends"

    def release(self) -> None:
        """Send from now on: nothing steps its streams any more."""
        self.stage = Stage.SENDING

    def delete(self) -> None:
        """Delete from now on: another worker has them."""
        self.stage = Stage.DELETING

    @property
    def is_active(self) -> bool:
        """True if :meth:`look`, :meth:`take` or :meth:`delete_piece` has something to do."""
        return self.stage in (Stage.LOOKING, Stage.SENDING, Stage.DELETING)

    def look(self) -> bool:
        """Look for further streams that are in the store only; tell whether it is ready now."""
        keys: list[bytes] = []
        if self._stored is not None and self._stored.has_any:
            keys = self._stored.next_keys(self._after, SCANNED)
        if not keys:
            self.stage = Stage.SENDING if self.purges else Stage.READY
            return self.stage is Stage.READY
        assert self._stored is not None
        self._after = keys[-1]
        mine = [stream_from_key(key) for key in of_partitions(keys, self.wanted)]
        self._absent += self._stored.absent_keys(mine)
        return False

    def take(self) -> tuple[Parcel, bool]:
        """Return the next streams, which may be none, and whether these were the last."""
        used = self._streams.used_slots
        if self._slot < used:
            stop = min(self._slot + SLOTS, used)
            slots, self._slot = self._streams.find(self.wanted, self._slot, stop, PIECE)
            parcel = self._streams.take(slots)
        else:
            piece, self._absent = self._absent[:PIECE], self._absent[PIECE:]
            parcel = self._stored_parcel(piece)
        self._keys += parcel.keys
        self.sent += len(parcel.keys)
        is_last = self._slot >= self._streams.used_slots and not self._absent
        if is_last:
            self.stage = Stage.DELETING if self.purges else Stage.SENT
        return parcel, is_last

    def _stored_parcel(self, keys: list[bytes]) -> Parcel:
        if not keys:
            return Parcel([], b"")
        assert self._stored is not None
        # What has come back into memory since was found there, what was forgotten is gone.
        records = self._stored.records_of(keys)
        return Parcel(list(records), b"".join(records.values()))

    def delete_piece(self) -> bool:
        """Delete the next streams, in memory and in the store; tell whether all are deleted."""
        piece, self._keys = self._keys[:DELETED], self._keys[DELETED:]
        streams = [stream_from_key(key) for key in piece]
        absent = [] if self._stored is None else self._stored.absent(streams)
        self._streams.delete(streams)
        for stream in absent:
            assert self._stored is not None
            self._stored.give_up(stream)
        return not self._keys
