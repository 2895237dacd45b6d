"""What an observation is answered with: the outputs, and what the online stage says of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadValueError, shown
from ..network.model import Model
from ..network.online import KINDS
from ..network.result_places import ResultPlaces, result_places
from ..network.window import WAIT

Float32Array = NDArray[np.float32]


class ResultLayout:
    """The meaning of the numbers in a result of one model.

    Parameters
    ----------
    outputs : int
        O.
    levels : sequence of float
        Of its intervals, rising.
    has_stage : bool
        Whether the model has an online stage; if not, a result has the outputs only.
    offsets : float64[O], optional
        Of the outputs, which results of an engine are without.
    waits : bool
        Whether outputs are NaN until the window of a stream is full.
    has_levels : bool
        Whether an output is the change of a counter, and results have what is added to it.
    """

    def __init__(
        self,
        outputs: int,
        levels: Sequence[float],
        has_stage: bool,
        offsets: NDArray[np.float64] | None = None,
        waits: bool = False,
        has_levels: bool = False,
    ) -> None:
        self.outputs, self.levels, self.has_stage = outputs, tuple(levels), has_stage
        self.offsets, self.waits, self.has_levels = offsets, waits, has_levels
        self.places: ResultPlaces = result_places(outputs, len(self.levels), has_levels)

    @classmethod
    def of(cls, model: Model) -> "ResultLayout":
        """Return the layout of a model's results."""
        levels = () if model.online is None else model.online.intervals
        has_stage, offsets, waits = (
            model.online is not None,
            model.output_offsets,
            model.start == WAIT,
        )
        return cls(model.output_size, levels, has_stage, offsets, waits, model.has_levels)

    def plus_offsets(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of outputs, [..., O], with their offsets: float64 where there are any."""
        return values if self.offsets is None else values + self.offsets

    def outputs_of(self, results: Float32Array) -> NDArray[Any]:
        """Return the outputs in results[..., W] with their offsets, C-contiguous."""
        if self.offsets is not None:
            return results[..., : self.outputs] + self._added(results)
        return results[..., : self.outputs].copy() if self.has_stage else results

    def with_offsets(self, results: Float32Array) -> NDArray[Any]:
        """Return results[..., W] with the offsets of outputs and bounds, as float64.

        Without offsets they are returned as they are.
        """
        if self.offsets is None:
            return results
        moved = results.astype(np.float64)
        end = self.places.error if self.has_stage else self.outputs
        moved[..., :end] += np.tile(self._added(results), end // self.outputs)
        return moved

    def _added(self, results: Float32Array) -> NDArray[np.float64]:
        """Return what is added to outputs in results[..., W]: offsets, and levels of counters."""
        assert self.offsets is not None
        if not self.has_levels:
            return self.offsets
        high, low = self.places.level, self.places.level + self.outputs
        levels = results[..., high:low].astype(np.float64) + results[..., low : low + self.outputs]
        return levels + self.offsets


class _Result:
    """The parts of results, float32[..., W] or with offsets float64, by name."""

    __slots__ = ("_layout", "_result")

    def __init__(self, result: NDArray[Any], layout: ResultLayout) -> None:
        self._result, self._layout = result, layout

    @property
    def has_stage(self) -> bool:
        """Whether the model has an online stage, which says more than the outputs."""
        return self._layout.has_stage

    @property
    def y(self) -> NDArray[Any]:
        """The outputs, in the unit of the series: float32[O], float64 if they have offsets."""
        return self._result[..., : self._layout.outputs]

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels of the intervals, rising."""
        return self._layout.levels

    @property
    def low(self) -> NDArray[Any]:
        """Lower bounds of the widest interval: float32[O], NaN where there is none (yet)."""
        return self._vector(self._layout.places.low, len(self._layout.levels) - 1)

    @property
    def high(self) -> NDArray[Any]:
        """Upper bounds of the widest interval: float32[O], NaN where there is none (yet)."""
        return self._vector(self._layout.places.high, len(self._layout.levels) - 1)

    @property
    def error(self) -> NDArray[Any]:
        """What came less what had been predicted for it: float32[O], NaN where nothing is known.

        Of an output that forecasts no input: of the last label since the observation before.
        """
        return self._vector(self._layout.places.error, 0)

    def interval(self, level: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the bounds of the interval of one level, each float32[O].

        Raises
        ------
        BadValueError
            If the model has no interval of that level.
        """
        levels = self._layout.levels
        if level not in levels:
            raise BadValueError(
                f"level: expected one of the model's, {', '.join(map(str, levels)) or 'none'}, got "
                f"{shown(level)}."
            )
        n, places = levels.index(level), self._layout.places
        return self._vector(places.low, n), self._vector(places.high, n)

    def _vector(self, start: int, level: int) -> NDArray[Any]:
        result, outputs = self._result, self._layout.outputs
        if not self._layout.has_stage or level < 0:
            return np.full((*result.shape[:-1], outputs), np.nan, result.dtype)
        start += level * outputs
        return result[..., start : start + outputs]

    def _number(self, name: str) -> Any:
        if not self._layout.has_stage:
            return self._result[..., 0] * np.float32(np.nan)
        return self._result[..., getattr(self._layout.places, name)]


class Prediction(_Result):
    """The prediction for one observation, and what the online stage says.

    What the model's online stage does not do is NaN, False, "" or 0.
    """

    __slots__ = ()

    @property
    def score(self) -> float:
        """How unusual the observation is, to rank by: 0 or more; NaN while it is not known."""
        return float(self._number("score"))

    @property
    def p_value(self) -> float:
        """How often an observation at least as unusual comes on a stream that does not change."""
        return float(self._number("p_value"))

    @property
    def alarm(self) -> bool:
        """Whether this observation raises an alarm; one that stands already is told once."""
        return self._layout.has_stage and bool(self._number("alarm") > 0)

    @property
    def kind(self) -> str:
        """Why the alarm that stands was raised: of ``streamlstm.network.online.KINDS``."""
        return KINDS[int(self._number("kind"))] if self._layout.has_stage else KINDS[0]

    @property
    def drift(self) -> bool:
        """Whether forecasts have become worse than they were before: told once."""
        return self._layout.has_stage and bool(self._number("drift") > 0)

    @property
    def filled(self) -> int:
        """How many inputs were missing and filled."""
        return int(self._number("filled")) if self._layout.has_stage else 0

    @property
    def waiting(self) -> bool:
        """Whether y is NaN because the window of the stream is not full yet."""
        return self._layout.waits and bool(np.isnan(self.y).all())

    def __repr__(self) -> str:
        """Show what is known."""
        words = [f"y={_short(self.y)}"]
        words += ["waiting=True"] if self.waiting else []
        if self._layout.levels and not np.isnan(self.low).all():
            words.append(f"low={_short(self.low)}, high={_short(self.high)}")
        if not np.isnan(self.score):
            words.append(f"score={self.score:.3g}, p_value={self.p_value:.2g}")
        words += ["alarm=True"] if self.alarm else []
        words += [f"kind={self.kind!r}"] if self.kind else []
        words += ["drift=True"] if self.drift else []
        words += [f"filled={self.filled}"] if self.filled else []
        return f"<Prediction {', '.join(words)}>"


class Predictions(_Result):
    """The predictions for a block of B observations; as :class:`Prediction`, B rows or values."""

    __slots__ = ()

    @property
    def score(self) -> Float32Array:
        """How unusual each observation is: float32[B]."""
        return np.asarray(self._number("score"))

    @property
    def p_value(self) -> Float32Array:
        """How often such an observation comes on a stream that does not change: float32[B]."""
        return np.asarray(self._number("p_value"))

    @property
    def alarm(self) -> NDArray[np.bool_]:
        """Whether each observation raises an alarm: bool[B]."""
        return np.asarray(self._number("alarm") > 0)

    @property
    def kind(self) -> list[str]:
        """Why the alarm that stands was raised, one word for each observation."""
        codes = np.nan_to_num(self._number("kind")).astype(int)
        return [KINDS[code] for code in codes.tolist()]

    @property
    def drift(self) -> NDArray[np.bool_]:
        """Whether forecasts have become worse than they were before: bool[B]."""
        return np.asarray(self._number("drift") > 0)

    @property
    def filled(self) -> NDArray[np.int64]:
        """How many inputs were missing and filled: int64[B]."""
        return np.asarray(np.nan_to_num(self._number("filled")), np.int64)

    @property
    def waiting(self) -> NDArray[np.bool_]:
        """Whether y is NaN because the window of a stream is not full yet: bool[B]."""
        return np.asarray(np.isnan(self.y).all(axis=-1) & self._layout.waits)

    def __len__(self) -> int:
        """Return B."""
        return len(self._result)

    def __getitem__(self, n: int) -> Prediction:
        """Return one of them."""
        return Prediction(self._result[n], self._layout)

    def __repr__(self) -> str:
        """Show how many there are."""
        return f"<Predictions of {len(self)} observations, {int(self.alarm.sum())} alarms>"


def _short(values: NDArray[Any]) -> str:
    if values.dtype == np.float64:  # with offsets, to which most digits belong
        digits = "{:.12g}".format
        return np.array2string(
            values, separator=", ", threshold=8, formatter={"float_kind": lambda v: digits(v)}
        )
    return np.array2string(values, precision=5, separator=", ", threshold=8)
