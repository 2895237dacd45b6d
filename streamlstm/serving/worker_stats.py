"""Statistics of workers, from their replies to INFO: gauges, counters, rates and histograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ProtocolError
from .counters import quantile


@dataclass(frozen=True)
class Histogram:
    """Counts of measurements between fixed bounds, and the sum of the measurements."""

    bounds: NDArray[np.float64]
    counts: NDArray[np.int64]
    sum: float

    @classmethod
    def from_info(cls, entry: Mapping[str, Any]) -> Histogram:
        """Read one of the ``histograms`` of INFO."""
        return cls(np.array(entry["bounds"]), np.array(entry["counts"]), entry["sum"])

    def __sub__(self, before: Histogram) -> Histogram:
        return Histogram(self.bounds, self.counts - before.counts, self.sum - before.sum)

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(self.bounds, self.counts + other.counts, self.sum + other.sum)

    def quantile(self, q: float) -> float:
        """Return the bound below which the fraction `q` lies; NaN of an empty histogram."""
        return quantile(self.bounds, self.counts, q)

    @property
    def mean(self) -> float:
        """The mean; NaN of an empty histogram."""
        count = int(self.counts.sum())
        return self.sum / count if count else float("nan")


class Gauges(NamedTuple):
    """Values at the moment of a reply; `overflows` and what follows `absent` count from the start.

    `absent` is the number of streams that are in the store and not in memory, `judged` how many
    values came that had an interval forecast for them, `covered` how many of those were inside.
    `own_error` and `naive_error` are the sums of the errors of forecasts and of persistence.
    """

    streams: int
    capacity: int
    queue: int
    overflows: int
    memory: int
    absent: int
    alarms: int
    judged: int
    covered: int
    own_error: float
    naive_error: float

    @property
    def coverage(self) -> float:
        """The share of values inside the widest interval; NaN if none was compared."""
        return self.covered / self.judged if self.judged else float("nan")

    @property
    def error_ratio(self) -> float:
        """Errors of forecasts as a multiple of those of persistence; NaN if none was compared."""
        return self.own_error / self.naive_error if self.naive_error else float("nan")


class Rates(NamedTuple):
    """Work done between two replies: rates per second, and histograms of the interval.

    Attributes
    ----------
    seconds : float
        Length of the interval by the worker's own clock; the sum over several workers.
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
    latency: Histogram
    step_time: Histogram
    block_size: Histogram

    @property
    def arithmetic(self) -> float:
        """The fraction of the time spent in arithmetic; the mean over several workers."""
        return self.step_time.sum / self.seconds


@dataclass(frozen=True)
class Snapshot:
    """One reply to INFO."""

    pid: int
    uptime: float
    fingerprint: str
    fleet_capacity: int | None  # streams that all workers of its fleet may have in memory
    gauges: Gauges
    totals: NDArray[np.float64]  # the counters of which `Rates` holds rates, in its order
    histograms: tuple[Histogram, Histogram, Histogram]

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> Snapshot:
        """Read a reply to INFO.

        Raises
        ------
        ProtocolError
            If a key is missing, as in replies of other versions.
        """
        try:
            counters, histograms = info["counters"], info["histograms"]
            busy = counters["busy"]  # also counted among the errors
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
                info.get("fleet_capacity"),
                Gauges(
                    info["streams"],
                    info["capacity"],
                    info["queue"]["messages"],
                    counters["subscriber_overflows"],
                    info["memory"],
                    info["store"]["absent"] if info["store"] else 0,
                    counters["alarms"],
                    counters["judged"],
                    counters["covered"],
                    counters["own_error"],
                    counters["naive_error"],
                ),
                np.array(totals, float),
                (
                    Histogram.from_info(histograms["latency"]),
                    Histogram.from_info(histograms["step_time"]),
                    Histogram.from_info(histograms["block_size"]),
                ),
            )
        except (KeyError, TypeError) as error:
            raise ProtocolError(
                f"INFO: expected the keys of a worker of this version, got no {error}; "
                "update the older of the two"
            ) from None

    def since(self, before: Snapshot | None) -> Rates | None:
        """Return the rates since `before`; None if the worker was restarted in between."""
        if before is None or before.pid != self.pid or before.uptime >= self.uptime:
            return None
        seconds = self.uptime - before.uptime
        per_second = ((self.totals - before.totals) / seconds).tolist()
        histograms = (a - b for a, b in zip(self.histograms, before.histograms, strict=True))
        return Rates._make([*per_second, seconds, *histograms])


def sum_gauges(workers: Sequence[Snapshot]) -> Gauges | None:
    """Return the sums over workers, but a fleet's capacity is one for all; None without any."""
    if not workers:
        return None
    total = Gauges(*map(sum, zip(*(worker.gauges for worker in workers), strict=True)))
    first, *others = {worker.fleet_capacity for worker in workers}
    return total if others or first is None else total._replace(capacity=first)


def sum_rates(workers: Sequence[Rates]) -> Rates | None:
    """Return the sums over workers; None without any."""
    if not workers:
        return None
    return Rates(*(reduce(add, values) for values in zip(*workers, strict=True)))
