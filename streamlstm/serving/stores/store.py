"""The interface of stores, which hold the streams of a worker outside of its memory.

engine/records.py describes keys and records. Beside them a store has a header, with their format
and their model, so that streams of another model are never taken for those of this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from ...errors import StoreError
from .header import Header

# Keys and records; may be iterated over several times.
Pairs: TypeAlias = Iterable[tuple[bytes, bytes | memoryview]]


class FencedError(StoreError):
    """Another worker owns the store now, and what this one has in memory is out of date."""


class Loss(NamedTuple):
    """That a store has lost what was committed to it.

    Attributes
    ----------
    reason : str
        What was found there, for the log.
    left : int
        Streams that it had then.
    """

    reason: str
    left: int


class Store(Protocol):
    """Keys and records of streams; every method may raise StoreError.

    A store is made of its place, a :class:`Header` and what to do with streams of another model
    (``Header.accept`` decides). It keeps the header beside the records; no method counts or returns
    that as a record. ``commit`` and ``check`` run in another thread than ``get`` and
    ``page``. Its records are
    views of memory that is used again afterwards: a store that keeps them copies them.

    Attributes
    ----------
    kind, place : str
        What it is and where, for messages.
    loss : Loss or None
        That it has lost what was committed, as ``commit`` or ``check`` found, so that what is in
        memory has to be written again; who has read it sets it to None.
    intact : bool
        Whether it holds what was committed, as far as can be told within microseconds. If not, the
        next commit finds out: it mends it, or fails.
    header : Header
    path : Path or None
        Its folder, if it is one of this machine.
    """

    kind: str
    place: str
    loss: Loss | None
    header: Header

    @property
    def path(self) -> Path | None:
        """As above."""

    @property
    def intact(self) -> bool:
        """As above."""

    def count(self) -> int:
        """Return how many streams it holds."""

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return the next streams in the order of their keys, with their records.

        Parameters
        ----------
        prefix : bytes
            Only keys that begin with it.
        after : bytes
            Only keys after it; it need not exist.
        count : int
            How many at most.
        """

    def keys(self, prefix: bytes, after: bytes, count: int) -> list[bytes]:
        """Return the next keys in their order; parameters are those of :meth:`page`."""

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records; all of it or nothing.

        Raises
        ------
        FencedError
            If another worker owns the store now; every other StoreError may pass.
        """

    def check(self) -> None:
        """Find out whether the store is as it was left; called once a second while none commits.

        Raises
        ------
        FencedError
            As for :meth:`commit`.
        """

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""

    def close(self) -> None:
        """Close it."""
