"""Stores streams in Redis, which other machines reach too: one script a commit.

A namespace of keys belongs to one worker at a time, its owner. Each commit checks, in the script
that writes it, that it does so still, and that nothing of what was committed before has gone.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl, urlencode

from ...errors import StoreError
from .header import Header
from .owner import Owner
from .redis_namespace import Found, RedisNamespace, State
from .store import FencedError, Loss, Pairs

_LOG = logging.getLogger(__name__)

LOG_SECONDS = 2.0  # between two lines about a long work
LOOK_SECONDS = 0.1  # between two looks at a lease that runs out
_SCANNED = 1000  # streams read at a time
_NOT_INSTALLED = "the package redis is not installed; pip install 'streamlstm[redis]'"


class RedisStore:
    """A store in Redis.

    Parameters
    ----------
    url : str
        As the package redis takes it: ``redis://HOST:PORT/NUMBER``, ``rediss://``, ``unix://``. All
        keys begin with NAME of ``?prefix=NAME``, so that one database may hold several stores.
    header : Header
        What the store must be of.
    other : {"refuse", "keep", "anew"}
        What to do with streams of another model.
    take_over : bool
        Whether to take it from the worker that owns it.

    Attributes
    ----------
    kind, place, loss, intact, header
        As in :class:`.store.Store`; the place is without its password.

    Raises
    ------
    StoreError
        If it cannot be reached, is owned by another worker, or holds streams of another model.
    """

    kind, path = "redis", None
    intact = True  # what it has lost is found by a commit or a check

    def __init__(
        self, url: str, header: Header, other: str = "refuse", take_over: bool = False
    ) -> None:
        try:
            import redis
        except ImportError:
            raise StoreError(f"--store redis://: {_NOT_INSTALLED}.") from None
        self._error: Any = redis.RedisError
        self.loss: Loss | None = None
        self.header = header
        url, prefix, self.place = _parse(url)
        self._writing = threading.Lock()
        with self._failing("opened"):
            try:
                self._space = RedisNamespace(url, prefix)
            except ValueError as error:
                raise StoreError(f"{self.place}: cannot be opened: {_sentence(error)}") from None
            try:
                self._take(header, other, take_over)
                self._complete_order()
            except TypeError as error:  # an option that redis does not know, at its first use
                self._space.close()
                raise StoreError(f"{self.place}: cannot be opened: {_sentence(error)}") from None
            except BaseException:
                self._space.close()
                raise

    # --- ownership ---

    def _take(self, header: Header, other: str, take_over: bool) -> None:
        """Become the owner, and write the header."""
        while True:
            found = self._space.look()
            if not take_over:
                found = self._await_owner(found)
            if found.header or found.fields:
                self.header = header.accept(found.header, self.place, other)
            state = State(secrets.token_hex(8))
            if found.state:
                state = State.decode(found.state, self.place)
            # The time, so that epochs grow past a Redis that has lost the last one, too.
            epoch = max(found.now, state.epoch + 1)
            if found.owner:
                epoch = max(epoch, Owner.decode(found.owner, self.place).epoch + 1)
            self._me, self._state = Owner.of_this_process(epoch), state._replace(epoch=epoch)
            seen = (found.state, found.owner)
            if self._space.write(seen, self._state, self._me, self.header) is None:
                return

    def _await_owner(self, found: Found) -> Found:
        """Return what is there when the owner's lease has run out, or raise if it goes on."""
        expected = None
        while found.owner:
            owner = Owner.decode(found.owner, self.place)
            if owner.has_ended:
                break
            goes_on = found.lease < 0 or (expected is not None and found.lease > expected)
            if owner.is_visible or goes_on:
                raise StoreError(self._in_use(owner))
            if expected is None:
                _LOG.warning(
                    "%s: belongs to %s; waiting up to %.1f s until its lease runs out, unless it "
                    "is renewed",
                    self.place,
                    owner,
                    found.lease / 1000,
                )
            expected = found.lease - 500 * LOOK_SECONDS  # or less, unless it was renewed
            time.sleep(LOOK_SECONDS)
            found = self._space.look()
        return found

    def _in_use(self, owner: Owner) -> str:
        return (
            f"{self.place}: is in use by another worker, {owner}. Give each worker a store of its "
            "own (another database, or ?prefix=NAME), or stop that one first, or take its streams "
            "over with --take-over: it ends then."
        )

    def _examine(self, state: bytes, owner: bytes) -> None:
        """Find out why state and owner are not as expected, and whether to write nonetheless.

        Raises
        ------
        FencedError
            If another worker has become the owner.
        StoreError
            If it is the store of something else now.
        """
        holder = Owner.decode(owner, self.place) if owner else self._me
        found = State.decode(state, self.place) if state else None
        if holder.token != self._me.token and holder.epoch >= self._me.epoch:
            raise FencedError(f"{self.place}: {holder} has taken over.")
        if found is not None and found.epoch > self._me.epoch:
            raise FencedError(f"{self.place}: another worker has taken over, and ended since.")
        if found is None or found.generation != self._state.generation:
            self.loss = self._loss_to_another(holder, found)
        elif found < self._state:
            reason = f"is back at commit {found.commits}, after {self._state.commits}"
            self.loss = Loss(f"{self.place}: {reason}", self._space.look().fields - 1)
        else:
            self._state = found  # only the lease ran out, or an answer of Redis was lost

    def _loss_to_another(self, holder: Owner, found: State | None) -> Loss:
        """Return the loss where an empty store, or another one, has taken the place of this one."""
        if found is not None and holder.token != self._me.token:
            raise StoreError(self._in_use(holder))
        there = self._space.look()
        if there.header or there.fields:
            self.header.accept(there.header, self.place)
        reason = "has lost what was in it" if found is None else "is another store than before"
        return Loss(f"{self.place}: {reason}", there.fields - bool(there.state))

    # --- writing ---

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records; all of it or nothing."""
        self._write(1, deleted, pairs)

    def check(self) -> None:
        """Renew the lease; find out whether the store is there, and still this worker's."""
        self._write(0)

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""
        self._write(0, header=header)

    def _write(
        self,
        commits: int,
        deleted: Sequence[bytes] = (),
        pairs: Pairs = (),
        header: Header | None = None,
    ) -> None:
        """Write all of it as so many commits."""
        with self._writing, self._failing("written"):
            header = header or self.header
            seen: tuple[bytes, bytes] | None = (self._state.encode(), self._me.encode())
            while seen is not None:
                expected, after = seen, self._state.later(commits)
                seen = self._space.write(expected, after, self._me, header, deleted, pairs)
                if seen is not None:
                    self._examine(*seen)
            self._state, self.header = after, header
            self._complete_order()

    def _complete_order(self) -> None:
        """Write the order again where it is not that of all streams, as before there was one."""
        count, seen = self._space.count, (self._state.encode(), self._me.encode())
        if self._space.ordered == count:
            return
        _LOG.warning("%s: sorting the keys of its %d streams, once", self.place, count)
        self._space.writer.delete(self._space.order)
        streams, done, due = self._space.scan(_SCANNED), 0, time.monotonic() + LOG_SECONDS
        while keys := [key for key, _ in islice(streams, _SCANNED)]:
            self._space.writer.zadd(self._space.order, dict.fromkeys(keys, 0))
            done += len(keys)
            if time.monotonic() >= due:
                due = time.monotonic() + LOG_SECONDS
                _LOG.info("%s: sorted %d of %d keys", self.place, done, count)
                self._space.write(seen, self._state, self._me, self.header)  # renew the lease

    # --- reading ---

    def count(self) -> int:
        """Return how many streams it holds, as of the last commit."""
        return self._space.count

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key, None where there is none."""
        with self._failing("read"):
            return list(self._space.reader.hmget(self._space.streams, list(keys)))

    def page(self, prefix: bytes, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return the next streams in the order of their keys, with their records."""
        start = b"(" + after if after >= prefix else b"[" + prefix
        end = b"(" + prefix + b"\xff" if prefix else b"+"  # no byte of UTF-8 is 255
        space = self._space
        with self._failing("read"):
            while keys := space.reader.zrangebylex(space.order, start, end, 0, count):
                records = space.reader.hmget(space.streams, keys)
                found = [(k, r) for k, r in zip(keys, records, strict=True) if r is not None]
                if found:
                    return found
                start = b"(" + keys[-1]  # all were deleted in between
        return []

    def keys(self, prefix: bytes, after: bytes, count: int) -> list[bytes]:
        """Return the next keys in their order."""
        return [key for key, _ in self.page(prefix, after, count)]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream."""
        seen: set[bytes] = set()
        with self._failing("read"):
            for key, record in self._space.scan(_SCANNED):
                if key not in seen:
                    seen.add(key)
                    yield key, record

    def close(self) -> None:
        """End the ownership, and close the connections."""
        with suppress(self._error):
            self._space.release(self._me)
        self._space.close()

    @contextmanager
    def _failing(self, what: str) -> Iterator[None]:
        """Raise StoreError for an error of Redis."""
        try:
            yield
        except self._error as error:
            raise StoreError(f"{self.place}: cannot be {what}: {_sentence(error)}") from None


def _sentence(error: Exception) -> str:
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
