"""Which streams leave a worker's memory, and when: if it is nearly full, or they were idle long.

The loop's thread calls :meth:`Eviction.turn` between its turns. A few thousand slots are looked at
there at a time, so that no message waits long; what is freed is a reserve for streams that come. If
a burst of them uses it up, :meth:`Eviction.make_room` frees what is missing at once.

A stream leaves only when the store has all of it: not while it has changed since its last commit,
nor while any batch is under way to the store, nor while the store fails.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from math import inf

from ..engine.engine import Engine
from ..engine.idle import Idle
from ..engine.state_table import StreamId
from ..errors import BadValueError, CapacityError, StoreError
from .checkpointer import BREATH_SECONDS, LOOK_SECONDS, Keeper

PIECE_SLOTS = 4096  # that are looked at between two turns of the loop: some 20 us,
PIECE_STREAMS = 512  # of which so many leave at most, or fewer if rows are large: some 0.2 ms,
PIECE_BYTES = 2**19
PIECE_NAMED = 128  # and so many where they are told of, some 0.3 ms
MOST_RESERVE = 4096  # slots that are kept free, a sixteenth of all at most
SAMPLES = 16  # of the clock within the time that a stream may be idle
WAIT_SECONDS = 0.01  # between two looks at whether the store fails
ROOM_SECONDS = 1.0  # for which a message may wait until streams that changed are in the store


class Eviction:
    """Lets idle streams leave memory.

    Parameters
    ----------
    idle : Idle
        Of the engine.
    keeper : Keeper or None
        Of the store that they go to; without one what leaves has ended.
    when_full : bool
        Whether streams leave when memory is nearly full; only with a keeper.
    ttl : float or None
        Seconds without an observation after which a stream leaves; None for never.

    Attributes
    ----------
    evicted : int
        Streams that have left.
    left : list of bytes
        Keys of streams that have left and were to be told of; who tells of them empties it.
    """

    def __init__(
        self,
        idle: Idle,
        keeper: Keeper | None = None,
        *,
        when_full: bool = False,
        ttl: float | None = None,
    ) -> None:
        assert keeper is not None or not when_full
        self._idle, self._keeper = idle, keeper
        self.when_full, self._ttl = when_full, ttl
        self.evicted = 0
        self.left: list[bytes] = []
        self.reserve = min(MOST_RESERVE, idle.capacity // 16) if when_full else 0
        self._hand = 0  # the slot that is looked at next
        self._slots = 0  # that are still to be looked at in the pass under way,
        self._before = 0  # for streams that were last used before,
        self._goal = 0  # until so many have left
        self._samples: deque[tuple[float, int]] = deque()  # times and moments of the table's clock
        self._sample_due = 0.0
        self._expired = 0  # what was not used since this moment has been idle too long
        self._written = 0  # batches of the keeper that were heeded
        self._no_waiting_until = 0.0

    @property
    def keeps(self) -> bool:
        """Whether what leaves comes back."""
        return self._keeper is not None

    # --- between turns of the loop ---

    def turn(self, named: bool) -> float:
        """Look at a piece of the table, for a fraction of a millisecond; from the loop's thread.

        Parameters
        ----------
        named : bool
            Whether to put the keys of those that leave into :attr:`left`.

        Returns
        -------
        float
            Seconds after which this wants to be called again.
        """
        wait = self._look_at_the_time()
        if self._slots == 0:
            self._begin()
        if self._slots == 0:
            return wait
        if not self._may_leave():
            return LOOK_SECONDS
        self._sweep(named)
        return BREATH_SECONDS

    def _look_at_the_time(self) -> float:
        """Keep what the table's clock shows now and then; return when to look again."""
        if self._ttl is None:
            return inf
        now = time.monotonic()
        if now >= self._sample_due:
            self._samples.append((now, self._idle.stamp()))
            self._sample_due = now + max(self._ttl / SAMPLES, BREATH_SECONDS)
        while self._samples and self._samples[0][0] <= now - self._ttl:
            self._expired = self._samples.popleft()[1]
        return self._sample_due - now

    def _begin(self) -> None:
        """Begin a pass over the table if there is a reason for one."""
        room = self._idle.room
        if self._expired:
            self._before, self._goal, self._expired = self._expired, self._idle.capacity, 0
            self._slots = self._idle.used
        elif room < (self.reserve + 1) // 2:
            self._goal = self.reserve - room
            self._before = self._idle.oldest(self._goal, self._idle.stamp())
            self._slots = self._idle.used if self._before else 0

    def _may_leave(self) -> bool:
        """Tell whether all that has been taken from the table is safe in the store."""
        keeper = self._keeper
        if keeper is None:
            return True
        if not keeper.settled:
            return False
        if self._written != keeper.written:
            # A stream that was forgotten and has come anew was in the last batch: from now on it
            # may leave, and must not be taken for forgotten then.
            self._idle.note_returned()
            self._written = keeper.written
        return True

    def _sweep(self, named: bool) -> None:
        """Look at the next slots of the pass under way."""
        if self._hand >= self._idle.used:
            self._hand = 0
        limit = PIECE_NAMED if named else PIECE_STREAMS
        limit = min(limit, max(16, PIECE_BYTES // self._idle.row_bytes), self._goal)
        count = min(self._slots, PIECE_SLOTS)
        piece = self._idle.sweep(self._hand, count, self._before, limit, named)
        self._hand += piece.looked
        self._slots -= max(1, piece.looked)
        self._goal -= piece.freed
        if self._goal <= 0:
            self._slots = 0
        self.evicted += piece.freed
        self.left += piece.keys
        if self._keeper is not None:
            self._keeper.note_left(piece.freed)

    # --- when a message needs it ---

    def make_room(self, streams: Sequence[StreamId], named: bool) -> None:
        """Free slots for those of these streams that are not here; those that are here stay.

        Parameters
        ----------
        streams : sequence of str or int
        named : bool
            As of :meth:`turn`.

        Raises
        ------
        CapacityError
            If there are too many of them.
        StoreError
            If the store fails, or takes too long to take those that would have to leave.
        """
        if not self.when_full or self._idle.room >= len(streams):
            return
        missing, before = self._idle.missing(streams)
        deadline = time.monotonic() + ROOM_SECONDS
        target = self._idle.room + missing
        assert self._keeper is not None
        while missing > 0:
            if not self._keeper.settled:
                self._wait(deadline)
            elif not self._free(missing, before, named):
                if not self._keeper.has_changes:
                    raise self._full(streams)
                self._keeper.hurry()
            missing = target - self._idle.room

    def _free(self, missing: int, before: int, named: bool) -> int:
        """Free so many slots, of those idle longest, as far as they may be; return how many.

        A part of the reserve is freed as well, or a burst would come here with every message.
        """
        freed = self.evicted
        goal = missing + min(self.reserve, PIECE_NAMED)
        # A sample may have missed the few that there are.
        for bound in (self._idle.oldest(goal, before), before):
            self._before, self._goal = bound, goal
            self._slots = self._idle.used if bound else 0
            while self._slots > 0 and self._may_leave():
                self._sweep(named)
            if self.evicted > freed:
                break
        self._slots = 0
        return self.evicted - freed

    def _wait(self, deadline: float) -> None:
        """Wait until the batch that is under way is in the store."""
        assert self._keeper is not None
        while not self._keeper.settled:
            if self._keeper.fails:
                raise StoreError(
                    "store: fails at the moment, so that no stream can leave memory for another; "
                    "send it again when the store works."
                )
            now = time.monotonic()
            if now < self._no_waiting_until or now >= deadline:
                if now >= deadline:  # the next ones do not wait as well
                    self._no_waiting_until = now + ROOM_SECONDS
                raise StoreError(
                    "store: it takes long to write what has changed, and until then no stream can "
                    "leave memory for another; send it again."
                )
            self._keeper.hurry()
            self._keeper.wait(WAIT_SECONDS)

    def _full(self, streams: Sequence[StreamId]) -> CapacityError:
        first = repr(streams[0]) + (f" and {len(streams) - 1} more" if len(streams) > 1 else "")
        return CapacityError(
            f"stream {first}: that many do not fit at once into {self._idle.capacity} "
            "places; name fewer in a message, or choose a larger capacity."
        )


def check_eviction(when_full: str, ttl: float | None, store: str) -> None:
    """Raise BadValueError if ``--when-full`` or ``--idle-ttl`` are not as they can be."""
    if when_full not in ("refuse", "evict-idle"):
        raise BadValueError(f"--when-full: expected refuse or evict-idle, got {when_full!r}.")
    if when_full == "evict-idle" and store == "memory":
        raise BadValueError(
            "--when-full evict-idle: without a store, streams that leave memory would be lost; "
            "add --store lmdb:PATH or redis://HOST:PORT."
        )
    if ttl is not None and not 0 < ttl < inf:
        raise BadValueError(f"--idle-ttl: expected seconds above 0, got {ttl:g}.")


def evicting(
    engine: Engine, keeper: Keeper | None, when_full: str, ttl: float | None
) -> Eviction | None:
    """Return what ``--when-full`` and ``--idle-ttl`` ask for; None if nothing ever leaves."""
    if when_full == "refuse" and ttl is None:
        return None
    return Eviction(engine.idle(), keeper, when_full=when_full == "evict-idle", ttl=ttl)
