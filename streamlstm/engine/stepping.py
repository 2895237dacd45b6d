"""Steps of an engine: one observation or many, answered with outputs or with all that is known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import StreamLSTMError, shown
from .blocks import fast_block
from .ids import StreamId, check_stream_id, id_list
from .prediction import Prediction, Predictions
from .row_checks import block_of_all, block_of_valid, fill_from_block, repeated_last
from .stream_states import StreamStates
from .validation import check_column, check_seq, check_time

Float32Array = NDArray[np.float32]
_ARRAY = np.ndarray  # looked up once: an attribute of a module is a part of a small step


class Stepping(StreamStates):
    """The methods of :class:`Engine` that advance streams."""

    def step(
        self, stream: StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> NDArray[Any]:
        """Advance one stream by one observation.

        Parameters
        ----------
        stream : str or int
            The stream's id; a new one begins with the initial state.
        x : float32[F]
            The observation, finite, in the unit of the series; float64 for a model with offsets.
        seq : int
            Its number in the stream, rising by one from 1; 0 if observations are not numbered.
        time : float, optional
            Event time in seconds. It is stored with the state; without an online stage that reads
            it, it changes no prediction.

        Returns
        -------
        float32[O]
            The prediction, in the unit of the series; float64 where outputs have offsets.

        Raises
        ------
        PrecisionError
            If x has come as float32, and an input has an offset.
        ShapeError, BadValueError, StreamIdError
            If an argument is not as described.
        GapError, DuplicateError
            If ``seq`` is not the next one of the stream.
        CapacityError
            If the stream is new and all slots are taken.

        Notes
        -----
        Whatever is raised, no stream has changed. The exceptions are in streamlstm.errors, and all
        are StreamLSTMError.
        """
        if self._is_quick:  # as _result, without a further call: a tenth of a small step
            advance = self._step_stream  # by itself: an attribute that is called is found slower
            y: NDArray[Any] | None = advance(stream, x, seq, time)
            if y is not None:
                return y
        return self._layout.outputs_of(self._result(stream, x, seq, time))

    def observe(
        self, stream: StreamId, x: ArrayLike, *, seq: int = 0, time: float | None = None
    ) -> Prediction:
        """Advance one stream by one observation; return the prediction and how sure it is.

        Parameters
        ----------
        stream, x, seq, time
            As for :meth:`step`.

        Returns
        -------
        Prediction
            ``y``, float32[O], and what the model's online stage adds: ``low`` and ``high``,
            ``score``, ``p_value``, ``alarm``, ``kind``, ``filled``, ``error``. Without such a stage
            these are NaN, False, "" and 0; ``model.with_online(...)`` adds one. Calls that take
            several observations return :class:`Predictions`, one row or value for each.

        Raises
        ------
        StreamLSTMError
            As for :meth:`step`.
        """
        result = self._result(stream, x, seq, time)
        return Prediction(self._layout.with_offsets(result), self._layout)

    def _result(self, stream: StreamId, x: ArrayLike, seq: int, time: float | None) -> Float32Array:
        """Advance one stream by one observation; return float32[W]."""
        if self._is_fast:
            is_row = type(x) is _ARRAY and x.dtype is self._row_type
            row = x if is_row else self._to_row(x)
            y: Float32Array | None = self._step_stream(stream, row, seq, time)
            if y is not None:
                return y
        # The slow path handles new streams, other types and every error.
        if type(stream) is not str:
            stream = check_stream_id(stream)
        schema = self._schema
        row = schema.check_row(x)
        with self._lock, self._flag:
            if self._schema is not schema:
                row = self._schema.check_row(x)
            slot = self._table.find(stream)
            if type(seq) is not int or seq != 0 or time is not None or self._schema.timed:
                seq = check_seq(stream, seq, self._table.last_seq(slot))
                time = check_time(stream, time, self._schema.timed)
            if slot < 0:
                slot = self._table.claim(check_stream_id(stream))
            return self._step_one(slot, row, seq, time)

    def step_many(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> NDArray[Any]:
        """Advance many streams, all or none; a stream may come more than once.

        Parameters
        ----------
        streams : sequence of str or int, or integer array, length B
            Observations of one stream are applied in this order. Ids that are all text or all
            integers are found several times quicker than a mixture.
        X : float32[B, F]
            The observations.
        seqs, times : sequences of length B, optional
            As for :meth:`step`.

        Returns
        -------
        float32[B, O]
            The predictions, in the same order.

        Raises
        ------
        StreamLSTMError
            As for :meth:`step`, naming the first observation at fault. Then none was applied.
        """
        return self._layout.outputs_of(self.result_many(streams, X, seqs, times))

    def observe_many(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Predictions:
        """Advance many streams, as :meth:`step_many`; return how sure it is of each too."""
        return self._predictions(self.result_many(streams, X, seqs, times))

    def _predictions(self, results: Float32Array) -> Predictions:
        """Return results, float32[B, W] without offsets, as :meth:`observe` tells them."""
        return Predictions(self._layout.with_offsets(results), self._layout)

    def result_many(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> Float32Array:
        """Do what :meth:`step_many` does, and return whole results, float32[B, W], for a worker.

        They are without the offsets of the outputs.
        """
        schema = self._schema
        ids, rows = schema.to_rows(streams, X)
        seqs, times = check_column("seqs", seqs, len(ids)), check_column("times", times, len(ids))
        schema.check_rows(ids, rows)
        with self._lock, self._flag:
            if self._schema is not schema:
                ids, rows = self._schema.to_rows(ids, X)
                self._schema.check_rows(ids, rows)
            self._backend.reserve(len(ids))
            block = fast_block(self._table, ids, seqs, times, self._schema.timed)
            if block is None:
                block = block_of_all(self._table, id_list(ids), seqs, times, self._schema.timed)
            return self._step_block(block, rows)

    def step_each(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        *,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> tuple[NDArray[Any], dict[int, StreamLSTMError]]:
        """Apply every observation that is valid, and return the errors of the others.

        This is how a server steps the messages of many clients.

        Parameters
        ----------
        streams, X, seqs, times
            As for :meth:`step_many`; X itself must have the right shape.

        Returns
        -------
        Y : float32[B, O]
            Predictions; NaN where there is none.
        errors : dict of int to StreamLSTMError
            What :meth:`step` would have raised, by the position of the observation; with a
            DuplicateError for the last one of a stream also its prediction.
        """
        results, errors = self.result_each(streams, X, seqs, times)
        return self._layout.outputs_of(results), errors

    def result_each(
        self,
        streams: Sequence[StreamId],
        X: ArrayLike,
        seqs: Sequence[int] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> tuple[Float32Array, dict[int, StreamLSTMError]]:
        """Do what :meth:`step_each` does, and return whole results, float32[B, W].

        They are without the offsets of the outputs, the predictions of DuplicateErrors are not.
        """
        schema = self._schema
        ids, rows = schema.to_rows(streams, X)
        seqs, times = check_column("seqs", seqs, len(ids)), check_column("times", times, len(ids))
        bad = schema.bad_rows(rows)
        with self._lock, self._flag:
            if self._schema is not schema:
                schema = self._schema
                rows = schema.to_rows(ids, X)[1]
                bad = schema.bad_rows(rows)
            self._backend.reserve(len(ids))
            block = None if bad else fast_block(self._table, ids, seqs, times, self._schema.timed)
            if block is not None:
                return self._step_block(block, rows), {}
            given = id_list(ids)
            errors: dict[int, StreamLSTMError] = {
                n: schema.error(rows[n], f"stream {shown(given[n])}") for n in bad
            }
            block, valid = block_of_valid(
                self._table, given, seqs, times, self._schema.timed, errors
            )
            repeated = repeated_last(seqs, errors)
            for n, error in repeated.items():
                error.result = self._last_result(given[n], error.last)
            Y = np.full((len(given), self._width), np.nan, np.float32)
            Y[valid] = self._step_block(block, rows[valid])
            fill_from_block(repeated, valid, given, seqs, Y)
            for error in repeated.values():
                if error.result is not None:
                    error.values = self._layout.outputs_of(error.result)
            return Y, dict(sorted(errors.items()))
