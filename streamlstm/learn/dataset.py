"""Prepares series for training: splits them in time, scales them and cuts windows.

Each series is split in time, never at random, into a training period, a validation period (which
selects the weights) and a test period (scored once). The target of the input at row ``t`` is at row
``t + horizon``; the row belongs to the period of its *target*, so that no period sees values of the
next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..network.scaling import Scaling

Array = NDArray[Any]
Float32Array = NDArray[np.float32]

MIN_TRAINING = 32
"""Minimum number of targets to train on."""
MIN_VALIDATION = 8
"""Minimum number of targets to validate on."""


@dataclass(frozen=True)
class Split:
    """Fractions of each series for training and, after that, for validation.

    Attributes
    ----------
    train, validation : float
        The rest is the test period, which may be empty.
    """

    train: float = 0.7
    validation: float = 0.1

    def __post_init__(self) -> None:
        if not (0 < self.train < 1 and 0 < self.validation < 1):
            raise DataError(
                "expected the fractions to train and to validate on to lie between 0 and 1, "
                f"got {self.train:g} and {self.validation:g}"
            )
        if self.train + self.validation > 1 + 1e-9:
            raise DataError(
                "expected the fractions to train and to validate on to be 1 at most together, "
                f"got {self.train:g} + {self.validation:g}"
            )

    def bounds(self, rows: int) -> tuple[int, int]:
        """Return the first row of the validation period and of the test period."""
        # Rounded to a millionth first: 0.7 + 0.1 of ten rows is 8, not 7.
        ends = [self.train, self.train + self.validation]
        train, validation = (int(round(rows * end, 6)) for end in ends)
        return train, validation


@dataclass(frozen=True)
class Series:
    """One stream's observations in order.

    Attributes
    ----------
    name : str
        The stream.
    values : float32[n, C]
        All columns that are inputs or targets.
    offset : int
        Its first row in the data set.
    train_end, validation_end : int
        Ends of these periods, as rows of this series.
    """

    name: str
    values: Float32Array
    offset: int
    train_end: int
    validation_end: int

    def __len__(self) -> int:
        return len(self.values)


class Dataset:
    """Scaled inputs and targets of all series, and the rows of each period.

    Parameters
    ----------
    series : sequence of (name, float32[n, C])
        One or more streams.
    inputs, targets : sequence of int
        Columns of the values.
    horizon : int
        Steps from an observation to its target, 1 or more.
    split : Split
        The periods.
    skip : bool
        Whether targets that are among the inputs are predicted as changes from their last value.
    scalings : (Scaling, Scaling), optional
        Those of the inputs and of the outputs; by default fitted on the training period.
    offsets : float64[C], optional
        What was subtracted from the columns of the series before they became float32.

    Attributes
    ----------
    X : float32[N, F]
        Scaled inputs of all series, one after the other.
    Y : float32[N, O]
        Scaled targets of each row; 0 where there is none.
    skip : tuple of int
        For each target the index of the input that is added to the output, or -1.
    input_scaling, output_scaling : Scaling
        As given, or fitted on the training period.
    persistence : float64[O]
        Mean absolute error of predicting the last value, scaled, on the validation period.

    Raises
    ------
    DataError
        If there are too few rows to train or validate on.
    """

    def __init__(
        self,
        series: Sequence[tuple[str, Float32Array]],
        inputs: Sequence[int],
        targets: Sequence[int],
        horizon: int = 1,
        split: Split | None = None,
        skip: bool = True,
        scalings: tuple[Scaling, Scaling] | None = None,
        offsets: NDArray[np.float64] | None = None,
    ) -> None:
        self.offsets = offsets
        self.inputs, self.targets = tuple(inputs), tuple(targets)
        self.horizon = horizon
        self.series = _make_series(series, split or Split())
        self.skip = tuple(
            self.inputs.index(c) if skip and c in self.inputs else -1 for c in self.targets
        )
        self.train_rows = self._rows([(0, s.train_end) for s in self.series])
        self.validation_rows = self._rows([(s.train_end, s.validation_end) for s in self.series])
        self._check_lengths()
        values = np.concatenate([s.values[:, self.inputs] for s in self.series])
        seen = np.concatenate([s.values[: s.train_end, self.inputs] for s in self.series])
        self.input_scaling = scalings[0] if scalings else _fit_scaling(seen)
        self.X: Float32Array = self.input_scaling.apply(values).astype(np.float32)
        unscaled = np.concatenate([self._unscaled_targets(s) for s in self.series])
        fitted = _fit_scaling(unscaled[self.train_rows])
        self.output_scaling = scalings[1] if scalings else fitted
        self.Y: Float32Array = np.zeros(unscaled.shape, np.float32)
        for s in self.series:
            rows = slice(s.offset, s.offset + max(len(s) - horizon, 0))
            self.Y[rows] = self.output_scaling.apply(unscaled[rows])
        self.persistence = self._persistence()
        # For each row the end of the training rows of its series.
        self._ends = np.empty(len(self.X), np.intp)
        for s in self.series:
            self._ends[s.offset : s.offset + len(s)] = s.offset + s.train_end - horizon

    @property
    def input_offsets(self) -> NDArray[np.float64] | None:
        """What was subtracted from the inputs, float64[F]; None for nothing."""
        return None if self.offsets is None else self.offsets[list(self.inputs)]

    @property
    def output_offsets(self) -> NDArray[np.float64] | None:
        """What was subtracted from the targets, float64[O]; None for nothing."""
        return None if self.offsets is None else self.offsets[list(self.targets)]

    def _unscaled_targets(self, s: Series) -> Array:
        """Return the target of each row, a change or a value; 0 where there is none."""
        unscaled = np.zeros((len(s), len(self.targets)))
        now, later = s.values[: -self.horizon], s.values[self.horizon :]
        for o, (column, skip) in enumerate(zip(self.targets, self.skip, strict=True)):
            before = now[:, column].astype(np.float64) if skip >= 0 else 0.0
            unscaled[: -self.horizon, o] = later[:, column] - before
        return unscaled

    def _rows(self, periods: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
        """Return the rows whose targets lie in a period, given for each series by first and end."""
        return np.concatenate(
            [
                s.offset + np.arange(max(first - self.horizon, 0), max(end - self.horizon, 0))
                for s, (first, end) in zip(self.series, periods, strict=True)
            ]
        )

    def _check_lengths(self) -> None:
        training, validation = len(self.train_rows), len(self.validation_rows)
        if training < MIN_TRAINING or validation < MIN_VALIDATION:
            rows = sum(len(s) for s in self.series)
            raise DataError(
                f"expected at least {MIN_TRAINING} values to train on and {MIN_VALIDATION} "
                f"to validate on, got {training} and {validation} out of {rows} rows "
                f"with a horizon of {self.horizon}; use a longer series"
            )

    def _persistence(self) -> NDArray[np.float64]:
        """Return the error of ``v[t + horizon] = v[t]`` on the validation period, scaled."""
        errors = []
        for s in self.series:
            first = max(s.train_end, self.horizon)
            last = max(s.validation_end, first)
            later = s.values[first:last, self.targets].astype(np.float64)
            now = s.values[first - self.horizon : last - self.horizon, self.targets]
            errors.append(np.abs(later - now))
        mean: NDArray[np.float64] = np.concatenate(errors).mean(axis=0)
        return mean / self.output_scaling.scale

    def window_starts(self, T: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Return the first rows of windows that cover all training rows, shuffled.

        The grid has a random offset, so that over many epochs each row has each place of a window.

        Parameters
        ----------
        T : int
            Rows per window.
        rng : Generator

        Returns
        -------
        int[W]
        """
        starts = []
        for s in self.series:
            end = s.train_end - self.horizon
            if end <= 0:
                continue
            first = int(rng.integers(0, T))
            grid = np.arange(first, end, T)
            starts.append(s.offset + (np.append(grid, 0) if first else grid))
        return rng.permutation(np.concatenate(starts))

    def windows(
        self, starts: NDArray[np.intp], T: int
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Gather windows.

        Parameters
        ----------
        starts : int[B]
            From `window_starts`.
        T : int
            Rows per window.

        Returns
        -------
        float32[T, B, F], float32[T, B, O], float32[T, B, 1]
            Inputs, targets, and weights: 1 for training rows, else 0.
        """
        rows = starts[None, :] + np.arange(T)[:, None]
        inside = rows < self._ends[starts][None, :]
        rows = np.where(inside, rows, starts[None, :])
        return self.X[rows], self.Y[rows], inside[:, :, None].astype(np.float32)


def _make_series(series: Sequence[tuple[str, Float32Array]], split: Split) -> list[Series]:
    made, offset = [], 0
    for name, values in series:
        made.append(Series(name, values, offset, *split.bounds(len(values))))
        offset += len(values)
    return made


def _fit_scaling(values: Array) -> Scaling:
    """Return mean and standard deviation of each column; 1 for a column that never changes."""
    mean = values.mean(axis=0, dtype=np.float64)
    scale = values.std(axis=0, dtype=np.float64)
    # Rounding errors of a constant column must not be scaled up to a signal.
    flat = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
    return Scaling(mean.astype(np.float32), np.where(flat, 1.0, scale).astype(np.float32))
