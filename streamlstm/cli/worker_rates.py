"""What workers do: their last answer to INFO, and the differences to the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm.errors import ProtocolError
from streamlstm.serving.native.counters import quantile


@dataclass(frozen=True)
class Spread:
    """How often what was measured fell between which bounds, and its sum."""

    bounds: NDArray[np.float64]
    counts: NDArray[np.int64]
    sum: float

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Spread:
        """Read one of the ``histograms`` of INFO."""
        return cls(np.array(shown["bounds"]), np.array(shown["counts"]), shown["sum"])

    def __sub__(self, before: Spread) -> Spread:
        return Spread(self.bounds, self.counts - before.counts, self.sum - before.sum)

    def __add__(self, other: Spread) -> Spread:
        return Spread(self.bounds, self.counts + other.counts, self.sum + other.sum)

    def quantile(self, q: float) -> float:
        """Return the bound below which the fraction `q` fell; NaN if nothing was measured."""
        return quantile(self.bounds, self.counts, q)

    @property
    def mean(self) -> float:
        """NaN if nothing was measured."""
        count = int(self.counts.sum())
        return self.sum / count if count else float("nan")


class Now(NamedTuple):
    """What is so at the moment of an answer; `overflows` are all since the worker's start.

    `absent` are the streams that are in the store and not in memory.
    """

    streams: int
    capacity: int
    queue: int
    overflows: int
    memory: int
    absent: int


class Rates(NamedTuple):
    """What was done between two answers: by the second, and as it was measured.

    Attributes
    ----------
    seconds : float
        Between the two, by the worker's own clock; of several workers the sum.
    cpu : float
        Processors that were busy.
    """

    steps: float
    messages: float
    busy: float
    errors: float
    dropped: float
    evicted: float
    returned: float
    cpu: float
    seconds: float
    latency: Spread
    step_time: Spread
    block_size: Spread

    @property
    def arithmetic(self) -> float:
        """The fraction of the time that went into arithmetic; of several workers the mean."""
        return self.step_time.sum / self.seconds


@dataclass(frozen=True)
class Snapshot:
    """One answer to INFO."""

    pid: int
    uptime: float
    fingerprint: str
    now: Now
    totals: NDArray[np.float64]  # of what `Rates` has by the second, in its order
    histograms: tuple[Spread, Spread, Spread]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Snapshot:
        """Read what INFO answered.

        Raises
        ------
        ProtocolError
            If something is missing, as in the answers of other versions.
        """
        try:
            counters, histograms = info["counters"], info["histograms"]
            busy = counters["busy"]  # which stands among the errors too
            totals = (
                counters["steps"],
                counters["messages"],
                busy,
                sum(counters["errors"].values()) - busy,
                counters["dropped_answers"],
                counters["evicted"],
                counters["returned"],
                info["cpu"],
            )
            return cls(
                info["pid"],
                info["uptime"],
                info["model"]["fingerprint"],
                Now(
                    info["streams"],
                    info["capacity"],
                    info["queue"]["messages"],
                    counters["subscriber_overflows"],
                    info["memory"],
                    info["store"]["absent"] if info["store"] else 0,
                ),
                np.array(totals, float),
                (
                    Spread.of(histograms["latency"]),
                    Spread.of(histograms["step_time"]),
                    Spread.of(histograms["block_size"]),
                ),
            )
        except (KeyError, TypeError) as error:
            raise ProtocolError(
                f"INFO: expected what a worker of this version tells, got no {error}; "
                "update the older of the two"
            ) from None

    def since(self, before: Snapshot | None) -> Rates | None:
        """Return what was done since `before`; None if that was another life of the worker."""
        if before is None or before.pid != self.pid or before.uptime >= self.uptime:
            return None
        seconds = self.uptime - before.uptime
        steps, messages, busy, errors, dropped, evicted, returned, cpu = (
            (self.totals - before.totals) / seconds
        ).tolist()
        latency, step_time, block_size = (
            after - earlier
            for after, earlier in zip(self.histograms, before.histograms, strict=True)
        )
        return Rates(
            steps,
            messages,
            busy,
            errors,
            dropped,
            evicted,
            returned,
            cpu,
            seconds,
            latency,
            step_time,
            block_size,
        )


def all_now(workers: Sequence[Now]) -> Now | None:
    """Return the sums over workers; None of none."""
    if not workers:
        return None
    return Now(*(sum(values) for values in zip(*workers, strict=True)))


def all_rates(workers: Sequence[Rates]) -> Rates | None:
    """Return the sums over workers; None of none."""
    if not workers:
        return None
    return Rates(*(reduce(add, values) for values in zip(*workers, strict=True)))
