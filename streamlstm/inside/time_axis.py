"""The horizontal axis of a figure: positions of steps, and columns of heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.float64]

MAX_COLUMNS = 1200  # about the width of a figure in pixels
GAP = 3.0  # times the median distance, from which on two steps are not joined


class TimeAxis:
    """Positions of T steps.

    Parameters
    ----------
    x : float64[T]
        Increasing.

    Attributes
    ----------
    steps_per_column : int
        Number of steps that a column of a heat map averages.
    """

    def __init__(self, x: Array) -> None:
        self.x: FloatArray = np.asarray(x, np.float64)
        T = len(self.x)
        distances = np.diff(self.x)
        self._median = float(np.median(distances)) if T > 1 else 1.0
        self._gaps = np.flatnonzero(distances > GAP * self._median) + 1  # the steps behind them
        self.steps_per_column = -(-T // MAX_COLUMNS)
        starts = np.union1d(np.arange(0, T, self.steps_per_column), self._gaps)
        self._starts: NDArray[np.intp] = starts.astype(np.intp)
        self._find_edges()

    @property
    def limits(self) -> tuple[float, float]:
        """Left and right end of the axis."""
        return float(self.edges[0]), float(self.edges[-1])

    def _find_edges(self) -> None:
        """Find the edges of columns; a gap in time is an empty column."""
        half = self._median / 2
        edges, self._empty = [self.x[0] - half], []
        for start in self._starts[1:]:
            before, after = self.x[start - 1], self.x[start]
            if after - before > GAP * self._median:
                self._empty.append(len(edges))
                edges += [before + half, after - half]
            else:
                edges.append((before + after) / 2)
        self.edges = np.array([*edges, self.x[-1] + half])

    def columns(self, values: Array) -> FloatArray:
        """Average values[T, N] into columns[N, C] between the edges; NaN in gaps."""
        counts = np.diff([*self._starts, len(self.x)])
        means = np.add.reduceat(values.astype(np.float64), self._starts, axis=0)
        columns = (means / counts[:, None]).T
        inserted = np.array(self._empty, np.intp) - np.arange(len(self._empty))
        return np.insert(columns, inserted, np.nan, axis=1)

    def line(self, values: Array) -> tuple[FloatArray, FloatArray]:
        """Return x and values[T] with a NaN in each gap, so that a line breaks there."""
        middles = (self.x[self._gaps - 1] + self.x[self._gaps]) / 2
        return (
            np.insert(self.x, self._gaps, middles),
            np.insert(values.astype(np.float64), self._gaps, np.nan),
        )
