"""The partitions of ids that a client has seen before: a look into a dict instead of a hash."""

from __future__ import annotations

from collections.abc import Sequence

from ... import wire
from ...engine.partitions import partitions_of

_MAX_KNOWN = 2**17  # ids, with some 100 bytes each


class PartitionMemory:
    """Returns the partitions of ids."""

    def __init__(self) -> None:
        self._known: dict[wire.StreamId, int] = {}
        self.get = self._known.get  # the partition of an id, or None

    def of(self, streams: Sequence[wire.StreamId]) -> list[int]:
        """Return the partition of each of some valid ids."""
        known = self._known
        unknown = [stream for stream in streams if stream not in known]
        if not unknown:
            return [known[stream] for stream in streams]
        found: list[int] = partitions_of(streams).tolist()
        if len(known) + len(unknown) > _MAX_KNOWN:
            known.clear()
        known.update(zip(streams[:_MAX_KNOWN], found, strict=False))
        return found
