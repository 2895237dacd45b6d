"""What a worker of a fleet tells its supervisor once a second: how much it has and does."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .counters import Counters, quantile
from .memory import resident_memory

if TYPE_CHECKING:
    from .service import Service


class Load(NamedTuple):
    """The counters of a worker at one moment, as far as a supervisor needs them.

    Attributes
    ----------
    process : int
        Its id: the counters of another one begin anew.
    time : float
        Seconds, by the worker's monotonic clock.
    streams, capacity : int
        In memory, and how many fit there.
    absent : int
        Streams that are in the store and not in memory.
    steps : int
        Observations applied since the worker started.
    memory : int
        Resident bytes.
    failing : float
        Seconds for which the store has failed; 0: it works, or there is none.
    latency : int64[BUCKETS]
        Messages by the time to their reply.
    partitions : uint32[PARTITIONS]
        Observations of each partition that were taken.
    """

    process: int
    time: float
    streams: int
    capacity: int
    absent: int
    steps: int
    memory: int
    failing: float
    latency: NDArray[np.int64]
    partitions: NDArray[np.uint32]

    @classmethod
    def of(cls, service: Service) -> Load:
        """Measure a worker of a fleet, in the thread of its loop."""
        engine, checkpointer = service.engine, service.checkpointer
        store = {} if checkpointer is None else checkpointer.status()
        assert service.partitions is not None
        return cls(
            os.getpid(),
            time.monotonic(),
            len(engine),
            engine.capacity,
            store.get("absent", 0),
            engine.steps,
            resident_memory(),
            store.get("failing") or 0.0,
            service.counters.latency.counts,
            service.partitions.steps,
        )

    def to_fields(self) -> list[Any]:
        """Return what stands in a message."""
        return [*self[:-2], self.latency.astype("<i8").tobytes(), self.partitions.tobytes()]

    @classmethod
    def from_fields(cls, fields: list[Any]) -> Load:
        """Read what :meth:`to_fields` returned."""
        *numbers, latency, partitions = fields
        arrays = np.frombuffer(latency, "<i8"), np.frombuffer(partitions, "<u4")
        return cls._make([*numbers, *arrays])


class Rate(NamedTuple):
    """What a worker did between two reports.

    Attributes
    ----------
    steps : float
        A second.
    p99 : float
        Seconds; NaN if nothing was answered.
    partitions : float64[PARTITIONS]
        Observations a second of each.
    """

    steps: float
    p99: float
    partitions: NDArray[np.float64]


def rate(before: Load, now: Load, bounds: NDArray[np.float64]) -> Rate:
    """Return what happened between two reports of one process."""
    seconds = max(now.time - before.time, 1e-3)
    p99 = quantile(bounds, now.latency - before.latency, 0.99)
    taken = now.partitions - before.partitions  # in uint32: right where it began again from 0
    return Rate((now.steps - before.steps) / seconds, p99, taken / seconds)


def latency_bounds() -> NDArray[np.float64]:
    """Return the upper bounds of the buckets of latencies, seconds."""
    return Counters().latency.bounds
