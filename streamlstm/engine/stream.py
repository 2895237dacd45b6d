"""A handle to one stream of an engine."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ids import StreamId
from .prediction import Prediction
from .stream_states import StreamStates
from .validation import check_seq, check_time, is_time

Float32Array = NDArray[np.float32]
# Looked up once: a step of a small network takes less time than a few attributes of modules.
_ARRAY, _EMPTY, _FLOAT32 = np.ndarray, np.empty, np.dtype(np.float32)
_NAN = float("nan")


class Stream:
    """A handle to one stream, made by :meth:`Engine.stream`; it skips the look-up of the id.

    Attributes
    ----------
    id : str or int
        The stream's id.
    """

    def __init__(self, engine: StreamStates, stream: StreamId) -> None:
        self.id = stream
        self._engine = engine
        self._slot = -1
        self._generation = 0

    def step(self, x: ArrayLike, *, seq: int = 0, time: float | None = None) -> NDArray[Any]:
        """Advance the stream by one observation; as :meth:`Engine.step`."""
        engine = self._engine
        if time is None and type(seq) is int and engine._is_quick:  # as in Engine.step
            if type(x) is not _ARRAY or x.dtype is not _FLOAT32 or x.ndim != 1:
                x = engine._to_row(x)
            y = _EMPTY(engine._outputs, _FLOAT32)
            slot, generation, head, task = self._slot, self._generation, engine._head, engine._task
            try:
                if engine._step_slot(head, task, slot, generation, x, seq, _NAN, y):
                    return y
            except OverflowError:
                pass  # a number beyond 64 bits
        return engine._layout.outputs_of(self.result(x, seq, time))

    def observe(self, x: ArrayLike, *, seq: int = 0, time: float | None = None) -> Prediction:
        """Advance the stream by one observation; as :meth:`Engine.observe`."""
        result, layout = self.result(x, seq, time), self._engine._layout
        return Prediction(layout.with_offsets(result), layout)

    def result(self, x: ArrayLike, seq: int, time: float | None) -> Float32Array:
        """Do what :meth:`step` does, and return the whole result, float32[W], without offsets."""
        engine = self._engine
        if type(seq) is int and engine._is_fast and (time is None or is_time(time)):
            if type(x) is not _ARRAY or x.dtype is not engine._row_type or x.ndim != 1:
                row = engine._to_row(x)
            else:
                row = x
            y = _EMPTY(engine._width, _FLOAT32)
            slot, generation = self._slot, self._generation
            at = _NAN if time is None else time
            try:
                if engine._step_slot(engine._head, engine._task, slot, generation, row, seq, at, y):
                    return y
            except OverflowError:
                pass  # a number beyond 64 bits
        schema = engine._schema
        row = schema.check_row(x)
        with engine._lock, engine._flag:
            if engine._schema is not schema:
                row = engine._schema.check_row(x)
            table, slot = engine._table, self._slot
            if slot < 0 or table.generation[slot] != self._generation:
                slot = table.find(self.id)
            if type(seq) is not int or seq != 0 or time is not None or engine._schema.timed:
                seq = check_seq(self.id, seq, table.last_seq(slot))
                time = check_time(self.id, time, engine._schema.timed)
            if slot < 0:
                slot = table.claim(self.id)
            self._slot, self._generation = slot, int(table.generation[slot])
            return engine._step_one(slot, row, seq, time)

    def reset(self) -> None:
        """Reset the stream's state; as :meth:`Engine.reset`."""
        self._engine.reset(self.id)
