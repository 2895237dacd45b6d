"""Where ``streamlstm publish`` takes observations from, and at what pace."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm.data.csv import iterate_csv
from streamlstm.data.host import HostSampler

HOST_RATE = 10.0  # samples a second


class Observation(NamedTuple):
    """What is sent: float32[F] of one stream, and when it was made, in seconds, if known."""

    stream: str
    time: float | None
    values: NDArray[np.float32]


def from_csv(
    source: str,
    stream: str | None,
    stream_column: str | None,
    columns: Sequence[str] | None,
    rate: float | None,
    seconds: float | None,
    had: Callable[[str], int] | None = None,
) -> Iterator[Observation]:
    """Yield the rows of a CSV file or, for ``-``, of standard input.

    Parameters
    ----------
    source : str
        Path, or ``-``.
    stream : str or None
        Name of the stream where no column names it; the file's if left out.
    stream_column, columns : see :func:`streamlstm.data.csv.iterate_csv`
    rate : float or None
        Rows a second of each stream; without a pace if left out.
    seconds : float or None
        When to stop.
    had : callable, optional
        How many rows of a stream are passed over, and take no time.
    """
    name = stream or ("stdin" if source == "-" else Path(source).name.partition(".")[0])
    start = time.monotonic()
    end = start + seconds if seconds is not None else float("inf")
    count: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for row in iterate_csv(source, stream_column=stream_column, columns=columns):
        observation = Observation(row.stream or name, row.time, row.values)
        if had is not None and passed[observation.stream] < had(observation.stream):
            passed[observation.stream] += 1
            continue
        if rate is not None and not _wait(start + count[observation.stream] / rate, end):
            return
        if time.monotonic() >= end:
            return
        count[observation.stream] += 1
        yield observation


def from_host(rate: float, seconds: float | None) -> Iterator[Observation]:
    """Yield samples of this machine, every stream of it ``rate`` times a second.

    A sample that is due while the last one is still being answered is left out.
    """
    sampler = HostSampler()
    start = time.monotonic()
    end = start + seconds if seconds is not None else float("inf")
    tick = 1
    while _wait(start + tick / rate, end):
        now = time.time()
        for name, value in sampler.sample().items():
            yield Observation(name, now, np.array([value], np.float32))
        tick = max(tick, int((time.monotonic() - start) * rate)) + 1


def _wait(due: float, end: float) -> bool:
    """Sleep until something is due; False if the end comes first."""
    until = min(due, end)
    delay = until - time.monotonic()
    if delay > 0:
        time.sleep(delay)
    return due < end
