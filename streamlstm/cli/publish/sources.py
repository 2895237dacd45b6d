"""Sources of observations for ``streamlstm publish``: rows and host metrics, paced."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streamlstm.data.host import HostSampler
from streamlstm.data.live.problems import Kind, OnBad, Problem
from streamlstm.data.live.rows import iterate_rows
from streamlstm.data.options import ReadOptions
from streamlstm.errors import DataError

HOST_RATE = 10.0  # samples a second


class Observation(NamedTuple):
    """Values to send, float64[F], of one stream, and their time in seconds if known."""

    stream: str
    time: float | None
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Pace:
    """How fast observations come, and for how long.

    Parameters
    ----------
    rate : float or None
        Observations per second of each stream; None for as fast as they are taken.
    seconds : float or None
        Stop after this time.
    """

    rate: float | None
    seconds: float | None

    def end(self, start: float) -> float:
        """Return when to stop, in monotonic seconds."""
        return start + self.seconds if self.seconds is not None else float("inf")


@dataclass(frozen=True)
class Input:
    """A file or pipe of rows, and what becomes of rows that cannot be used.

    Parameters
    ----------
    source : str
        Path, or ``-`` for standard input.
    stream : str or None
        Name of the stream where no column names it; by default that of the file.
    options, on_bad : see :func:`streamlstm.data.live.rows.iterate_rows`
    """

    source: str
    stream: str | None
    options: ReadOptions
    on_bad: OnBad


def from_rows(
    rows: Input,
    pace: Pace,
    report: Callable[[Problem], None],
    applied: Callable[[str], int] | None = None,
) -> Iterator[Observation]:
    """Yield the rows of a file or pipe that can be used.

    Parameters
    ----------
    rows : Input
    pace : Pace
    report : callable
        Called with each problem of a row.
    applied : callable, optional
        Returns how many rows of a stream were applied before; so many that can be used are passed
        over without a pause.
    """
    name = rows.stream or ("stdin" if rows.source == "-" else Path(rows.source).name.split(".")[0])
    start = time.monotonic()
    end = pace.end(start)
    count: Counter[str] = Counter()
    passed: Counter[str] = Counter()
    for row in iterate_rows(rows.source, report, rows.options, rows.on_bad):
        observation = Observation(row.stream or name, row.time, row.values)
        if applied is not None and passed[observation.stream] < applied(observation.stream):
            passed[observation.stream] += 1
            continue
        if pace.rate is not None:
            due = start + count[observation.stream] / pace.rate
            if not _wait(due, end):
                return
        if time.monotonic() >= end:
            return
        count[observation.stream] += 1
        yield observation


def from_host(
    pace: Pace,
    report: Callable[[Problem], None],
    on_bad: OnBad = OnBad.SKIP,
    sampler: HostSampler | None = None,
    clock: Callable[[], float] = time.time,
) -> Iterator[Observation]:
    """Yield host metrics of this machine, each of its streams ``pace.rate`` times a second.

    A sample that is due while the last one is still in flight is skipped. One that cannot be read
    is reported, and left out unless ``on_bad`` is ``stop``.

    Raises
    ------
    DataError
        If a sample cannot be read, or the clock steps back, with ``stop``.
    """
    sampler = sampler or HostSampler()
    rate = pace.rate or HOST_RATE
    start = time.monotonic()
    end = pace.end(start)
    tick, samples, latest = 1, 0, float("-inf")
    while _wait(start + tick / rate, end):
        samples += 1
        now = clock()
        values: dict[str, float] = {}
        try:
            values = sampler.sample()
        except DataError as error:
            _report(Problem(Kind.SKIPPED, samples, str(error)), report, on_bad)
        if now <= latest:
            text = f"expected a time later than {latest:.3f}, got {now:.3f}: the clock stepped back"
            _report(Problem(Kind.CLOCK, samples, text), report, on_bad)
        latest = now
        for name, value in values.items():
            yield Observation(name, now, np.array([value], np.float64))
        tick = max(tick, int((time.monotonic() - start) * rate)) + 1


def _report(problem: Problem, report: Callable[[Problem], None], on_bad: OnBad) -> None:
    if on_bad is OnBad.STOP:
        raise DataError(f"sample {problem.line}: {problem.text}")
    report(problem)


def _wait(due: float, end: float) -> bool:
    """Sleep until `due`; return False if `end` comes first."""
    until = min(due, end)
    delay = until - time.monotonic()
    if delay > 0:
        time.sleep(delay)
    return due < end
