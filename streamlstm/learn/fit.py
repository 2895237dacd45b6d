"""Trains a network: epochs over windows, validation after each, early stopping."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .adam import Adam
from .bptt import State, Tape
from .checkpoint import Checkpoint, Snapshot
from .dataset import Dataset
from .inference import SequenceRunner
from .network import RecurrentNetwork
from .objective import objective_for
from .settings import Settings

Array = NDArray[Any]
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the network's outputs, tried on the validation period
CLOSE = 1.01  # errors up to this many times the lowest are as good: the smallest such share is kept


@dataclass(frozen=True)
class EpochMetrics:
    """Results of one epoch.

    Attributes
    ----------
    number, epochs : int
        Number of this epoch, from 1, and the maximum number; 0 is the model that training began
        with, of which there is no loss.
    loss : float
        Mean loss of the training windows, scaled.
    validation : float
        Mean absolute error on the validation period, run from the start of each series, as a
        fraction of persistence's.
    best : float
        The lowest validation error so far.
    rate : float
        The learning rate.
    seconds : float
        Time since training began.
    """

    number: int
    epochs: int
    loss: float
    validation: float
    best: float
    rate: float
    seconds: float


def learning_curve(history: Sequence[EpochMetrics]) -> list[tuple[float, float]]:
    """Return loss and validation error of each epoch, without the model that training began with.

    That one, epoch 0, has no loss.
    """
    return [(epoch.loss, epoch.validation) for epoch in history if epoch.number]


@dataclass(frozen=True)
class FitResult:
    """Results of a training run.

    Attributes
    ----------
    network : RecurrentNetwork
        With the best weights.
    history : list of EpochMetrics
        All finished epochs.
    ended : str
        Why it ended: "settled" (no more progress), "epochs" (all done) or "interrupted".
    shares : float64[K]
        How much of each output of the network was kept, from 0 to 1: as much as validation bears
        out.
    validation : float
        The validation error of what was kept, as a fraction of persistence's.
    whole : float
        Its error on the training and validation periods together, as a multiple of the same.
    """

    network: RecurrentNetwork
    history: list[EpochMetrics]
    ended: str
    shares: Array
    validation: float
    whole: float

    @property
    def best(self) -> EpochMetrics:
        """The epoch with the lowest validation error."""
        return min(self.history, key=lambda epoch: epoch.validation)


def fit(
    data: Dataset,
    settings: Settings,
    on_epoch: Callable[[EpochMetrics], None] | None = None,
    *,
    start: Sequence[Mapping[str, Array]] | None = None,
    checkpoint: Checkpoint | None = None,
    snapshot: Snapshot | None = None,
    on_batch: Callable[[float], None] | None = None,
) -> FitResult:
    """Train a network.

    Parameters
    ----------
    data : Dataset
        What to train on.
    settings : Settings
    on_epoch : callable, optional
        Called after each epoch. KeyboardInterrupt, from here or from anywhere during an epoch, ends
        training with the best weights so far.
    start : sequence of dict of str to array, optional
        The weights to begin with, those of a `Model` for each layer; drawn at random by default.
        They are kept where no epoch is better on the validation period.
    checkpoint : Checkpoint, optional
        Where the state between epochs is stored; training continues from what is there.
    snapshot : Snapshot, optional
        The state to continue from, where there is no checkpoint yet.
    on_batch : callable, optional
        Called after each update with the epochs so far, such as 2.25.

    Returns
    -------
    FitResult

    Raises
    ------
    DataError
        If training diverged: errors are not finite.
    KeyboardInterrupt
        If it comes before the first epoch is done.
    """
    snapshot = (checkpoint.load() if checkpoint else None) or snapshot
    trainer = _Trainer(data, settings, start, snapshot)
    ended = ""
    try:
        while not (ended := trainer.ended):
            epoch = trainer.run_epoch(on_batch)
            if checkpoint:
                checkpoint.save(trainer.snapshot, last=bool(trainer.ended))
            if on_epoch:
                on_epoch(epoch)
    except KeyboardInterrupt:
        if not trainer.history:
            raise
        ended = "interrupted"
    return FitResult(trainer.network, trainer.history, ended, *trainer.take_best())


class _Trainer:
    """The state of a training run between epochs."""

    def __init__(
        self,
        data: Dataset,
        settings: Settings,
        start: Sequence[Mapping[str, Array]] | None = None,
        snapshot: Snapshot | None = None,
    ) -> None:
        self._data, self._settings = data, settings
        self._rng = np.random.default_rng(settings.seed)
        self._objective = objective_for(settings, data)
        self.network = RecurrentNetwork.of(
            settings, data.X.shape[1], self._objective.head, data.categories
        )
        self.network.initialize(self._rng)
        if start is not None:
            self.network.load(start)
        self._averaged_network = self.network.twin()
        self._runner = SequenceRunner(self._averaged_network, data)
        self._adam = Adam(
            self.network.theta,
            weight_decay=settings.weight_decay,
            decayed=self.network.decayed(),
        )
        self._tapes: dict[int, Tape] = {}
        self._started = time.monotonic()
        self._best = np.inf
        self.best_weights = self.network.theta.copy()
        self._rate = settings.rate
        self._shift = np.float32(settings.shift if min(data.skip) >= 0 else 0)
        self._cuts_left, self._stale_epochs = settings.cuts, 0
        self.converged = False
        self.history: list[EpochMetrics] = []
        self._starts = data.window_starts(settings.window, self._rng)
        if snapshot is not None:
            self._restore(snapshot)
        outputs, self._states = self._runner.run(self._starts)
        if start is not None and snapshot is None:
            self._best = self._validation_error(outputs)
            self.history.append(self._metrics(0, np.nan, self._best, self._rate))

    @property
    def ended(self) -> str:
        """Why training is at its end: "settled" or "epochs"; empty if it is not."""
        if self.converged:
            return "settled"
        return "epochs" if self._finished >= self._settings.epochs else ""

    @property
    def _finished(self) -> int:
        return self.history[-1].number if self.history else 0

    def run_epoch(self, on_batch: Callable[[float], None] | None = None) -> EpochMetrics:
        """Train on every window once, then validate."""
        number, losses = self._finished + 1, []
        B, count = self._settings.batch, len(self._starts)
        for k in range(0, count, B):
            losses.append(self._train_batch(self._starts[k : k + B]))
            if on_batch:
                on_batch(number - 1 + min(k + B, count) / count)
        self._starts = self._data.window_starts(self._settings.window, self._rng)
        self._averaged_network.theta[:] = self._adam.average
        outputs, self._states = self._runner.run(self._starts)
        validation = self._validation_error(outputs)
        self._check_finite(number, losses, validation)
        rate = self._rate
        self._update_best(validation)
        self.history.append(self._metrics(number, float(np.mean(losses)), validation, rate))
        return self.history[-1]

    def _metrics(self, number: int, loss: float, validation: float, rate: float) -> EpochMetrics:
        seconds = time.monotonic() - self._started
        return EpochMetrics(
            number, self._settings.epochs, loss, validation, self._best, rate, seconds
        )

    def snapshot(self) -> Snapshot:
        """Return the state between two epochs; the states of windows follow from it."""
        arrays = self._adam.state() | {"best_weights": self.best_weights, "starts": self._starts}
        numbers = {
            "random": self._rng.bit_generator.state,
            "best": self._best,
            "rate": self._rate,
            "cuts_left": self._cuts_left,
            "stale_epochs": self._stale_epochs,
            "converged": self.converged,
            "history": [vars(epoch) for epoch in self.history],
        }
        return Snapshot(arrays, numbers)

    def _restore(self, snapshot: Snapshot) -> None:
        arrays, numbers = snapshot
        self._adam.restore(arrays)
        self._averaged_network.theta[:] = self._adam.average
        self.best_weights, self._starts = arrays["best_weights"], arrays["starts"]
        self._rng.bit_generator.state = numbers["random"]
        self._best, self._rate = numbers["best"], numbers["rate"]
        self._cuts_left, self._stale_epochs = numbers["cuts_left"], numbers["stale_epochs"]
        self.converged = numbers["converged"]
        epochs = {"epochs": self._settings.epochs}
        self.history = [EpochMetrics(**(epoch | epochs)) for epoch in numbers["history"]]
        self._started = time.monotonic() - self.history[-1].seconds

    def _check_finite(self, number: int, losses: Sequence[float], validation: float) -> None:
        """Raise DataError if training cannot recover; Adam skips single bad batches."""
        if not (np.isfinite(losses).any() and np.isfinite(validation)):
            raise DataError(
                f"training diverged in epoch {number}: expected a finite error, got "
                f"{validation:g}; use a smaller learning rate, or look for extreme values in the "
                "data"
            )

    def _train_batch(self, starts: NDArray[np.intp]) -> float:
        X, Y, weights = self._data.windows(starts, self._settings.window)
        if self._shift:
            inputs = X[:, :, : X.shape[2] - self._data.derived]  # no clock is shifted
            inputs += self._shift * self._rng.standard_normal((1, *inputs.shape[1:]), np.float32)
            weights[: len(X) // 8] = 0  # the initial state has not seen the offset
        tape = self._tape(len(starts))
        B, sizes = len(starts), self._settings.hidden_sizes
        masks = [*self._masks(B, sizes[:-1], self._settings.dropout), None]
        recurrent_masks = self._masks(B, sizes, self._settings.recurrent_dropout)
        outputs = tape.forward(X, self._initial_states(starts), masks, recurrent_masks)
        loss, d_outputs = self._objective.loss(outputs, Y, weights)
        self._adam.update(tape.backward(d_outputs), self._rate)
        return loss

    def _tape(self, B: int) -> Tape:
        if B not in self._tapes:
            self._tapes[B] = Tape(self.network, self._settings.window, B)
        return self._tapes[B]

    def _initial_states(self, starts: NDArray[np.intp]) -> State:
        """Return the initial states of windows, float32[B, H] of each layer."""
        states = [self._states[int(row)] for row in starts]
        by_layer = (zip(*vectors, strict=True) for vectors in zip(*states, strict=True))
        return [tuple(np.stack(vectors) for vectors in layer) for layer in by_layer]

    def _masks(self, B: int, sizes: Sequence[int], rate: float) -> Sequence[Array | None]:
        """Draw one mask per window, the same for all its steps (Gal and Ghahramani, 2016)."""
        if not rate:
            return [None] * len(sizes)
        kept = [self._rng.random((B, H)) < 1 - rate for H in sizes]
        return [mask.astype(np.float32) / np.float32(1 - rate) for mask in kept]

    def _validation_error(self, outputs: Array) -> float:
        return self._of_persistence(self._validation_errors(outputs))

    def _of_persistence(self, errors: Array) -> float:
        # Persistence has no error on a constant series.
        return float(np.mean(errors / np.maximum(self._data.persistence, 1e-9)))

    def _validation_errors(self, outputs: Array) -> NDArray[np.float64]:
        """Return the error of each target on the validation period."""
        data, rows = self._data, self._data.validation_rows
        return self._objective.errors(outputs[rows], data.Y[rows], data.validated[rows])

    def take_best(self) -> tuple[Array, float, float]:
        """Take the best weights, with as much of the network's outputs as validation bears out.

        Each forecast is multiplied by the smallest of some factors from 0 to 1 whose error is close
        to the lowest; with 0 the linear part and persistence are left. Quantiles keep their
        distance from it; shares of classes stay as they are.

        Returns
        -------
        float64[K]
            The factor of each target.
        float
            The validation error that is left.
        float
            The error that is left on the training and validation periods.
        """
        self._averaged_network.theta[:] = self.best_weights
        outputs, _ = self._runner.run(self._starts[:0])
        head = self.network.head
        shares = SHARES if head.shrinks else SHARES[-1:]
        shrunk = [head.shrunk(outputs, n) for n in shares]
        errors = np.array([self._validation_errors(made) for made in shrunk])
        kept = np.argmax(errors <= CLOSE * errors.min(axis=0), axis=0)
        best = np.array(shares)[kept]
        self.network.theta[:] = self.best_weights
        head.shrink(self.network.head_matrix, best)
        data = self._data
        whole = [self._objective.errors(made, data.Y, data.seen) for made in shrunk]
        left = (np.take_along_axis(np.array(e), kept[None], axis=0)[0] for e in (errors, whole))
        validation, together = map(self._of_persistence, left)
        return best, validation, together

    def _update_best(self, validation: float) -> None:
        """Copy the weights if they are the best; after `patience` epochs cut the rate, or stop."""
        if validation < self._best:
            stale = validation >= 0.9999 * self._best
            self._stale_epochs = self._stale_epochs + 1 if stale else 0
            self._best = validation
            self.best_weights = self._averaged_network.theta.copy()
        else:
            self._stale_epochs += 1
        if self._stale_epochs >= self._settings.patience:
            self._stale_epochs = 0
            self._rate /= 3
            self.converged = self._cuts_left == 0
            self._cuts_left -= 1
