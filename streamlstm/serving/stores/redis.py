"""Stores streams in Redis, which machines may share: one hash of streams, one MULTI a commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ...errors import StoreError
from .header import Header
from .store import Pairs

HEADER, STREAMS = "streamlstm", "streamlstm:streams"  # keys
READ_SECONDS = 0.25  # for which the loop may wait for a stream
WRITE_SECONDS = 10.0
_FIELDS = 1000  # in one command
_NOT_INSTALLED = "the package redis is not installed; pip install 'streamlstm[redis]'"


class RedisStore:
    """A store in Redis.

    Parameters
    ----------
    url : str
        As the package redis takes it: ``redis://HOST:PORT/NUMBER``, ``rediss://``, ``unix://``.
    header : Header
        What the store must be of.
    other : {"refuse", "keep"}
        What to do with streams of another model.

    Attributes
    ----------
    kind, place, shared, emptied, intact, header
        As in :class:`.store.Store`; the place is without its password.

    Raises
    ------
    StoreError
        If it cannot be reached, or holds streams of another model.
    """

    kind, shared, intact = "redis", True, True

    def __init__(self, url: str, header: Header, other: str = "refuse") -> None:
        try:
            import redis
        except ImportError:
            raise StoreError(f"--store redis://: {_NOT_INSTALLED}.") from None
        self.emptied = False
        self._error: Any = redis.RedisError
        self.header = header
        scheme, _, rest = url.partition("://")
        self.place = f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
        try:
            self._reader, self._writer = (
                redis.Redis.from_url(url, socket_timeout=wait, socket_connect_timeout=wait)
                for wait in (READ_SECONDS, WRITE_SECONDS)
            )
            self._replace_header(other)
            self._check()
        except (redis.RedisError, ValueError) as error:
            raise self._failed("opened", error) from None

    def _check(self) -> bool:
        """Check the header, or write it into an empty store; return whether it was empty."""
        empty = bool(self._writer.set(HEADER, self.header.encode(), nx=True))
        found: Any = self._writer.get(HEADER)
        self.header.accept(found or b"", self.place)
        return empty

    def _replace_header(self, other: str) -> None:
        """Replace the header of another model or of a former format, if streams may continue."""
        if other == "anew":
            raise StoreError(
                f"{self.place}: workers may share it, and running ones would continue with the "
                "model before; to restart all streams choose an empty one, as with another "
                "number after the port."
            )

        def replace(pipe: Any) -> None:
            found = pipe.get(HEADER)
            pipe.multi()
            if found is not None:
                self.header = self.header.accept(found, self.place, other)
                pipe.set(HEADER, self.header.encode())

        self._writer.transaction(replace, HEADER)

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""
        before, self.header = self.header, header
        try:
            self._replace_header("anew" if header.epoch else "keep")
        except self._error as error:
            self.header = before
            raise self._failed("written", error) from None
        except BaseException:
            self.header = before
            raise

    def count(self) -> int:
        """Return how many streams it holds."""
        try:
            number: Any = self._writer.hlen(STREAMS)
        except self._error as error:
            raise self._failed("read", error) from None
        return int(number)

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""
        try:
            found: Any = self._reader.hmget(STREAMS, list(keys))
        except self._error as error:
            raise self._failed("read", error) from None
        return list(found)

    def page(self, prefix: bytes, after: bytes, count: int) -> None:
        """Return None: the fields of a hash have no order."""

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records; all of it or nothing."""
        remaining = iter(pairs)
        try:
            # Another Redis may have taken its place, or an empty one.
            self.emptied = self._check() or self.emptied
            with self._writer.pipeline(transaction=True) as pipe:
                if deleted:
                    pipe.hdel(STREAMS, *deleted)
                while chunk := dict(islice(remaining, _FIELDS)):
                    pipe.hset(STREAMS, mapping=chunk)
                pipe.execute()
        except self._error as error:
            raise self._failed("written", error) from None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""
        seen: set[bytes] = set()  # a scan may give a field twice while the hash grows
        try:
            for key, record in self._writer.hscan_iter(STREAMS, count=_FIELDS):
                if key not in seen:
                    seen.add(key)
                    yield key, record
        except self._error as error:
            raise self._failed("read", error) from None

    def close(self) -> None:
        """Close its connections."""
        self._reader.close()
        self._writer.close()

    def _failed(self, what: str, error: Exception) -> StoreError:
        return StoreError(f"{self.place}: cannot be {what}: {error}.")
