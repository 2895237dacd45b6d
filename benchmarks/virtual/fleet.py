"""A model of a supervisor with its workers, on top of the coordinator that is shipped."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from streamlstm import wire
from streamlstm.errors import BadValueError
from streamlstm.fleet.actions import Action, Publish, Remove, Spawn, Stop, Tell, Wait
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.members import Stores
from streamlstm.fleet.record import Record

from .clock import COMMIT, NETWORK, NOTICED, SOON, START, Clock, Link
from .truth import give
from .worker import HERE, Folder, Stream, Worker


def when(holds: Callable[[], bool], call: Callable[[], object]) -> Callable[[], None]:
    """Return a function that calls another one if something holds by then."""

    def called() -> None:
        if holds():
            call()

    return called


Said = Callable[[str, Any], object]  # tells the supervisor


class Fleet:
    """A supervisor, its workers and their folders.

    Parameters
    ----------
    clock : Clock
    chance : Random
    partitions : int
        Fewer than a real fleet has, so that much happens to each.
    confirm : callable
        Gets the streams and numbers that are committed for certain.
    kind : type
        Of the workers.
    """

    stores = Stores.OWN

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        partitions: int,
        confirm: Callable[[Stream, int], object],
        kind: type[Worker] = Worker,
    ) -> None:
        self._kind = kind
        self.clock, self.chance, self._confirm = clock, chance, confirm
        table = wire.FleetTable(
            0,
            (),
            np.full(partitions, wire.NOBODY, np.uint16),
            np.zeros(partitions, np.uint32),
        )
        self._stored = Record.new()._replace(table=table)
        self.disk: dict[str, Folder] = {}
        self.workers: dict[str, Worker] = {}
        self._down: dict[str, Link] = {}
        self._up: dict[str, Link] = {}
        self._pids: dict[str, int] = {}
        self._served: dict[str, float] = {}
        self._started = 0
        self._killed: set[int] = set()
        self.told = 0  # messages between the supervisor and workers
        self.published = 0
        self.coordinator = self._resume()
        self._seen: wire.FleetTable | None = None  # of which the owners are known
        self._owners: list[str | None] = []

    # --- the supervisor ---

    def _resume(self) -> Coordinator:
        coordinator, record = Coordinator(self.stores), self._stored
        names = [worker.name for worker in record.table.workers]
        coordinator.resume(record, {name: self._arrived(record.folder(name)) for name in names})
        return coordinator

    def _arrived(self, folder: str) -> dict[int, int]:
        """Return what the worker of a folder has noted."""
        return dict(self.disk.get(folder, Folder()).arrived)

    def ask(self, question: str, *fields: Any) -> None:
        """Do what a person asks for, as far as the coordinator does not refuse it."""
        with suppress(BadValueError):
            self._do(getattr(self.coordinator, question)(*fields))

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._execute(action)

    def _execute(self, action: Action) -> None:
        match action:
            case Publish(record):
                self._stored = record
                self.published += 1
                for worker in record.table.workers:
                    self._tell(worker.name, "table", (record.table,))
            case Tell(worker, name, fields):
                self._tell(worker, name, fields)
            case Spawn(worker, folder):
                self._spawn(worker, folder)
            case Stop(worker):
                self._signal(worker)
            case Wait(worker, seconds):
                self._wait(worker, seconds)
            case Remove(folder):
                self.disk.pop(folder, None)

    def _wait(self, name: str, seconds: float) -> None:
        coordinator = self.coordinator
        waited = when(
            lambda: coordinator is self.coordinator, lambda: self._do(coordinator.waited(name))
        )
        self.clock.after(seconds, waited)

    def _tell(self, name: str, what: str, fields: Any) -> None:
        if name not in self._pids:
            return
        pid = self._pids[name]
        self.told += 1
        told = self._by(name, pid, lambda: self.workers[name].told(what, fields))
        self._down[name].send(told)

    # --- processes ---

    def _spawn(self, name: str, folder: str) -> None:
        assert name not in self._pids, f"{name} is started twice"
        self._started += 1
        pid = self._pids[name] = self._started
        self._down[name] = Link(self.clock, self.chance, NETWORK)
        self._up[name] = Link(self.clock, self.chance, NETWORK)
        at = self.disk.setdefault(folder, Folder())
        begin = when(
            lambda: pid not in self._killed and self._pids.get(name) == pid,
            lambda: self._begin(name, pid, at),
        )
        self.clock.after(self.chance.random() * START, begin)

    def _by(self, name: str, pid: int, call: Callable[[], object]) -> Callable[[], None]:
        """Return a function that lets a process do something, if it still lives."""
        return when(lambda: self._is_alive(name, pid), call)

    def _make(
        self, name: str, _pid: int, folder: Folder, said: Said, later: Callable[..., object]
    ) -> Worker:
        return self._kind(name, self.disk, folder, said, later, self._confirm)

    def _begin(self, name: str, pid: int, folder: Folder) -> None:
        where = wire.FleetWorker(name, f"tcp://{name}.{pid}", "", "")
        coordinator, up = self.coordinator, self._up[name]

        def said(what: str, fields: Any) -> None:
            self.told += 1
            up.send(
                when(
                    lambda: coordinator is self.coordinator,
                    lambda: self._do(coordinator.said(wire.Control(what, fields))),
                )
            )

        def later(call: Callable[[], object], most: float = SOON) -> None:
            self.clock.after(self.chance.random() * most, self._by(name, pid, call))

        self.workers[name] = worker = self._make(name, pid, folder, said, later)
        up.send(
            when(
                lambda: self._pids.get(name) == pid and coordinator is self.coordinator,
                lambda: self._serves(where, pid),
            )
        )
        self._commit_later(worker, pid)

    def _serves(self, where: wire.FleetWorker, pid: int) -> None:
        self._served[where.name] = self.clock.now
        self._do(self.coordinator.serves(where, pid))

    def _commit_later(self, worker: Worker, pid: int) -> None:
        def commit() -> None:
            worker.commit()
            self._commit_later(worker, pid)

        wait = self.chance.random() * COMMIT
        self.clock.after(wait, self._by(worker.name, pid, commit))

    def _is_alive(self, name: str, pid: int) -> bool:
        return self._pids.get(name) == pid and name in self.workers

    def _signal(self, name: str) -> None:
        """Ask a process to end."""
        pid = self._pids.get(name)

        def end() -> None:
            self.workers[name].end()
            self.kill(name)

        wait = self.chance.random() * COMMIT
        if pid is not None:
            self.clock.after(wait, self._by(name, pid, end))

    def kill(self, name: str) -> None:
        """End a process at once; what it had in memory is lost, and perhaps what it said last."""
        pid = self._pids.get(name)
        self.workers.pop(name, None)
        if pid is None:
            return
        self._killed.add(pid)
        if self.chance.random() < 0.5:
            self._up[name].cut()
        coordinator = self.coordinator
        ended = when(lambda: coordinator is self.coordinator, lambda: self._ended(name, pid))
        self.clock.after(self.chance.random() * NOTICED, ended)

    def _ended(self, name: str, pid: int) -> None:
        if self._pids.get(name) != pid:
            return
        del self._pids[name]
        self._down[name].cut()
        since = self._served.pop(name, None)
        lived = 0.0 if since is None else self.clock.now - since
        self._died(name, lived)

    def _died(self, name: str, lived: float) -> None:
        arrived = self._arrived(self.coordinator.owned.record.folder(name))
        self._do(self.coordinator.died(name, lived, arrived))

    def restart(self, workers: int) -> None:
        """End the supervisor; its workers commit, or do not; then start another one."""
        for name in list(self._pids):
            if name in self.workers and self.chance.random() < 0.5:
                self.workers[name].end()
            self.workers.pop(name, None)
            self._up[name].cut()
            self._down[name].cut()
        self._pids.clear()
        self._served.clear()
        self.coordinator = self._resume()
        self._do(self.coordinator.scale(workers))

    # --- what clients see ---

    def owner(self, partition: int) -> str | None:
        """Return who has a partition, by the table."""
        table = self.coordinator.table
        if table is not self._seen:
            found = map(table.owner, range(len(table.owners)))
            self._seen, self._owners = table, [each and each.name for each in found]
        return self._owners[partition]

    def step(self, name: str, stream: Stream, seq: int) -> tuple[str, int]:
        """Give a worker an observation; return its answer. Errors as of :func:`.truth.give`."""
        worker, partition = self.workers[name], stream[0]
        if worker.states.get(partition) != HERE:
            return "elsewhere", 0
        having = (w for w in self.workers.values() if w.states.get(partition) == HERE)
        return give(worker, stream, seq, (other for other in having if other is not worker))

    def unfinished(self) -> str:
        """Say what is left over; nothing if all is well."""
        coordinator = self.coordinator
        owned = coordinator.owned
        table = owned.table
        if owned.sources or owned.moving or len(coordinator.moves):
            return f"moves {len(coordinator.moves)}, moving {owned.moving}, sources {owned.sources}"
        used = {owned.record.folder(name) for name in coordinator.members}
        left = [name for name, folder in self.disk.items() if name not in used and folder.streams]
        if left:
            return f"streams are left in {sorted(left)}"
        for worker in self.workers.values():
            folder = self.disk[owned.record.folder(worker.name)]
            for stream in set(worker.memory) | set(folder.streams):
                owner = table.owner(stream[0])
                if owner is None or owner.name != worker.name:
                    return f"{worker.name} has {stream}, which is another's"
        return ""
