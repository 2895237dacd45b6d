"""Runs a fleet: lets its workers be started, and does what the coordinator decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .. import wire
from ..errors import BadValueError, EndpointError, StreamLSTMError
from ..serving.fleet_reload import WANTED
from ..serving.wakeup import Wakeup
from . import capacity
from .actions import Action
from .coordinator import Coordinator
from .doing import Doing
from .gateway import NAME as GATEWAY
from .launcher import Ended, Event, Joined, Launcher, Said
from .machine import ENDED_WELL
from .model import FleetModel
from .storage import Storage
from .watch import Watch

WEIGH_TICKS = 5  # looks at the workers, after which partitions may move for the load


class Supervisor:
    """Decides for the workers of a fleet, on one machine or on many.

    Parameters
    ----------
    launcher : Launcher
        Starts and ends the workers.
    storage : Storage
        Where the record and the streams are; closed with the supervisor.
    model : FleetModel
    log : callable
        Gets what the fleet has to say.
    wakeup : Wakeup
        Ends a wait of the launcher.
    evicts : bool
        Whether streams that are idle leave memory for others.
    on_ready : callable
        Called when the fleet has begun to serve.

    Attributes
    ----------
    watch : Watch
        What the supervisor sees.

    Raises
    ------
    StoreError
        If what the record needs is not there.
    """

    def __init__(
        self,
        launcher: Launcher,
        storage: Storage,
        model: FleetModel,
        log: Callable[[str], None],
        wakeup: Wakeup,
        evicts: bool = False,
        on_ready: Callable[[], object] = lambda: None,
    ) -> None:
        self._launcher, self._storage, self._log = launcher, storage, log
        self._wakeup, self._on_ready = wakeup, on_ready
        self._model, self._coordinator = model, (coordinator := Coordinator(storage.stores))
        try:
            actions = self._resume()
        except StreamLSTMError:
            self.close()
            raise
        self.watch = Watch(coordinator, self._model, evicts)
        self._doing = Doing(coordinator, storage, launcher, self._options, self._show, log)
        self._do, self._later = self._doing.do, self._doing.later
        storage.on_change = wakeup.nudge
        self._serving: set[str] = set()
        self._failed: str | None = None  # a worker that could not start
        self._stopping = False
        self._do(actions)

    def _resume(self) -> Sequence[Action]:
        """Go on from what is stored; return what has to be done for it."""
        self._coordinator.resume(*self._storage.resume())
        return []

    def run(self, machine: Joined) -> bool:
        """Serve with the workers of one machine until a signal comes, then stop them.

        The workers end with the thread that calls this.

        Returns
        -------
        bool
            Whether every worker ended well, and has lost nothing.

        Raises
        ------
        EndpointError
            If a worker cannot start; the log says why.
        """
        with self._wakeup.on_signals():
            self._happened(machine)
            while self.turn():
                pass
            ended_well = self._launcher.stop_all()
        if self._failed is not None:
            raise EndpointError(
                f"{self._failed} could not start, so the fleet has not started; its last lines "
                "above say why"
            )
        return ended_well

    def turn(self) -> bool:
        """Wait until something happens, and do what follows from it; tell whether to go on."""
        due = min([self.watch.next_tick, *self._doing.due()])
        for event in self._launcher.poll(due - time.monotonic()):
            self._happened(event)
        self._stopping |= self._wakeup.heard()
        for worker in self._storage.lost():
            self._log(f"{worker}: cannot renew its lease; others get its partitions")
            self._later(partial(self._lost, worker))
        now = time.monotonic()
        self._doing.go_on(now, not self._model.is_changing)
        if now >= self.watch.next_tick:
            self._tick()
        self._reload()
        if not self.watch.ready and self._coordinator.is_ready and self._launcher.serves:
            self.watch.ready = True
            self._show()
            self._on_ready()
        return not self._stopping

    def _tick(self) -> None:
        self.watch.tick()
        self._limit()
        if self._doing.is_done:
            self._later(lambda: self._storage.keep(self._coordinator.owned.record))
        if self.watch.ready and self.watch.ticks % WEIGH_TICKS == 0:
            self._do(self._coordinator.weigh(self.watch.loads.partitions))

    def _limit(self) -> None:
        for worker, slots in self.watch.limits().items():
            self._doing.tell(worker, "limit", slots, self.watch.capacity)

    # --- what happens ---

    def _happened(self, event: Event) -> None:
        match event:
            case Said(sender, message):
                self._said(sender, message)
            case Ended(worker, status, lived):
                self._ended(worker, status, lived)
            case Joined(machine, workers, streams):
                self.watch.capacities[machine] = streams
                self._do(self._coordinator.joined(machine, workers))

    def _said(self, sender: bytes, message: wire.Control) -> None:
        match message.name:
            case "ask":
                self._answer(sender, *message.fields)
            case "load":
                self.watch.heard(*message.fields)
            case "hello":
                name, pid, router, pull, xpub, *about = message.fields
                self._hello(sender, wire.FleetWorker(name, router, pull, xpub), pid, *about)
            case "reload":
                self._reload_said(*message.fields)
            case _:
                self._do(self._coordinator.said(message))

    def _hello(
        self,
        sender: bytes,
        where: wire.FleetWorker,
        pid: int,
        fingerprint: str,
        version: str,
        metrics: str,
    ) -> None:
        name = where.name
        if not self._launcher.runs(name, pid):
            # It has ended since, or somebody woke it up after its partitions went to others.
            refusal: str | None = (
                f"its time as {name} is over (process {pid}): others have its partitions, and what "
                "it has committed; it has to end"
            )
        else:
            refusal = self._model.refusal(name, fingerprint, version)
        if refusal is not None:
            self._launcher.tell(sender, wire.encode_control("refused", refusal))
            return
        self._serving.add(name)
        self.watch.metrics[name] = metrics
        self._do(self._coordinator.serves(where, pid))

    def _ended(self, worker: str, status: int, lived: float) -> None:
        """Note that the process of a worker has ended."""
        self.watch.forget(worker)
        self._serving.discard(worker)
        if status not in ENDED_WELL and self._could_not_start(worker):
            self._failed, self._stopping = worker, True
        elif worker != GATEWAY:
            self._limit()  # what it had is free for those who take it over
            self._later(partial(self._died, worker, lived))

    def _could_not_start(self, _worker: str) -> bool:
        """Tell whether the fleet has not started, as this worker could not."""
        return not self.watch.ready

    def _died(self, worker: str, lived: float) -> None:
        """Give what a worker had to others, which then read all that it has committed."""
        self._storage.ended(worker)
        arrived = self._arrived(worker)
        self._do([*self._model.died(worker), *self._coordinator.died(worker, lived, arrived)])

    def _lost(self, worker: str) -> None:
        """Give what a worker had to others, though its process may go on."""
        self._do(self._coordinator.lost(worker, self._arrived(worker)))

    def _arrived(self, worker: str = "") -> Mapping[int, int]:
        """Return what a worker has noted; with a store that all share, what all have."""
        return self._storage.arrived(self._coordinator.owned.record.folder(worker))

    # --- the model ---

    def _reload_said(
        self, worker: str, number: int, how_far: str, value: Any, content: bytes | None = None
    ) -> None:
        if how_far != WANTED:
            self._do(self._model.said(worker, number, how_far, value))
            return
        try:
            self._model.ask(value, False, content)
        except StreamLSTMError as error:
            self._doing.tell(worker, "no-reload", str(error))

    def _reload(self) -> None:
        """Let no partition move while the model changes; begin when none does."""
        coordinator = self._coordinator
        if self._model.is_changing != coordinator.held:
            self._do(coordinator.hold(self._model.is_changing))
        starting = [each for each in coordinator.members.values() if each.starts and not each.where]
        if coordinator.held and not coordinator.moves and not starting:
            self._do(self._model.begin(sorted(self._serving)))

    # --- what people ask for, and see ---

    def _answer(self, sender: bytes, question: str, *fields: Any) -> None:
        """Do what a person asks for; reply with what is so now, or with an error."""
        coordinator = self._coordinator
        try:
            match question:
                case "scale" | "drain" if self._model.is_changing:
                    raise BadValueError(f"{question}: the model is being changed; ask again")
                case "scale":
                    self._do(coordinator.scale(*fields))
                case "drain":
                    self._do(coordinator.drain(*fields))
                case "move":
                    self._do(coordinator.move(*fields))
                case "reload":
                    self._model.ask(*fields)
            reply = wire.encode_control("status", self.watch.status())
        except StreamLSTMError as error:
            reply = wire.encode_control("refused", str(error))
        self._launcher.tell(sender, reply)

    def _show(self) -> None:
        if self.watch.ready:
            self._launcher.show(self._coordinator.status())

    def _options(self, folder: str) -> tuple[int | None, Sequence[str]]:
        """Return the model and the options with which a worker starts."""
        slots = capacity.slots_of(self.watch.capacity)
        return self._model.number, ["--capacity", str(slots), *self._storage.options(folder)]

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers that are left, and free what belongs to the fleet."""
        self._launcher.close()
        self._storage.close()
