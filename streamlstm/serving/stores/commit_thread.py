"""The thread that commits to a store, so that the worker's loop never waits for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from ...engine.records import RecordBatch
from .outage import Outage
from .shared_store import SharedStore
from .store import FencedError, Loss, Store

CHECK_SECONDS = 0.5  # between two looks at the store while nothing is committed
CLOSE_SECONDS = 5.0  # for which its last access to the store may go on


class CommitThread:
    """Runs one task after another that accesses a store, and checks the store in between.

    Parameters
    ----------
    store : Store
        Closed with the thread.
    reads : Outage
        Of reads of the store: it ends when the store works.
    on_done : callable
        Called in the thread after each task, and as soon as another worker owns the store.

    Attributes
    ----------
    outage : Outage
        Of commits and checks.
    loss : Loss or None
        Of what was committed, as the store has found; who deals with it sets it to None.
    losses : int
        How often that was found.
    fenced : FencedError or None
        Set when another worker owns the store; nothing can be committed any more.
    """

    def __init__(self, store: Store, reads: Outage, on_done: Callable[[], object]) -> None:
        self._store, self._reads, self._on_done = store, reads, on_done
        self.outage = Outage("written", isinstance(store, SharedStore))
        self.loss: Loss | None = None
        self.losses = 0
        self.fenced: FencedError | None = None
        # No SimpleQueue: it waits for ever if a signal comes at its deadline.
        self._tasks: queue.Queue[Callable[[], object] | None] = queue.Queue()
        self._idle = threading.Event()  # set while there is nothing to do
        self._idle.set()
        self._finishing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    # --- from other threads ---

    def start(self, task: Callable[[], object]) -> None:
        """Have a task done; only while the thread is idle."""
        self._idle.clear()
        self._tasks.put(task)

    @property
    def is_idle(self) -> bool:
        """True if the last task is done."""
        return self._idle.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait, at most ``seconds``, until the last task is done; return whether it is."""
        return self._idle.wait(seconds)

    def finish(self) -> None:
        """Attempt each commit once only from now on: the worker stops."""
        self._finishing.set()

    def close(self) -> None:
        """End the thread and close the store."""
        self._finishing.set()
        self._tasks.put(None)
        self._thread.join(CLOSE_SECONDS)
        self._store.close()

    # --- in the thread ---

    def _run(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=CHECK_SECONDS)
            except queue.Empty:
                if not self._finishing.is_set():
                    self.check()
                continue
            if task is None:
                return
            task()
            self._idle.set()
            self._on_done()

    def commit(self, batch: RecordBatch) -> bool:
        """Commit a batch, retrying until that succeeds; return False if the worker stops first."""
        while not self._attempt(lambda: self._store.commit(batch.deleted, batch)):
            if self._finishing.is_set() or self.fenced is not None:
                return False
            self._finishing.wait(self.outage.retry_in())
        self._reads.end()  # a store that takes a commit can be read again
        self._note_loss()
        return True

    def check(self) -> None:
        """Check the store while no commit does that."""
        if self.fenced is None and self._attempt(self._store.check):
            if self._store.intact:  # it can be read again, too
                self._reads.end()
            self._note_loss()

    def _note_loss(self) -> None:
        if self._store.loss is not None:
            self.loss, self._store.loss = self._store.loss, None
            self.losses += 1

    def _attempt(self, access: Callable[[], None]) -> bool:
        """Access the store; return whether that succeeded."""
        try:
            return self.outage.attempt(access, self._store.place)
        except FencedError as error:
            self.fenced = error
            self._on_done()
            return False
