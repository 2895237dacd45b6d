"""Heads: how outputs are made of the last hidden state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..network.layers import Dense
from .cells.block import Exported

Array = NDArray[Any]


class Head:
    """Makes O outputs of R linear values, ``[h, 1] @ W``; this one passes them on.

    Parameters
    ----------
    raw_size : int
        R.
    output_size : int
        O.

    Attributes
    ----------
    outputs_per_target : int
        How many outputs in a row speak of the same target.
    """

    outputs_per_target = 1
    shrinks = False
    """Whether there is less of the outputs than all to keep: `shrunk` and `shrink`."""

    def __init__(self, raw_size: int, output_size: int) -> None:
        self.raw_size, self.output_size = raw_size, output_size

    def names(self, targets: Sequence[str]) -> list[str]:
        """Return the names of the outputs, given those of the targets."""
        return list(targets)

    def initialize(self, W: Array) -> None:
        """Set what of the small random weights, float[H + 1, R], should begin otherwise."""

    def forward(self, raw: Array) -> Array:
        """Return the outputs, float[T, B, O], of the linear values, float[T, B, R]."""
        return raw

    def backward(self, raw: Array, d_output: Array) -> Array:  # noqa: ARG002 - of heads that bend it
        """Return the gradient by the linear values."""
        return d_output

    def shrunk(self, outputs: Array, share: float) -> Array:  # noqa: ARG002
        """Return outputs, float[n, O], of which so much is kept of each target's forecast."""
        return outputs

    def shrink(self, W: Array, shares: Array) -> None:
        """Keep so much of each target's forecast.

        Parameters
        ----------
        W : float[H + 1, R]
            Changed in place.
        shares : float[K]
        """

    def export(self, W: Array) -> list[Exported]:
        """Return layers and weights that compute the same in a `Model`."""
        weights = {"weight": W[:-1].T.copy(), "bias": W[-1].copy()}
        return [(Dense(len(W) - 1, self.raw_size), weights)]

    def load(self, W: Array, weights: Mapping[str, Array]) -> None:
        """Set the parameters from the weights of the first layer that `export` returned."""
        W[:-1], W[-1] = weights["weight"].T, weights["bias"]


class SoftmaxHead(Head):
    """Probabilities of C classes, or their logarithms; the outputs of training are logits.

    Parameters
    ----------
    classes : sequence of str
        Names of the classes, and of the outputs.
    logarithms : bool
    """

    def __init__(self, classes: Sequence[str], logarithms: bool) -> None:
        super().__init__(len(classes), len(classes))
        self.outputs_per_target = len(classes)
        self._classes = list(classes)
        self._activation = "log_softmax" if logarithms else "softmax"

    def names(self, targets: Sequence[str]) -> list[str]:  # noqa: ARG002 - of other heads
        """Return the names of the classes."""
        return self._classes

    def export(self, W: Array) -> list[Exported]:
        """Return one dense layer."""
        ((_, weights),) = super().export(W)
        return [(Dense(len(W) - 1, self.raw_size, self._activation), weights)]


class LinearHead(Head):
    """O linear outputs."""

    shrinks = True

    def __init__(self, output_size: int) -> None:
        super().__init__(output_size, output_size)

    def shrunk(self, outputs: Array, share: float) -> Array:
        """Return outputs multiplied by a share."""
        return outputs * share

    def shrink(self, W: Array, shares: Array) -> None:
        """Multiply each output by a share of its own."""
        W *= shares.astype(W.dtype)
