"""Changes the model of all workers of a fleet. No sockets, no processes, no clock.

First every worker prepares the new model beside the one that runs; if one refuses, all drop it
again and nothing has changed. Then they switch: one after the other, or all when they are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..serving.fleet_reload import DONE, PREPARED, REFUSED
from .actions import Action, Stop, Tell

WAITS, PREPARES, SWITCHES, IS_DONE, IS_REFUSED = (
    "waits",
    "prepares",
    "switches",
    "done",
    "refused",
)


@dataclass
class Reload:
    """A change of the model.

    Attributes
    ----------
    number : int
        Rises with each.
    file : str
        The new model.
    anew : bool
        All streams restart.
    at_once : bool
        All workers switch when they are told together; else each when the one before has.
    state : str
        WAITS, PREPARES, SWITCHES, IS_DONE or IS_REFUSED.
    said : str
        Why it was refused.
    fingerprint : str
        Of the new model, when a worker has prepared it.
    results : dict
        What each worker said that has switched.
    """

    number: int
    file: str
    anew: bool
    at_once: bool
    state: str = WAITS
    said: str = ""
    fingerprint: str = ""
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    _workers: list[str] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)  # that are to be told next
    _asked: set[str] = field(default_factory=set)  # that have not answered

    @property
    def is_under_way(self) -> bool:
        """True as long as something is to come."""
        return self.state not in (IS_DONE, IS_REFUSED)

    @property
    def has_begun(self) -> bool:
        """True when workers may have the new model, and new ones should start with it."""
        return self.state in (SWITCHES, IS_DONE)

    def status(self) -> dict[str, Any]:
        """Return how far it is."""
        return {
            "number": self.number,
            "state": self.state,
            "said": self.said,
            "model": self.fingerprint,
            "done": sorted(self.results),
            "result": next(iter(self.results.values()), None),
        }

    def begin(self, workers: Sequence[str]) -> list[Action]:
        """Begin, with the workers that serve, one at least; no partition may be on its way."""
        self.state, self._workers, self._waiting = PREPARES, list(workers), list(workers)
        return self._next()

    def said_by(self, worker: str, how_far: str, value: Any) -> list[Action]:
        """Go on after a worker has said how far it is."""
        if worker not in self._asked:
            return []
        self._asked.discard(worker)
        if how_far == REFUSED and self.state == PREPARES:
            return self._refuse(f"{worker}: {value}")
        if how_far == REFUSED:  # the others have switched: it starts again, with their model
            self.said = f"{worker}: {value}"
            return [Stop(worker), *self._next()]
        if how_far == PREPARED:
            self.fingerprint = value or ""
        if how_far == DONE:
            self.results[worker] = value
        return self._next()

    def died(self, worker: str) -> list[Action]:
        """Note the end of a worker: started again, it has the model that the others have."""
        self._waiting = [name for name in self._waiting if name != worker]
        self._asked.discard(worker)
        if self.state == PREPARES and worker in self._workers:
            return self._refuse(f"{worker} has ended meanwhile")
        self._workers = [name for name in self._workers if name != worker]
        return self._next() if self.state == SWITCHES else []

    def _next(self) -> list[Action]:
        """Tell the next worker, or all; go over to the next state when all have answered."""
        if self._asked:
            return []
        if not self._waiting:
            if self.state == SWITCHES:
                self.state = IS_DONE
                return [Tell(name, "reloaded", ()) for name in self._workers]
            self.state, self._waiting = SWITCHES, list(self._workers)
        count = len(self._waiting) if self.at_once else 1
        now, self._waiting = self._waiting[:count], self._waiting[count:]
        self._asked = set(now)
        if self.state == PREPARES:
            return [Tell(name, "prepare", (self.number, self.anew, self.file)) for name in now]
        return [Tell(name, "switch", (self.number,)) for name in now]

    def _refuse(self, reason: str) -> list[Action]:
        self.state, self.said = IS_REFUSED, reason
        waiting, self._waiting, self._asked = set(self._waiting), [], set()
        told = [name for name in self._workers if name not in waiting]
        reason = f"reload: no worker of the fleet has changed its model; {reason}"
        actions: list[Action] = [Tell(name, "cancel", (self.number, reason)) for name in told]
        return actions + [Tell(name, "no-reload", (reason,)) for name in waiting]
