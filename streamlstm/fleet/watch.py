"""What a supervisor sees of its workers: loads, limits, status, and whether all is well."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..serving.load import Load
from . import capacity
from .coordinator import Coordinator
from .loads import Loads
from .model import FleetModel

TICK_SECONDS = 1.0  # between two looks at how much the workers have and do
HANG_SECONDS = 5.0  # without a look at the workers, of which there is one a second


class Watch:
    """Follows what the workers of a fleet have and do.

    Parameters
    ----------
    coordinator : Coordinator
    model : FleetModel
    evicts : bool
        Whether streams that are idle leave memory for others.

    Attributes
    ----------
    loads : Loads
    capacities : dict of str to int
        Streams that the workers of each machine together may have in memory.
    metrics : dict of str to str
        Where each worker serves its own, by name.
    seen : dict
        The status at the last look at the workers, for other threads.
    ready : bool
        Whether the fleet has begun to serve.
    next_tick : float
        Monotonic time of the next look.
    """

    def __init__(self, coordinator: Coordinator, model: FleetModel, evicts: bool) -> None:
        self._coordinator, self._model, self._evicts = coordinator, model, evicts
        self.loads, self.metrics = Loads(), dict[str, str]()
        self.capacities: dict[str, int] = {}
        self.ready = False
        self.ticks, self.next_tick = 0, time.monotonic() + TICK_SECONDS
        self.seen = self.status()

    def heard(self, worker: str, *fields: Any) -> None:
        """Note a report."""
        self.loads.heard(worker, Load.from_fields(list(fields)), time.monotonic())

    def forget(self, worker: str) -> None:
        """Note the end of a worker."""
        self.loads.forget(worker)
        self.metrics.pop(worker, None)

    def tick(self) -> None:
        """Look at all workers; once a second."""
        self.next_tick = time.monotonic() + TICK_SECONDS
        self.ticks += 1
        self.loads.smooth()
        self.seen = self.status()

    @property
    def capacity(self) -> int:
        """Streams that all workers together may have in memory."""
        return sum(self.capacities.values())

    def limits(self) -> dict[str, int]:
        """Return how many streams each worker may have in memory."""
        streams, members = self.loads.streams(), self._coordinator.members
        found: dict[str, int] = {}
        for machine, most in self.capacities.items():
            here = {
                k: n for k, n in streams.items() if k in members and members[k].machine == machine
            }
            found |= capacity.limits(most, here, self._evicts)
        return found

    def status(self) -> dict[str, Any]:
        """Return the workers, what they have and what they do."""
        found, now = {**self._coordinator.status(), "capacity": self.capacity}, time.monotonic()
        found["reload"] = None if self._model.reload is None else self._model.reload.status()
        for worker in found["workers"]:
            worker |= self.loads.of(worker["name"], now)
        return found

    def health_problem(self) -> str | None:
        """Return why the supervisor should be restarted; None if it need not be. Any thread."""
        return hung("supervisor", self.next_tick)

    def readiness_problem(self) -> str | None:
        """Return why clients should not be sent here now; None if they should. Any thread."""
        if problem := self.health_problem():
            return problem
        return unready(self.seen, self.ready)


def hung(what: str, due: float) -> str | None:
    """Return that a loop has hung, which was to look around at a monotonic time; None if not."""
    late = time.monotonic() - due
    return f"the {what} has hung for {late:.0f} s" if late > HANG_SECONDS else None


def unready(seen: Mapping[str, Any], ready: bool) -> str | None:
    """Return why clients should not be sent to a fleet of this status; None if they should."""
    away = [each["name"] for each in seen["workers"] if each["router"] is None]
    return f"{', '.join(away)} does not serve" if away or not ready else None
