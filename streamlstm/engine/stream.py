"""A handle to one stream of an engine."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .ids import StreamId
from .prediction import Prediction
from .stream_states import StreamStates
from .validation import check_seq, check_time

Float32Array = NDArray[np.float32]
_ARRAY = np.ndarray  # looked up once: an attribute of a module is a part of a small step


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
        if engine._is_quick:  # as in Engine.step
            slot, generation = self._slot, self._generation
            y: NDArray[Any] | None = engine._step_slot(slot, generation, x, seq, time)
            if y is not None:
                return y
        return engine._layout.outputs_of(self.result(x, seq, time))

    def observe(self, x: ArrayLike, *, seq: int = 0, time: float | None = None) -> Prediction:
        """Advance the stream by one observation; as :meth:`Engine.observe`."""
        result, layout = self.result(x, seq, time), self._engine._layout
        return Prediction(layout.with_offsets(result), layout)

    def result(self, x: ArrayLike, seq: int, time: float | None) -> Float32Array:
        """Do what :meth:`step` does, and return the whole result, float32[W], without offsets."""
        engine = self._engine
        if engine._is_fast:
            is_row = type(x) is _ARRAY and x.dtype is engine._row_type
            row = x if is_row else engine._to_row(x)
            slot, generation = self._slot, self._generation
            y: Float32Array | None = engine._step_slot(slot, generation, row, seq, time)
            if y is not None:
                return y
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
