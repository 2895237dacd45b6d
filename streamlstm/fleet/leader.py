"""A supervisor of many machines, which others may have led before, and may lead again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from .. import wire
from .actions import Action
from .launcher import Event, Joined, Leaves, Left, Runs
from .members import machine_of
from .supervisor import Supervisor


class Leader(Supervisor):
    """Leads a fleet whose workers go on, whoever leads: they are asked how far they are.

    Parameters
    ----------
    *args, **kwargs
        As for :class:`.supervisor.Supervisor`.
    """

    def _resume(self) -> Sequence[Action]:
        self._coordinator.machines.clear()
        return self._coordinator.take_over(self._storage.read(), self._storage.alive())

    def turn(self) -> bool:
        """Wait until something happens, and do what follows from it; tell whether to go on."""
        goes_on = super().turn()
        takeover = self._coordinator.takeover
        if takeover is not None and not takeover.waiting and self._doing.is_done:
            self._later(self._finish_takeover)
        return goes_on

    def _finish_takeover(self) -> None:
        self._do(self._coordinator.finish_takeover(self._arrived()))

    def _happened(self, event: Event) -> None:
        match event:
            case Joined(machine, workers, streams, runs, run):
                self.watch.capacities[machine] = streams
                self._later(partial(self._joined, machine, workers, runs, run))
            case Leaves(machine):
                self._later(lambda: self._do(self._coordinator.leaves(machine)))
            case Left(machine, reason):
                self._log(f"machine {machine}: {reason}")
                self.watch.capacities.pop(machine, None)
                self._later(partial(self._left, machine))
            case _:
                super()._happened(event)

    def _joined(self, machine: str, workers: int, runs: Sequence[Runs], run: str) -> None:
        """Let a machine have its workers; some may run, if somebody else has led until now."""
        coordinator = self._coordinator
        members = set(self._storage.members() if runs else ())
        pids = {each.worker: each.pid for each in runs}
        self._do(coordinator.joined(machine, workers, pids, run))
        waiting = set() if coordinator.takeover is None else set(coordinator.takeover.waiting)
        for worker, pid, hello in runs:
            if hello is None:
                if worker in waiting:
                    coordinator.begins(worker)
            elif worker in waiting:
                self._serving.add(worker)
                self.watch.metrics[worker] = hello[-1]
                self._do(coordinator.found(wire.FleetWorker(worker, *hello[2:5]), pid))
            elif worker in members:
                self._said(worker.encode(), wire.Control("hello", list(hello)))
        running = {each.worker for each in runs}
        for worker in [each for each in waiting if machine_of(each) == machine]:
            if worker not in running:  # its agent could not tell anybody
                self._later(partial(self._died, worker, 0.0))

    def _left(self, machine: str) -> None:
        """Give what a machine had to the others; its workers commit nothing any more."""
        for worker in [
            k for k, each in self._coordinator.members.items() if each.machine == machine
        ]:
            self._storage.ended(worker)
            self.watch.forget(worker)
            self._serving.discard(worker)
        self._do(self._coordinator.left(machine, self._arrived()))

    def _said(self, sender: bytes, message: wire.Control) -> None:
        if message.name == "reported":
            self._reported(*message.fields)
        else:
            super()._said(sender, message)

    def _reported(self, worker: str, departing: Any, arriving: Any, fingerprint: str) -> None:
        """Note how far a worker is that goes on; it starts again if it has an earlier model."""
        self._coordinator.reported(worker, departing, arriving)
        if self._model.fingerprint not in ("", fingerprint):
            self._launcher.stop(worker)

    def _reload_said(
        self, worker: str, number: int, how_far: str, value: Any, content: bytes | None = None
    ) -> None:
        super()._reload_said(worker, number, how_far, value, content)
        self._show()  # whoever leads next knows which model counts

    def _tick(self) -> None:
        super()._tick()
        if self._coordinator.takeover is not None:
            self._later(self._wait_for_members_only)
        self._show()

    def _wait_for_members_only(self) -> None:
        """Wait for no worker that has given up its membership: its machine may have ended, too."""
        takeover = self._coordinator.takeover
        if takeover is not None:
            for worker in sorted(takeover.waiting.difference(self._storage.members())):
                self._lost(worker)

    def _could_not_start(self, _worker: str) -> bool:
        return False  # its machine ends, and says why

    def _show(self) -> None:
        self._launcher.show(self.watch.status())
