"""The agents of a fleet as actors of a Ray cluster: found by name, asked together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import ray

ANSWER_SECONDS = 2.0  # in which an agent answers if its machine is there


def agents_of(place: str) -> dict[str, Any]:
    """Return the handles of the agents of a fleet, also of those that wait for a machine.

    Parameters
    ----------
    place : str
        The namespace of the fleet, as of :func:`.plan.place_of`.
    """
    named = ray.util.list_named_actors(all_namespaces=True)
    names = [each["name"] for each in named if each["namespace"] == place]
    found = {}
    for name in sorted(names, key=number_of):
        with suppress(ValueError):  # it has ended since
            found[name] = ray.get_actor(name, namespace=place)
    return found


def answers(asked: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
    """Return what comes within so many seconds, from agents whose machines are there."""
    if not asked:
        return {}
    done, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=seconds)
    found = {}
    for name, answer in asked.items():
        if answer in done:
            with suppress(ray.exceptions.RayActorError):
                found[name] = ray.get(answer)
    return found


def newest_model(agents: Mapping[str, Any]) -> tuple[int, bytes] | None:
    """Return the model that agents were given last, and how often it was changed; None: nobody."""
    found = answers({name: agent.model.remote() for name, agent in agents.items()})
    return max((model for model in found.values() if model is not None), default=None)


def number_of(name: str) -> int:
    """Return the number of an agent, by its name."""
    return int(name.rpartition("-")[2])
