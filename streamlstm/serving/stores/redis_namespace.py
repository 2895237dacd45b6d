"""The keys of one store in Redis, and the script that changes all of them or none.

Each begins with the prefix, if the URL has one:

- ``streamlstm``: the header,
- ``streamlstm:streams``: a hash of records by the streams' keys, and of the state at HEADER_KEY; so
  no streams can go without their state,
- ``streamlstm:order``: a sorted set of the same keys, all of score 0, which Redis sorts by bytes,
- ``streamlstm:owner``: the owner, for as long as its lease runs.
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
from .store import Pairs

LEASE_SECONDS = 5.0  # without a renewal, until another worker may have the store
READ_SECONDS = 0.25  # for which the loop may wait for a stream
WRITE_SECONDS = 4.0  # within a lease

PART = 1000  # records that are written at once; Lua's stack has 8,000 places

# A batch is written only if state and owner are those that the writer expects. That is one round
# trip, and whatever Redis executes late, after the writer has given it up, changes nothing. Records
# come in parts: sizes of keys and records, the keys, the records, each joined, because an argument
# for each would cost the worker eight times as much, and Redis nearly twice as much. Keys enter the
# order when they are new, of which the number of new fields tells: in most commits none is. What
# has not changed is not written: Redis appends every write to its file.
_WRITE = """
local streams, order, owner, header = unpack(KEYS)
local key, deleted = ARGV[1], tonumber(ARGV[8])
local state_now = redis.call('HGET', streams, key) or ''
local owner_now = redis.call('GET', owner) or ''
if state_now ~= ARGV[2] or owner_now ~= ARGV[3] then return {0, state_now, owner_now} end
if owner_now == ARGV[5] then
    redis.call('PEXPIRE', owner, ARGV[6])
else
    redis.call('SET', owner, ARGV[5], 'PX', ARGV[6])
end
if redis.call('GET', header) ~= ARGV[7] then redis.call('SET', header, ARGV[7]) end
if state_now ~= ARGV[4] then redis.call('HSET', streams, key, ARGV[4]) end
for first = 9, 8 + deleted, 1000 do
    local last = math.min(first + 999, 8 + deleted)
    redis.call('HDEL', streams, unpack(ARGV, first, last))
    redis.call('ZREM', order, unpack(ARGV, first, last))
end
for part = 9 + deleted, #ARGV, 3 do
    local sizes, keys, records = unpack(ARGV, part, part + 2)
    local key_at, record_at, fields, members = 1, 1, {}, {}
    for n = 1, #sizes / 8 do
        local key_size, record_size = struct.unpack('<I4I4', sizes, 8 * n - 7)
        local name = keys:sub(key_at, key_at + key_size - 1)
        fields[2 * n - 1], members[2 * n - 1], members[2 * n] = name, 0, name
        fields[2 * n] = records:sub(record_at, record_at + record_size - 1)
        key_at, record_at = key_at + key_size, record_at + record_size
    end
    if redis.call('HSET', streams, unpack(fields)) > 0 then
        redis.call('ZADD', order, unpack(members))
    end
end
return {1, redis.call('HLEN', streams) - 1, redis.call('ZCARD', order)}
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


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
        self._owner, self._header = f"{header}:owner", header
        self.reader, self.writer = (
            redis.Redis.from_url(url, socket_timeout=wait, socket_connect_timeout=wait)
            for wait in (READ_SECONDS, WRITE_SECONDS)
        )
        self._write = self.writer.register_script(_WRITE)
        self._release = self.reader.register_script(_RELEASE)

    def look(self) -> Found:
        """Read all but the streams."""
        with self.writer.pipeline(transaction=True) as pipe:
            pipe.get(self._header).hget(self.streams, HEADER_KEY).get(self._owner)
            pipe.pttl(self._owner).hlen(self.streams).time()
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
        args += [header.encode(), len(deleted), *deleted, *_parts(pairs)]
        keys = [self.streams, self.order, self._owner, self._header]
        done, *found = self._write(keys, args)
        if not done:
            return found[0], found[1]
        self.count, self.ordered = found
        return None

    def release(self, owner: Owner) -> None:
        """End the lease of an owner, if the store is still its."""
        self._release([self._owner], [owner.encode()])

    def scan(self, count: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield key and record of every stream, some of them twice while streams are added."""
        for key, record in self.writer.hscan_iter(self.streams, count=count):
            if key != HEADER_KEY:
                yield key, record

    def close(self) -> None:
        """Close its connections."""
        self.reader.close()
        self.writer.close()


def _parts(pairs: Pairs) -> Iterator[bytes]:
    """Yield sizes (uint32[n, 2]), keys and records of every :data:`PART` streams."""
    remaining = iter(pairs)
    while part := list(islice(remaining, PART)):
        yield np.array([(len(key), len(record)) for key, record in part], "<u4").tobytes()
        yield b"".join(key for key, _ in part)
        yield b"".join(record for _, record in part)
