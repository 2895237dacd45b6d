"""The interface of stores, which hold the streams of a worker outside of its memory.

engine/records.py describes keys and records. Beside them a store has a header, with their format
and their model, so that streams of another model are never taken for those of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

from .header import Header

# Keys and records; may be iterated over several times.
Pairs: TypeAlias = Iterable[tuple[bytes, bytes | memoryview]]


class Store(Protocol):
    """Keys and records of streams; every method may raise StoreError.

    A store is made of its place, a :class:`Header` and what to do with streams of another model
    (``Header.accept`` decides). It keeps the header beside the records; no method counts or returns
    that as a record. ``commit`` runs in another thread than ``get`` and ``page``. Its records are
    views of memory that is used again afterwards: a store that keeps them copies them.

    Attributes
    ----------
    kind, place : str
        What it is and where, for messages.
    shared : bool
        Whether others may write to it while it is open.
    emptied : bool
        Whether a commit found it empty, so that what was in it has to be written again.
    intact : bool
        Whether it holds what was committed, as far as can be told within microseconds. If not, the
        next commit finds out: it mends it, or fails.
    header : Header
    """

    kind: str
    place: str
    shared: bool
    emptied: bool
    header: Header

    @property
    def intact(self) -> bool:
        """As above."""

    def count(self) -> int:
        """Return how many streams it holds."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]] | None:
        """Return the next streams in the order of their keys, with their records.

        Parameters
        ----------
        prefix : bytes
            Only keys that begin with it.
        after : bytes
            Only keys after it; it need not exist.
        count : int
            How many at most.

        Returns
        -------
        list of (bytes, bytes) or None
            None if this store has no order, so that a page would cost a scan of all streams.
        """

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records; all of it or nothing."""

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""

    def close(self) -> None:
        """Close it."""
