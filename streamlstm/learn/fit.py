"""The training loop: sweeps over windows, validation after each, the best weights kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamlstm.errors import DataError
from streamlstm.learn.adam import Adam
from streamlstm.learn.bptt import State, Tape
from streamlstm.learn.dataset import Dataset
from streamlstm.learn.inference import Replay
from streamlstm.learn.loss import huber
from streamlstm.learn.network import Network

Array = NDArray[Any]


@dataclass(frozen=True)
class Settings:
    """How to train. Chosen on validation stretches of the taxi and transformer series.

    Attributes
    ----------
    hidden_sizes : tuple of int
        ``H`` of each LSTM layer.
    epochs : int
        Sweeps over the training rows, at most.
    window : int
        ``T``, how many steps gradients flow back; the state flows on without end.
    batch : int
        ``B``, windows an update.
    rate : float
        Adam's learning rate at the start.
    patience : int
        Sweeps without a better validation error after which the rate is cut, or training ends.
    cuts : int
        How often the rate is cut, to a third each time, before that is the end.
    shift : float
        By how much, in standard deviations, the inputs of each window are moved up or down at
        random. It teaches a network that predicts changes not to lean on levels, which drift: the
        transformer series' later levels hardly occur in its training stretch, and with it the best
        validation error of each of three seeds was below persistence's, without it of one. Without
        effect on targets that are not predicted as changes.
    dropout : float
        Share of each layer's outputs that is dropped on the way to the next layer.
    delta : float
        Where the loss turns from square to straight, in standard deviations of the target. Small
        for series that mostly stand still and then jump: their best guess is the median.
    seed : int
        The same seed gives the same weights on the same machine.
    """

    hidden_sizes: tuple[int, ...] = (64,)
    epochs: int = 300
    window: int = 64
    batch: int = 8
    rate: float = 6e-3
    patience: int = 15
    cuts: int = 2
    shift: float = 0.5
    dropout: float = 0.0
    delta: float = 0.3
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """What a sweep came to.

    Attributes
    ----------
    number, epochs : int
        This sweep, from 1, and how many there are at most.
    loss : float
        Huber's loss over the training windows, scaled.
    validation : float
        Mean absolute error on the validation stretch, stepped from the start of the series, as a
        fraction of persistence's.
    best : float
        The lowest validation error so far.
    rate : float
        The learning rate.
    seconds : float
        Since training began.
    """

    number: int
    epochs: int
    loss: float
    validation: float
    best: float
    rate: float
    seconds: float


@dataclass(frozen=True)
class Fitted:
    """What training came to.

    Attributes
    ----------
    network : Network
        With the best weights.
    history : list of Epoch
        Every sweep that was finished.
    ended : str
        Why it ended: "settled" (no more progress), "epochs" (all done) or "interrupted".
    """

    network: Network
    history: list[Epoch]
    ended: str

    @property
    def best(self) -> Epoch:
        """The sweep after which the weights were best."""
        return min(self.history, key=lambda epoch: epoch.validation)


def fit(
    data: Dataset, settings: Settings, on_epoch: Callable[[Epoch], None] | None = None
) -> Fitted:
    """Train a network.

    Parameters
    ----------
    data : Dataset
        What to train on.
    settings : Settings
        How.
    on_epoch : callable, optional
        Called after each sweep. KeyboardInterrupt, from here or from anywhere during a sweep, ends
        training; the best weights so far are kept.

    Raises
    ------
    DataError
        If training diverged: errors are not finite any more.
    KeyboardInterrupt
        If it comes before the first sweep is done: then there is nothing to keep.
    """
    trainer = _Trainer(data, settings)
    history: list[Epoch] = []
    ended = "epochs"
    try:
        for number in range(1, settings.epochs + 1):
            epoch = trainer.sweep(number)
            history.append(epoch)
            if on_epoch:
                on_epoch(epoch)
            if trainer.settled:
                ended = "settled"
                break
    except KeyboardInterrupt:
        if not history:
            raise
        ended = "interrupted"
    trainer.network.theta[:] = trainer.best_weights
    return Fitted(trainer.network, history, ended)


class _Trainer:
    """The state of a training run between sweeps."""

    def __init__(self, data: Dataset, settings: Settings) -> None:
        self._data, self._settings = data, settings
        self._rng = np.random.default_rng(settings.seed)
        F, O = data.X.shape[1], data.D.shape[1]
        self.network = Network(F, settings.hidden_sizes, O)
        self.network.initialize(self._rng)
        self._averaged = Network(F, settings.hidden_sizes, O)
        self._averaged.theta[:] = self.network.theta
        self._replay = Replay(self._averaged, data)
        self._adam = Adam(self.network.theta)
        self._tapes: dict[int, Tape] = {}
        self._began = time.monotonic()
        self._best = np.inf
        self.best_weights = self.network.theta.copy()
        self._rate = settings.rate
        self._shift = np.float32(settings.shift if min(data.skip) >= 0 else 0)
        self._cuts_left, self._waited = settings.cuts, 0
        self.settled = False
        self._starts = data.window_starts(settings.window, self._rng)
        _, self._states = self._replay.run(self._starts)

    def sweep(self, number: int) -> Epoch:
        """Train on every window once, then validate."""
        B = self._settings.batch
        losses = [
            self._train_on(self._starts[at : at + B]) for at in range(0, len(self._starts), B)
        ]
        self._starts = self._data.window_starts(self._settings.window, self._rng)
        self._averaged.theta[:] = self._adam.average
        outputs, self._states = self._replay.run(self._starts)
        validation = self._validation_error(outputs)
        self._check_finite(number, losses, validation)
        rate = self._rate
        self._judge(validation)
        return Epoch(
            number,
            self._settings.epochs,
            float(np.mean(losses)),
            validation,
            self._best,
            rate,
            time.monotonic() - self._began,
        )

    def _check_finite(self, number: int, losses: Sequence[float], validation: float) -> None:
        """End a training that cannot recover; one bad batch among good ones is passed over."""
        if not (np.isfinite(losses).any() and np.isfinite(validation)):
            raise DataError(
                f"training diverged in sweep {number}: expected a finite error, got "
                f"{validation:g}; use a smaller learning rate, or look for extreme values in the "
                "data"
            )

    def _train_on(self, starts: NDArray[np.intp]) -> float:
        X, D, weights = self._data.windows(starts, self._settings.window)
        if self._shift:
            X += self._shift * self._rng.standard_normal((1, *X.shape[1:]), np.float32)
            weights[: len(X) // 8] = 0  # the state that is carried in has not seen the move
        tape = self._tape(len(starts))
        outputs = tape.forward(X, self._gathered(starts), self._dropout_masks(len(starts)))
        loss, d_outputs = huber(outputs, D, weights, self._settings.delta)
        self._adam.update(tape.backward(d_outputs), self._rate)
        return loss

    def _tape(self, B: int) -> Tape:
        if B not in self._tapes:
            self._tapes[B] = Tape(self.network, self._settings.window, B)
        return self._tapes[B]

    def _gathered(self, starts: NDArray[np.intp]) -> State:
        """Return the states that these windows begin in, float32[B, H] of each layer."""
        states = [self._states[int(row)] for row in starts]
        return [
            (
                np.stack([state[k][0] for state in states]),
                np.stack([state[k][1] for state in states]),
            )
            for k in range(len(self._settings.hidden_sizes))
        ]

    def _dropout_masks(self, B: int) -> Sequence[Array | None]:
        """Draw one mask a window, the same for all its steps (Gal and Ghahramani, 2016)."""
        keep = 1 - self._settings.dropout
        masks: list[Array | None] = [None] * len(self._settings.hidden_sizes)
        if keep < 1:
            for k, H in enumerate(self._settings.hidden_sizes[:-1]):
                masks[k] = (self._rng.random((B, H)) < keep).astype(np.float32) / np.float32(keep)
        return masks

    def _validation_error(self, outputs: Array) -> float:
        rows = self._data.validation_rows
        error = np.abs(outputs[rows] - self._data.D[rows]).mean(axis=0, dtype=np.float64)
        # A series that never moves has no error of persistence to compare with.
        return float(np.mean(error / np.maximum(self._data.persistence, 1e-9)))

    def _judge(self, validation: float) -> None:
        """Keep the weights if they are the best; else wait, cut the rate, or give up."""
        if validation < self._best:
            self._waited = 0 if validation < 0.9999 * self._best else self._waited + 1
            self._best = validation
            self.best_weights = self._averaged.theta.copy()
        else:
            self._waited += 1
        if self._waited >= self._settings.patience:
            self._waited = 0
            self._rate /= 3
            self.settled = self._cuts_left == 0
            self._cuts_left -= 1
