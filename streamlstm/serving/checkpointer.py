"""Keeps a worker's streams in a store as well: what changed is committed in the background.

The loop's thread calls :meth:`Keeper.turn` between its turns. There the rows that changed are
copied, a few at a time, so that no message waits long; a thread of its own writes them, one
transaction for each batch. While it writes, what changes waits in the table. If the store fails,
the same batch is tried again until it is written: streams are predicted as ever meanwhile.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from itertools import islice
from types import TracebackType
from typing import Any

from ..backends.plan import initial_row
from ..engine.dirty import Batch, Changes, key_of, stream_of
from ..engine.engine import Engine
from ..engine.state_table import MAX_INTEGER_ID, StreamId
from ..errors import StoreError
from .stores.epochs import Eras
from .stores.header import Header, header_of
from .stores.open import open_store
from .stores.store import Store

_LOG = logging.getLogger(__name__)

BATCH_BYTES = 2**24  # of records, at most, in one transaction
PIECE_BYTES = 2**19  # that are copied between two turns of the loop: some 0.3 ms
BREATH_SECONDS = 0.002  # for which the loop goes on between two pieces
# Until a batch that is being written is looked at again. Whoever comes back to Python meanwhile
# may have to wait for the thread that writes.
LOOK_SECONDS = 0.05
RETRY_SECONDS = 1.0  # until a store that failed is tried again
FINISH_SECONDS = 5.0  # for which a worker that stops waits for its last commit
_LAST_INTEGER = key_of(MAX_INTEGER_ID)
PRELOAD_STREAMS = 4096  # that are put back at a time


class Trouble:
    """Whether something fails, since when and why; the log hears of it when that changes.

    Parameters
    ----------
    what : str
        What is done, as "read".
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self.since: float | None = None
        self.error: StoreError | None = None

    def note(self, error: StoreError) -> None:
        """Keep that it failed."""
        if self.since is None:
            _LOG.warning("%s Predictions go on; it is tried again every second.", error)
            self.since = time.monotonic()
        self.error = error

    def clear(self) -> None:
        """Keep that it went well."""
        if self.since is not None:
            _LOG.warning(
                "store: is %s again after %.1f s", self._what, time.monotonic() - self.since
            )
        self.since = self.error = None


class Keeper:
    """Commits the changes of an engine to a store, and brings streams back from it.

    Parameters
    ----------
    changes : Changes
        Of the engine.
    store : Store
        Closed with the keeper.
    seconds : float
        Between two commits.
    eras : Eras, optional
        Of the store's records; left out where streams never begin anew.

    Attributes
    ----------
    begun, committed : int
        Number of the last commit that was begun, and of the last one that is in the store. What was
        applied before a commit began is in it or in an earlier one.
    written : int
        Batches that are in the store; a commit has one or more.
    returned : int
        Streams that came back because they were asked for.
    lost : int
        Changes that could not be committed when the worker stopped.
    on_commit : callable
        Called after each commit, from the thread that writes.
    """

    def __init__(
        self, changes: Changes, store: Store, seconds: float = 0.1, eras: Eras | None = None
    ) -> None:
        self._changes, self._store, self._seconds = changes, store, seconds
        self._measure(eras)
        self._remaining = store.count()  # streams of the store that may not be here
        self.begun = self.committed = self.written = self.returned = self.lost = 0
        self.on_commit: Callable[[], object] = lambda: None
        self._left = 0  # changes that the commit that was begun has still to take
        self._filling = self._lost = False
        self._due = time.monotonic() + seconds
        self._reading, self._writing = Trouble("read"), Trouble("written")
        self._silent_until = 0.0
        self._work: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="store", daemon=True)
        self._thread.start()

    def _measure(self, eras: Eras | None) -> None:
        self._eras, size = eras, self._changes.record_size
        self._batch = Batch(max(1, BATCH_BYTES // size), size)
        self._piece = max(1, PIECE_BYTES // size)

    # --- commits ---

    @property
    def has_more(self) -> bool:
        """Whether a stream that is not here may be in the store."""
        return self._store.shared or self._remaining > 0

    def ticket(self) -> int:
        """Return the number of the commit after which all that was applied so far is stored."""
        whole = not self._changes.pending and not self._filling and not self._lost
        return self.begun if whole else self.begun + 1

    def turn(self) -> float:
        """Go on with the commit, for a fraction of a millisecond; from the loop's thread.

        Returns
        -------
        float
            Seconds after which this wants to be called again.
        """
        if not self._idle.is_set():
            return LOOK_SECONDS
        if not self._filling:
            now = time.monotonic()
            if self._left == 0:
                if now < self._due:
                    return self._due - now
                self._due = now + self._seconds
                if self._lost:
                    self._lost = False
                    self._changes.note_all()
                self._left = self._changes.pending
                if self._left == 0:
                    return self._seconds
                self.begun += 1
            self._filling = True
        limit = min(self._piece, self._left, self._batch.room - self._batch.count)
        self._changes.take(self._batch, limit)
        self._left -= limit
        if self._left == 0 or self._batch.count == self._batch.room:
            self._filling = False
            self._idle.clear()
            self._work.put(True)
            return LOOK_SECONDS
        return BREATH_SECONDS

    def finish(self, seconds: float = FINISH_SECONDS) -> None:
        """Commit what has changed, from the loop's thread when it is done; say so if that fails."""
        self._finishing.set()
        deadline = time.monotonic() + seconds
        self._due = 0.0
        while self.ticket() > self.begun or self._left or not self._idle.is_set():
            self._due = 0.0
            self.turn()
            left = deadline - time.monotonic()
            if not self._idle.is_set() and not self._idle.wait(max(left, 0)):
                break
            if self._writing.error is not None or left <= 0:
                break
        self.lost = self._changes.pending + self._batch.count
        if self.lost:
            _LOG.error("store: %d changes are lost, they could not be committed", self.lost)

    def _write_all(self) -> None:
        """Write batches as they come."""
        while self._work.get():
            self._changes.seal(self._batch)
            if self._eras is not None:
                self._eras.mark(self._batch)
            if self._write():
                self._batch.clear()
                self.written += 1
                if self._store.emptied:  # what was committed before is to be written again
                    self._store.emptied, self._lost = False, True
                elif self._left == 0:
                    self.committed = self.begun
            self._idle.set()
            self.on_commit()

    def _write(self) -> bool:
        """Write the batch, however often it takes; return False if the worker stops before."""
        while True:
            try:
                self._store.commit(self._batch.gone, self._batch)
            except StoreError as error:
                self._writing.note(error)
            except Exception as error:  # this thread must outlive whatever a store does
                _LOG.error("a commit failed", exc_info=error)
                said = (
                    f"{self._store.place}: failed with {type(error).__name__}; the log says where."
                )
                self._writing.note(StoreError(said))
            else:
                self._writing.clear()
                self._reading.clear()  # a store that takes a commit can be asked again
                return True
            if self._finishing.is_set():
                return False
            self._finishing.wait(RETRY_SECONDS)

    # --- leaving ---

    @property
    def settled(self) -> bool:
        """Whether all that was taken from the table is in the store, which works."""
        if not self._idle.is_set() or self._lost or self.fails:
            return False
        return not self._batch.count and not self._batch.gone

    @property
    def fails(self) -> bool:
        """Whether the store could not be written or read when that was last tried."""
        return self._writing.error is not None or self._reading.error is not None

    @property
    def absent(self) -> int:
        """How many streams are in the store and not here, but for what others do to it."""
        return max(0, self._remaining)

    @property
    def has_changes(self) -> bool:
        """Whether anything has changed that was not taken from the table yet."""
        return self._changes.pending > 0

    def note_left(self, streams: int) -> None:
        """Note that so many streams, all of which the store has, have left memory."""
        self._remaining += streams

    def hurry(self) -> None:
        """Take what has changed and let it be written now, as much as one batch holds."""
        while self._idle.is_set() and (self._lost or self._filling or self.has_changes):
            self._due = 0.0
            self.turn()

    def wait(self, seconds: float) -> None:
        """Wait until the batch that is being written is in the store, for so long at most."""
        self._idle.wait(seconds)

    # --- coming back ---

    def recall(self, streams: Iterable[StreamId]) -> None:
        """Bring back those of these streams that are in the store and not here.

        Raises
        ------
        StoreError
            If the store cannot be read; nothing has changed.
        CapacityError
            If there are not enough slots for them; nothing has changed.
        """
        found = self._stored(streams)
        if found:
            self._put_back(found)
            self.returned += len(found)

    def _stored(self, streams: Iterable[StreamId]) -> dict[bytes, bytes]:
        """Return keys and records of those of these streams that are in the store and not here."""
        if not self.has_more:
            return {}
        absent = self._changes.absent(streams)
        gone = set(self._batch.gone) if self._batch.gone else ()
        keys = [key for key in map(key_of, absent) if key not in gone]
        if not keys:
            return {}
        if self._reading.error is not None and time.monotonic() < self._silent_until:
            raise self._reading.error
        try:
            records = self._store.get(keys)
        except StoreError as error:
            self._reading.note(error)
            self._silent_until = time.monotonic() + RETRY_SECONDS
            raise
        self._reading.clear()
        return {k: self._current(r) for k, r in zip(keys, records, strict=True) if r}

    def _current(self, record: bytes) -> bytes:
        """Return a record of the store as one of the model that runs."""
        return record if self._eras is None else self._eras.current(record)

    def last_seqs(self, streams: Iterable[StreamId]) -> dict[StreamId, int]:
        """Return the last numbers of those of these streams that are in the store and not here.

        Raises
        ------
        StoreError
            If the store cannot be read, or what it has of them is damaged.
        """
        found = self._stored(streams)
        ids = [stream_of(key) for key in found]
        return dict(zip(ids, self._changes.seqs(ids, list(found.values())), strict=True))

    def listed(
        self, prefix: str | None, after: StreamId | None, count: int
    ) -> list[tuple[StreamId, int]]:
        """Return the next streams that are in the store and not here, and their last numbers.

        Parameters and order are those of :meth:`streamlstm.Engine.list_streams`; a store without
        an order has none to tell of.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        start = b"" if after is None else key_of(after)
        if prefix is not None:
            start = max(start, _LAST_INTEGER)  # no integer has a prefix, not even the empty one
        listed: list[tuple[StreamId, int]] = []
        while self.has_more and len(listed) < count:
            gone = set(self._batch.gone)
            page = self._store.page((prefix or "").encode(), start, count)
            if not page:
                break
            start = page[-1][0]
            records = {stream_of(k): self._current(r) for k, r in page if k not in gone}
            absent = self._changes.absent(records)
            numbers = self._changes.seqs(absent, [records[stream] for stream in absent])
            listed += zip(absent, numbers, strict=True)
        return listed[:count]

    def _put_back(self, found: dict[bytes, bytes]) -> None:
        self._changes.put_back([stream_of(key) for key in found], list(found.values()))
        self._remaining -= len(found)

    def preload(self, progress: Callable[[int, int], object], some: bool = False) -> int:
        """Bring back all streams of the store; return how many came.

        Parameters
        ----------
        progress : callable
            Called as ``progress(done, total)``.
        some : bool
            Whether as many as fit are enough.

        Raises
        ------
        StoreError, CapacityError
            As for :meth:`recall`.
        """
        items, done, total = self._store.items(), 0, self._store.count()
        if some:
            items = islice(items, self._changes.room)
        while found := {k: self._current(r) for k, r in islice(items, PRELOAD_STREAMS)}:
            self._put_back(found)
            done += len(found)
            progress(done, total)
        return done

    # --- another model ---

    @property
    def header(self) -> Header:
        """What the store says that it is of."""
        return self._store.header

    def set_header(self, header: Header) -> None:
        """Say of what the store is from now on; from any thread.

        Raises
        ------
        StoreError
            If it cannot be written, or not be of that; nothing has changed.
        """
        self._store.set_header(header)

    @property
    def quiet(self) -> bool:
        """Whether no commit is under way: the only time at which streams may begin anew."""
        batch = self._batch
        return (
            self._idle.is_set()
            and not self._filling
            and self._left == 0
            and batch.count == 0
            and not batch.gone
        )

    def begin_anew(self, eras: Eras) -> None:
        """Write records of another size and era; when :attr:`quiet`, after the engine's streams."""
        self._measure(eras)

    # --- telling, and the end ---

    def status(self) -> dict[str, Any]:
        """Return what INFO shows under ``store``."""
        trouble = self._writing if self._writing.since is not None else self._reading
        since, error = trouble.since, trouble.error
        return {
            "kind": self._store.kind,
            "place": self._store.place,
            "committed": self.committed,
            "pending": self._changes.pending + self._batch.count,
            "absent": self.absent,
            "failing": None if since is None else time.monotonic() - since,
            "error": None if error is None else str(error),
        }

    def close(self) -> None:
        """Let go of the store; what was not committed is lost."""
        self._finishing.set()
        self._work.put(False)
        self._thread.join(FINISH_SECONDS)
        self._store.close()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_keeper(engine: Engine, where: str, seconds: float, other: str = "refuse") -> Keeper | None:
    """Return the keeper of what ``--store`` names; None for ``memory``.

    Raises
    ------
    StoreError
        As for :func:`streamlstm.serving.stores.store.open_store`.
    """
    if where == "memory":
        return None
    changes = engine.changes()
    store = open_store(where, header_of(engine.model, changes.record_size), other)
    return Keeper(changes, store, seconds, Eras(store.header, initial_row(engine.model)))
