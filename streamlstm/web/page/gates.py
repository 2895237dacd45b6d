"""The gates at the moment of an alarm, from an engine that steps along with the worker.

A worker says what it predicts, not what its gates do. But the state of each stream can be exported,
and with the observations that are published it goes on here as it does there: what both say is
compared, and a stream that differs is exported again.

Publications lag behind: a state may have seen observations that are still to come here. It joins
them at the first from which on both say the same.
"""

from __future__ import annotations

import time as clock
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...engine.engine import Engine
from ...engine.explain import Explanation
from ...engine.prediction import Prediction, Predictions
from ...errors import StreamLSTMError
from ...network.model import Model
from .points import Points

CAPACITY = 20_000  # streams that are followed
_HELD = 4096  # observations of a stream while its state is on its way
_LAG = 10.0  # seconds in which what a state has seen comes here, too
_TOLERANCE = 1e-5  # of a number's size: processors of other kinds round otherwise


class _Observation(NamedTuple):
    x: NDArray[Any]
    time: float | None
    said: NDArray[Any]


class _State(NamedTuple):
    state: bytes
    until: float  # when it has to have joined


class Gates:
    """Steps streams as the worker does, to see their gates.

    Parameters
    ----------
    model : Model
        The worker's.
    weights : str
        Their precision there.
    """

    def __init__(self, model: Model, weights: str = "float32") -> None:
        self._engine = Engine(model, CAPACITY, "cpu", 1, weights)
        self._wanted: dict[wire.StreamId, None] = {}  # whose state is to be exported, in order
        self._held: dict[wire.StreamId, deque[_Observation]] = {}  # since it was asked for
        self._states: dict[wire.StreamId, _State] = {}  # that are to join what comes
        self._follows: set[wire.StreamId] = set()

    @property
    def followed(self) -> int:
        """Number of streams whose gates are known at their next alarm."""
        return len(self._follows) + len(self._states)

    def next_wanted(self) -> wire.StreamId | None:
        """Return a stream whose state is to be exported; begin, leave or want follows."""
        stream = next(iter(self._wanted), None)
        if stream is not None:
            del self._wanted[stream]
            self._held[stream] = deque(maxlen=_HELD)
        return stream

    def begin(self, stream: wire.StreamId, state: bytes) -> None:
        """Follow a stream from its state on, which has seen a part of what came since."""
        came = self._held.pop(stream, None)
        if came is None:
            return  # it has ended since
        self._states[stream] = _State(state, clock.monotonic() + _LAG)
        for each in came:
            if stream in self._states:
                self._join(stream, each)
            elif stream in self._follows and not self._is_same(stream, each):
                self.lose(stream)

    def leave(self, stream: wire.StreamId) -> None:
        """Do not follow a stream, which has ended; its next observation asks for it again."""
        for place in (self._wanted, self._held, self._states):
            place.pop(stream, None)
        if stream in self._follows:
            self._follows.discard(stream)
            self._engine.forget(stream)

    def lose(self, stream: wire.StreamId) -> None:
        """Export a stream again: it has another state than is known here."""
        self.leave(stream)
        if self.followed + len(self._wanted) < CAPACITY:
            self._wanted[stream] = None

    def follow(self, points: Points) -> dict[int, Explanation]:
        """Step the streams; return the gates at each alarm, by its place in the batch."""
        found: dict[int, Explanation] = {}
        block: list[int] = []
        for n, stream in enumerate(points.streams):
            if stream in self._follows and points.alarm[n]:
                self._step(block, points, found)
                block = []
            if stream in self._follows:
                if points.alarm[n]:
                    found |= self._explain(points, n)
                block.append(n)
            elif stream in self._states:
                gates = self._join(stream, _observation(points, n), bool(points.alarm[n]))
                found |= {} if gates is None else {n: gates}
            elif stream in self._held:
                self._held[stream].append(_observation(points, n))
            elif stream not in self._wanted:
                self.lose(stream)
        self._step(block, points, found)
        return found

    def _explain(self, points: Points, n: int) -> dict[int, Explanation]:
        try:
            time = _time(points, n)
            return {n: self._engine.explain(points.streams[n], points.X[n], time=time)}
        except StreamLSTMError:  # of another model, whose reload is not known here yet
            return {}

    def _join(
        self, stream: wire.StreamId, came: _Observation, is_alarm: bool = False
    ) -> Explanation | None:
        """Follow a stream from an observation on, if its state has not seen that yet."""
        state, until = self._states[stream]
        gates = None
        try:
            self._engine.import_stream(stream, state)
            if is_alarm:
                gates = self._engine.explain(stream, came.x, time=came.time)
            if self._is_same(stream, came):
                del self._states[stream]
                self._follows.add(stream)
                return gates
            self._engine.forget(stream)
        except StreamLSTMError:
            until = 0.0
        if clock.monotonic() > until:
            self.lose(stream)
        return None

    def _is_same(self, stream: wire.StreamId, came: _Observation) -> bool:
        said = _numbers(self._engine.observe(stream, came.x, time=came.time))
        return are_close(said[None], came.said[None])[0]

    def _step(self, block: Sequence[int], points: Points, found: dict[int, Explanation]) -> None:
        """Step the rows of a block; a stream of which less is said than here is exported again."""
        rows = [n for n in block if points.streams[n] in self._follows]
        if not rows:
            return
        streams = [points.streams[n] for n in rows]
        times = [_time(points, n) for n in rows]
        try:
            seen = self._engine.observe_many(
                streams, points.X[rows], times=None if times.count(None) == len(times) else times
            )
            same = are_close(_numbers(seen), _numbers(points)[rows])
        except StreamLSTMError:
            same = [False] * len(rows)
        for n, stream, fits in zip(rows, streams, same, strict=True):
            if not fits:
                found.pop(n, None)
                self.lose(stream)


def _numbers(said: Points | Prediction | Predictions) -> NDArray[Any]:
    """Return what is compared: outputs alone may tell nothing of a state."""
    parts = [said.Y if isinstance(said, Points) else said.y, said.low, said.high]
    return np.concatenate(parts, axis=-1)


def are_close(A: NDArray[Any], B: NDArray[Any]) -> list[bool]:
    """Return which rows of two matrices are the same but for rounding."""
    size = np.fmax(np.abs(A), np.abs(B))
    with np.errstate(invalid="ignore"):
        close = (np.abs(A - B) <= _TOLERANCE * size + 1e-9) | (np.isnan(A) & np.isnan(B))
    return close.all(1).tolist()  # type: ignore[no-any-return]


def _observation(points: Points, n: int) -> _Observation:
    said = np.concatenate([points.Y[n], points.low[n], points.high[n]])
    return _Observation(points.X[n], _time(points, n), said)


def _time(points: Points, n: int) -> float | None:
    time = float(points.times[n])
    return None if time != time else time
