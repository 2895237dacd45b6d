"""Which partitions to move next, so that workers have as many each."""

from __future__ import annotations

from collections.abc import Mapping


def next_move(
    counts: Mapping[str, int], leaving: set[str], at_once: int
) -> tuple[str, str, int] | None:
    """Return from whom to whom how many partitions move next; None if all is well.

    Parameters
    ----------
    counts : mapping of str to int
        Partitions of each worker.
    leaving : set of str
        Workers that are to have none.
    at_once : int
        Partitions that move together at most.
    """
    staying = {name: count for name, count in counts.items() if name not in leaving}
    if not staying:
        return None
    least = min(staying, key=lambda name: staying[name])
    for name in leaving:
        if counts.get(name, 0):
            return name, least, min(counts[name], at_once)
    most = max(staying, key=lambda name: staying[name])
    surplus = (staying[most] - staying[least]) // 2
    return (most, least, min(surplus, at_once)) if surplus else None
