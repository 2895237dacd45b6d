"""A model of a supervisor whose workers share a store, which may be away for a while.

It does what fleet/doing.py, table_redis.py and serving/stores/redis_member.py do: leases, the end
of memberships, and what waits until the store is there again.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from streamlstm.fleet.actions import Action, Publish
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.members import Stores

from .clock import SOON, Clock
from .fleet import Fleet, Said
from .shared import LEASE, RENEW, SharedWorker, Store
from .truth import give
from .worker import HERE, Folder, Stream, Worker

LOOK = 0.1  # seconds between two looks at leases,
RETRY = 0.3  # and between two attempts while the store is away


class StoreAwayError(Exception):
    """The store does not answer."""


class SharedFleet(Fleet):
    """A supervisor and its workers, which may stand still. Parameters as of :class:`Fleet`."""

    stores = Stores.SHARED

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        partitions: int,
        confirm: Callable[[Stream, int], object],
    ) -> None:
        super().__init__(clock, chance, partitions, confirm)
        self.store = Store(self._stored)
        self._has_store = lambda: self.store.away_until <= self.clock.now
        self._undone: deque[Callable[[], object]] = deque()  # as the store was away
        self._stopped: dict[int, list[Callable[[], None]]] = {}  # what waits for each process
        self._woken: set[int] = set()  # those of them that run, and have not caught up yet
        self._looked = self._grace_until = 0.0
        self._look()

    # --- the store ---

    def lose_store(self, seconds: float) -> None:
        """Let the store be away for a while."""
        self.store.away_until = max(self.store.away_until, self.clock.now + seconds)

    def _reach(self) -> Store:
        if not self._has_store():
            raise StoreAwayError
        return self.store

    def _do(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._later(partial(self._execute, action))

    def _later(self, work: Callable[[], object]) -> None:
        self._undone.append(work)
        if len(self._undone) == 1:
            self._go_on()

    def _go_on(self) -> None:
        while self._undone:
            try:
                self._undone[0]()
            except StoreAwayError:
                self.clock.after(RETRY, partial(self._go_on_with, self._undone))
                return
            self._undone.popleft()

    def _go_on_with(self, undone: deque[Callable[[], object]]) -> None:
        if undone is self._undone:  # no other supervisor has begun
            self._go_on()

    def _execute(self, action: Action) -> None:
        if isinstance(action, Publish):
            self._reach().record = action.record
        super()._execute(action)

    def _arrived(self, _folder: str) -> dict[int, int]:
        return dict(self.store.folder.arrived)

    def _died(self, name: str, lived: float) -> None:
        self._later(partial(self._end_membership, name, lived))

    def _end_membership(self, name: str, lived: float) -> None:
        self._reach().members.pop(name, None)
        super()._died(name, lived)

    def _look(self) -> None:
        """End the memberships of workers whose leases have ended, now and again."""
        self.clock.after(LOOK, self._look)
        now, store = self.clock.now, self.store
        if not self._has_store():
            return
        if now - self._looked > LEASE / 2:  # they could not renew them either
            self._grace_until = now + LEASE
        self._looked = now
        if now < self._grace_until:
            return
        for name in sorted(set(store.members).difference(store.alive(now))):
            del store.members[name]
            self._later(partial(self._lost, self.coordinator, name))

    def _lost(self, coordinator: Coordinator, name: str) -> None:
        if coordinator is self.coordinator:
            self._do(coordinator.lost(name, self._arrived("")))

    # --- processes ---

    def _make(
        self, name: str, pid: int, _folder: Folder, said: Said, later: Callable[..., object]
    ) -> Worker:
        fenced = partial(self._end_itself, name, pid)
        worker = SharedWorker(
            *(name, {}, self.store.folder, said, later, self._confirm),
            store=self.store,
            pid=pid,
            on_fenced=fenced,
            reaches=self._has_store,
        )
        worker.renew(self.clock.now)
        self._renew_later(worker)
        return worker

    def _begin(self, name: str, pid: int, folder: Folder) -> None:
        """Become a member, as soon as the store is there."""
        if pid in self._killed or self._pids.get(name) != pid:
            return
        if not self._has_store():
            self.clock.after(RETRY, partial(self._begin, name, pid, folder))
            return
        self.store.members[name] = pid
        self.store.leases[name] = self.clock.now + LEASE
        super()._begin(name, pid, folder)

    def _renew_later(self, worker: SharedWorker) -> None:
        def renew() -> None:
            if self._has_store():
                worker.renew(self.clock.now)
            self._renew_later(worker)

        wait = RENEW * self.chance.random()
        self.clock.after(wait, self._by(worker.name, worker.pid, renew))

    def _end_itself(self, name: str, pid: int) -> None:
        if self._is_alive(name, pid):
            self.kill(name)

    def _by(self, name: str, pid: int, call: Callable[[], object]) -> Callable[[], None]:
        alive = super()._by(name, pid, call)

        def called() -> None:
            if pid in self._stopped:
                self._stopped[pid].append(alive)
            else:
                alive()

        return called

    def stop(self, name: str) -> None:
        """Let a worker stand still."""
        if name in self.workers:
            self._stopped.setdefault(self._pids[name], [])
            self._woken.discard(self._pids[name])

    def wake(self) -> None:
        """Let all go on, each with what waits for it, one after the other."""
        for pid in [pid for pid in self._stopped if pid not in self._woken]:
            self._woken.add(pid)
            self._catch_up_later(pid)

    def _catch_up_later(self, pid: int) -> None:
        self.clock.after(SOON * self.chance.random(), partial(self._catch_up, pid))

    def _catch_up(self, pid: int) -> None:
        if pid not in self._woken:
            return
        if calls := self._stopped[pid]:
            calls.pop(0)()
            self._catch_up_later(pid)
        else:
            del self._stopped[pid]
            self._woken.remove(pid)

    def restart(self, workers: int) -> None:
        """End the supervisor; the next one waits for the store."""
        self.store.away_until = min(self.store.away_until, self.clock.now)
        self._undone = deque()
        self._stopped.clear()
        self._woken.clear()
        self.store.members.clear()
        super().restart(workers)

    # --- what clients see ---

    def _answers(self, worker: Worker, partition: int) -> bool:
        assert isinstance(worker, SharedWorker)
        stopped = worker.pid in self._stopped and worker.pid not in self._woken
        runs = not stopped and worker.until > self.clock.now
        return runs and worker.states.get(partition) == HERE

    def step(self, name: str, stream: Stream, seq: int) -> tuple[str, int]:
        """Give a worker an observation; return its answer. Errors as of :func:`.truth.give`."""
        worker = self.workers[name]
        if not self._answers(worker, stream[0]):
            return "elsewhere", 0
        having = (w for w in self.workers.values() if self._answers(w, stream[0]))
        return give(worker, stream, seq, (other for other in having if other is not worker))

    def unfinished(self) -> str:
        """Say what is left over; nothing if all is well."""
        owned, moves = self.coordinator.owned, self.coordinator.moves
        if self._undone or owned.sources or owned.moving or len(moves):
            return f"moves {len(moves)}, moving {owned.moving}, {len(self._undone)} undone"
        for worker in self.workers.values():
            mine = set(owned.of(worker.name))
            if left := [stream for stream in worker.memory if stream[0] not in mine]:
                return f"{worker.name} has {left}, which are another's"
            if (here := {p for p, state in worker.states.items() if state == HERE}) != mine:
                return f"{worker.name} serves {sorted(here)}, its are {sorted(mine)}"
        return ""
