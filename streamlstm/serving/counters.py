"""Counters and histograms of a worker: one array, written by its loop, read by any thread."""

from __future__ import annotations

from collections import Counter
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .native import layout

# The keys of ``counters`` in INFO, and their cells.
NAMES = {
    "messages": layout.MESSAGES,
    "answers": layout.ANSWERS,
    "publications": layout.PUBLICATIONS,
    "dropped_answers": layout.DROPPED_ANSWERS,
    "subscriber_overflows": layout.SUBSCRIBER_OVERFLOWS,
    "busy": layout.BUSY,
    "moved": layout.MOVED,
    "throttled": layout.THROTTLED,
    "handed_over": layout.HANDED_OVER,
    "blocks": layout.BLOCKS,
    "cut_subscribers": layout.CUT_SUBSCRIBERS,
    "alarms": layout.ALARMS,
    "filled": layout.FILLED,
    "absent": layout.ABSENT,
    "judged": layout.JUDGED,
    "covered": layout.COVERED,
    "drifts": layout.DRIFTS,
}
# Sums of errors, which INFO shows as floats.
ERRORS = {"own_error": layout.OWN_ERROR, "naive_error": layout.NAIVE_ERROR}


class Histogram:
    """Counts of values by bucket.

    Parameters
    ----------
    cells : int64[HISTOGRAM]
        The sum, then the counts.
    unit : float
        Factor of the bounds.
    scale : float
        Factor of the sum.

    Attributes
    ----------
    bounds : float64[BUCKETS]
        Upper bounds, exclusive.
    largest : float64[BUCKETS]
        The largest value of each bucket; below the bound if values are integers.
    """

    def __init__(self, cells: NDArray[np.int64], unit: float, scale: float) -> None:
        self._cells, self._scale = cells, scale
        buckets = np.arange(layout.BUCKETS)
        self.bounds: NDArray[np.float64] = unit * (2 + buckets % 2) * 2.0 ** (buckets // 2 - 1)
        self.bounds[-1] = np.inf
        self.largest = self.bounds if scale != 1 else np.ceil(self.bounds) - 1

    @property
    def counts(self) -> NDArray[np.int64]:
        """Count of each bucket, int64[BUCKETS]."""
        return self._cells[1 : 1 + layout.BUCKETS].copy()

    @property
    def sum(self) -> float:
        """Sum of all values."""
        return float(self._cells[0] * self._scale)

    def as_map(self) -> dict[str, Any]:
        """Return the form of INFO; always all buckets, so that differences need no alignment."""
        return {
            "bounds": self.bounds.tolist(),
            "counts": self.counts.tolist(),
            "sum": self.sum,
        }

    def add(self, value: int) -> None:
        """Count one value, in the unit of the cells: nanoseconds, or ones."""
        self._cells[0] += value
        self._cells[1 + bucket_of(value, 0 if self._scale == 1 else layout.TIME_UNIT)] += 1


def bucket_of(value: int, unit: int) -> int:
    """Return the bucket of ``value`` where a bound of 1 stands for ``2**unit``."""
    octave = (value >> unit).bit_length() - 1
    if octave < 0:
        return 0
    below = octave + unit - 1  # the bit that tells the halves of an octave apart
    half = value >> below & 1 if below >= 0 else 0
    return min(2 * octave + half + 1, layout.BUCKETS - 1)


def quantile(bounds: NDArray[np.float64], counts: NDArray[np.int64], q: float) -> float:
    """Return the bound below which at least the fraction ``q`` is; NaN if nothing was counted."""
    total = int(counts.sum())
    if total == 0:
        return float("nan")
    place = int(np.searchsorted(np.cumsum(counts), q * total))
    return float(bounds[min(place, len(bounds) - 1)])


class Counters:
    """The counters of one worker since its start.

    Attributes
    ----------
    cells : int64[COUNTS_SIZE]
        All of them but errors (native/layout.py); only the thread of the loop writes.
    errors : Counter of str
        Refused messages by code. A ``busy`` of the full queue is counted in the cells; here are
        those of a store that cannot be read.
    refused_connections : int
        Connections of clients without an authorized key.
    latency, step_time : Histogram
        Seconds from the receipt of a message to its reply; seconds of a block's arithmetic.
    block_size : Histogram
        Observations in a block.
    """

    def __init__(self) -> None:
        self.cells: NDArray[np.int64] = np.zeros(layout.COUNTS_SIZE, np.int64)
        self.errors: Counter[str] = Counter()
        self.refused_connections = 0
        self._refusing = Lock()
        seconds = (1e-9 * 2**layout.TIME_UNIT, 1e-9)
        self.latency = Histogram(self._room(layout.LATENCY), *seconds)
        self.step_time = Histogram(self._room(layout.STEP_TIME), *seconds)
        self.block_size = Histogram(self._room(layout.BLOCK_SIZE), 1, 1)

    def _room(self, place: int) -> NDArray[np.int64]:
        return self.cells[place : place + layout.HISTOGRAM]

    def __getitem__(self, place: int) -> int:
        return int(self.cells[place])

    def error(self, place: int) -> float:
        """Return a sum of errors, in units of what persistence usually misses."""
        return self[place] / layout.ERROR_UNIT

    def add(self, place: int, count: int = 1) -> None:
        """Add to a counter; from the thread of the loop only."""
        self.cells[place] += count

    def refused(self) -> int:
        """Return how many messages were refused, including ``busy``."""
        return self.errors.total() + self[layout.BUSY]

    def count_refused_connection(self) -> None:
        """Count a client without an authorized key; from any thread."""
        with self._refusing:
            self.refused_connections += 1

    def as_map(self) -> dict[str, Any]:
        """Return ``counters`` of INFO, but for the steps, which the engine counts."""
        errors = dict(self.errors)  # atomic, whichever thread asks
        if self[layout.BUSY]:
            errors["busy"] = errors.get("busy", 0) + self[layout.BUSY]
        counts: dict[str, Any] = {name: self[place] for name, place in NAMES.items()}
        counts |= {name: self.error(place) for name, place in ERRORS.items()}
        counts["refused_connections"] = self.refused_connections
        return counts | {"errors": errors}

    def queue(self) -> dict[str, int]:
        """Return ``queue`` of INFO: what waits besides the request for INFO itself."""
        return {
            "messages": max(0, self[layout.QUEUED] - 1),
            "bytes": max(0, self[layout.QUEUED_BYTES] - layout.RECORD),
            "peak": self[layout.QUEUE_PEAK],
        }

    def histograms(self) -> dict[str, dict[str, Any]]:
        """Return ``histograms`` of INFO."""
        return {
            "latency": self.latency.as_map(),
            "step_time": self.step_time.as_map(),
            "block_size": self.block_size.as_map(),
        }

    def stepped(self, observations: int, nanoseconds: int) -> None:
        """Count a block; from the thread of the loop only."""
        self.add(layout.BLOCKS)
        self.block_size.add(observations)
        self.step_time.add(nanoseconds)
