"""Who gets the partitions of a worker that has died: those that live, so that each has as many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def spread(
    partitions: Iterable[int], counts: Mapping[str, int], barred: Mapping[int, str]
) -> dict[str, list[int]]:
    """Return which worker gets which of these partitions; nothing else moves.

    Parameters
    ----------
    partitions : iterable of int
    counts : mapping of str to int
        How many the workers that live have already.
    barred : mapping of int to str
        A worker that cannot have a partition now; one that nobody else can have is left out.
    """
    having = dict(counts)
    found: dict[str, list[int]] = {}
    for partition in partitions:
        able = [name for name in having if name != barred.get(partition)]
        if able:
            heir = min(able, key=having.__getitem__)
            having[heir] += 1
            found.setdefault(heir, []).append(partition)
    return found
