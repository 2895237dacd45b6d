"""A model of machines: an agent on each, its processes, and what waits while it stands still."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from streamlstm import wire
from streamlstm.fleet.actions import Action
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.members import machine_of
from streamlstm.fleet.record import Record

from .clock import COMMIT, NOTICED, SOON, START, Clock, Link
from .shared import RENEW, SharedWorker, Store
from .worker import Stream


@dataclass
class Agent:
    """A machine: its processes, and what waits while it is stopped."""

    name: str
    workers: int
    term: int = 0  # of whoever it has joined
    run: str = ""
    leaves: bool = False
    stopped: bool = False
    pids: dict[str, int] = field(default_factory=dict)
    hellos: dict[str, wire.FleetWorker] = field(default_factory=dict)
    waiting: list[Callable[[], object]] = field(default_factory=list)
    up: Link | None = None  # to whom it has joined, and back
    down: Link | None = None

    def does(self, call: Callable[[], object]) -> None:
        """Do something, when the machine runs again if it is stopped."""
        if self.stopped:
            self.waiting.append(call)
        else:
            call()


@dataclass
class Leader:
    """Who leads: an agent, with a coordinator, and the agents that have joined."""

    agent: Agent
    term: int
    coordinator: Coordinator
    hands: dict[str, Agent] = field(default_factory=dict)


Event = Callable[[Leader], Sequence[Action]]


class Agents:
    """The agents of all machines, and the store that they share.

    Parameters
    ----------
    clock, chance, partitions, confirm
        As for :class:`.fleet.Fleet`.
    """

    def __init__(
        self,
        clock: Clock,
        chance: random.Random,
        partitions: int,
        confirm: Callable[[Stream, int], object],
    ) -> None:
        self.clock, self.chance, self._confirm = clock, chance, confirm
        owners = np.full(partitions, wire.NOBODY, np.uint16)
        table = wire.FleetTable(0, (), owners, np.zeros(partitions, np.uint32))
        self.store = Store(Record.new()._replace(table=table))
        self.agents: dict[str, Agent] = {}
        self.workers: dict[str, SharedWorker] = {}
        self.leader: Leader | None = None
        self.led = 0  # how often somebody began to lead
        self._started, self._killed = 0, set[int]()
        self._joined_so_far = 0
        self.hello_after = 0.0
        self.told = 0

    def _cut(self, agent: Agent) -> None:
        for link in (agent.up, agent.down):
            if link is not None:
                link.cut()

    def _runs(self, agent: Agent) -> bool:
        return self.agents.get(agent.name) is agent

    def _say(self, agent: Agent, event: Event, joins: bool = False) -> None:
        raise NotImplementedError

    def _died(self, leader: Leader, name: str, lived: float) -> list[Action]:
        raise NotImplementedError

    # --- processes ---

    def _spawn(self, agent: Agent, name: str) -> None:
        assert name not in agent.pids, f"{name} is started twice"
        self._started += 1
        pid = agent.pids[name] = self._started

        def begin() -> None:
            if agent.pids.get(name) == pid and pid not in self._killed and self._runs(agent):
                self._begin(agent, name, pid)

        self.clock.after(self.chance.random() * START, lambda: agent.does(begin))

    def _begin(self, agent: Agent, name: str, pid: int) -> None:
        where = wire.FleetWorker(name, f"tcp://{name}.{pid}", "", "")

        def said(what: str, fields: Any) -> None:
            if what == "reported":
                self._say(agent, partial(_reported, fields))
            else:
                message = wire.Control(what, fields)
                self._say(agent, lambda leader: leader.coordinator.said(message))

        def lives() -> bool:
            return agent.pids.get(name) == pid and name in self.workers

        def later(call: Callable[[], object], most: float = SOON) -> None:
            def run() -> None:
                if lives():
                    call()

            self.clock.after(self.chance.random() * most, lambda: agent.does(run))

        worker = SharedWorker(
            name,
            {},
            self.store.folder,
            said,
            later,
            self._confirm,
            store=self.store,
            pid=pid,
            on_fenced=lambda: self._end(agent, name, pid),
        )
        self.workers[name] = worker
        self.store.members[name] = pid
        worker.renew(self.clock.now)

        def hello() -> None:
            if lives():
                agent.hellos[name] = where
                self._say(agent, lambda leader: leader.coordinator.serves(where, pid))

        if self.hello_after:
            after = self.hello_after * (pid % 3) / 2
            self.clock.after(after, lambda: agent.does(hello))
        else:
            hello()

        def commit() -> None:
            if lives():
                worker.commit()
                later(commit, COMMIT)

        later(commit, COMMIT)

    def _renew(self, agent: Agent) -> None:
        """Renew the leases of a machine's workers, now and again."""
        if not self._runs(agent):
            return
        for name in list(agent.pids):
            if name in self.workers:
                self.workers[name].renew(self.clock.now)
        wait = RENEW * (0.5 + self.chance.random() / 2)
        self.clock.after(wait, lambda: agent.does(lambda: self._renew(agent)))

    def _signal(self, agent: Agent, name: str) -> None:
        pid = agent.pids.get(name)

        def end() -> None:
            if pid is not None and agent.pids.get(name) == pid and name in self.workers:
                self.workers[name].end()
                if self.store.members.get(name) == pid:
                    del self.store.members[name]
                self._end(agent, name, pid)

        self.clock.after(self.chance.random() * COMMIT, lambda: agent.does(end))

    def kill(self, name: str) -> None:
        """End a worker at once."""
        agent = self.agents.get(machine_of(name))
        if agent is not None and name in agent.pids:
            self._end(agent, name, agent.pids[name])

    def _end(self, agent: Agent, name: str, pid: int) -> None:
        if agent.pids.get(name) != pid:
            return
        self.workers.pop(name, None)
        self._killed.add(pid)

        def ended() -> None:
            if agent.pids.get(name) != pid or not self._runs(agent):
                return
            del agent.pids[name]
            agent.hellos.pop(name, None)
            self._say(agent, lambda leader: self._died(leader, name, 1.0))

        self.clock.after(self.chance.random() * NOTICED, lambda: agent.does(ended))


def _reported(fields: Any, leader: Leader) -> list[Action]:
    leader.coordinator.reported(*fields)
    return []
