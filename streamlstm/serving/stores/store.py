"""Where streams are kept beside a worker's memory: what every store does, and which there are.

What a record holds stands in engine/dirty.py. Beside the streams a store has a header that
says in which format they are and of which model, so that the streams of another are never taken for
this one's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

from .header import Header

# Keys and records; may be gone through several times.
Pairs: TypeAlias = Iterable[tuple[bytes, bytes | memoryview]]


class Store(Protocol):
    """Keys and records of streams; every method may raise StoreError.

    Attributes
    ----------
    kind, place : str
        What it is and where, for people.
    shared : bool
        Whether others may write to it while it is open.
    emptied : bool
        Whether it was found empty by a commit, so that what was in it is to be written again.
    header : Header
        What it says that it is of.
    """

    kind: str
    place: str
    shared: bool
    emptied: bool
    header: Header

    def count(self) -> int:
        """Return how many streams it holds."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]] | None:
        """Return the next streams in the order of their keys, with their records.

        Parameters
        ----------
        prefix : bytes
            Only keys that begin so.
        after : bytes
            The key behind which to begin; it need not exist.
        count : int
            How many at most.

        Returns
        -------
        list of (bytes, bytes) or None
            None if this store has no order, and cannot tell without going through all of them.
        """

    def commit(self, gone: Sequence[bytes], pairs: Pairs) -> None:
        """Remove streams, then write records; all of it or nothing."""

    def set_header(self, header: Header) -> None:
        """Say of what it is from now on; from any thread."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""

    def close(self) -> None:
        """Let go of it."""
