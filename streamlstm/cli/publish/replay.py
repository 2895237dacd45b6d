"""``streamlstm publish --replay``: applies every row of a source exactly once despite crashes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from streamlstm import wire
from streamlstm.client.replay.journal import Journal
from streamlstm.client.replay.publisher import ReplayingPublisher
from streamlstm.errors import DataError, StreamLSTMError, WorkerTimeoutError

from ..console import counted, err
from ..said import name_of
from .output import numbers
from .problems import Problems
from .sources import Observation

Result = TypeVar("Result")
Key = tuple[wire.StreamId, int]


class ReplayPrinter:
    """Prints predictions in the publisher's thread, each beside its observation.

    Parameters
    ----------
    as_json : bool
        Print one JSON object a line instead of text.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._expected: dict[Key, Observation] = {}
        self.count = 0

    def expect(self, observation: Observation, seq: int) -> None:
        """Register an observation before its prediction can arrive."""
        self._expected[observation.stream, seq] = observation

    def __call__(self, stream: wire.StreamId, seq: int, y: NDArray[Any]) -> None:
        """Print a prediction and its observation."""
        self.count += 1
        observation = self._expected.pop((stream, seq))
        if self._json:
            moment = time.time() if observation.time is None else observation.time
            line: dict[str, Any] = {"time": moment, "stream": stream, "seq": seq}
            line |= {"value": observation.values.tolist()}
            print(json.dumps(line | {"prediction": y.tolist()}), flush=True)
        else:
            came, made = numbers(observation.values), numbers(y)
            print(f"{name_of(stream)}  {seq}  {came}  ->  {made}", flush=True)


def replay(
    where: dict[str, Any],
    source: Callable[[Callable[[str], int]], Iterator[Observation]],
    problems: Problems,
    journal: Path | None,
    as_json: bool,
    key: Path | None,
    server: Path | None,
) -> None:
    """Publish a whole source and wait, without a time limit, until the worker has confirmed it.

    Parameters
    ----------
    where : dict
        The worker's endpoint, or its or a fleet's endpoints file, as arguments of the publisher.
    source : callable
        Called with a function that returns how many observations of a stream were applied; yields
        the observations after those.
    problems : Problems
        What was wrong with the source, told at the end.
    journal : Path or None
        File of the unconfirmed observations.
    as_json : bool
        Print one JSON object a line instead of text.
    key, server : Path or None
        This client's secret key and the worker's public key.

    Raises
    ------
    DataError
        What the source raises where it ends early. The rows before are applied.
    StreamLSTMError
        If the worker refuses an observation, or has lost confirmed ones.
    """
    printer = ReplayPrinter(as_json)
    for step in _unconfirmed(journal):  # the publisher sends these before a row is read
        printer.expect(
            Observation(str(step.stream), step.time, _sent(step)),
            step.seq,
        )
    applied_before: dict[str, int] = {}
    publisher = ReplayingPublisher(
        **where,
        on_prediction=printer,
        journal=journal,
        leave_out=False,
        key=key,
        server=server,
    )

    def applied(stream: str) -> int:
        if stream not in applied_before:
            applied_before[stream] = _retry(publisher, lambda: publisher.last_seq(stream))
        return applied_before[stream]

    def send(observation: Observation) -> None:
        stream, moment, values = observation
        printer.expect(observation, publisher.last_seq(stream) + 1)
        _retry(publisher, lambda: publisher.send(stream, values, time=moment))

    failed = False
    rows = _Rows(source(applied))
    try:
        with publisher:
            for observation in rows:
                applied(observation.stream)
                send(observation)
            _retry(publisher, publisher.flush)
        if rows.error is not None:
            raise rows.error
    except StreamLSTMError:
        failed = True
        raise
    finally:
        if printer.count or not failed:  # else the error message is enough
            before, left = sum(applied_before.values()), publisher.unconfirmed
            err.print(
                f"{counted(printer.count, 'prediction')}, {before:,} applied before, "
                f"{publisher.replayed:,} sent again" + (f", {left:,} not confirmed" if left else "")
            )
            problems.summarize()


class _Rows:
    """The rows of a source up to the first that cannot be used.

    Parameters
    ----------
    source : iterator of Observation

    Attributes
    ----------
    error : DataError or None
        What ended the source before its end; those who read it raise it once the rows before are
        applied.
    """

    def __init__(self, source: Iterator[Observation]) -> None:
        self._source = source
        self.error: DataError | None = None

    def __iter__(self) -> Iterator[Observation]:
        try:
            yield from self._source
        except DataError as error:
            self.error = error


def _sent(step: wire.Step) -> NDArray[np.float64]:
    """Return the values of an observation, those of float32 as they are written in short."""
    return wire.from_vector(step.x).astype(str).astype(np.float64)


def _unconfirmed(journal: Path | None) -> list[wire.Step]:
    """Return the observations that a killed publisher left unconfirmed in its journal."""
    if journal is None:
        return []
    opened = Journal(journal)
    opened.close()
    return opened.steps


def _retry(publisher: ReplayingPublisher, call: Callable[[], Result]) -> Result:
    """Call until there is no timeout; report the first one."""
    reported = False
    while True:
        try:
            return call()
        except WorkerTimeoutError:
            if not reported:
                err.print(
                    f"{publisher.endpoint}: waiting for the worker; Ctrl-C ends", markup=False
                )
                reported = True
