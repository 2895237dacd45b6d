"""What the chart of one stream shows: values, the forecasts that were made for them, and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .board import Board, number
from .signals import NONE, Signal

POINTS = 1_500  # of a chart, or little more: of more, the lowest and highest of each interval
AHEAD = 200  # forecasts of what has not come yet, at most
HOUR = 3600.0
_LEAST = 64  # points that are sent at once without being thinned


class Chart:
    """Follows one signal of one stream for one viewer.

    Parameters
    ----------
    board : Board
    slot : int
        The stream's.
    signal : Signal
    span : float
        Seconds of arrival that are shown, an hour at most.
    """

    def __init__(self, board: Board, slot: int, signal: Signal, span: float) -> None:
        self._board, self._slot, self._signal = board, slot, signal
        self._stream = board.ids[slot]
        self._span = min(max(span, 1.0), HOUR)
        self._sent = 0
        self._debt = 0.0  # points that would be more than the chart is made for

    @property
    def is_gone(self) -> bool:
        """Whether another stream has taken the place of this one."""
        return self._board.ids[self._slot] != self._stream

    def begin(self, now: float) -> dict[str, Any]:
        """Return all points of the span."""
        self._sent = int(self._board.count[self._slot])
        times, rows, before = self._within(now)
        return self._columns(times, rows, before, POINTS)

    def go_on(self, seconds: float) -> dict[str, Any] | None:
        """Return the points that have come in so many seconds; None if there are none."""
        count = int(self._board.count[self._slot])
        new = count - self._sent
        if not new:
            return None
        self._sent = count
        times, rows = self._board.history.last(self._slot, new + self._signal.horizon)
        wanted = max(int(4 * POINTS * seconds / self._span), _LEAST)
        return self._columns(times, rows, max(len(rows) - new, 0), wanted)

    def _within(self, now: float) -> tuple[NDArray[np.float64], NDArray[Any], int]:
        """Return the points that arrived within the span, and behind how many that forecast them.

        The last point is always there.
        """
        count, board = 64, self._board
        since = now - board.began - self._span
        while True:
            times, rows = board.history.last(self._slot, count)
            arrived = rows[:, board.columns.arrived]
            if len(rows) < count or arrived[0] < since:
                break
            count *= 4
        shown = min(int((arrived < since).sum()), max(len(rows) - 1, 0))
        first = max(shown - self._signal.horizon, 0)
        return times[first:], rows[first:], shown - first

    def _columns(
        self, times: NDArray[np.float64], rows: NDArray[Any], first: int, wanted: int
    ) -> dict[str, Any]:
        """Return the columns of points from ``first`` on, and forecasts of what comes next."""
        of, signal = self._board.columns, self._signal
        nothing = np.full(len(rows), np.nan)
        value = rows[:, signal.input] if signal.input != NONE else nothing
        told = {"forecast": of.Y, "low": of.low, "high": of.high}
        said = {
            name: nothing if signal.output == NONE else rows[:, place + signal.output]
            for name, place in told.items()
        }
        ahead = {name: column[len(rows) - signal.horizon :] for name, column in said.items()}
        columns = {"value": value, **{k: _later(v, signal.horizon) for k, v in said.items()}}
        columns |= {"score": rows[:, of.score], "alarm": rows[:, of.alarm]}
        kept = first + _thinned(
            columns["value" if signal.input != NONE else "forecast"][first:],
            columns["alarm"][first:] > 0,
            wanted,
        )
        kept = kept[np.argsort(times[kept], kind="stable")]  # event times may go back
        found: dict[str, Any] = {"time": [number(time) for time in times[kept].tolist()]}
        for name, column in columns.items():
            found[name] = [number(each) for each in column[kept].tolist()]
        return found | {"ahead": self._ahead(times, ahead)}

    def _ahead(self, times: NDArray[np.float64], said: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return the forecasts of what has not come yet, at the times when it is due."""
        steps = self._signal.horizon
        if not 0 < steps <= AHEAD or len(times) < 2:
            return {}
        spacing = float(np.median(np.diff(times[-16:])))
        due = times[-1] + spacing * np.arange(steps - len(said["forecast"]) + 1, steps + 1)
        found: dict[str, Any] = {"time": [number(time) for time in due.tolist()]}
        return found | {name: [number(y) for y in told.tolist()] for name, told in said.items()}


def _later(column: NDArray[Any], steps: int) -> NDArray[Any]:
    """Return a column moved to where what it forecasts has come."""
    if steps == 0:
        return column
    moved = np.full(len(column), np.nan)
    moved[steps:] = column[:-steps]
    return moved


def _thinned(column: NDArray[Any], marks: NDArray[np.bool_], wanted: int) -> NDArray[np.intp]:
    """Return which points to draw: all, or of each interval the lowest, the highest and marks."""
    count = len(column)
    if count <= wanted:
        return np.arange(count)
    width = -(-count // (wanted // 2))
    whole = count // width * width
    blocks = column[:whole].reshape(-1, width)
    starts = np.arange(0, whole, width)
    kept = [
        starts + np.where(np.isnan(blocks), np.inf, blocks).argmin(1),
        starts + np.where(np.isnan(blocks), -np.inf, blocks).argmax(1),
        np.flatnonzero(marks),
        np.arange(whole, count),
        [count - 1],
    ]
    return np.unique(np.concatenate(kept).astype(np.intp))
