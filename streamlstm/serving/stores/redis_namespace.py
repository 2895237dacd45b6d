"""The keys of one store in Redis, and the script that changes all of them or none.

Each begins with the prefix, if the URL has one:

- ``streamlstm``: the header,
- ``streamlstm:streams``: a hash of records by the streams' keys, and of the state at HEADER_KEY; so
  no streams can go without their state,
- ``streamlstm:order``: a sorted set of the same keys, all of score 0, which Redis sorts by bytes,
- ``streamlstm:owner``: the owner, for as long as its lease runs;

and where the owner is a fleet

- ``streamlstm:fleet``: a hash of its table, the table's version, the epochs of its partitions
  (uint32[1024], little-endian) and the number of the last commit of each worker; where it is on
  many machines, also of what it is the fleet ``of`` (how the state begins), where its ``leader`` is
  (redis_lead.py), and the leader's ``term``,
- ``streamlstm:members``: a hash of its workers' names and tokens,
- ``streamlstm:arrived``: a hash of partitions that have moved, and the epochs in which their owners
  have committed all that came,
- ``streamlstm:lease:NAME``: that of a worker, for as long as it runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from ...errors import StoreError
from .header import HEADER_KEY, Header
from .owner import Owner
from .redis_scripts import PART, RELEASE, WRITE
from .store import Pairs

LEASE_SECONDS = 5.0  # without a renewal, until another worker may have the store
READ_SECONDS = 0.25  # for which the loop may wait for a stream
WRITE_SECONDS = 4.0  # within a lease


class State(NamedTuple):
    """What a store notes of itself beside its records.

    Attributes
    ----------
    generation : str
        Random, made with the store.
    epoch : int
        Of the last owner.
    commits : int
        Number of the last commit.
    """

    generation: str
    epoch: int = 0
    commits: int = 0

    @classmethod
    def decode(cls, found: bytes, place: str) -> State:
        """Return the state that a store notes, or raise StoreError."""
        try:
            return cls(**json.loads(found))
        except (ValueError, TypeError):
            raise StoreError(
                f"{place}: expected the state of a store, got {found[:40]!r}; choose another place."
            ) from None

    def encode(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(self._asdict()).encode()

    def later(self, commits: int) -> State:
        """Return it after further commits."""
        return self._replace(commits=self.commits + commits)


class Found(NamedTuple):
    """What is in a namespace: as it is there, empty where nothing is.

    Attributes
    ----------
    header, state, owner : bytes
    lease : int
        Milliseconds that are left of the owner's lease; below 0 if it has none.
    fields : int
        In the hash of streams.
    now : int
        Redis's time, in milliseconds.
    """

    header: bytes
    state: bytes
    owner: bytes
    lease: int
    fields: int
    now: int

    @property
    def is_empty(self) -> bool:
        """True if there is no stream."""
        return self.fields == bool(self.state)


class RedisNamespace:
    """The keys of one store in Redis; raises what the package redis raises.

    Parameters
    ----------
    url : str
        As the package redis takes it.
    prefix : str
        Of all keys.

    Attributes
    ----------
    count, ordered : int
        Streams, and those in the order, after the last :meth:`write`.
    """

    def __init__(self, url: str, prefix: str) -> None:
        import redis

        self.count = self.ordered = 0
        header = f"{prefix}:streamlstm" if prefix else "streamlstm"
        self.streams, self.order = f"{header}:streams", f"{header}:order"
        self.owner, self.header = f"{header}:owner", header
        self.fleet, self.members = f"{header}:fleet", f"{header}:members"
        self.arrived = f"{header}:arrived"
        self._url, self._make = url, redis.Redis.from_url
        self.reader, self.writer = self.client(READ_SECONDS), self.client(WRITE_SECONDS)
        self._write = self.writer.register_script(WRITE)
        self._release = self.reader.register_script(RELEASE)

    def client(self, seconds: float) -> Any:
        """Return a client that waits so long for an answer; to be closed."""
        wait = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
        return self._make(self._url, **wait)

    def lease_of(self, member: str) -> str:
        """Return the key of the lease of a fleet's worker."""
        return f"{self.header}:lease:{member}"

    def look(self) -> Found:
        """Read all but the streams."""
        with self.writer.pipeline(transaction=True) as pipe:
            pipe.get(self.header).hget(self.streams, HEADER_KEY).get(self.owner)
            pipe.pttl(self.owner).hlen(self.streams).time()
            header, state, owner, lease, fields, (seconds, micros) = pipe.execute()
        now = seconds * 1000 + micros // 1000
        return Found(header or b"", state or b"", owner or b"", lease, fields, now)

    def write(
        self,
        expected: tuple[bytes, bytes],
        state: State,
        owner: Owner,
        header: Header,
        deleted: Sequence[bytes] = (),
        pairs: Pairs = (),
    ) -> tuple[bytes, bytes] | None:
        """Replace header and state, renew the lease, delete streams, then write records.

        Parameters
        ----------
        expected : (bytes, bytes)
            State and owner as they must be there now.
        state, owner, header
            What is to be there.
        deleted, pairs
            As in :meth:`.store.Store.commit`.

        Returns
        -------
        (bytes, bytes) or None
            State and owner as they are, if they are not as expected: then nothing was written.
        """
        lease = round(1000 * LEASE_SECONDS)
        args: list[Any] = [HEADER_KEY, *expected, state.encode(), owner.encode(), lease]
        args += [header.encode(), len(deleted), *deleted, *parts_of(pairs)]
        keys = [self.streams, self.order, self.owner, self.header]
        done, *found = self._write(keys, args)
        if not done:
            return found[0], found[1]
        self.count, self.ordered = found
        return None

    def release(self, owner: Owner) -> None:
        """End the lease of an owner, if the store is still its."""
        self._release([self.owner], [owner.encode()])

    def scan(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream, some of them twice while streams are added."""
        for key, record in self.writer.hscan_iter(self.streams, count=count):
            if key != HEADER_KEY:
                yield key, record

    def close(self) -> None:
        """Close its connections."""
        self.reader.close()
        self.writer.close()


def parts_of(pairs: Pairs) -> Iterator[bytes]:
    """Yield sizes (uint32[n, 2]), keys and records of every :data:`PART` streams."""
    remaining = iter(pairs)
    while part := list(islice(remaining, PART)):
        yield np.array([(len(key), len(record)) for key, record in part], "<u4").tobytes()
        yield b"".join(key for key, _ in part)
        yield b"".join(record for _, record in part)
