"""Sequence numbers that rise and leave some out, as the offsets of a topic do.

A number of 2**63 or more is sparse: a stream takes any that is above its last one, and one that is
not is a duplicate. Its upper bits hold a generation, so that numbers which begin anew, as those of
a topic that was made anew, are above all that came before.
"""

from typing import NamedTuple

import numpy as np

from ..errors import BadValueError, shown

SPARSE = 2**63  # kernels/numbers.py
_SHIFT = 48
MAX_NUMBER, MAX_GENERATION = 2**_SHIFT - 1, 2**15 - 1


class Sparse(NamedTuple):
    """What a sparse sequence number stands for."""

    number: int
    generation: int


def sparse_seq(number: int, generation: int = 0) -> int:
    """Return a sequence number that its stream takes if it is above the last one.

    ``seq = 2**63 + generation * 2**48 + number``

    Parameters
    ----------
    number : int
        From 0 to 2**48 - 1: an offset, or a device's own count, that only rises.
    generation : int
        From 0 to 32,767; a higher one where numbers begin anew.

    Returns
    -------
    int
        For ``seq`` of all methods that take one.

    Raises
    ------
    BadValueError
        If one of them is out of range.

    Examples
    --------
    >>> sparse_seq(1_500) < sparse_seq(1_507) < sparse_seq(0, generation=1)
    True
    """
    for name, value, limit in (
        ("number", number, MAX_NUMBER),
        ("generation", generation, MAX_GENERATION),
    ):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not 0 <= value <= limit:
            raise BadValueError(
                f"{name}: expected an integer from 0 to {limit}, got {shown(value)}."
            )
    return SPARSE + (int(generation) << _SHIFT) + int(number)


def split_seq(seq: int) -> Sparse | None:
    """Return what a sparse number stands for; None if it is not sparse."""
    if seq < SPARSE:
        return None
    return Sparse(seq & MAX_NUMBER, seq >> _SHIFT & MAX_GENERATION)


def shown_seq(seq: int) -> str:
    """Return a sequence number as it is shown to people."""
    sparse = split_seq(seq)
    if sparse is None:
        return str(seq)
    generation = f", generation {sparse.generation}" if sparse.generation else ""
    return f"{sparse.number} (sparse{generation})"
