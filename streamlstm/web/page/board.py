"""The streams that are shown: what each of them is doing now, searched and sorted."""

from __future__ import annotations

import math
import re
import time as clock
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import wire
from ...network.online import KINDS
from .history import History
from .points import Points
from .signals import NONE, Shape

ORDERS = ("alarm", "score", "error", "silence", "name")
SPARK = 48  # points of the line in a row
MOST = 100_000  # streams; of more, those that were silent longest are left out
_MEMORY = 0.02  # weight of the last observation in means of errors: some fifty of them
_FADES = 60.0  # seconds in which a score that has passed fades to 1/e


class Board:
    """Remembers the present of each stream, and its past in a :class:`History`.

    Parameters
    ----------
    shape : Shape
        Of the model.
    limit : int
        Bytes that the history may take.
    """

    def __init__(self, shape: Shape, limit: int) -> None:
        self.shape = shape
        F, O = shape.inputs, shape.outputs
        self.columns = _Columns(F, O)
        self.began = clock.time()
        self.history = History(
            self.columns.count, np.float64 if shape.is_wide else np.float32, limit
        )
        self.slots: dict[wire.StreamId, int] = {}
        self.ids: list[wire.StreamId | None] = []  # None where a stream was forgotten
        self._names: list[_Name] = []
        self._free: list[int] = []
        self._room = 0
        self._grow(1024)
        self._main = next((s for s in shape.signals if s.input != NONE), shape.signals[0])
        # How an output is compared with what comes, where no stage does that: its input, its steps.
        self._compared = [(s.output, s.input, s.horizon) for s in shape.signals if s.horizon > 0]

    def _grow(self, room: int) -> None:
        """Make room for so many streams."""
        O = self.shape.outputs

        def grown(before: str, width: int | None = None, fill: float = 0.0) -> NDArray[Any]:
            new = np.full((room,) if width is None else (room, width), fill)
            if self._room:
                new[: self._room] = getattr(self, before)
            return new

        self.seen = grown("seen", fill=-np.inf)  # when it was heard of last
        self.count = grown("count")  # points so far
        self.value = grown("value", fill=np.nan)
        self.score = grown("score", fill=np.nan)
        self._peak = grown("_peak")  # the score at `seen`, if that did not fade
        self.alarmed = grown("alarmed", fill=-np.inf)  # when an alarm was raised last
        self.kind = grown("kind")
        self._error = grown("_error", O)  # mean absolute error, and deviation of what came
        self._spread = grown("_spread", O)
        self._mean = grown("_mean", O, np.nan)
        self._room = room

    def add(self, points: Points, now: float) -> NDArray[np.intp]:
        """Take note of predictions; return the slots of their streams, intp[B]."""
        slots = np.array([self._slot(stream) for stream in points.streams])
        rows = self.columns.rows(points, now - self.began)
        times = np.where(np.isnan(points.times), now, points.times)
        error, is_told = points.error.astype(float), not np.isnan(points.error).all()
        for n, (slot, time, row) in enumerate(
            zip(slots.tolist(), times.tolist(), rows, strict=True)
        ):
            if not is_told:
                self._compare(error[n], slot, points.X[n])
            self.history.append(slot, time, row)
        np.add.at(self.count, slots, 1)
        faded = self._peak[slots] * np.exp(-np.maximum(now - self.seen[slots], 0) / _FADES)
        self.seen[slots] = now
        self._peak[slots] = np.fmax(faded, points.score)
        self.score[slots], self.kind[slots] = points.score, points.kind
        self.alarmed[slots[points.alarm]] = now
        self.value[slots] = _column(points, self._main)
        self._learn(points, slots, error)
        return slots

    def _slot(self, stream: wire.StreamId) -> int:
        slot = self.slots.get(stream)
        if slot is not None:
            return slot
        if len(self.slots) >= MOST:
            silent = self.ids[int(np.argmin(self.seen[: len(self.ids)]))]
            assert silent is not None
            self.forget(silent)
        if self._free:
            slot = self._free.pop()
            self.ids[slot], self._names[slot] = stream, _Name.of(stream)
        else:
            slot = len(self.ids)
            self.ids.append(stream)
            self._names.append(_Name.of(stream))
            if slot >= self._room:
                self._grow(2 * self._room)
        self.slots[stream] = slot
        self.seen[slot] = np.inf  # until it is noted, no other takes it
        return slot

    def forget(self, stream: wire.StreamId) -> None:
        """Forget a stream, if it is known, and its points."""
        slot = self.slots.pop(stream, None)
        if slot is None:
            return
        self.history.forget(slot)
        self.ids[slot] = None
        self._free.append(slot)
        for array in (self.count, self._peak, self.kind, self._error, self._spread):
            array[slot] = 0
        for array in (self.value, self.score, self._mean):
            array[slot] = np.nan
        self.seen[slot] = self.alarmed[slot] = -np.inf

    def _compare(self, error: NDArray[Any], slot: int, x: NDArray[Any]) -> None:
        """Compare what comes with what had been said of it, where no stage of the model does."""
        for output, place, steps in self._compared:
            _, rows = self.history.last(slot, steps)
            if len(rows) == steps:
                error[output] = x[place] - rows[0, self.columns.Y + output]

    def _learn(self, points: Points, slots: NDArray[np.intp], error: NDArray[Any]) -> None:
        """Follow the mean error of each output, and how much what it forecasts varies."""
        for output, place, _ in self._compared:
            came, missed = points.X[:, place].astype(float), np.abs(error[:, output])
            mean = self._mean[slots, output]
            known = np.isfinite(came)
            mean = np.where(np.isnan(mean), came, mean)
            spread = self._spread[slots, output]
            spread += np.where(known, _MEMORY * (np.abs(came - mean) - spread), 0)
            self._spread[slots, output] = spread
            self._mean[slots, output] = np.where(known, mean + _MEMORY * (came - mean), mean)
            mean_error = self._error[slots, output]
            mean_error += np.where(np.isfinite(missed), _MEMORY * (missed - mean_error), 0)
            self._error[slots, output] = mean_error

    def errors(self) -> NDArray[np.float64]:
        """Return the mean error of each stream, in deviations of what came; NaN if unknown."""
        outputs = [output for output, _, _ in self._compared]
        if not outputs:
            return np.full(len(self.ids), np.nan)
        error, spread = (
            self._error[: len(self.ids), outputs],
            self._spread[: len(self.ids), outputs],
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.where(spread > 0, error / spread, np.nan)
            return np.where(np.isnan(ratios).all(1), np.nan, np.nansum(ratios, 1) / len(outputs))

    def peaks(self, now: float) -> NDArray[np.float64]:
        """Return how unusual each stream has been of late."""
        silent = np.maximum(now - self.seen[: len(self.ids)], 0)
        return self._peak[: len(self.ids)] * np.exp(-silent / _FADES)

    def find(self, search: str, order: str, now: float) -> tuple[NDArray[np.intp], dict[str, Any]]:
        """Return the slots of streams whose ids contain a text, in an order, and their columns."""
        count, words = len(self.ids), search.lower().split()
        known = [n for n, stream in enumerate(self.ids) if stream is not None]
        if words:
            known = [n for n in known if all(word in self._names[n].text for word in words)]
        found = np.array(known, int)
        columns = {"error": self.errors(), "score": self.peaks(now)}
        key = {
            "alarm": -self.alarmed[:count],
            "score": -columns["score"],
            "error": -np.nan_to_num(columns["error"], nan=-1.0),
            "silence": self.seen[:count],
        }.get(order)
        if key is None:
            by_name = sorted(found.tolist(), key=lambda n: self._names[n].order)
            return np.array(by_name, int), columns
        # Of equals the order is that of their names, so that rows do not jump.
        tie = -columns["score"] if order == "alarm" else np.arange(count)
        return found[np.lexsort((found, tie[found], key[found]))], columns

    def rows(
        self, slots: Sequence[int], columns: dict[str, Any], now: float
    ) -> list[dict[str, Any]]:
        """Return what the list shows of some streams."""
        return [self._row(slot, columns, now) for slot in slots]

    def _row(self, slot: int, columns: dict[str, Any], now: float) -> dict[str, Any]:
        _, rows = self.history.last(slot, SPARK)
        line = rows[:, self.columns.of(self._main)]
        ago = now - self.alarmed[slot]
        return {
            "stream": self.ids[slot],
            "value": number(self.value[slot]),
            "score": number(columns["score"][slot]),
            "error": number(columns["error"][slot]),
            "silent": number(now - self.seen[slot]),
            "alarm": number(ago) if ago < math.inf else None,
            "kind": KINDS[int(self.kind[slot])],
            "line": [number(value) for value in line.tolist()],
        }


class _Name(NamedTuple):
    """A stream's id as it is searched, and as it is sorted: pump-9 before pump-10."""

    text: str
    order: tuple[tuple[bool, int, str], ...]

    @classmethod
    def of(cls, stream: wire.StreamId) -> _Name:
        text = str(stream).lower()
        parts = re.split(r"(\d+)", text)
        order = [(p.isdigit(), int(p[:300]) if p.isdigit() else 0, p) for p in parts]
        return cls(text, tuple(order))


class _Columns:
    """Where the numbers of a point stand in a row of the history."""

    def __init__(self, F: int, O: int) -> None:
        self.X, self.Y, self.low, self.high = 0, F, F + O, F + 2 * O
        self.score, self.alarm = F + 3 * O, F + 3 * O + 1
        self.kind, self.arrived, self.count = self.alarm + 1, self.alarm + 2, self.alarm + 3

    def of(self, signal: Any) -> int:
        """Return the column to draw of a signal: its value, or else its prediction."""
        place: int = signal.input if signal.input != NONE else self.Y + signal.output
        return place

    @staticmethod
    def rows(points: Points, arrived: float) -> NDArray[Any]:
        """Return points that arrived so many seconds after the beginning as rows, [B, C]."""
        B = len(points.streams)
        one = [points.score, points.alarm, points.kind, np.full(B, arrived)]
        parts = [points.X, points.Y, points.low, points.high, np.stack(one, 1)]
        return np.concatenate(parts, 1)


def _column(points: Points, signal: Any) -> NDArray[Any]:
    if signal.input != NONE:
        return points.X[:, signal.input]
    column: NDArray[Any] = points.Y[:, signal.output]
    return column


def number(value: float) -> float | None:
    """Return a number as JSON has it, of seven digits or so; None where it is not finite."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.7g}") if abs(value) < 1e6 else float(f"{value:.13g}")
