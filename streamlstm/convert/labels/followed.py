"""What is known while the operations of a network are followed."""

from collections.abc import Sequence
from typing import NamedTuple

from .signals import Signal, Signals


class Scores(NamedTuple):
    """Attention scores: the products of the rows of queries and keys, times a number.

    With ``causal``, those of later rows than that of the query are left out.
    """

    query: Signal
    key: Signal
    scale: float = 1.0
    causal: bool = False


class Followed:
    """The signals of a network, and what is not made of layers yet.

    Parameters
    ----------
    signals : Signals
    path : sequence of str
        Names of what is followed, the innermost last.

    Attributes
    ----------
    scores, shares : dict
        What each signal of attention scores is, and of which scores each signal of shares is the
        softmax.
    """

    def __init__(self, signals: Signals, path: Sequence[str]) -> None:
        self.signals = signals
        self.path = list(path)
        self.scores: dict[Signal, Scores] = {}
        self.shares: dict[Signal, Scores] = {}

    @property
    def where(self) -> str:
        """Name of what is followed."""
        return self.path[-1]
