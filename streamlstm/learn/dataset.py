"""From tables to what a network is trained on: stretches of time, scaling, windows.

Every series is cut in time, never at random: the first part is trained on, the next validates (it
chooses the weights that are kept), the end is held back and only scored once. An input at row
``t`` belongs with the target at row ``t + horizon``, and to the stretch that the *target* lies in,
so that no stretch sees the next one's values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.errors import DataError
from streamlstm.network.scaling import Scaling

Array = NDArray[Any]
Float32Array = NDArray[np.float32]

FEWEST_TRAINING = 32
"""Targets below which there is nothing to learn from."""
FEWEST_VALIDATION = 8
"""Targets below which a validation error says nothing."""


@dataclass(frozen=True)
class Split:
    """How much of each series, from its start, is trained on and then validated on.

    Attributes
    ----------
    train, validation : float
        Fractions; the rest is the held-back end and may be nothing.
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
        """Return the row where validation begins, and the one where the held-back end begins."""
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
    begin : int
        Where it stands in the data set's rows.
    train_end, validation_end : int
        The stretches, as rows of this series.
    """

    name: str
    values: Float32Array
    begin: int
    train_end: int
    validation_end: int

    def __len__(self) -> int:
        return len(self.values)


class Dataset:
    """Series made ready for training: scaled inputs, scaled targets, and where the stretches are.

    Parameters
    ----------
    series : sequence of (name, float32[n, C])
        One or more streams.
    inputs, targets : sequence of int
        Columns of the values.
    horizon : int
        Steps from an observation to the value that is predicted from it, 1 or more.
    split : Split
        The stretches.
    skip : bool
        Whether the network predicts the change from the last value instead of the value, for
        targets that are among the inputs.

    Attributes
    ----------
    X : float32[N, F]
        Scaled inputs of all series, one after the other.
    D : float32[N, O]
        Scaled targets; row ``t`` is what the network should answer to row ``t``. 0 where there is
        none.
    skip : tuple of int
        For each target the input that is added to the output, or -1.
    input_scaling, output_scaling : Scaling
        Fitted on the training stretch.
    persistence : float64[O]
        Mean absolute error, in output scale, of saying that nothing will change, on the validation
        stretch.

    Raises
    ------
    DataError
        Where there is too little to train or validate on.
    """

    def __init__(
        self,
        series: Sequence[tuple[str, Float32Array]],
        inputs: Sequence[int],
        targets: Sequence[int],
        horizon: int = 1,
        split: Split | None = None,
        skip: bool = True,
    ) -> None:
        self.inputs, self.targets = tuple(inputs), tuple(targets)
        self.horizon = horizon
        self.series = _placed(series, split or Split())
        self.skip = tuple(
            self.inputs.index(c) if skip and c in self.inputs else -1 for c in self.targets
        )
        self._check_lengths()
        self.train_rows = self._rows("train")
        self.validation_rows = self._rows("validation")
        values = np.concatenate([s.values[:, self.inputs] for s in self.series])
        seen = np.concatenate([s.values[: s.train_end, self.inputs] for s in self.series])
        self.input_scaling = _fit_scaling(seen)
        self.X: Float32Array = self.input_scaling.apply(values).astype(np.float32)
        answers = np.concatenate([self._answers(s) for s in self.series])
        self.output_scaling = _fit_scaling(answers[self.train_rows])
        self.D: Float32Array = np.zeros(answers.shape, np.float32)
        for s in self.series:
            rows = slice(s.begin, s.begin + max(len(s) - horizon, 0))
            self.D[rows] = self.output_scaling.apply(answers[rows])
        self.persistence = self._persistence()
        # For each row the end of what may be trained on in its series.
        self._ends = np.empty(len(self.X), np.intp)
        for s in self.series:
            self._ends[s.begin : s.begin + len(s)] = s.begin + s.train_end - horizon

    def _answers(self, s: Series) -> Array:
        """Return what should come out for each row, unscaled: the change or the value to come."""
        answers = np.zeros((len(s), len(self.targets)))
        now, later = s.values[: -self.horizon], s.values[self.horizon :]
        for o, (column, skip) in enumerate(zip(self.targets, self.skip, strict=True)):
            before = now[:, column].astype(np.float64) if skip >= 0 else 0.0
            answers[: -self.horizon, o] = later[:, column] - before
        return answers

    def _rows(self, stretch: str) -> NDArray[np.intp]:
        """Return the rows whose targets lie in a stretch: "train", "validation" or "test"."""
        found = []
        for s in self.series:
            first, last = {
                "train": (0, s.train_end),
                "validation": (s.train_end, s.validation_end),
                "test": (s.validation_end, len(s)),
            }[stretch]
            rows = np.arange(max(first - self.horizon, 0), max(last - self.horizon, 0))
            found.append(s.begin + rows)
        return np.concatenate(found)

    def _check_lengths(self) -> None:
        have = len(self._rows("train")), len(self._rows("validation"))
        if have[0] < FEWEST_TRAINING or have[1] < FEWEST_VALIDATION:
            rows = sum(len(s) for s in self.series)
            raise DataError(
                f"expected at least {FEWEST_TRAINING} values to train on and {FEWEST_VALIDATION} "
                f"to validate on, got {have[0]} and {have[1]} out of {rows} rows with a horizon of "
                f"{self.horizon}; use a longer series"
            )

    def _persistence(self) -> NDArray[np.float64]:
        """Return the error of ``v[t + horizon] = v[t]`` on the validation stretch, scaled."""
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
        """Return where windows of ``T`` rows begin that cover all training rows, in random order.

        The grid is laid anew for each sweep, so that over many sweeps every row stands at every
        place of a window.
        """
        starts = []
        for s in self.series:
            end = s.train_end - self.horizon
            if end <= 0:
                continue
            first = int(rng.integers(0, T))
            grid = np.arange(first, end, T)
            starts.append(s.begin + (np.append(grid, 0) if first else grid))
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
            Rows a window.

        Returns
        -------
        float32[T, B, F], float32[T, B, O], float32[T, B, 1]
            Inputs, targets, and 1 where the row is one to train on, else 0.
        """
        rows = starts[None, :] + np.arange(T)[:, None]
        inside = rows < self._ends[starts][None, :]
        rows = np.where(inside, rows, starts[None, :])
        return self.X[rows], self.D[rows], inside[:, :, None].astype(np.float32)


def _placed(series: Sequence[tuple[str, Float32Array]], split: Split) -> list[Series]:
    placed, begin = [], 0
    for name, values in series:
        train, validation = split.bounds(len(values))
        placed.append(Series(name, values, begin, train, validation))
        begin += len(values)
    return placed


def _fit_scaling(values: Array) -> Scaling:
    """Return mean and standard deviation of each column; 1 for a column that never changes."""
    mean = values.mean(axis=0, dtype=np.float64)
    scale = values.std(axis=0, dtype=np.float64)
    # What rounding leaves of a constant column must not be blown up to a signal.
    flat = scale <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
    return Scaling(mean.astype(np.float32), np.where(flat, 1.0, scale).astype(np.float32))
