"""The gates at the moment of an alarm, from an engine that steps along with the worker.

A worker says what it predicts, not what its gates do. But the state of each stream can be exported,
and with the observations that are published it goes on here as it does there: the predictions of
both are compared, and a stream that differs is exported again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...engine.engine import Engine
from ...engine.explain import Explanation
from ...errors import StreamLSTMError
from ...network.model import Model
from .points import Points

CAPACITY = 20_000  # streams that are followed
_HELD = 256  # observations of one stream that wait for its state
_TOLERANCE = 1e-5  # of an output's size: processors of other kinds round otherwise


class _Observation(NamedTuple):
    x: NDArray[Any]
    time: float | None
    y: NDArray[Any]


class Gates:
    """Steps streams as the worker does, to see their gates.

    Parameters
    ----------
    model : Model
        The worker's.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._engine = Engine(model, CAPACITY, "cpu", 1)
        self._follows: set[wire.StreamId] = set()
        self._waiting: dict[wire.StreamId, list[_Observation]] = {}
        self._wanted: deque[wire.StreamId] = deque()

    def next_wanted(self) -> wire.StreamId | None:
        """Return a stream whose state is to be exported; :meth:`begin` or :meth:`leave` follows."""
        while self._wanted:
            stream = self._wanted.popleft()
            if stream not in self._follows:
                self._waiting[stream] = []
                return stream
        return None

    def begin(self, stream: wire.StreamId, state: bytes) -> None:
        """Follow a stream from a state on, and from what came since it was asked for.

        What came may be in the state already: it is not, from where on predictions are the same.
        """
        came = self._waiting.pop(stream, [])
        try:
            for first in range(len(came) + 1):
                self._engine.import_stream(stream, state)
                if all(self._is_same(stream, each) for each in came[first:]):
                    self._follows.add(stream)
                    return
        except StreamLSTMError:
            pass
        self._want(stream)

    def leave(self, stream: wire.StreamId) -> None:
        """Do not follow a stream whose state was not to be had; its next observation asks again."""
        self._waiting.pop(stream, None)

    def _is_same(self, stream: wire.StreamId, came: _Observation) -> bool:
        y = self._engine.observe(stream, came.x, time=came.time).y
        return are_close(y[None], came.y[None])[0]

    def _want(self, stream: wire.StreamId) -> None:
        if stream not in self._waiting and len(self._follows) + len(self._wanted) < CAPACITY:
            self._waiting[stream] = []
            self._wanted.append(stream)

    def follow(self, points: Points) -> dict[int, Explanation]:
        """Step the streams; return the gates at each alarm, by its place in the batch."""
        found: dict[int, Explanation] = {}
        block: list[int] = []
        for n, stream in enumerate(points.streams):
            if stream not in self._follows:
                self._hold(stream, points, n)
                continue
            if points.alarm[n]:
                self._step(block, points)
                block = []
                found |= self._explain(points, n)
            block.append(n)
        self._step(block, points)
        return found

    def _hold(self, stream: wire.StreamId, points: Points, n: int) -> None:
        if stream not in self._waiting:
            self._want(stream)
            return
        held = self._waiting[stream]
        if len(held) < _HELD:
            held.append(_Observation(points.X[n], _time(points, n), points.Y[n]))

    def _explain(self, points: Points, n: int) -> dict[int, Explanation]:
        stream = points.streams[n]
        if stream not in self._follows:
            return {}
        try:
            return {n: self._engine.explain(stream, points.X[n], time=_time(points, n))}
        except StreamLSTMError:
            return {}

    def _step(self, block: Sequence[int], points: Points) -> None:
        """Step the rows of a block; a stream whose prediction differs is exported again."""
        rows = [n for n in block if points.streams[n] in self._follows]
        if not rows:
            return
        streams = [points.streams[n] for n in rows]
        times = [_time(points, n) for n in rows]
        try:
            Y = self._engine.step_many(
                streams, points.X[rows], times=None if times.count(None) == len(times) else times
            )
        except StreamLSTMError:
            self._lose(streams)
            return
        same = are_close(Y, points.Y[rows])
        self._lose([stream for stream, fits in zip(streams, same, strict=True) if not fits])

    def _lose(self, streams: Sequence[wire.StreamId]) -> None:
        for stream in streams:
            self._follows.discard(stream)
            self._want(stream)


def are_close(A: NDArray[Any], B: NDArray[Any]) -> list[bool]:
    """Return which rows of two matrices are the same but for rounding."""
    size = np.fmax(np.abs(A), np.abs(B))
    with np.errstate(invalid="ignore"):
        close = (np.abs(A - B) <= _TOLERANCE * size + 1e-9) | (np.isnan(A) & np.isnan(B))
    return close.all(1).tolist()  # type: ignore[no-any-return]


def _time(points: Points, n: int) -> float | None:
    time = float(points.times[n])
    return None if time != time else time
