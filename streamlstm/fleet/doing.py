"""Does what a coordinator wants, in its order, as far as the store works."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from .. import wire
from ..errors import StoreError
from ..serving.stores.store import FencedError
from .actions import Action, Dismiss, Publish, Remove, Say, Spawn, Stop, Tell, Wait
from .coordinator import Coordinator
from .launcher import Launcher
from .record import Record
from .sockets import ports_of
from .storage import Storage

RETRY_SECONDS = 0.3  # between two attempts while the store fails


class Doing:
    """What is to be done.

    Parameters
    ----------
    coordinator : Coordinator
    storage : Storage
    launcher : Launcher
    options : callable
        Returns the model and the options with which a worker starts, given its folder.
    show : callable
        Called when the table has changed.
    log : callable
        Gets what the fleet has to say.

    Attributes
    ----------
    waiting : dict of str to float
        Workers to be started again, and the monotonic time of that.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        storage: Storage,
        launcher: Launcher,
        options: Callable[[str], tuple[int | None, Sequence[str]]],
        show: Callable[[], object],
        log: Callable[[str], None],
    ) -> None:
        self._coordinator, self._storage, self._launcher = coordinator, storage, launcher
        self._options, self._show, self._log = options, show, log
        self._undone: deque[Callable[[], object]] = deque()  # as the store has failed
        self._retry_at = 0.0
        self.waiting: dict[str, float] = {}

    @property
    def is_done(self) -> bool:
        """True when nothing waits for the store."""
        return not self._undone

    def due(self) -> list[float]:
        """Return the monotonic times at which there is something to do."""
        return [*self.waiting.values(), *([self._retry_at] if self._undone else [])]

    def do(self, actions: Sequence[Action]) -> None:
        """Do what a coordinator has returned."""
        for action in actions:
            self.later(partial(self._execute, action))

    def later(self, work: Callable[[], object]) -> None:
        """Do something that may need the store, after all that could not be done before."""
        self._undone.append(work)
        if len(self._undone) == 1:
            self._go_on()

    def go_on(self, now: float, may_start: bool) -> None:
        """Do what has become possible; ``may_start``: workers may be started again."""
        if now >= self._retry_at:
            self._go_on()
        for worker in [each for each, due in self.waiting.items() if may_start and due <= now]:
            del self.waiting[worker]
            self.do(self._coordinator.waited(worker))

    def _go_on(self) -> None:
        while self._undone:
            try:
                self._undone[0]()
            except FencedError:
                raise
            except StoreError as error:
                if not self._retry_at:
                    self._log(f"{error} The fleet changes nothing until it works; it tries again.")
                self._retry_at = time.monotonic() + RETRY_SECONDS
                return
            self._undone.popleft()
        self._retry_at = 0.0
        self._launcher.follow(self._coordinator.table, self._coordinator.live())

    def _execute(self, action: Action) -> None:
        match action:
            case Spawn(worker, folder, former):
                self._launcher.start(worker, *self._options(folder), ports_of(former))
            case Wait(worker, seconds):
                self.waiting[worker] = time.monotonic() + seconds
            case Stop(worker):
                self._launcher.stop(worker)
            case Tell(worker, name, fields):
                self.tell(worker, name, *fields)
            case Publish(record):
                self._publish(record)
            case Remove(folder):
                self._storage.remove(folder)
            case Dismiss(machine):
                self._launcher.dismiss(machine)
            case Say(text):
                self._log(text)

    def tell(self, worker: str, name: str, *fields: object) -> None:
        """Send a worker a message now."""
        self._launcher.tell(worker.encode(), wire.encode_control(name, *fields))

    def _publish(self, record: Record) -> None:
        self._storage.write(record)
        for worker in record.table.workers:
            self.tell(worker.name, "table", record.table.to_value())
        self._show()
