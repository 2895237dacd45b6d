"""Evaluators: independent ways to compute a network, with which a converted model is compared."""

from collections.abc import Callable
from typing import NamedTuple

from .weights import Float64Array


class Evaluator(NamedTuple):
    """A way to compute the network in a file.

    Attributes
    ----------
    name : str
        The runtime, for messages.
    compute : callable
        From X float64[T, F] and O to Y float64[N, O], the outputs for the last N observations.
    caveat : str
        What the comparison leaves out, appended to the name; empty if nothing.
    """

    name: str
    compute: Callable[[Float64Array, int], Float64Array]
    caveat: str = ""
