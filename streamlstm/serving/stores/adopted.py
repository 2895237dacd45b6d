"""Partitions of a worker that has died, and where their streams are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...engine.partitions import partitions_of
from ...engine.records import stream_from_key
from .lmdb.base import Base

PARTITIONS = 1024
SCANNED = 256  # keys that are looked at together, half a millisecond if all are copied


class Adopted:
    """Reads streams of partitions from folders, each of which counts before the next one.

    Parameters
    ----------
    partitions : sequence of int
    bases : sequence of Base
    """

    def __init__(self, partitions: Sequence[int], bases: Sequence[Base]) -> None:
        self._wanted = wanted(partitions)
        self._bases = list(bases)
        self._copying, self._after = 0, b""  # how far the copy is,
        self._next = b""  # and how far when what was returned last is copied, too

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the records of those keys that are here.

        Raises
        ------
        StoreError
            If they cannot be read.
        """
        return self.read(self._of_these(keys))

    def read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the records of keys of these partitions, as :meth:`get`."""
        found: dict[bytes, bytes] = {}
        for base in self._bases:
            missing = [key for key in keys if key not in found] if found else keys
            records = zip(missing, base.get(missing), strict=True)
            found |= {key: record for key, record in records if record is not None}
        return found

    def next_keys(self) -> list[bytes] | None:
        """Return the next keys to copy, a part at a time; None when there are no more.

        They are the same until :meth:`note_copied`.
        """
        while self._copying < len(self._bases):
            keys = self._bases[self._copying].keys(b"", self._after, SCANNED)
            if keys:
                self._next = keys[-1]
                return self._of_these(keys)
            self._copying, self._after = self._copying + 1, b""
        return None

    def note_copied(self) -> None:
        """Note that what :meth:`next_keys` returned is copied."""
        self._after = self._next

    def page(self, prefix: bytes, after: bytes, count: int) -> dict[bytes, bytes]:
        """Return the next streams, as :meth:`.store.Store.page`."""
        found: set[bytes] = set()
        for base in self._bases:
            start, mine = after, 0
            while mine < count and (keys := base.keys(prefix, start, SCANNED)):
                start = keys[-1]
                these = self._of_these(keys)
                found.update(these)
                mine += len(these)
        return self.read(sorted(found)[:count])

    def _of_these(self, keys: Sequence[bytes]) -> list[bytes]:
        return of_partitions(keys, self._wanted)


def wanted(partitions: Sequence[int]) -> NDArray[np.uint8]:
    """Return uint8[PARTITIONS] with 1 for each of these partitions."""
    found: NDArray[np.uint8] = np.zeros(PARTITIONS, np.uint8)
    found[list(partitions)] = 1
    return found


def of_partitions(keys: Sequence[bytes], wanted: NDArray[np.uint8]) -> list[bytes]:
    """Return those keys whose partition is 1 in ``wanted``."""
    if not keys:
        return []
    chosen = wanted[partitions_of([stream_from_key(key) for key in keys])]
    return [key for key, mine in zip(keys, chosen.tolist(), strict=True) if mine]
