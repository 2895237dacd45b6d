"""``streamlstm publish --replay``: every row of a source is applied once, whatever crashes."""

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
from streamlstm.errors import StreamLSTMError, WorkerTimeoutError
from streamlstm.serving.endpoints_file import read_endpoints

from .console import counted, err
from .publish_report import numbers
from .publish_sources import Observation

Result = TypeVar("Result")
Key = tuple[wire.StreamId, int]


class Deliveries:
    """Prints predictions as they come, in the publisher's thread.

    Parameters
    ----------
    as_json : bool
        One JSON object a line instead of text.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._expected: dict[Key, Observation] = {}
        self.count = 0

    def expect(self, observation: Observation, seq: int) -> None:
        """Keep what a prediction will be of, before it may come."""
        self._expected[observation.stream, seq] = observation

    def __call__(self, stream: wire.StreamId, seq: int, y: NDArray[np.float32]) -> None:
        """Print a prediction and what it is of."""
        self.count += 1
        of = self._expected.pop((stream, seq))
        if self._json:
            moment = time.time() if of.time is None else of.time
            line: dict[str, Any] = {"time": moment, "stream": stream, "seq": seq}
            line |= {"value": of.values.tolist()}
            print(json.dumps(line | {"prediction": y.tolist()}), flush=True)
        else:
            print(f"{stream}  {seq}  {numbers(of.values)}  ->  {numbers(y)}", flush=True)


def replay(
    router: str | Path,
    source: Callable[[Callable[[str], int]], Iterator[Observation]],
    journal: Path | None,
    as_json: bool,
    key: Path | None,
    server: Path | None,
) -> None:
    """Publish all of a source, and wait until it is confirmed, as long as that takes.

    Parameters
    ----------
    router : str or Path
        The worker's endpoint, or the file that tells it, read again while the worker is away.
    source : callable
        Gets what tells how many observations a stream has had, and yields those behind them.
    journal : Path or None
    as_json : bool
    key, server : Path or None

    Raises
    ------
    StreamLSTMError
        If the worker refuses an observation, or has lost what it had confirmed.
    """
    told = Deliveries(as_json)
    for step in _kept_in(journal):  # the publisher sends these before a row is read
        told.expect(Observation(str(step.stream), step.time, wire.from_floats(step.x)), step.seq)
    begun: dict[str, int] = {}
    publisher = ReplayingPublisher(
        router if isinstance(router, str) else lambda: read_endpoints(router)["router"],
        on_prediction=told,
        journal=journal,
        leave_out=False,
        key=key,
        server=server,
    )

    def had(stream: str) -> int:
        if stream not in begun:
            begun[stream] = _patiently(publisher, lambda: publisher.last_seq(stream))
        return begun[stream]

    def send(observation: Observation) -> None:
        stream, moment, values = observation
        told.expect(observation, publisher.last_seq(stream) + 1)
        _patiently(publisher, lambda: publisher.send(stream, values, time=moment))

    failed = False
    try:
        with publisher:
            for observation in source(had):
                had(observation.stream)
                send(observation)
            _patiently(publisher, publisher.flush)
    except StreamLSTMError:
        failed = True
        raise
    finally:
        if told.count or not failed:  # else the error says it all
            before = sum(begun.values())
            err.print(
                f"{counted(told.count, 'prediction')}, {before:,} applied before, "
                f"{publisher.replayed:,} sent again"
            )


def _kept_in(journal: Path | None) -> list[wire.Step]:
    """Return what a publisher that was killed had not seen confirmed."""
    if journal is None:
        return []
    opened = Journal(journal)
    opened.close()
    return opened.steps


def _patiently(publisher: ReplayingPublisher, call: Callable[[], Result]) -> Result:
    """Call until it does not take too long, and say once that it does."""
    said = False
    while True:
        try:
            return call()
        except WorkerTimeoutError:
            if not said:
                err.print(
                    f"{publisher.endpoint}: waiting for the worker; Ctrl-C ends", markup=False
                )
                said = True
