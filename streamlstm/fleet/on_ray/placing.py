"""Places agents on machines: Ray chooses one for each, now and whenever one is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray._raylet import IMPLICIT_RESOURCE_PREFIX  # type: ignore[attr-defined]

from ...errors import EndpointError
from .actors import agents_of, answers
from .agent import Agent
from .plan import Plan

START_SECONDS = 300.0  # in which the machines are there: an autoscaler may have to get them
TELL_SECONDS = 5.0  # after which a person is told what is waited for
LOOK_SECONDS = 0.1
ATTEMPTS = 3  # of an agent to start: the first may have come while the store was another's


def place_agent(place: str, name: str, plan: Plan) -> Any:
    """Return the handle of a new agent, which has a machine now or when there is one.

    It is an actor that outlives whoever has started it, takes as many CPUs as it has workers, and
    is the only one of its fleet on its machine. When that is lost, Ray starts it on another one, or
    as soon as there is one.
    """
    options = {
        "name": name,
        "namespace": place,
        "lifetime": "detached",
        "num_cpus": plan.workers,
        # Every machine has 1 of it, whatever its name: so does Ray Serve spread its replicas.
        "resources": {f"{IMPLICIT_RESOURCE_PREFIX}{place}": 1.0},
        "label_selector": dict(plan.labels) or None,
        "max_restarts": -1,
        "max_concurrency": 8,  # it answers while it ends
    }
    return ray.remote(Agent).options(**options).remote(tuple(plan))


def wait_for(
    place: str, agents: Mapping[str, Any], plan: Plan, say: Callable[[str], object]
) -> None:
    """Wait until new agents serve.

    Parameters
    ----------
    place : str
    agents : mapping of str to handle
    plan : Plan
        Their.
    say : callable
        Gets what there is to say meanwhile.

    Raises
    ------
    EndpointError
        If one cannot start, or has no machine after ``START_SECONDS``.
    """
    start, told = time.monotonic(), False
    asked = {name: agent.status.remote() for name, agent in agents.items()}
    while asked:
        for name, found in answers(asked, LOOK_SECONDS).items():
            _check(found)
            del asked[name]
            if not found["ready"]:
                asked[name] = agents[name].status.remote()
        if gone := asked.keys() - agents_of(place).keys():
            raise EndpointError(
                f"{', '.join(gone)}: has ended on its machine before it could say why; is the same "
                "version of streamlstm installed on all? ray logs, there, has more"
            )
        serve = f"{len(agents) - len(asked)} of {len(agents)} machines serve"
        if asked and time.monotonic() - start > START_SECONDS:
            raise EndpointError(
                f"only {serve} after {START_SECONDS:.0f} s, so none was added; {_able(plan)}"
            )
        if asked and time.monotonic() - start > TELL_SECONDS and not told:
            told = True
            say(f"{serve}; {_able(plan)}")


def _check(found: Mapping[str, Any]) -> None:
    """Raise an error if an agent has ended again and again instead of beginning to serve."""
    if found["failures"] >= ATTEMPTS:
        raise EndpointError(
            f"the agent of machine {found['machine']} could not start, so no machine was added; "
            "its last lines:\n" + "\n".join(found["lines"])
        )


def _able(plan: Plan) -> str:
    """Say how many machines could have an agent, if nothing else were on them."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    able = [node for node in nodes if node["Resources"].get("CPU", 0) >= plan.workers]
    labels = ", ".join(f"{key}={value}" for key, value in plan.labels.items())
    return (
        f"of {len(nodes)} machines of the cluster {len(able)} have {plan.workers} CPUs or more, "
        "one for each worker" + (f"; their labels have to be {labels}" if labels else "")
    )
