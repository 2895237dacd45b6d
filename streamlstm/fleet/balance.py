"""Which partitions to move next, so that workers have as much to do each. Pure functions.

A partition weighs in part as much as its share of the observations of all, in part simply as one of
1,024: streams need memory too, and a partition that is quiet now may not stay so. Partitions stay
where they are until workers differ much; then a few at a time move from the one with most to the
one with least, never more than half of the difference. So the worker that gives still has as much
as the one that takes, and nothing moves back for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import wire

BY_LOAD = 0.75  # share of the weight that goes by observations, where there are any
WIDE = 0.25  # of a worker's fair share: a difference from which on partitions begin to move,
NARROW = 0.05  # and down to which they go on
QUIET = 100.0  # observations a second of the whole fleet below which load says nothing


class Shift(NamedTuple):
    """Partitions that should move from a worker to another one."""

    before: str
    after: str
    partitions: list[int]


def weights(loads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of each partition, float64[PARTITIONS] with the sum 1.

    Parameters
    ----------
    loads : float64[PARTITIONS]
        Observations a second.
    """
    even = np.full(wire.PARTITIONS, 1 / wire.PARTITIONS)
    total = float(loads.sum())
    by_load = BY_LOAD * min(total / QUIET, 1.0)
    return even if total <= 0 else by_load * loads / total + (1 - by_load) * even


def next_shift(
    owned: Mapping[str, Sequence[int]],
    leaving: set[str],
    weight: NDArray[np.float64],
    tolerance: float,
    at_once: int,
) -> Shift | None:
    """Return which partitions move next; None if all is well.

    Parameters
    ----------
    owned : mapping of str to sequence of int
        Partitions of each worker.
    leaving : set of str
        Workers that are to have none.
    weight : float64[PARTITIONS]
        Of each partition.
    tolerance : float
        Difference of two workers that is let be, as a part of a fair share.
    at_once : int
        Partitions that move together at most.
    """
    have = {name: float(weight[list(mine)].sum()) for name, mine in owned.items()}
    staying = [name for name in owned if name not in leaving]
    if not staying:
        return None
    least = min(staying, key=have.__getitem__)
    for name, mine in owned.items():  # in their order: the same is decided wherever it is
        if name in leaving and mine:
            return Shift(name, least, list(mine)[-at_once:])
    for most in sorted(staying, key=have.__getitem__, reverse=True):
        difference = have[most] - have[least]
        if difference <= tolerance / len(staying):
            return None
        # Nothing of the first one fits if it is busy with a single partition.
        if chosen := _fitting(list(owned[most]), weight, difference / 2, at_once):
            return Shift(most, least, chosen)
    return None


def _fitting(mine: list[int], weight: NDArray[np.float64], room: float, at_once: int) -> list[int]:
    """Return a few partitions that together weigh no more than ``room``, the heaviest first."""
    chosen: list[int] = []
    for partition in sorted(mine, key=lambda each: (-weight[each], each)):
        if weight[partition] <= room * (1 + 1e-9):
            chosen.append(partition)
            room -= float(weight[partition])
            if len(chosen) == at_once:
                break
    return chosen
