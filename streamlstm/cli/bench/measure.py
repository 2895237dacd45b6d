"""One load test: a schedule of requests, and how long each took from the time it was due."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm.serving.worker_stats import Snapshot

if TYPE_CHECKING:
    from streamlstm.client.client import Client
    from streamlstm.loadtest.messages import Messages
    from streamlstm.loadtest.zmtp import Clients

QUANTILES = (0.5, 0.9, 0.99, 0.999)
WARM_SECONDS = 0.5  # before anything is measured
CAPACITY_SECONDS = 2.0


class Result(NamedTuple):
    """What a load test found.

    Attributes
    ----------
    asked, answered : float
        Observations a second, as they were due, and predictions a second.
    latency : float64[N]
        Seconds from the time at which a request was due to its reply, `busy` too, sorted.
    late : float
        Seconds by which the load itself was late at its 99th percentile.
    busy, refused : int
        Requests that were answered with `busy`, and with other errors.
    first : bytes
        The beginning of the first such reply.
    worker, load : float
        Processors that the worker, and this process, kept busy.
    """

    asked: float
    answered: float
    latency: NDArray[np.float64]
    late: float
    busy: int
    refused: int
    first: bytes
    worker: float
    load: float

    def quantile(self, q: float) -> float:
        """Return the latency in seconds below which this share of the replies is."""
        place = min(int(np.ceil(q * len(self.latency))), len(self.latency)) - 1
        return float(self.latency[max(place, 0)])

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "asked": self.asked,
            "answered": self.answered,
            "requests": len(self.latency),
            "latency": {f"p{100 * q:g}": self.quantile(q) for q in QUANTILES}
            | {"max": float(self.latency[-1])},
            "late_p99": self.late,
            "busy": self.busy,
            "refused": self.refused,
            "cpu": {"worker": self.worker, "load": self.load},
        }


def capacity(clients: Clients, messages: Messages, say: Callable[[str], None]) -> float:
    """Return how many observations a second the worker answers with as many as it can take."""
    from streamlstm.loadtest import open_loop

    say("finding out how many observations a second it answers")
    return open_loop.saturated(clients, messages, CAPACITY_SECONDS, refusals=True).rate


def warm_up(clients: Clients, messages: Messages) -> None:
    """Let every stream begin, and compile the load."""
    from streamlstm.loadtest import open_loop

    open_loop.saturated(clients, messages, 0.01, refusals=True)
    open_loop.saturated(clients, messages, WARM_SECONDS, refusals=True)


def measure(
    control: Client, clients: Clients, messages: Messages, rate: float, seconds: float
) -> Result:
    """Send so many requests a second for some seconds, whether replies arrive or not."""
    from streamlstm.loadtest import open_loop

    before, used, begin = Snapshot.from_info(control.info()), _cpu(), time.monotonic()
    times = open_loop.scheduled(clients, messages, rate, seconds, refusals=True)
    passed, load = time.monotonic() - begin, _cpu() - used
    after = Snapshot.from_info(control.info())
    done = after.since(before)
    busy = 0 if done is None else min(round(done.busy * done.seconds), times.outcome.refused)
    return Result(
        rate,
        times.outcome.answered / passed,
        np.sort(times.taken) * 1e-9,
        float(np.quantile(times.late, 0.99)) * 1e-9,
        busy,
        times.outcome.refused - busy,
        times.outcome.first,
        float("nan") if done is None else done.cpu,
        load / passed,
    )


def _cpu() -> float:
    spent = os.times()
    return spent.user + spent.system
