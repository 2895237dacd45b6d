"""Prepares series for training: splits them in time, scales them and cuts windows.

Each series is split in time, never at random, into a training period, a validation period (which
selects the weights) and a test period (scored once). The target of the input at row ``t`` is at row
``t + horizon``; the row belongs to the period of its *target*, so that no period sees values of the
next. There is an output for each target and horizon: of one with several horizons, those of the
first come first. A target that is missing (NaN) counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..network.online import Online
from ..network.scaling import Scaling
from .autoregression import Autoregression
from .inputs import derive_inputs, fill_inputs
from .linear_part import LinearPart

Array = NDArray[Any]
Float32Array = NDArray[np.float32]

MIN_TRAINING = 32
"""Minimum number of targets to train on."""
MIN_VALIDATION = 8
"""Minimum number of targets to validate on."""
_LEAST_LEFT = 1e-3
"""What a linear part leaves counts as this share of the targets' spread at least."""


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
    horizon : int or sequence of int
        Steps from an observation to its target, 1 or more; several give each target as many
        outputs.
    split : Split
        The periods.
    skip : bool
        Whether targets that are among the inputs are predicted as changes from their last value.
    scalings : (Scaling, Scaling), optional
        Those of the inputs and of the outputs; by default fitted on the training period.
    linear : sequence of Autoregression, optional
        For each output the linear part of the model: the network learns what that leaves.
    times : float64[N], optional
        Event times of all rows, in seconds.
    stage : Online, optional
        How missing inputs are filled, and which features of the time stand behind the inputs.
    sequences : bool
        Each series is a sequence with an end: whole ones are in each period.
    offsets : float64[C], optional
        What was subtracted from the columns of the series before they became float32.

    Attributes
    ----------
    targets, horizons : tuple of int
        Of each output the column and the steps ahead.
    horizon : int
        The longest.
    categories : int
        Number of categories of the first input; 0, for that is a number.
    X : float32[N, F + D]
        Inputs of the network for all series, one after the other: scaled, then derived.
    filled : float[N, F]
        The inputs as they are filled, not scaled.
    derived : int
        D, features of the time.
    Y : float32[N, O]
        Scaled targets of each row; 0 where there is none.
    known : bool[N, O]
        Where there is one.
    skip : tuple of int
        For each output the index of the input that is added to it, or -1.
    lags, lag_weights : tuple of int, float32[O, K] or None
        The linear part, as a `Model` has it.
    input_scaling, output_scaling : Scaling
        As given, or fitted on the training period.
    validated : bool[N, O]
        Targets in the validation period.
    seen : bool[N, O]
        Targets in the training or the validation period.
    train_rows, validation_rows : int[n]
        Rows with a target in these periods.
    persistence : float64[O]
        Mean absolute error of predicting the last value, scaled, on the validation period.

    Raises
    ------
    DataError
        If there are too few rows to train or validate on.
    """

    categories = 0

    def __init__(
        self,
        series: Sequence[tuple[str, Float32Array]],
        inputs: Sequence[int],
        targets: Sequence[int],
        horizon: int | Sequence[int] = 1,
        split: Split | None = None,
        skip: bool = True,
        scalings: tuple[Scaling, Scaling] | None = None,
        linear: Sequence[Autoregression] = (),
        times: NDArray[np.float64] | None = None,
        stage: Online | None = None,
        sequences: bool = False,
        offsets: NDArray[np.float64] | None = None,
    ) -> None:
        self.offsets = offsets
        steps = (horizon,) if isinstance(horizon, int) else tuple(horizon)
        self.inputs = tuple(inputs)
        self.targets = tuple(targets) * len(steps)
        self.horizons = tuple(h for h in steps for _ in targets)
        self.horizon = max(steps)
        self.series = make_series(series, split or Split(), whole=sequences)
        self.skip = tuple(
            self.inputs.index(c) if skip and c in self.inputs else -1 for c in self.targets
        )
        values = np.concatenate([s.values[:, self.inputs] for s in self.series])
        seen = np.concatenate([s.values[: s.train_end, self.inputs] for s in self.series])
        self.input_scaling = scalings[0] if scalings else fit_scaling(seen)
        self.times, self.stage = times, stage
        self.X, self.filled = self._network_inputs(values)
        unscaled = np.concatenate([self._unscaled_targets(s) for s in self.series])
        self.known = ~np.isnan(unscaled)
        self._training = self.periods([(0, s.train_end) for s in self.series])
        self.validated = self.periods([(s.train_end, s.validation_end) for s in self.series])
        self.seen = self._training | self.validated
        self.train_rows = np.flatnonzero(self._training.any(axis=1))
        self.validation_rows = np.flatnonzero(self.validated.any(axis=1))
        self._check_lengths()
        self.persistence = self._persistence()
        whole = fit_scaling(np.where(self._training, unscaled, np.nan))
        sources = [self.inputs.index(c) if c in self.inputs else -1 for c in self.targets]
        part = LinearPart(linear, sources, self.skip, self.input_scaling)
        for s in self.series:
            rows = slice(s.offset, s.offset + len(s))
            unscaled[rows] -= part.added(self.X[rows])
        left = fit_scaling(np.where(self._training, unscaled - part.offsets, np.nan))
        mean = np.where(part.used, part.offsets, left.mean)
        # What a perfect linear part leaves is noise of rounding, and stays small.
        left_scale = np.maximum(left.scale, _LEAST_LEFT * whole.scale)
        fitted = Scaling(mean.astype(np.float32), left_scale.astype(np.float32))
        self.output_scaling = scalings[1] if scalings else fitted
        scale = self.output_scaling.scale
        self.lags, self.lag_weights = part.lags, part.weights_for(scale)
        self.persistence = self.persistence / scale
        scaled = (unscaled - self.output_scaling.mean) / scale
        self.Y: Float32Array = np.where(self.known, scaled, 0).astype(np.float32)
        # For each row the end of the rows of its series that have a target to train on.
        self._ends = np.empty(len(self.X), np.intp)
        for s in self.series:
            end = s.train_end - min(self.horizons)
            self._ends[s.offset : s.offset + len(s)] = s.offset + end

    @property
    def derived(self) -> int:
        """How many features of the time stand behind the inputs."""
        return int(self.X.shape[1]) - len(self.inputs)

    @property
    def groups(self) -> list[NDArray[np.intp]]:
        """The rows of each series."""
        return [np.arange(s.offset, s.offset + len(s)) for s in self.series]

    def _network_inputs(self, values: Array) -> tuple[Float32Array, Array]:
        """Return the inputs of the network, and those of the model as they are filled."""
        stage = self.stage or Online()
        filled = fill_inputs(values, self.groups, self.input_scaling, stage)
        X = self.input_scaling.apply(filled).astype(np.float32)
        if stage.calendar:
            X = np.concatenate([X, derive_inputs(self.times, self.groups, stage)], axis=1)
        return X, filled

    @property
    def input_offsets(self) -> NDArray[np.float64] | None:
        """What was subtracted from the inputs, float64[F]; None for nothing."""
        return None if self.offsets is None else self.offsets[list(self.inputs)]

    @property
    def output_offsets(self) -> NDArray[np.float64] | None:
        """What was subtracted from the targets, float64[O]; None for nothing."""
        return None if self.offsets is None else self.offsets[list(self.targets)]

    def _unscaled_targets(self, s: Series) -> Array:
        """Return the target of each row, a change or a value; NaN where there is none."""
        unscaled = np.full((len(s), len(self.targets)), np.nan)
        outputs = zip(self.targets, self.horizons, self.skip, strict=True)
        for o, (column, steps, skip) in enumerate(outputs):
            values, before = s.values[:, column].astype(np.float64), np.zeros(1)
            if skip >= 0:
                before = self.filled[s.offset : s.offset + len(s) - steps, skip].astype(np.float64)
            unscaled[:-steps, o] = values[steps:] - before
        return unscaled

    def periods(self, periods: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
        """Return where targets lie in a period, given for each series by first and end."""
        inside = np.zeros(self.known.shape, bool)
        for s, (first, end) in zip(self.series, periods, strict=True):
            for o, steps in enumerate(self.horizons):
                inside[s.offset + max(first - steps, 0) : s.offset + max(end - steps, 0), o] = True
        return np.asarray(inside & self.known)

    def _check_lengths(self) -> None:
        training, validation = (
            int(part.sum(axis=0).min()) for part in (self._training, self.validated)
        )
        if training < MIN_TRAINING or validation < MIN_VALIDATION:
            rows = sum(len(s) for s in self.series)
            gone = [np.isnan(s.values[:, self.targets]).any(axis=1).sum() for s in self.series]
            gaps = f" (the target is missing in {sum(gone)})" if sum(gone) else ""
            raise DataError(
                f"expected at least {MIN_TRAINING} values to train on and {MIN_VALIDATION} "
                f"to validate on, got {training} and {validation} out of {rows} rows{gaps} "
                f"with a horizon of {self.horizon}; use a longer series"
            )

    def _persistence(self) -> NDArray[np.float64]:
        """Return the error of ``v[t + horizon] = v[t]`` on the validation period."""
        mean = np.zeros(len(self.targets))
        for o, (column, steps) in enumerate(zip(self.targets, self.horizons, strict=True)):
            values = np.concatenate([s.values[:, column] for s in self.series]).astype(np.float64)
            rows = np.flatnonzero(self.validated[:, o])
            mean[o] = np.nanmean(np.abs(values[rows + steps] - values[rows]))
        return mean

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
            end = s.train_end - min(self.horizons)
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
        float32[T, B, F], float32[T, B, O], float32[T, B, O]
            Inputs, targets, and weights: 1 for targets of the training period, else 0.
        """
        rows = starts[None, :] + np.arange(T)[:, None]
        inside = rows < self._ends[starts][None, :]
        rows = np.where(inside, rows, starts[None, :])
        weights = self._training[rows] & inside[:, :, None]
        return self.X[rows], self.Y[rows], weights.astype(np.float32)

    def said_of(self, s: Series, rows: NDArray[np.intp], made: Array) -> Array:
        """Return what each output said of rows of a series, float[n, O], before them.

        Parameters
        ----------
        s : Series
        rows : int[n]
            No less than the longest horizon.
        made : float[N, O]
            What was said at every row of the data set.
        """
        at = s.offset + rows[:, None] - np.array(self.horizons)
        return np.asarray(made[at, np.arange(made.shape[1])])


def make_series(
    series: Sequence[tuple[str, Float32Array]], split: Split, *, whole: bool
) -> list[Series]:
    """Return the series with their periods.

    Parameters
    ----------
    series : sequence of (name, float32[n, C])
    split : Split
    whole : bool
        The first series are for training, those after them for validation; else the first part of
        each is.
    """
    made, offset = [], 0
    ends = split.bounds(len(series))
    for n, (name, values) in enumerate(series):
        rows = len(values)
        bounds = (rows * (n < ends[0]), rows * (n < ends[1])) if whole else split.bounds(rows)
        made.append(Series(name, values, offset, *bounds))
        offset += rows
    return made


def fit_scaling(values: Array) -> Scaling:
    """Return mean and standard deviation of each column; 1 for a column that never changes.

    Missing values (NaN) count for nothing.
    """
    values = np.asarray(values, np.float64)
    count = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    mean = np.nansum(values, axis=0) / count
    scale = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / count)
    # Rounding errors of a constant column must not be scaled up to a signal.
    flat = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
    return Scaling(mean.astype(np.float32), np.where(flat, 1.0, scale).astype(np.float32))
