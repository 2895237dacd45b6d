"""Divides the capacity of a fleet: how many streams each worker may have in memory now."""

from __future__ import annotations

from collections.abc import Mapping


def slots_of(capacity: int) -> int:
    """Return for how many streams a worker reserves addresses, which cost no memory by themselves.

    One worker may be what is left of a fleet, and have all streams; some more, because limits
    follow what workers have with a delay.
    """
    return capacity + capacity // 8 + 64


def limits(capacity: int, streams: Mapping[str, int]) -> dict[str, int]:
    """Return how many streams each worker may have, given how many each has.

    What is free is offered to all, to each twice its share: streams do not come to all alike, and a
    worker that has died leaves its share to the others at once. The fleet may so exceed its
    capacity by as many streams as were free, if all come within the second until the next division.

    Parameters
    ----------
    capacity : int
        Of the fleet.
    streams : mapping of str to int
        In memory of each worker.
    """
    free = max(capacity - sum(streams.values()), 0)
    share = -(-2 * free // max(len(streams), 1))
    return {name: min(count + share, capacity) for name, count in streams.items()}
