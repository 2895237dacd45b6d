"""Evicts streams from a worker's memory: when it is nearly full, or when they were idle for long.

The loop's thread calls :meth:`Eviction.turn` between its turns. It scans a few thousand slots at a
time, so that no message waits long; the slots that it frees are a reserve for new streams. If a
burst of them uses up the reserve, :meth:`Eviction.make_room` frees what is missing at once.

A stream is evicted only when the store has all of it: not while it has changed since its last
commit, nor if it may be in the batch that is under way to the store, nor while the store fails.
While places run short, commits begin early and are small, and streams come no faster than they go.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..engine.idle_evictor import IdleEvictor
from ..engine.ids import StreamId
from ..engine.records import NEVER
from ..errors import BadValueError, CapacityError, StoreError, StreamLSTMError
from .stores.checkpointer import POLL_SECONDS, YIELD_SECONDS, Checkpointer

SCAN_SLOTS = 4096  # scanned between two turns of the loop: some 20 us,
SCAN_STREAMS = 512  # of which so many are evicted at most, or fewer if rows are large: some 0.2 ms,
SCAN_BYTES = 2**19
SCAN_NAMED = 128  # and so many where their keys are collected, some 0.3 ms
MAX_RESERVE = 4096  # slots that are kept free, a sixteenth of all at most
CHANGED_PART = 4  # a commit begins at once if more than one in so many places has changed
SAMPLES = 16  # of the table's clock within the time that a stream may be idle
WAIT_SECONDS = 0.01  # between two looks at whether the store fails
PACE_SECONDS = 80e-6  # waited for each stream that came, if all have changed; 0 if half of them,
MAX_PACE_SECONDS = 0.02  # and between two turns
ROOM_SECONDS = 1.0  # for which a message may wait until streams that changed are in the store


class Eviction:
    """Evicts idle streams.

    Parameters
    ----------
    idle : IdleEvictor
        Finds and frees idle slots of the engine.
    checkpointer : Checkpointer or None
        Commits to the store of the streams; without one an evicted stream has ended.
    when_full : bool
        Whether streams are evicted when memory is nearly full; only with a checkpointer.
    ttl : float or None
        Seconds without an observation after which a stream is evicted; None for never.

    Attributes
    ----------
    evicted : int
        Streams that were evicted.
    evicted_keys : list of bytes
        Keys of evicted streams that are to be published; whoever publishes them empties it.
    reserve : int
        Slots to keep free.
    """

    def __init__(
        self,
        idle: IdleEvictor,
        checkpointer: Checkpointer | None = None,
        *,
        when_full: bool = False,
        ttl: float | None = None,
    ) -> None:
        assert checkpointer is not None or not when_full
        self._idle, self._checkpointer = idle, checkpointer
        self.when_full, self._ttl = when_full, ttl
        self.evicted = 0
        self.evicted_keys: list[bytes] = []
        self.reserve = min(MAX_RESERVE, idle.capacity // 16) if when_full else 0
        self._hand = 0  # the slot that is scanned next
        self._slots = 0  # still to be scanned in the pass under way,
        self._before = 0  # for streams that were last used before,
        self._goal = 0  # until so many are evicted
        self._samples: deque[tuple[float, int]] = deque()  # times and stamps of the table's clock
        self._sample_due = 0.0
        self._expired = 0  # what was not used since this stamp has been idle for too long
        self._written = 0  # batches of the checkpointer that were taken into account
        self._no_waiting_until = 0.0
        self._arrivals = idle.arrivals

    @property
    def recoverable(self) -> bool:
        """True if an evicted stream can be restored."""
        return self._checkpointer is not None

    def keep(self, partitions: NDArray[np.uint8]) -> None:
        """Evict no streams of some partitions, which are 1 here; an empty array is for none."""
        self._idle.kept = partitions

    # --- between turns of the loop ---

    def turn(self, named: bool) -> float:
        """Scan a part of the table, for a fraction of a millisecond; from the loop's thread.

        Parameters
        ----------
        named : bool
            Whether to collect the keys of evicted streams in :attr:`evicted_keys`.

        Returns
        -------
        float
            Seconds after which to call this again.
        """
        wait = self._sample_clock()
        self._keep_pace()
        safe = self._safe_before()  # after it: a batch may be under way now
        if self._slots == 0:
            self._begin_pass(safe)
        if self._slots == 0:
            return wait
        if safe == 0:
            return POLL_SECONDS
        self._sweep(named, safe)
        return YIELD_SECONDS

    def _keep_pace(self) -> None:
        """Let streams come no faster than the store takes those that leave for them.

        Without that the loop would take all places at once, and a message wait for a whole commit.
        """
        arrived, self._arrivals = self._idle.arrivals - self._arrivals, self._idle.arrivals
        if arrived and self.when_full and self._idle.free_slots < self.reserve:
            self._commit_if_short()
            assert self._checkpointer is not None
            self._checkpointer.wait(self._delay(arrived))

    def _delay(self, arrived: int) -> float:
        """Return for how many seconds to wait after so many streams have come."""
        checkpointer = self._checkpointer
        assert checkpointer is not None
        if not checkpointer.safe_before or time.monotonic() < self._no_waiting_until:
            return 0.0
        beyond = 2 * checkpointer.uncommitted / self._idle.capacity - 1
        return max(0.0, beyond) * min(arrived * PACE_SECONDS, MAX_PACE_SECONDS)

    def _commit_if_short(self) -> None:
        """Begin a commit if so much has changed that streams which may be evicted run short."""
        checkpointer = self._checkpointer
        assert checkpointer is not None
        if checkpointer.changes * CHANGED_PART > self._idle.capacity:
            checkpointer.commit_early()

    def _sample_clock(self) -> float:
        """Sample the table's clock now and then; return the seconds until the next sample."""
        if self._ttl is None:
            return inf
        now = time.monotonic()
        if now >= self._sample_due:
            self._samples.append((now, self._idle.advance_clock()))
            self._sample_due = now + max(self._ttl / SAMPLES, YIELD_SECONDS)
        while self._samples and self._samples[0][0] <= now - self._ttl:
            self._expired = self._samples.popleft()[1]
        return self._sample_due - now

    def _begin_pass(self, safe: int) -> None:
        """Begin a pass over the table if there is a reason for one."""
        room = self._idle.free_slots
        if self._expired:
            self._before, self._goal, self._expired = self._expired, self._idle.capacity, 0
            self._slots = self._idle.used_slots
        elif room < (self.reserve + 1) // 2:
            self._goal = self.reserve - room
            self._before = self._idle.cutoff(self._goal, min(self._idle.advance_clock(), safe))
            self._slots = self._idle.used_slots if self._before else 0

    def _safe_before(self) -> int:
        """Return the block before which unchanged streams were last used that may be evicted."""
        checkpointer = self._checkpointer
        if checkpointer is None:
            return NEVER
        safe = checkpointer.safe_before
        if self._written != checkpointer.written:
            # A stream that was forgotten and has come back was in the last batch: from now on it
            # may be evicted, and must not be taken for forgotten then.
            self._idle.undelete_returned()
            self._written = checkpointer.written
        return safe

    def _sweep(self, named: bool, safe: int) -> None:
        """Scan the next slots of the pass under way, and evict."""
        if self._hand >= self._idle.used_slots:
            self._hand = 0
        limit = SCAN_NAMED if named else SCAN_STREAMS
        limit = min(limit, max(16, SCAN_BYTES // self._idle.row_bytes), self._goal)
        count = min(self._slots, SCAN_SLOTS)
        swept = self._idle.sweep(self._hand, count, min(self._before, safe), limit, named)
        self._hand += swept.scanned
        self._slots -= max(1, swept.scanned)
        self._goal -= swept.evicted
        if self._goal <= 0:
            self._slots = 0
        self.evicted += swept.evicted
        self.evicted_keys += swept.keys
        if self._checkpointer is not None:
            self._checkpointer.stored.note_evicted(swept.evicted)

    # --- when a message needs room ---

    def make_room(self, streams: Sequence[StreamId], named: bool) -> None:
        """Free slots for those of these streams that are not in memory; the others stay.

        Parameters
        ----------
        streams : sequence of str or int
        named : bool
            As for :meth:`turn`.

        Raises
        ------
        CapacityError
            If there are too many of them.
        StoreError
            If the store fails, or takes too long to take those that would have to be evicted.
        """
        if not self.when_full or self._idle.free_slots >= len(streams):
            return
        missing, before = self._idle.missing_slots(streams)
        deadline = time.monotonic() + ROOM_SECONDS
        target = self._idle.free_slots + missing
        assert self._checkpointer is not None
        while missing > 0:
            written = self._checkpointer.written
            self._commit_if_short()
            if not self._free(missing, before, named) and not self._wait(written, deadline):
                raise self._no_room(streams)
            missing = target - self._idle.free_slots

    def _free(self, missing: int, before: int, named: bool) -> int:
        """Free up to ``missing`` slots, those idle longest first; return how many were freed.

        A part of the reserve is freed as well, or a burst would come here with every message.
        """
        evicted = self.evicted
        goal = missing + min(self.reserve, SCAN_NAMED)
        safe = self._safe_before()
        before = min(before, safe)
        # A sample may have missed the few that there are.
        for bound in (self._idle.cutoff(goal, before), before):
            self._before, self._goal = bound, goal
            self._slots = self._idle.used_slots if bound else 0
            while self._slots > 0:
                self._sweep(named, safe)
            if self.evicted > evicted:
                break
        self._slots = 0
        return self.evicted - evicted

    def _wait(self, written: int, deadline: float) -> bool:
        """Wait until more than ``written`` batches are in the store; False if none is to come."""
        checkpointer = self._checkpointer
        assert checkpointer is not None
        checkpointer.commit_early()
        while True:
            if checkpointer.failing:
                raise StoreError(
                    "store: fails at the moment, so that no stream can leave memory for another; "
                    "send it again when the store works."
                )
            if not checkpointer.writing:
                return checkpointer.written != written or checkpointer.has_changes
            now = time.monotonic()
            if now < self._no_waiting_until or now >= deadline:
                if now >= deadline:  # the next messages do not wait as well
                    self._no_waiting_until = now + ROOM_SECONDS
                raise StoreError(
                    "store: writing the latest changes takes long, and until then no stream can "
                    "leave memory for another; send it again."
                )
            checkpointer.wait(WAIT_SECONDS)

    def _no_room(self, streams: Sequence[StreamId]) -> StreamLSTMError:
        if self._idle.kept.any() and len(streams) <= self._idle.capacity:
            return StoreError(
                "store: the streams in memory are on their way to another worker, and until then "
                "they cannot leave memory for another; send it again."
            )
        first = repr(streams[0]) + (f" and {len(streams) - 1} more" if len(streams) > 1 else "")
        return CapacityError(
            f"stream {first}: that many do not fit at once into {self._idle.capacity} "
            "places; name fewer in a message, or choose a larger capacity."
        )


def check_eviction(when_full: str, ttl: float | None, store: str) -> None:
    """Raise BadValueError if ``--when-full`` or ``--idle-ttl`` is not valid."""
    if when_full not in ("refuse", "evict-idle"):
        raise BadValueError(f"--when-full: expected refuse or evict-idle, got {when_full!r}.")
    if when_full == "evict-idle" and store == "memory":
        raise BadValueError(
            "--when-full evict-idle: without a store, streams that leave memory would be lost; "
            "add --store lmdb:PATH or redis://HOST:PORT."
        )
    if ttl is not None and not 0 < ttl < inf:
        raise BadValueError(f"--idle-ttl: expected seconds above 0, got {ttl:g}.")


def make_eviction(
    engine: Engine, checkpointer: Checkpointer | None, when_full: str, ttl: float | None
) -> Eviction | None:
    """Return the eviction for ``--when-full`` and ``--idle-ttl``; None if nothing is evicted."""
    if when_full == "refuse" and ttl is None:
        return None
    idle = engine.idle_evictor()
    return Eviction(idle, checkpointer, when_full=when_full == "evict-idle", ttl=ttl)
