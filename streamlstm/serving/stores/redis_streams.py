"""Reads the streams of one store in Redis, whoever owns it, and says what fails in one sentence."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ...errors import StoreError
from .redis_namespace import RedisNamespace

_LOG = logging.getLogger(__name__)

LOG_SECONDS = 2.0  # between two lines about a long work
_SCANNED = 1000  # streams read at a time
_NOT_INSTALLED = "the package redis is not installed; pip install redis"


class RedisStreams:
    """The streams of one store in Redis.

    Parameters
    ----------
    url : str
        As for :class:`.redis.RedisStore`.

    Attributes
    ----------
    kind, place, path
        As in :class:`.store.Store`; the place is without its password.
    space : RedisNamespace
    error : type of Exception
        That of the package redis.

    Raises
    ------
    StoreError
        If the URL is malformed, or the package redis is not installed.
    """

    kind, path = "redis", None

    def __init__(self, url: str) -> None:
        try:
            import redis
        except ImportError:
            raise StoreError(f"--store redis://: {_NOT_INSTALLED}.") from None
        self.error: Any = redis.RedisError
        url, prefix, self.place = _parse(url)
        try:
            self.space = RedisNamespace(url, prefix)
        except ValueError as error:
            raise StoreError(f"{self.place}: cannot be opened: {sentence(error)}") from None

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Close the connections, and raise StoreError, if what is done with them first fails."""
        try:
            with self.failing("opened"):
                try:
                    yield
                except TypeError as error:  # an option that redis does not know, at its first use
                    raise StoreError(f"{self.place}: cannot be opened: {sentence(error)}") from None
        except BaseException:
            self.space.close()
            raise

    def count(self) -> int:
        """Return how many streams it holds, as of the last commit."""
        return self.space.count

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""
        with self.failing("read"):
            return list(self.space.reader.hmget(self.space.streams, list(keys)))

    def keys(self, prefix: bytes, after: bytes, count: int) -> list[bytes]:
        """Return the next keys in their order."""
        with self.failing("read"):
            return list(self._keys_after(prefix, after, count))

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return the next streams in the order of their keys, with their records."""
        space = self.space
        with self.failing("read"):
            while keys := self._keys_after(prefix, after, count):
                records = space.reader.hmget(space.streams, keys)
                found = [(k, r) for k, r in zip(keys, records, strict=True) if r is not None]
                if found:
                    return found
                after = keys[-1]  # all were deleted in between
        return []

    def _keys_after(self, prefix: bytes, after: bytes, count: int) -> Any:
        start = b"(" + after if after >= prefix else b"[" + prefix
        end = b"(" + prefix + b"\xff" if prefix else b"+"  # no byte of UTF-8 is 255
        return self.space.reader.zrangebylex(self.space.order, start, end, 0, count)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""
        seen: set[bytes] = set()
        with self.failing("read"):
            for key, record in self.space.scan(_SCANNED):
                if key not in seen:
                    seen.add(key)
                    yield key, record

    def complete_order(self, renew: Callable[[], object]) -> None:
        """Write the order again where it is not that of all streams, as before there was one.

        Parameters
        ----------
        renew : callable
            Called every second or two.
        """
        count = self.space.count
        if self.space.ordered == count:
            return
        _LOG.warning("%s: sorting the keys of its %d streams, once", self.place, count)
        self.space.writer.delete(self.space.order)
        streams, done, due = self.space.scan(_SCANNED), 0, time.monotonic() + LOG_SECONDS
        while keys := [key for key, _ in islice(streams, _SCANNED)]:
            self.space.writer.zadd(self.space.order, dict.fromkeys(keys, 0))
            done += len(keys)
            if time.monotonic() >= due:
                due = time.monotonic() + LOG_SECONDS
                _LOG.info("%s: sorted %d of %d keys", self.place, done, count)
                renew()

    @contextmanager
    def failing(self, what: str) -> Iterator[None]:
        """Raise StoreError for an error of Redis."""
        try:
            yield
        except self.error as error:
            raise StoreError(f"{self.place}: cannot be {what}: {sentence(error)}") from None


def sentence(error: Exception) -> str:
    """Return what an error of the package redis says, with one full stop."""
    return f"{str(error).rstrip('.')}."


def _parse(url: str) -> tuple[str, str, str]:
    """Return a URL without our own options, the prefix of keys, and the place for messages."""
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    prefix = options.pop("prefix", None)
    scheme, _, rest = base.partition("://")
    place = f"{scheme}://{rest.rpartition('@')[2]}"
    number = rest.partition("/")[2] if scheme != "unix" else ""
    if number and not number.isdecimal():
        raise StoreError(f"{place}: expected the number of a database after the port.")
    if prefix == "":
        raise StoreError(f"{place}: expected a name after prefix=, got none; or leave it out.")
    shown = {"db": options["db"]} if "db" in options else {}
    shown |= {"prefix": prefix} if prefix else {}
    if shown:
        place += f"?{urlencode(shown)}"
    return f"{base}?{urlencode(options)}" if options else base, prefix or "", place
