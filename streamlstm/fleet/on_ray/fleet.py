"""A fleet whose agents are actors of a Ray cluster: asked, more or fewer, ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import ray

from ...errors import BadValueError, ModelError, WorkerTimeoutError
from .actors import agents_of, answers, newest_model, number_of
from .placing import LOOK_SECONDS, place_agent, wait_for
from .plan import Plan

ASK_SECONDS = 15.0  # in which an agent has asked its process
STOP_SECONDS = 330.0  # more than an agent takes
ABOUT = ("machine", "address", "endpoints", "pid", "ready", "restarts")  # of an agent's status


class RayFleet:
    """The agents of one fleet. Made by :func:`.cluster.connect`.

    Parameters
    ----------
    place : str
        As of :func:`.plan.place_of`.
    """

    def __init__(self, place: str) -> None:
        self._place = place

    def agents(self) -> dict[str, Any]:
        """Return the handles of the agents, by name, also of those that wait for a machine."""
        return agents_of(self._place)

    def look(self) -> dict[str, dict[str, Any] | None]:
        """Return how each agent is (agent.py); None for those that do not answer."""
        agents = self.agents()
        found = answers({name: agent.status.remote() for name, agent in agents.items()})
        return {name: found.get(name) for name in agents}

    # --- more and fewer ---

    def add(self, machines: int, plan: Plan, say: Callable[[str], object]) -> None:
        """Place agents on so many machines more, and wait until they serve.

        Parameters
        ----------
        machines : int
        plan : Plan
        say : callable
            Gets what there is to say meanwhile.

        Raises
        ------
        EndpointError
            If one cannot start, or has no machine: none of them stays.
        """
        first = max(map(number_of, self.agents()), default=-1) + 1
        names = [f"agent-{first + n}" for n in range(machines)]
        try:
            new = {name: place_agent(self._place, name, plan) for name in names}
            wait_for(self._place, new, plan, say)
        except BaseException:
            self._end(names, hand_over=False)
            raise

    def remove(self, machines: int) -> None:
        """Let so many machines hand over all that they have, and end: those without one first."""
        looked = self.look()
        order = sorted(looked, key=lambda name: (looked[name] is not None, -number_of(name)))
        self._end(order[:machines], hand_over=True)

    def resize(self, machines: int, say: Callable[[str], object]) -> None:
        """Have so many machines; errors are those of :meth:`add`."""
        agents = self.agents()
        if machines < len(agents):
            self.remove(len(agents) - machines)
        elif machines > len(agents):
            plans = answers({name: agent.plan.remote() for name, agent in agents.items()})
            if not plans:
                raise WorkerTimeoutError(NOBODY)
            self.add(machines - len(agents), Plan(*next(iter(plans.values()))), say)

    def end(self) -> bool:
        """End all agents; return whether each ended well, and has lost nothing."""
        return self._end(list(self.agents()), hand_over=False)

    def _end(self, names: Iterable[str], hand_over: bool) -> bool:
        agents = {name: agent for name, agent in self.agents().items() if name in names}
        looked = self.look()
        asked = {n: a.stop.remote(hand_over) for n, a in agents.items() if looked.get(n)}
        ended = answers(asked, STOP_SECONDS)
        for agent in agents.values():
            ray.kill(agent, no_restart=True)
        while agents.keys() & self.agents().keys():  # it is done a moment later
            time.sleep(LOOK_SECONDS)
        return all(ended.get(name, False) for name in asked)

    # --- questions ---

    def ask(self, *question: Any) -> dict[str, Any]:
        """Return the status of the fleet after a question (streamlstm/fleet/question.py).

        ``agents`` has a dict for each: ``name``, and what ``ABOUT`` names: None for one that waits
        for a machine, or whose machine is lost.

        Raises
        ------
        BadValueError
            If the fleet refuses.
        WorkerTimeoutError
            If no agent answers.
        """
        looked, agents = self.look(), self.agents()
        for name in agents:
            found = looked.get(name)
            if found is None or not found["ready"]:
                continue
            answer = {name: agents[name].ask.remote(*question)}
            answered, said = answers(answer, ASK_SECONDS).get(name) or (None, {})
            if answered:
                about = ((n, each or {}) for n, each in looked.items())
                agents_now = [{"name": n, **{k: each.get(k) for k in ABOUT}} for n, each in about]
                return {**said, "agents": agents_now}
            if answered is not None:
                raise BadValueError(said)
            if question != ("status",):  # which another agent may be asked, as it changes nothing
                raise WorkerTimeoutError(
                    f"{name}: has ended while it was asked; streamlstm fleet status says whether "
                    f"{question[0]} was begun"
                )
        raise WorkerTimeoutError(NOBODY)

    def replace_model(self, content: bytes) -> bytes:
        """Let all agents have another model in their files; return what they had.

        Raises
        ------
        ModelError
            If the fleet has no model file.
        """
        agents = self.agents()
        former = newest_model(agents)
        if former is None:
            raise ModelError("reload: this fleet serves a detector, which never changes.")
        model = (former[0] + 1, content)
        answers({name: agent.replace_model.remote(model) for name, agent in agents.items()})
        return former[1]


NOBODY = (
    "no agent of the fleet answers: it was ended, or no machine is left; streamlstm fleet MODEL "
    "--ray starts one, with all that is in its store"
)
