"""What a network is trained for: its head, its loss, and the error that is validated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .classes.dataset import ClassDataset
from .dataset import Dataset
from .head import Head, LinearHead, SoftmaxHead
from .loss import cross_entropy, huber, pinball
from .quantiles import QuantileHead
from .settings import Settings

Array = NDArray[Any]


class Objective(ABC):
    """A head, a loss and an error.

    Attributes
    ----------
    head : Head
    points : int[K]
        For each target the output that is its forecast.
    """

    head: Head
    points: NDArray[np.intp]

    @abstractmethod
    def loss(self, outputs: Array, targets: Array, weights: Array) -> tuple[float, Array]:
        """Return the loss and its gradient by the outputs.

        Parameters
        ----------
        outputs : float[T, B, O]
        targets : float[T, B, K]
        weights : float[T, B, K]
            1 where there is a target, else 0.
        """

    @abstractmethod
    def errors(self, outputs: Array, targets: Array, known: Array) -> NDArray[np.float64]:
        """Return the mean error of each target, float64[K], in the unit of the baseline's.

        Parameters
        ----------
        outputs : float[n, O]
        targets : float[n, K]
        known : bool[n, K]
            Which targets count.
        """


class Forecasts(Objective):
    """One forecast of each target: Huber's loss, judged by the mean absolute error."""

    def __init__(self, targets: int, delta: float) -> None:
        self.head, self.points, self._delta = LinearHead(targets), np.arange(targets), delta

    def loss(self, outputs: Array, targets: Array, weights: Array) -> tuple[float, Array]:
        """Return Huber's loss and its gradient."""
        return huber(outputs, targets, weights, self._delta)

    def errors(self, outputs: Array, targets: Array, known: Array) -> NDArray[np.float64]:
        """Return the mean absolute error of each target."""
        return _means(np.abs(outputs - targets), known)


class QuantileForecasts(Objective):
    """Several quantiles of each target: pinball loss."""

    def __init__(self, targets: int, quantiles: Sequence[float]) -> None:
        self.head = QuantileHead(targets, quantiles)
        self.points = self.head.medians
        self._levels = np.tile(np.array(quantiles, np.float32), targets)

    def loss(self, outputs: Array, targets: Array, weights: Array) -> tuple[float, Array]:
        """Return the pinball loss and its gradient."""
        return pinball(outputs, self._each(targets), self._each(weights), self._levels)

    def errors(self, outputs: Array, targets: Array, known: Array) -> NDArray[np.float64]:
        """Return twice the mean pinball loss: of a median that is its mean absolute error."""
        error = self._each(targets) - outputs
        losses = np.maximum(self._levels * error, (self._levels - 1) * error)
        by_target = losses.reshape(len(losses), len(self.points), -1).mean(axis=2)
        return 2 * _means(by_target, known)

    def _each(self, targets: Array) -> Array:
        return np.repeat(targets, self.head.outputs_per_target, axis=-1)


class Classes(Objective):
    """The class of each row: cross entropy, judged by the same."""

    def __init__(self, data: ClassDataset) -> None:
        self.head = SoftmaxHead(data.class_names, logarithms=data.next_event)
        self.points = np.zeros(1, np.intp)
        self._class_weights = data.class_weights

    def loss(self, outputs: Array, targets: Array, weights: Array) -> tuple[float, Array]:
        """Return the cross entropy and its gradient."""
        return cross_entropy(outputs, targets, weights, self._class_weights)

    def errors(self, outputs: Array, targets: Array, known: Array) -> NDArray[np.float64]:
        """Return the cross entropy."""
        weights = known.astype(outputs.dtype)
        return np.array([cross_entropy(outputs, targets, weights, self._class_weights)[0]])


def _means(values: Array, known: Array) -> NDArray[np.float64]:
    """Return the mean of the known values of each column."""
    means: NDArray[np.float64] = (values * known).sum(axis=0, dtype=np.float64) / known.sum(axis=0)
    return means


def objective_for(settings: Settings, data: Dataset) -> Objective:
    """Return the objective of training on a data set."""
    if isinstance(data, ClassDataset):
        return Classes(data)
    return objective_of(settings, len(data.targets))


def objective_of(settings: Settings, targets: int) -> Objective:
    """Return the objective that the settings ask for, of so many targets."""
    if settings.quantiles:
        return QuantileForecasts(targets, settings.quantiles)
    return Forecasts(targets, settings.delta)
