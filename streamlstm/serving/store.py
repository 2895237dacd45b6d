"""Where streams are kept beside a worker's memory: what every store does, and which there are.

What a record holds stands in streamlstm/changes.py. Beside the streams a store has a header that
says in which format they are and of which model, so that the streams of another are never taken for
this one's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from ..changes import FORMAT
from ..errors import StoreError

# No stream's key: those that begin with a zero byte have nine.
HEADER_KEY = b"\0streamlstm"


# Keys and records; may be gone through several times.
Pairs: TypeAlias = Iterable[tuple[bytes, bytes | memoryview]]


class Header(NamedTuple):
    """What a store is of."""

    model: str  # fingerprint
    record_size: int  # bytes
    format: int = FORMAT

    def encode(self) -> bytes:
        """Return what a store keeps."""
        return json.dumps(self._asdict()).encode()

    def check(self, found: bytes, place: str) -> None:
        """Raise if what a store keeps is another header.

        Raises
        ------
        StoreError
        """
        try:
            kept = json.loads(found)
            other = Header(str(kept["model"]), int(kept["record_size"]), int(kept["format"]))
        except (ValueError, KeyError, TypeError):
            raise StoreError(
                f"{place}: expected a store of streamlstm, got something else; choose another "
                "place."
            ) from None
        if other.format != self.format:
            raise StoreError(
                f"{place}: is of format {other.format}, this streamlstm reads {self.format}; "
                "choose another place, or the version that wrote it."
            )
        if other.model != self.model:
            raise StoreError(
                f"{place}: holds streams of the model {other.model[:8]}, this worker runs "
                f"{self.model[:8]}; choose another place, or that model."
            )
        if other.record_size != self.record_size:
            raise StoreError(
                f"{place}: holds records of {other.record_size} bytes, this worker has "
                f"{self.record_size}; it was written on a processor with vectors of another width, "
                "and can be used on such a one only."
            )


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
    """

    kind: str
    place: str
    shared: bool
    emptied: bool

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

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""

    def close(self) -> None:
        """Let go of it."""


def open_store(where: str, header: Header) -> Store:
    """Open the store that ``--store`` names, or make it.

    Parameters
    ----------
    where : str
        ``lmdb:PATH``, or ``redis://HOST:PORT/NUMBER`` (also ``rediss://`` and ``unix://``).
    header : Header
        What it must be of.

    Raises
    ------
    StoreError
        If there is no such kind of store, it cannot be opened, or it is of something else.
    """
    kind, _, path = where.partition(":")
    if kind == "lmdb" and path:
        from .lmdb_store import LmdbStore

        return LmdbStore(path, header)
    if kind in ("redis", "rediss", "unix"):
        from .redis_store import RedisStore

        return RedisStore(where, header)
    raise StoreError(f"--store: expected lmdb:PATH, redis://HOST:PORT or memory, got {where!r}.")
