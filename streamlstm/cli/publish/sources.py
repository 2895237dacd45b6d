"""Sources of observations for ``streamlstm publish``: CSV rows and host metrics, paced."""

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
    """Values to send, float32[F], of one stream, and their time in seconds if known."""

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
    applied: Callable[[str], int] | None = None,
    missing: bool = False,
) -> Iterator[Observation]:
    """Yield the rows of a CSV file or, for ``-``, of standard input.

    Parameters
    ----------
    source : str
        Path, or ``-``.
    stream : str or None
        Name of the stream where no column names it; by default that of the file.
    stream_column, columns : see :func:`streamlstm.data.csv.iterate_csv`
    rate : float or None
        Rows per second of each stream; by default unlimited.
    seconds : float or None
        Stop after this time.
    applied : callable, optional
        Returns how many rows of a stream were applied before; they are skipped without a pause.
    missing : bool
        Whether cells may be missing, which the model fills.
    """
    name = stream or ("stdin" if source == "-" else Path(source).name.partition(".")[0])
    start = time.monotonic()
    end = start + seconds if seconds is not None else float("inf")
    count: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    rows = iterate_csv(source, stream_column=stream_column, columns=columns, missing=missing)
    for row in rows:
        observation = Observation(row.stream or name, row.time, row.values)
        if applied is not None and skipped[observation.stream] < applied(observation.stream):
            skipped[observation.stream] += 1
            continue
        if rate is not None and not _wait(start + count[observation.stream] / rate, end):
            return
        if time.monotonic() >= end:
            return
        count[observation.stream] += 1
        yield observation


def from_host(rate: float, seconds: float | None) -> Iterator[Observation]:
    """Yield host metrics of this machine, each of its streams ``rate`` times a second.

    A sample that is due while the last one is still in flight is skipped.
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
    """Sleep until `due`; return False if `end` comes first."""
    until = min(due, end)
    delay = until - time.monotonic()
    if delay > 0:
        time.sleep(delay)
    return due < end
