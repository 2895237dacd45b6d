"""Brings a worker's streams into memory from a store that the workers of a fleet share.

A worker of a fleet gets its partitions after its start, so it preloads while it serves: it looks
through the store a piece at a time, between two turns of the loop. What a message needs meanwhile
is restored for it as always; so a stream is read when it is in the store only, and put into memory
before anything else happens to it.
"""

from __future__ import annotations

from contextlib import suppress

from ..engine.hand_over import HandOver
from ..errors import DamagedRecordError, StoreError
from .arrivals import SPARE
from .stores.stored_streams import StoredStreams

LOOKED_AT = 48  # streams of the store in one turn, of all workers: 0.3 to 0.4 ms


class Preloading:
    """Looks through a shared store for the streams of this worker.

    Parameters
    ----------
    streams : HandOver
    stored : StoredStreams
    """

    def __init__(self, streams: HandOver, stored: StoredStreams) -> None:
        self._streams, self._stored = streams, stored
        self._after: bytes | None = None  # the key up to which; None if there is no more to do

    def begin(self) -> None:
        """Look through all of the store, as this worker has got partitions."""
        self._after = b""

    def advance(self) -> bool:
        """Bring the next streams into memory; tell whether there is more to do now.

        Slots stay free for streams that are new (arrivals.py); beyond that, and while the store
        fails, streams come when a message needs them.
        """
        if self._after is None or self._stored.is_out:
            return False
        try:
            self._after = self._piece(self._after)
        except StoreError:  # which is known and logged
            return False
        return self._after is not None

    def _piece(self, after: bytes) -> bytes | None:
        """Look at the next streams; return the key of the last one, None if that was all."""
        keys = self._stored.next_keys(after, LOOKED_AT)
        reserve = self._streams.limit // SPARE
        room = self._streams.free_slots - reserve
        if not keys or room <= 0:
            return None
        with suppress(DamagedRecordError):  # it harms nobody until it is needed
            self._stored.preload_own(keys, room)
        return keys[-1]
