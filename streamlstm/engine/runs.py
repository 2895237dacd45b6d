"""Runs: many observations of one stream in one call."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadValueError, shown
from .block_packing import pack_times
from .ids import StreamId, check_stream_id
from .input_schema import InputSchema
from .numbers import MAX_NUMBER, SPARSE, shown_seq
from .prediction import Predictions
from .stepping import Stepping
from .validation import check_column, check_seq, check_time

Float32Array = NDArray[np.float32]


class Runs(Stepping):
    """The methods of :class:`Engine` that advance one stream by many observations."""

    def run(
        self,
        stream: StreamId,
        X: ArrayLike,
        times: Sequence[float | None] | None = None,
        *,
        seq: int = 0,
    ) -> NDArray[Any]:
        """Advance one stream by T observations, all or none, in one compiled loop.

        The results are those of T calls of :meth:`step`, bit for bit. Other calls of this engine
        wait meanwhile; a long recording of a live system is better run in parts.

        Parameters
        ----------
        stream : str or int
            The stream's id; a new one begins with the initial state.
        X : float32[T, F]
            The observations, in order.
        times : sequence of length T, optional
            Event times in seconds.
        seq : int
            The number of the first observation, rising by one from there; 0 if they are not
            numbered.

        Returns
        -------
        float32[T, O]
            The predictions.

        Raises
        ------
        StreamLSTMError
            As for :meth:`step`, naming the first observation at fault. Whatever is raised, also by
            Ctrl-C on the way, the stream has not changed.
        """
        return self._layout.outputs_of(self.result_run(stream, X, times, seq))

    def observe_run(
        self,
        stream: StreamId,
        X: ArrayLike,
        times: Sequence[float | None] | None = None,
        *,
        seq: int = 0,
    ) -> Predictions:
        """Advance one stream by T observations, as :meth:`run`; return how sure it is too."""
        return self._predictions(self.result_run(stream, X, times, seq))

    def result_run(
        self,
        stream: StreamId,
        X: ArrayLike,
        times: Sequence[float | None] | NDArray[np.float64] | None = None,
        seq: int = 0,
    ) -> Float32Array:
        """Do what :meth:`run` does, and return whole results, float32[T, W], without offsets."""
        stream, schema = check_stream_id(stream), self._schema
        rows = schema.to_sequence(X)
        times = check_column("times", times, len(rows))
        moments = None if times is None else _moments(stream, times)
        _check(schema, stream, rows, moments)
        with self._lock, self._flag:
            if self._schema is not schema:
                rows = self._schema.to_sequence(X)
                _check(self._schema, stream, rows, moments)
            slot = self._table.find(stream)
            seq = _check_first(stream, seq, self._table.last_seq(slot), len(rows))
            Y = np.empty((len(rows), self._width), np.float32)
            if len(rows):
                self._run(stream, slot, rows, Y, seq, moments)
            return Y

    def _run(
        self,
        stream: StreamId,
        slot: int,
        X: Float32Array,
        Y: Float32Array,
        seq: int,
        moments: NDArray[np.float64] | None,
    ) -> None:
        """Apply checked observations X[T, F]; under the lock. Results go to Y[T, W]."""
        table, is_new = self._table, slot < 0
        self._backend.reserve(1)
        slot = table.claim(stream) if is_new else slot
        slots = np.array([slot], np.int64)
        table.mark_dirty(slots)
        before = table.rows[slot].copy()
        seqs = np.arange(len(X) if seq else 0, dtype=np.uint64) + np.uint64(seq)
        times = np.empty(0, np.float64) if moments is None else moments
        try:
            self._backend.step_run(table.rows, slots, X, Y, seqs, times)
        except BaseException:  # Ctrl-C: what was done is undone
            table.rows[slot] = before
            if is_new:
                table.free(stream)
            raise
        self._steps += len(X)
        table.write_block(slots, seqs[-1:], _last_time(times), Y[-1:], self._prediction.start)


def _moments(
    stream: StreamId, times: Sequence[float | None] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return event times as float64[T], NaN for none."""
    if isinstance(times, np.ndarray) and times.dtype == np.float64 and np.isnan(times).any():
        times = times.tolist()
    packed = pack_times(times)
    if packed is None:
        checked = [_at(n, stream, time) for n, time in enumerate(times)]
        packed = np.array([np.nan if time is None else time for time in checked], np.float64)
    return packed


def _at(n: int, stream: StreamId, time: float | None, timed: bool = False) -> float | None:
    """Check one time; an error has the position of its observation."""
    try:
        return check_time(stream, time, timed)
    except BadValueError as error:
        error.position = n
        raise


def _check(
    schema: InputSchema, stream: StreamId, X: Float32Array, moments: NDArray[np.float64] | None
) -> None:
    """Raise the error of the first observation that is not valid, or lacks a time that it needs."""
    schema.check_rows([stream] * len(X), X)
    if schema.timed and len(X):
        untimed = range(1) if moments is None else np.flatnonzero(np.isnan(moments)).tolist()
        for n in untimed:
            _at(n, stream, None, True)


def _check_first(stream: StreamId, seq: int, last: int, count: int) -> int:
    """Return the number of the first observation, if all of them have one."""
    seq = check_seq(stream, seq, last)
    most = SPARSE - 1 if seq < SPARSE else seq | MAX_NUMBER  # of its generation
    if seq and seq + count - 1 > most:
        raise BadValueError(
            f"stream {shown(stream)}: expected numbers up to {shown_seq(most)}, got {count} "
            f"observations from {shown_seq(seq)} on."
        )
    return seq


def _last_time(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the last time that is known, float64[1], or none."""
    return times[np.isfinite(times)][-1:]
