"""A model of a fleet on many machines, on top of the coordinator that is shipped.

It does what fleet/agent.py, agents.py, leading.py and supervisor.py do: an agent on each machine
passes messages between its workers and whoever leads, and takes the lead when nobody has it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from streamlstm import wire
from streamlstm.errors import BadValueError
from streamlstm.fleet.actions import Action, Dismiss, Publish, Spawn, Stop, Tell, Wait
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.members import Stores, machine_of
from streamlstm.fleet.record import Record

from .clock import Clock, Link
from .fleet import COMMIT, NETWORK, NOTICED, SOON, START, FaultError, expected
from .shared import LEAD, SharedWorker, Store
from .worker import HERE, Stream

LOOK = 0.1  # seconds between two looks at who leads, and at leases
RENEW = 0.4  # between two renewals of a worker's lease


class FencedError(Exception):
    """Another machine leads."""


@dataclass
class Agent:
    """A machine: its processes, and what waits while it is stopped."""

    name: str
    workers: int
    term: int = 0  # of whoever it has joined
    known: bool = False  # it has been taken in
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


class Machines:
    """A fleet on many machines with one store.

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
        self.told = 0

    # --- machines ---

    def join(self, name: str, workers: int) -> None:
        """Start the agent of a machine."""
        self.agents[name] = agent = Agent(name, workers)
        self._look(agent)
        self._renew(agent)

    def lose(self, name: str) -> None:
        """End a machine with all that is on it."""
        agent = self.agents.pop(name)
        agent.waiting.clear()
        agent.stopped = True  # whatever it does from now on, it never does
        for worker in agent.pids:
            self.workers.pop(worker, None)
        self._cut(agent)

    def stop(self, name: str) -> None:
        """Let a machine stand still."""
        self.agents[name].stopped = True

    def wake(self, name: str) -> None:
        """Let a machine go on."""
        agent = self.agents.get(name)
        if agent is not None and agent.stopped:
            agent.stopped = False
            waiting, agent.waiting = agent.waiting, []
            for call in waiting:
                agent.does(call)

    def leave(self, name: str) -> None:
        """Ask a machine to hand over what it has, and end."""
        agent = self.agents[name]

        def asked() -> None:
            agent.leaves = True
            self._say(agent, lambda leader: leader.coordinator.leaves(name))

        agent.does(asked)

    def ask(self, question: str, *fields: Any) -> None:
        """Ask whoever leads, as a person does."""

        def asked(leader: Leader) -> Sequence[Action]:
            with suppress(BadValueError):
                done: list[Action] = getattr(leader.coordinator, question)(*fields)
                return done
            return []

        if self.leader is not None:
            leader = self.leader
            leader.agent.does(lambda: self._happen(leader, asked))

    def _cut(self, agent: Agent) -> None:
        for link in (agent.up, agent.down):
            if link is not None:
                link.cut()

    def _runs(self, agent: Agent) -> bool:
        return self.agents.get(agent.name) is agent

    # --- who leads ---

    def _look(self, agent: Agent) -> None:
        """Look who leads, now and again."""
        if not self._runs(agent):
            return
        now, store, leader = self.clock.now, self.store, self.leader
        if leader is not None and leader.agent is agent and leader.term == store.term:
            store.lead = now + LEAD
            self._happen(leader, self._expel)
        elif store.lead <= now and (agent.term or not store.alive(now)):
            self._lead(agent)
        if agent.term != store.term and self.leader is not None and store.lead > now:
            self._join(agent, self.leader)
        self.clock.after(LOOK * self.chance.random(), lambda: agent.does(lambda: self._look(agent)))

    def _lead(self, agent: Agent) -> None:
        self.store.term += 1
        self.led += 1
        self.store.lead = self.clock.now + LEAD
        coordinator = Coordinator(Stores.SHARED, machines={})
        self.leader = leader = Leader(agent, self.store.term, coordinator)
        alive = self.store.alive(self.clock.now)
        for name in set(self.store.members).difference(alive):
            del self.store.members[name]
        self._happen(leader, lambda _: coordinator.take_over(self.store.record, alive))

    def _join(self, agent: Agent, leader: Leader) -> None:
        """Connect to whoever leads, and say what is here."""
        agent.term, name = leader.term, agent.name
        self._cut(agent)
        agent.up = Link(self.clock, self.chance, NETWORK)
        agent.down = Link(self.clock, self.chance, NETWORK)
        running, hellos, again = dict(agent.pids), dict(agent.hellos), agent.known

        def joined(leader: Leader) -> list[Action]:
            actions = [] if name not in leader.hands else self._left(leader, name)
            leader.hands[name] = agent
            self._order(leader, name, _take_in)
            return actions + self._joined(leader, agent, again, running, hellos)

        self._say(agent, joined, True)
        if agent.leaves:
            self._say(agent, lambda leader: leader.coordinator.leaves(name))

    def _joined(
        self,
        leader: Leader,
        agent: Agent,
        again: bool,
        running: dict[str, int],
        hellos: dict[str, wire.FleetWorker],
    ) -> list[Action]:
        coordinator, machine = leader.coordinator, agent.name
        members = set(self.store.members)
        actions = coordinator.joined(machine, agent.workers, running, again)
        waiting = set() if coordinator.takeover is None else set(coordinator.takeover.waiting)
        for worker, where in hellos.items():
            if worker in waiting:
                actions += coordinator.found(worker, running[worker])
            elif worker in members:
                actions += coordinator.serves(where, running[worker])
        for worker in sorted(each for each in waiting if machine_of(each) == machine):
            if worker not in running:
                actions += self._died(leader, worker, 0.0)
        return actions

    def _expel(self, leader: Leader) -> list[Action]:
        """End the memberships of workers whose leases have ended."""
        store, actions = self.store, list[Action]()
        for name in sorted(set(store.members) - set(store.alive(self.clock.now))):
            del store.members[name]
            actions += leader.coordinator.lost(name, store.folder.arrived)
        for machine, hand in list(leader.hands.items()):
            if not self._runs(hand):  # as an agent that has said nothing for long
                del leader.hands[machine]
                actions += self._left(leader, machine)
        return actions

    def _left(self, leader: Leader, machine: str) -> list[Action]:
        for worker in [each for each in self.store.members if machine_of(each) == machine]:
            del self.store.members[worker]
        return leader.coordinator.left(machine, self.store.folder.arrived)

    # --- between agents and whoever leads ---

    def _say(
        self, agent: Agent, event: Callable[[Leader], Sequence[Action]], joins: bool = False
    ) -> None:
        """Let whoever leads know of an event, unless it is somebody else by then."""
        leader = self.leader
        if leader is None or agent.term != leader.term or agent.up is None:
            return
        self.told += 1

        def heard() -> None:
            if joins or leader.hands.get(agent.name) is agent:
                self._happen(leader, event)

        agent.up.send(lambda: leader.agent.does(heard))

    def _happen(self, leader: Leader, event: Callable[[Leader], Sequence[Action]]) -> None:
        if not self._runs(leader.agent):
            return
        try:
            self._do(leader, event(leader))
            coordinator = leader.coordinator
            if coordinator.takeover is not None and not coordinator.takeover.waiting:
                self._do(leader, coordinator.finish_takeover(self.store.folder.arrived))
        except FencedError:
            leader.coordinator = Coordinator(Stores.SHARED)  # it does nothing that counts

    def _do(self, leader: Leader, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Publish(record):
                    if leader.term != self.store.term:
                        raise FencedError
                    self.store.record = record
                    for worker in record.table.workers:
                        self._tell(leader, worker.name, "table", (record.table.to_value(),))
                case Tell(worker, name, fields):
                    self._tell(leader, worker, name, fields)
                case Spawn(worker, _):
                    self._order(leader, machine_of(worker), partial(self._spawn, name=worker))
                case Stop(worker):
                    self._order(leader, machine_of(worker), partial(self._signal, name=worker))
                case Wait(worker, seconds):
                    waited = partial(self._happen, leader, partial(_waited, worker))
                    self.clock.after(seconds, partial(leader.agent.does, waited))
                case Dismiss(machine):
                    self._order(leader, machine, self._dismissed)

    def _order(self, leader: Leader, machine: str, call: Callable[[Agent], object]) -> None:
        """Let an agent do something, as long as it belongs to this leader."""
        agent = leader.hands.get(machine)
        if agent is None or agent.down is None or agent.term != leader.term:
            return
        if leader.term != self.store.term and leader.agent is not agent:
            return

        def arrived() -> None:
            if agent.term == leader.term and self._runs(agent):
                call(agent)

        self.told += 1
        agent.down.send(lambda: agent.does(arrived))

    def _tell(self, leader: Leader, worker: str, what: str, fields: Any) -> None:
        def told(agent: Agent) -> None:
            pid = agent.pids.get(worker)
            if pid is not None and (found := self.workers.get(worker)) and found.pid == pid:
                value = (_table(fields[0]),) if what == "table" else fields
                found.told(what, value)

        self._order(leader, machine_of(worker), told)

    def _dismissed(self, agent: Agent) -> None:
        """End a machine that may."""
        for worker in list(agent.pids):
            if worker in self.workers:
                self.workers[worker].end()
                self.store.members.pop(worker, None)
        if self.leader is not None and self.leader.agent is agent:
            self.store.lead = 0.0
        self.lose(agent.name)

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
        agent.hellos[name] = where
        self._say(agent, lambda leader: leader.coordinator.serves(where, pid))

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

    def _died(self, leader: Leader, name: str, lived: float) -> list[Action]:
        if leader.term != self.store.term:
            raise FencedError
        self.store.members.pop(name, None)
        return leader.coordinator.died(name, lived, self.store.folder.arrived)

    # --- what clients see ---

    def owner(self, partition: int) -> str | None:
        """Return who has a partition, by the table."""
        owner = self.store.record.table.owner(partition)
        return None if owner is None else owner.name

    def answers(self, worker: SharedWorker, partition: int) -> bool:
        """Tell whether a worker answers for a partition."""
        agent = self.agents.get(machine_of(worker.name))
        runs = agent is not None and not agent.stopped and worker.until > self.clock.now
        return runs and worker.states.get(partition) == HERE

    def step(self, name: str, stream: Stream, seq: int) -> tuple[str, int]:
        """Give a worker an observation; return its answer. Errors as of :meth:`.Fleet.step`."""
        worker = self.workers[name]
        if not self.answers(worker, stream[0]):
            return "elsewhere", 0
        others = [w for w in self.workers.values() if w is not worker]
        if any(self.answers(other, stream[0]) for other in others):
            raise FaultError(f"two workers have partition {stream[0]}")
        before = worker.find(stream)
        if before != expected(before.seq):
            raise FaultError(f"stream {stream}: its state after {before.seq} is another's")
        if seq == before.seq + 1:
            worker.step(stream)
            return "done", seq
        return "last", before.seq

    def unfinished(self) -> str:
        """Say what is left over; nothing if all is well."""
        if self.leader is None or self.leader.term != self.store.term:
            return "nobody leads"
        coordinator = self.leader.coordinator
        if coordinator.takeover is not None:
            return f"waits for {coordinator.takeover.waiting}"
        if not coordinator.is_settled:
            found = coordinator.status()
            workers = [(w["name"], w["router"], w["partitions"]) for w in found["workers"]]
            return f"{found['moving']} partitions move, workers {workers}"
        if set(self.workers) != set(coordinator.members):
            return f"{sorted(self.workers)} run, {sorted(coordinator.members)} are known"
        for worker in self.workers.values():
            mine = set(coordinator.owned.of(worker.name))
            here = {p for p, state in worker.states.items() if state == HERE}
            if here != mine:
                return f"{worker.name} serves {sorted(here)}, its are {sorted(mine)}"
            if stale := [stream for stream in worker.memory if stream[0] not in mine]:
                return f"{worker.name} has {stale}, which are another's"
        return ""


def _table(value: dict[str, Any]) -> wire.FleetTable:
    """Return a table of fewer partitions than real ones have."""
    return wire.FleetTable(
        value["version"],
        tuple(wire.FleetWorker(**worker) for worker in value["workers"]),
        np.frombuffer(value["owners"], "<u2").astype(np.uint16),
        np.frombuffer(value["epochs"], "<u4").astype(np.uint32),
    )


def _take_in(agent: Agent) -> None:
    agent.known = True


def _reported(fields: Any, leader: Leader) -> list[Action]:
    leader.coordinator.reported(*fields)
    return []


def _waited(worker: str, leader: Leader) -> list[Action]:
    return leader.coordinator.waited(worker)
