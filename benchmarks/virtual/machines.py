"""A model of a fleet on many machines: what happens to these, and what clients see.

An agent on each machine (agents.py) passes messages between its workers and whoever leads
(leaders.py), and takes the lead when nobody has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from streamlstm.errors import BadValueError
from streamlstm.fleet.actions import Action
from streamlstm.fleet.members import machine_of

from .agents import Agent, Leader
from .leaders import Leaders
from .shared import SharedWorker
from .truth import give
from .worker import HERE, Stream


class Machines(Leaders):
    """A fleet on many machines with one store. Parameters as of :class:`.agents.Agents`."""

    # --- machines ---

    def join(self, name: str, workers: int) -> None:
        """Start the agent of a machine."""
        self._joined_so_far += 1
        self.agents[name] = agent = Agent(name, workers, run=str(self._joined_so_far))
        self._look(agent)
        self._renew(agent)

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
        """Give a worker an observation; return its answer. Errors as of :func:`.truth.give`."""
        worker, partition = self.workers[name], stream[0]
        if not self.answers(worker, partition):
            return "elsewhere", 0
        having = (w for w in self.workers.values() if self.answers(w, partition))
        return give(worker, stream, seq, (other for other in having if other is not worker))

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
