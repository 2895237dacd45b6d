"""What is known while the operations of a network are followed."""

from collections.abc import Sequence

from .signals import Signal, Signals


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
        Of each signal of attention scores its queries and keys; of each softmax of one these, and
        the factor of the scores.
    """

    def __init__(self, signals: Signals, path: Sequence[str]) -> None:
        self.signals = signals
        self.path = list(path)
        self.scores: dict[Signal, tuple[Signal, Signal]] = {}
        self.shares: dict[Signal, tuple[Signal, Signal, float]] = {}

    @property
    def where(self) -> str:
        """Name of what is followed."""
        return self.path[-1]
