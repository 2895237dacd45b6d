"""How much the workers of a fleet do, from what each tells once a second. No clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..serving.load import Load, Rate, latency_bounds, rate

STALE_SECONDS = 5.0  # after which the rate of a worker that reports nothing is not known any more
SMOOTHING = 0.2  # share of the newest second in the load of a partition: half a minute is all of it


@dataclass
class Loads:
    """The last reports of all workers.

    Attributes
    ----------
    partitions : float64[PARTITIONS]
        Observations a second of each partition, smoothed.
    """

    partitions: NDArray[np.float64] = field(default_factory=lambda: np.zeros(wire.PARTITIONS))
    _last: dict[str, Load] = field(default_factory=dict)
    _rates: dict[str, Rate] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _bounds: NDArray[np.float64] = field(default_factory=latency_bounds)

    def heard(self, worker: str, load: Load, now: float) -> None:
        """Note a report that came at a time, in seconds of any clock."""
        before = self._last.get(worker)
        if before is None or before.process != load.process:
            self._rates.pop(worker, None)
        else:
            self._rates[worker] = rate(before, load, self._bounds)
        self._last[worker], self._heard[worker] = load, now

    def forget(self, worker: str) -> None:
        """Note that the process of a worker has ended."""
        for known in (self._last, self._rates, self._heard):
            known.pop(worker, None)

    def streams(self) -> dict[str, int]:
        """Return how many streams each worker has in memory."""
        return {worker: load.streams for worker, load in self._last.items()}

    def smooth(self) -> None:
        """Let the load of each partition follow the last reports; once a second."""
        newest = sum((each.partitions for each in self._rates.values()), np.zeros(wire.PARTITIONS))
        self.partitions += SMOOTHING * (newest - self.partitions)

    def of(self, worker: str, now: float) -> dict[str, Any]:
        """Return what is known of a worker, for people: None where nothing is."""
        load, last_second = self._last.get(worker), self._rates.get(worker)
        silent = None if load is None else now - self._heard[worker]
        if silent is not None and silent > STALE_SECONDS:
            last_second = None
        p99 = None if last_second is None else last_second.p99
        return {
            "streams": None if load is None else load.streams,
            "capacity": None if load is None else load.capacity,
            "stored": None if load is None else load.absent,
            "memory": None if load is None else load.memory,
            "store_failing": None if load is None else load.failing,
            "rate": None if last_second is None else last_second.steps,
            "p99": None if p99 is None or p99 != p99 else p99,
            "silent": silent,
        }
