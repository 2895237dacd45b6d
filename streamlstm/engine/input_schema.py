"""The inputs of a model, and how observations are converted and checked against them."""

import math
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import BadValueError, ShapeError, shown
from ..network.differences import two_floats
from ..network.model import Model
from ..online.layout import fill_methods
from .ids import StreamId, StreamIds, id_list
from .validation import BOOLEANS, bad_rows, bad_value, to_float32, to_float64, without_offsets

Float32Array = NDArray[np.float32]
# Looked up once: a step of a small network takes less time than a few attributes of modules.
_ARRAY, _FLOAT32 = np.ndarray, np.dtype(np.float32)


class InputSchema:
    """Names, number and kind of a model's inputs.

    Parameters
    ----------
    model : Model

    Attributes
    ----------
    shape : tuple of int
        Of one observation, (F,).
    timed : bool
        Whether it needs an event time.
    offsets : float64[F] or None
        What is subtracted from an observation before it becomes float32.
    row_type : dtype or None
        Type of an array that is an observation as it is, without :meth:`to_row`; None for none.
    """

    def __init__(self, model: Model) -> None:
        self._names, self._categories = model.inputs, model.categories
        online = model.online
        self.timed = online is not None and bool(online.calendar)
        self._fills = np.zeros(model.observation_size, bool)
        self._fills[: model.input_size] = [method != "refuse" for method in fill_methods(model)]
        self._counters = model.differences
        self.shape = (model.input_size,)
        self.offsets = model.input_offsets
        self.row_type = _FLOAT32 if self.offsets is None else None
        self._large: list[str] = []  # inputs of which float32 loses too much
        if self.offsets is not None:
            self._large = model.large_inputs
        self._pack = struct.Struct(f"{model.input_size}f").pack

    def to_row(self, x: ArrayLike) -> Float32Array:
        """Return one observation as float32[V], without offsets, and without checking its values.

        V is F, and one more for each input that is a counter (network.differences).

        Raises
        ------
        ShapeError, BadValueError
            If it has not F features, or one of them is no number.
        PrecisionError
            If it has come as float32, and an input has an offset.
        """
        if self.offsets is not None:
            return self._moved(self.hold(x))
        if isinstance(x, list) and BOOLEANS.isdisjoint(map(type, x)):
            # Six times quicker than numpy for a few numbers, and as strict.
            with suppress(struct.error, OverflowError):
                return np.frombuffer(self._pack(*x), _FLOAT32)
        row = x if type(x) is _ARRAY and x.dtype is _FLOAT32 else to_float32(x, "observation")
        if row.shape != self.shape:
            raise self.shape_error(row)
        return row

    def hold(self, x: ArrayLike) -> NDArray[Any]:
        """Return a copy of one observation that :meth:`to_row` takes later; raises as that does."""
        if self.offsets is None:
            return self.to_row(x).copy()
        row = to_float64(x, "observation", self._large)
        if row.shape != self.shape:
            raise self.shape_error(row)
        return row

    def check_row(self, x: ArrayLike) -> Float32Array:
        """Return one observation as float32[F], its values checked.

        Raises
        ------
        ShapeError, BadValueError
        """
        row = self.to_row(x)
        # For one observation a sum in Python is three times quicker than numpy's isfinite and all;
        # finite float32 values cannot overflow it.
        suspicious = not math.isfinite(sum(row.tolist())) or self._categories
        if suspicious and self.bad_rows(row[None]):
            raise self.error(row, "observation")
        return row

    def to_rows(self, streams: Iterable[StreamId], X: ArrayLike) -> tuple[StreamIds, Float32Array]:
        """Return ids, unchecked, and observations as float32[B, F], their shape checked.

        Raises
        ------
        ShapeError, BadValueError
        """
        if isinstance(streams, str | bytes):
            raise ShapeError(
                f"streams: expected a sequence of ids, got the single {shown(streams)}."
            )
        if isinstance(streams, np.ndarray) and streams.ndim == 0:
            raise ShapeError(f"streams: expected a sequence of ids, got the single {streams}.")
        if isinstance(streams, np.ndarray) and (
            streams.ndim != 1 or streams.dtype.kind not in "iu"
        ):
            streams = streams.tolist()
        if not isinstance(streams, np.ndarray):
            try:
                streams = list(streams)
            except TypeError:
                raise ShapeError(
                    f"streams: expected a sequence of ids, got {type(streams).__name__}."
                ) from None
        rows = self._numbers(X)
        expected = (len(streams), *self.shape)
        if rows.shape != expected and not (len(streams) == 0 and rows.size == 0):
            raise ShapeError(
                f"observations: expected shape {expected} for {expected[0]} streams and features "
                f"{', '.join(self._names)}, got {rows.shape}."
            )
        return streams, self._moved(rows.reshape(expected))

    def to_sequence(self, X: ArrayLike) -> Float32Array:
        """Return observations of one stream as float32[T, F], their shape checked.

        Raises
        ------
        ShapeError, BadValueError
        """
        rows = self._numbers(X)
        if rows.size == 0 and rows.ndim <= 2 and len(rows.shape[:1]) and rows.shape[0] == 0:
            return np.empty((0, len(self._fills)), np.float32)
        if rows.ndim != 2 or rows.shape[1:] != self.shape:
            raise ShapeError(
                f"observations: expected shape (T, {self.shape[0]}) for features "
                f"{', '.join(self._names)}, got {rows.shape}."
            )
        return self._moved(rows)

    def _numbers(self, X: ArrayLike) -> NDArray[Any]:
        """Return observations in the precision that their offsets need."""
        if self.offsets is None:
            return to_float32(X, "observations")
        return to_float64(X, "observations", self._large)

    def _moved(self, rows: NDArray[Any]) -> Float32Array:
        """Return what :meth:`_numbers` has returned without offsets."""
        if self.offsets is None:
            return rows
        if not self._counters:
            return without_offsets(rows, self.offsets)
        return two_floats(rows - self.offsets, self._counters)

    def bad_rows(self, X: Float32Array) -> list[int]:
        """Return which rows of X[B, F] have a value that is not valid."""
        return bad_rows(X, self._categories, self._fills)

    def check_rows(self, ids: StreamIds, X: Float32Array) -> None:
        """Raise the error of the first observation of X[B, F] with a value that is not valid.

        Raises
        ------
        BadValueError
            With the ``position`` of the observation.
        """
        for n in self.bad_rows(X):
            error = self.error(X[n], f"observation {n}, stream {shown(id_list(ids)[n])}")
            error.position = n
            raise error

    def shape_error(self, x: NDArray[Any]) -> ShapeError:
        """Return the error for an observation that is not float32[F]."""
        return ShapeError(
            f"observation: expected {self.shape[0]} features ({', '.join(self._names)}), got "
            f"shape {x.shape}."
        )

    def error(self, x: Float32Array, where: str) -> BadValueError:
        """Return the error for an observation x[F] that is not valid."""
        return bad_value(x, self._names, self._categories, self._fills, where)
