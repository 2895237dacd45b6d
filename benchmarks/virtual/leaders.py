"""A model of who leads a fleet on many machines, on top of the coordinator that is shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from streamlstm import wire
from streamlstm.fleet.actions import Action, Dismiss, Publish, Spawn, Stop, Tell, Wait
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.members import Stores, machine_of

from .agents import Agent, Agents, Leader
from .clock import NETWORK, Link
from .shared import LEAD, table_of

LOOK = 0.1  # seconds between two looks at who leads, and at leases


class FencedError(Exception):
    """Another machine leads."""


class Leaders(Agents):
    """Machines of which one leads: what fleet/leading.py, agents.py and leader.py do."""

    def lose(self, name: str) -> None:
        """End a machine with all that is on it."""
        agent = self.agents.pop(name)
        agent.waiting.clear()
        agent.stopped = True  # whatever it does from now on, it never does
        for worker in agent.pids:
            self.workers.pop(worker, None)
        self._cut(agent)

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
        running, hellos = dict(agent.pids), dict(agent.hellos)

        def joined(leader: Leader) -> list[Action]:
            actions = [] if name not in leader.hands else self._left(leader, name)
            leader.hands[name] = agent
            return actions + self._joined(leader, agent, running, hellos)

        self._say(agent, joined, True)
        if agent.leaves:
            self._say(agent, lambda leader: leader.coordinator.leaves(name))

    def _joined(
        self,
        leader: Leader,
        agent: Agent,
        running: dict[str, int],
        hellos: dict[str, wire.FleetWorker],
    ) -> list[Action]:
        coordinator, machine = leader.coordinator, agent.name
        members = set(self.store.members)
        actions = coordinator.joined(machine, agent.workers, running, agent.run)
        waiting = set() if coordinator.takeover is None else set(coordinator.takeover.waiting)
        for worker, pid in running.items():
            where = hellos.get(worker)
            if where is None and worker in waiting:
                coordinator.begins(worker)
            elif where is not None and worker in waiting:
                actions += coordinator.found(where, pid)
            elif where is not None and worker in members:
                actions += coordinator.serves(where, pid)
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
        takeover = leader.coordinator.takeover
        waiting = set() if takeover is None else takeover.waiting.difference(store.members)
        for name in sorted(waiting):  # these have given up their memberships
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
                value = (table_of(fields[0]),) if what == "table" else fields
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

    def _died(self, leader: Leader, name: str, lived: float) -> list[Action]:
        if leader.term != self.store.term:
            raise FencedError
        self.store.members.pop(name, None)
        return leader.coordinator.died(name, lived, self.store.folder.arrived)


def _waited(worker: str, leader: Leader) -> list[Action]:
    return leader.coordinator.waited(worker)
