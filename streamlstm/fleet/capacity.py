"""Divides the capacity of a fleet: how many streams each worker may have in memory now."""

from __future__ import annotations

from collections.abc import Mapping


def slots_of(capacity: int) -> int:
    """Return for how many streams a worker reserves addresses, which cost no memory by themselves.

    One worker may be what is left of a fleet, and have all streams; some more, because limits
    follow what workers have with a delay.
    """
    return capacity + capacity // 8 + 64


def limits(capacity: int, streams: Mapping[str, int], evicts: bool = False) -> dict[str, int]:
    """Return how many streams each worker may have, given how many each has.

    What is free is offered to all, to each twice its share: streams do not come to all alike, and a
    worker that has died leaves its share to the others at once. The fleet may so exceed its
    capacity by as many streams as were free, if all come within the second until the next division.
    No worker may have nothing, however many the others have, since then it could serve nobody: it
    has an even part of the capacity if streams are evicted, and those who have more than that give
    up what is above the capacity; else an eighth of that.

    Parameters
    ----------
    capacity : int
        Of the fleet.
    streams : mapping of str to int
        In memory of each worker.
    evicts : bool
        Whether streams that are idle leave memory for others.
    """
    even = -(-capacity // max(len(streams), 1))
    least = even if evicts else -(-even // 8)
    free = capacity - sum(streams.values())
    share = -(-2 * max(free, 0) // max(len(streams), 1))
    found = {name: min(max(n + share, least), capacity) for name, n in streams.items()}
    surplus = sum(max(n - even, 0) for n in streams.values())
    if evicts and free < 0 and surplus:
        kept = max(surplus + free, 0)
        found |= {k: even + (n - even) * kept // surplus for k, n in streams.items() if n > even}
    return found
