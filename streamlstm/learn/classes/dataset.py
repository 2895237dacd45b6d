"""Prepares rows whose targets are classes, which go through the same training as numbers do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ...network.online import Online
from ...network.scaling import Scaling
from ..dataset import Dataset, Series, Split, fit_scaling, make_series

Array = NDArray[Any]
UNKNOWN = -1
"""The class of a row without one."""
MAX_CLASSES = 1_000
WEIGHTS = ("none", "balanced")


class ClassDataset(Dataset):
    """Scaled inputs, and the class of each row or of the row after it.

    Parameters
    ----------
    series : sequence of (name, float32[n, F], int[n])
        One or more streams or sequences: inputs, and the class of each row, -1 if it is not known.
    names : sequence of str
        Of the C classes.
    split : Split
        The periods.
    next_event : bool
        The first input is the class itself, as a category, and the target is that of the next row.
    sequences : bool
        Each series is a sequence with an end: whole ones are in each period.
    class_weights : {"none", "balanced"}
        Whether errors count alike, or so that every class weighs the same.
    scaling : Scaling, optional
        That of the inputs; by default fitted on the training period.
    times : float64[N], optional
        Event times of all rows, in seconds.
    stage : Online, optional
        How missing inputs are filled, and which features of the time stand behind the inputs.
    offsets : float64[F], optional
        What was subtracted from the inputs before they became float32.

    Attributes
    ----------
    class_names : tuple of str
    class_weights : float32[C]
    categories : int
        Number of categories of the first input; 0 if that is a number.

    Raises
    ------
    DataError
        If there are too few rows or classes.
    """

    def __init__(
        self,
        series: Sequence[tuple[str, Array, NDArray[np.intp]]],
        names: Sequence[str],
        split: Split | None = None,
        *,
        next_event: bool = False,
        sequences: bool = False,
        class_weights: str = "none",
        scaling: Scaling | None = None,
        times: NDArray[np.float64] | None = None,
        stage: Online | None = None,
        offsets: NDArray[np.float64] | None = None,
    ) -> None:
        self.class_names = tuple(names)
        self.sequences = sequences
        self.next_event = next_event
        self.categories = len(names) if next_event else 0
        F = series[0][1].shape[1]
        self.inputs, self.targets = tuple(range(F)), (F,)
        self.horizon = 1 if next_event else 0
        self.horizons, self.skip = (self.horizon,), (-1,)
        self.lags, self.lag_weights = (), None
        self.times, self.stage = times, stage
        self.offsets = None if offsets is None else np.append(offsets, 0.0)
        rows = [(name, np.column_stack([X, classes])) for name, X, classes in series]
        self.series = make_series(
            [(name, values.astype(np.float32)) for name, values in rows],
            split or Split(),
            whole=sequences,
        )
        values = np.concatenate([s.values[:, :F] for s in self.series])
        self.input_scaling = scaling or self._fit_scaling()
        self.X, self.filled = self._network_inputs(values)
        classes = np.concatenate([self._targets_of(s) for s in self.series])
        self.known = (classes != UNKNOWN)[:, None]
        self.Y = np.maximum(classes, 0).astype(np.float32)[:, None]
        self._training = self.periods([(0, s.train_end) for s in self.series])
        self.validated = self.periods([(s.train_end, s.validation_end) for s in self.series])
        self.seen = self._training | self.validated
        self.train_rows = np.flatnonzero(self._training[:, 0])
        self.validation_rows = np.flatnonzero(self.validated[:, 0])
        self._check_lengths()
        self.output_scaling = Scaling.identity(1)
        self.frequencies = self._frequencies()
        self.class_weights = self._weights(class_weights)
        self.persistence = self._baseline()
        self._ends = np.empty(len(self.X), np.intp)
        for s in self.series:
            self._ends[s.offset : s.offset + len(s)] = s.offset + s.train_end - self.horizon

    @property
    def output_offsets(self) -> None:
        """None: shares of classes have no offsets."""
        return

    def _fit_scaling(self) -> Scaling:
        seen = np.concatenate([s.values[: s.train_end, :-1] for s in self.series])
        scaling = fit_scaling(seen)
        mean, scale = scaling.mean.copy(), scaling.scale.copy()
        mean[: self.next_event], scale[: self.next_event] = 0, 1  # a category is not scaled
        return Scaling(mean, scale)

    def _targets_of(self, s: Series) -> NDArray[np.intp]:
        """Return the class that each row of a series has to tell."""
        own = s.values[:, -1].astype(np.intp)
        if not self.next_event:
            return own
        following = np.full(len(s), UNKNOWN)
        following[:-1] = own[1:]
        return following

    def _frequencies(self) -> NDArray[np.float64]:
        """Return the share of each class of the training rows, float64[C]."""
        counts = np.bincount(
            self.Y[self.train_rows, 0].astype(np.intp), minlength=len(self.class_names)
        )
        if np.count_nonzero(counts) < 2:
            raise DataError(
                "expected at least two classes in the rows to train on, got "
                f"{self.class_names[int(counts.argmax())]!r} alone"
            )
        shares: NDArray[np.float64] = (counts + 1) / (counts + 1).sum()
        return shares

    def _weights(self, kind: str) -> NDArray[np.float32]:
        if kind not in WEIGHTS:
            raise DataError(f"class_weights: expected {' or '.join(WEIGHTS)}, got {kind!r}")
        if kind == "none":
            return np.ones(len(self.class_names), np.float32)
        return (1 / (len(self.class_names) * self.frequencies)).astype(np.float32)

    def _baseline(self) -> NDArray[np.float64]:
        """Return the cross entropy of telling the frequencies, on the validation period."""
        classes = self.Y[self.validation_rows, 0].astype(np.intp)
        weights = self.class_weights[classes].astype(np.float64)
        entropy = -(weights * np.log(self.frequencies[classes])).sum() / weights.sum()
        return np.array([entropy])
