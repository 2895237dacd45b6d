"""One signal of a call of a module: a series of vectors, by what computes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ConvertError
from ..common.error_context import AdvisedError
from ..common.weights import Float64Array
from .layers import TorchLayer

Labels = NDArray[np.int64]
CONSTANT = -1  # the label of a number that does not come from the input


class StreamsMixedError(ConvertError):
    """Values of several streams meet, as in a call with the axes in another order."""


class WindowNeededError(AdvisedError):
    """Several steps meet, which only a window has."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text}: give the number of its rows (window=T)")


class BranchesError(ConvertError):
    """Signals are joined that no single layer computes."""


@dataclass(eq=False)
class Signal:
    """A series of vectors, by what computes them.

    Attributes
    ----------
    width : int
        N.
    first : int
        Label of its first number; that of value n at position p is ``first + p * width + n``.
    source : Signal, optional
        What ``layer`` takes; None for the input, and for a sum.
    layer : TorchLayer, optional
        What computes it from the source.
    terms : sequence of (Signal, float64[N, M])
        Where it is affine: ``sum(matrix @ signal) + bias``, of the source or of several signals.
    bias : float64[N]
    hidden : str
        What it is, if no layer returns it, such as a cell state; it cannot be brought.
    rows : int
        T, its vectors for each stream; a layer over a window may make other numbers of them.
    """

    width: int
    first: int
    source: "Signal | None" = None
    layer: TorchLayer | None = None
    terms: "Sequence[tuple[Signal, Float64Array]]" = ()
    bias: Float64Array | None = None
    hidden: str = ""
    rows: int = 1

    @property
    def mixed(self) -> bool:
        """Whether it is a sum of several signals, which no layer computes."""
        return len(self.terms) > 1 or any(signal.mixed for signal, _ in self.terms)

    @property
    def depth(self) -> int:
        """Number of steps from the input."""
        below = [signal for signal, _ in self.terms] + ([self.source] if self.source else [])
        return 1 + max((signal.depth for signal in below), default=0)

    @property
    def name(self) -> str:
        """Name for messages."""
        if self.hidden:
            return self.hidden
        if self.layer is not None:
            return self.layer.name
        return " and ".join(dict.fromkeys(s.name for s, _ in self.terms)) or "the input"


class Located(NamedTuple):
    """Labels taken apart: number of the signal (-1: a constant), position, value; as the labels."""

    signal: Labels
    position: Labels
    value: Labels
