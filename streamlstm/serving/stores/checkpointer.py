"""Checkpoints a worker's streams to a store in the background.

The loop's thread calls :meth:`Checkpointer.turn` between its turns. There the rows that changed are
copied, a few at a time, so that no message waits long; a commit thread writes them, one transaction
for each batch. While it writes, changes accumulate in the state table. If the store fails, the same
batch is retried until it is written; predictions continue meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...engine.dirty_tracker import DirtyTracker
from ...engine.records import NEVER, RecordBatch
from .commit_thread import CommitThread
from .epochs import Epochs
from .header import Header
from .shared_store import SharedStore
from .store import FencedError, Loss, Store
from .stored_streams import StoredStreams

_LOG = logging.getLogger(__name__)

BATCH_BYTES = 2**24  # of records, at most, in one transaction
CHUNK_BYTES = 2**19  # copied between two turns of the loop: some 0.3 ms
EARLY_RECORDS = 2048  # in one transaction while somebody may have to wait for it
YIELD_SECONDS = 0.002  # for which the loop runs between two chunks
# Until a batch that is being written is looked at again. Whoever comes back to Python meanwhile
# may have to wait for the thread that writes.
POLL_SECONDS = 0.05
FINISH_SECONDS = 5.0  # for which a worker that stops waits for its last commit


class Checkpointer:
    """Commits the changes of an engine to a store.

    Parameters
    ----------
    tracker : DirtyTracker
        The engine's, which takes records of changed streams.
    store : Store
        Closed with the checkpointer.
    seconds : float
        Between two commits.
    epochs : Epochs, optional
        Of the store's records; left out where streams never restart.

    Attributes
    ----------
    shared : SharedStore or None
        The store, if the workers of a fleet share it.
    stored : StoredStreams
        Reads the streams that are in the store and not in memory.
    begun, committed : int
        Number of the last commit that was begun, and of the last one that is in the store. What was
        applied before a commit began is in it or in an earlier one.
    written : int
        Batches that are in the store; a commit has one or more.
    lost : int
        Changes that could not be committed when the worker stopped.
    on_commit : callable
        Called after each commit, from the commit thread.
    """

    def __init__(
        self,
        tracker: DirtyTracker,
        store: Store,
        seconds: float = 0.1,
        epochs: Epochs | None = None,
    ) -> None:
        self._tracker, self._store, self._seconds = tracker, store, seconds
        self.shared = store if isinstance(store, SharedStore) else None
        self.stored = StoredStreams(tracker, store)
        self.start_epoch(epochs)
        self.begun = self.committed = self.written = self.lost = 0
        self.on_commit: Callable[[], object] = lambda: None
        self._promised = 0  # the number of a commit that has to come, even without changes
        self._uncopied = 0  # changes that the commit under way has still to copy
        self._copying = False
        self._rewritten = 0  # the commit by which all is in the store again
        self._recount = False  # whether to count what is in the store, and there only
        self._due = time.monotonic() + seconds
        self._thread = CommitThread(store, self.stored.outage, lambda: self.on_commit())

    def start_epoch(self, epochs: Epochs | None) -> None:
        """Write records of another epoch and size; only :attr:`between_commits`.

        The engine's streams must have restarted before.
        """
        size = self._tracker.record_size
        self._epochs = self.stored.epochs = epochs
        self._batch = self.stored.batch = RecordBatch(max(1, BATCH_BYTES // size), size)
        self._chunk = max(1, CHUNK_BYTES // size)
        self._early = min(EARLY_RECORDS, self._batch.capacity)

    # --- from the loop's thread ---

    def ticket(self) -> int:
        """Return the number of the commit after which all that was applied so far is stored."""
        clean = not (self._tracker.pending or self.stored.incoming or self._copying)
        clean = clean and self._thread.loss is None
        number = self.begun if clean and self._store.intact else self.begun + 1
        self._promised = max(self._promised, number)
        return number

    def turn(self) -> float:
        """Continue the commit for a fraction of a millisecond.

        Returns
        -------
        float
            Seconds after which to call this again.

        Raises
        ------
        FencedError
            If another worker owns the store now; what is in memory is not to be used any more.
        """
        return self._copy(self._batch.capacity)

    def _copy(self, most: int) -> float:
        """Copy a chunk of records; have them written when all or ``most`` are in the batch."""
        self._check_ownership()
        if not self._thread.is_idle:
            return POLL_SECONDS
        if not self._copying:
            now = time.monotonic()
            if self._uncopied == 0:
                if now < self._due and self._thread.loss is None:
                    return self._due - now
                self._due = now + self._seconds
                if self._thread.loss is not None:
                    self._write_again(self._thread.loss)
                self._uncopied = self._tracker.pending
                # A store that is not intact is mended by a commit, or fails.
                due = max(self._promised, self._rewritten) > self.begun or not self._store.intact
                if not (self._uncopied or self.stored.incoming or due):
                    if self._recount:  # all that is in memory is in the store
                        self._recount = False
                        self.stored.recount(self._store.count() - self._tracker.live)
                    return self._seconds
                self.begun += 1
            self._copying = True
        limit = max(0, min(self._chunk, self._uncopied, most - self._batch.count))
        if self._uncopied:
            self._tracker.take(self._batch, limit)
        self._uncopied -= limit
        if self._uncopied == 0 or self._batch.count >= most:
            self._copying = False
            self._batch.absorbed, self.stored.incoming = self.stored.incoming, {}
            self._thread.start(self._write_batch)
            return POLL_SECONDS
        return YIELD_SECONDS

    def _check_ownership(self) -> None:
        if self._thread.fenced is not None:
            pending = self._tracker.pending + self._batch.count
            raise FencedError(
                f"{self._thread.fenced} This worker ends; {pending} changes that it had not "
                "committed are not in the store."
            )

    def _write_again(self, loss: Loss) -> None:
        """Mark all streams in memory as changed, since the store has lost them."""
        rest = "are lost"
        if loss.left:
            rest = f"are lost, or as old as they are among the {loss.left} that it has now"
        _LOG.error(
            "%s; the %d streams in memory are written again, %d that were only in the store %s",
            loss.reason,
            self._tracker.live,
            self.stored.count,
            rest,
        )
        self._thread.loss, self._recount = None, True
        self.stored.recount(loss.left)
        self._tracker.mark_all()
        self._rewritten = self.begun + 1

    def commit_early(self) -> None:
        """Copy what changed first and have it written now, a small batch; only if none is."""
        while self._thread.is_idle and (self._copying or self.has_changes or self._must_commit):
            self._due = 0.0
            self._copy(self._early)

    def wait(self, seconds: float) -> None:
        """Wait, at most ``seconds``, until the batch that is being written is in the store."""
        self._thread.wait(seconds)

    def finish(self, seconds: float = FINISH_SECONDS) -> None:
        """Commit the last changes when the loop has ended; log how many are lost if that fails.

        Raises
        ------
        FencedError
            As for :meth:`turn`.
        """
        self._thread.finish()
        deadline = time.monotonic() + seconds
        works = self._thread.outage.error is None and self._thread.wait(seconds)
        if works and self._thread.outage.error is None:
            self._thread.start(self._thread.check)  # what it has lost is in the last commit
        while self.ticket() > self.begun or self._uncopied or not self._thread.is_idle:
            self._due = 0.0
            self.turn()
            left = deadline - time.monotonic()
            if not self._thread.is_idle and not self._thread.wait(max(left, 0)):
                break
            if self._thread.outage.error is not None or left <= 0:
                break
        self.lost = self.uncommitted
        if not self._store.intact:  # nor is there what was committed before
            self._tracker.mark_all()
            self.lost = self._tracker.pending
        self._check_ownership()
        if self.lost:
            _LOG.error("store: %d changes are lost, they could not be committed", self.lost)

    # --- in the commit thread ---

    def _write_batch(self) -> None:
        self._tracker.seal(self._batch)
        if self._epochs is not None:
            self._epochs.mark(self._batch)
        if self.shared is not None:
            self.shared.due = self.begun - (self._uncopied > 0)
        if self._thread.commit(self._batch):
            self._batch.clear()
            self.written += 1
            # What was committed before is to be written again if it is lost.
            if self._uncopied == 0 and self._thread.loss is None:
                self.committed = self.begun
                if self.shared is not None:
                    self.shared.committed = self.begun

    # --- state ---

    @property
    def losses(self) -> int:
        """How often the store had lost what was committed."""
        return self._thread.losses

    @property
    def has_changes(self) -> bool:
        """True if changes exist that were not copied from the table yet."""
        return self._tracker.pending > 0 or bool(self.stored.incoming)

    @property
    def changes(self) -> int:
        """Number of changes that were not copied from the table yet."""
        return self._tracker.pending

    @property
    def uncommitted(self) -> int:
        """Number of changes that are not in the store yet."""
        waiting = len(self.stored.incoming) + len(self._batch.absorbed)
        return self._tracker.pending + self._batch.count + waiting

    @property
    def writing(self) -> bool:
        """True while a batch is being written."""
        return not self._thread.is_idle

    @property
    def safe_before(self) -> int:
        """The block before which unchanged streams were last used that the store has for certain.

        Those of the batch under way were all used later. 0 while the store fails.
        """
        idle = self._thread.is_idle  # first: the commit thread sets it last
        if not self._sound:
            return 0
        return NEVER if idle and self._batch_empty else int(self._batch.oldest[0])

    @property
    def _sound(self) -> bool:
        """True if the store works and has what was committed to it."""
        lost = self._thread.loss or self._store.loss or self.committed < self._rewritten
        return not (lost or self._thread.fenced or self.failing) and self._store.intact

    @property
    def _must_commit(self) -> bool:
        """True if the store has lost what was committed to it, even if nothing has changed."""
        return self._thread.loss is not None or not self._store.intact

    @property
    def between_commits(self) -> bool:
        """True if no commit is under way, so that streams may restart."""
        if self.stored.adopted or self.stored.incoming or self._copying or self._uncopied:
            return False
        return self._thread.is_idle and self._batch_empty

    @property
    def settled(self) -> bool:
        """True if all that was copied from the table is in the store, and the store works."""
        return self._thread.is_idle and self._sound and self._batch_empty

    @property
    def fenced(self) -> bool:
        """True if another worker owns the store now."""
        return self._thread.fenced is not None

    @property
    def failing(self) -> bool:
        """True if the last attempt to write or to read the store failed."""
        return self._thread.outage.error is not None or self.stored.outage.error is not None

    @property
    def _batch_empty(self) -> bool:
        return not (self._batch.count or self._batch.deleted or self._batch.absorbed)

    def status(self) -> dict[str, Any]:
        """Return what INFO shows under ``store``."""
        outage = (
            self._thread.outage if self._thread.outage.since is not None else self.stored.outage
        )
        since, error = outage.since, outage.error
        return {
            "kind": self._store.kind,
            "place": self._store.place,
            "committed": self.committed,
            "pending": self.uncommitted,
            "absent": self.stored.count,
            "losses": self.losses,
            "failing": None if since is None else time.monotonic() - since,
            "error": None if error is None else str(error),
        }

    @property
    def folder(self) -> Path | None:
        """The folder of the store, if it is one of this machine."""
        return self._store.path

    @property
    def header(self) -> Header:
        """The store's header."""
        return self._store.header

    def set_header(self, header: Header) -> None:
        """Replace the store's header; from any thread.

        Raises
        ------
        StoreError
            If it cannot be written, or is not accepted; nothing has changed.
        """
        self._store.set_header(header)

    def close(self) -> None:
        """Close the store; what was not committed is lost."""
        self._thread.close()

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
