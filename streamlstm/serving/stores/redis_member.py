"""A store in Redis as a worker of a fleet sees it: it writes the streams of its partitions only.

Every commit checks, in the script that writes it, that the fleet still owns the store, that this
worker is a member of it, and that it has each partition that it writes, in the epoch in which it
got it. What it may not write any more is left out, and noted.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engine.partitions import partitions_of
from ...engine.records import stream_from_key
from ...errors import StoreError
from .header import HEADER_KEY, Header, decode_header
from .lease import LEASE_SECONDS, RENEW_SECONDS, Lease
from .redis_fleet import prefix_of, state_of
from .redis_namespace import parts_of
from .redis_scripts import COMMIT, JOIN, LEAVE, RENEW_MEMBER
from .redis_streams import RedisStreams
from .shared_store import SharedStore
from .store import FencedError, Loss, Pairs

_LOG = logging.getLogger(__name__)

_LEASE = round(1000 * LEASE_SECONDS)


class RedisMemberStore(RedisStreams, SharedStore):
    """A store in Redis that the workers of a fleet share.

    Parameters
    ----------
    url : str
        As for :class:`.redis.RedisStore`.
    header : Header
        What the store must be of.
    name : str
        The worker's.
    epoch : int
        The fleet's.
    other : {"refuse", "keep", "anew"}
        What to do with streams of another model.

    Attributes
    ----------
    loss, intact, header
        As in :class:`.store.Store`.
    held, refused, lease
        As in :class:`.SharedStore`.

    Raises
    ------
    StoreError
        If it cannot be reached, or holds streams of another model.
    FencedError
        If it belongs to another fleet.
    """

    intact = True  # what it has lost is found by a commit or a check

    def __init__(
        self, url: str, header: Header, name: str, epoch: int, other: str = "refuse"
    ) -> None:
        RedisStreams.__init__(self, url)
        SharedStore.__init__(self)
        self.loss: Loss | None = None
        self.header, self._name, self._token = header, name, secrets.token_hex(16)
        self._writing = threading.Lock()
        self._commits = 0
        space = self.space
        self._lease_client = space.client(RENEW_SECONDS)
        self._renewing = self._lease_client.register_script(RENEW_MEMBER)
        self._committing = space.writer.register_script(COMMIT)
        self._keys = [space.streams, space.fleet, space.members, space.lease_of(name)]
        with self.opening():
            self._state = state_of(space, epoch, self.place)
            self._known = [HEADER_KEY, prefix_of(self._state), name, self._token]
            asked = self._join(header, other)
        self.lease = Lease(self._renew, asked, self.place)

    def _join(self, header: Header, other: str) -> float:
        """Become a member, and write the header; return the time just before that."""
        space, join = self.space, self.space.writer.register_script(JOIN)
        while True:
            found = space.look()
            if found.header or not found.is_empty:
                alone = not set(space.writer.hkeys(space.members)) - {self._name.encode()}
                is_empty = found.is_empty and alone  # what others have is not committed yet
                self.header = header.accept(found.header, self.place, other, is_empty)
            self._seen = self.header.encode()
            asked = time.monotonic()
            args = [*self._known, _LEASE, found.header, self._seen]
            said, *rest = join([*self._keys, space.header], args)
            if said == b"done":
                space.count = int(rest[0])
                return asked
            if said != b"header":
                state_of(space, self._state.epoch, self.place)
                time.sleep(RENEW_SECONDS)  # the supervisor writes again what was lost

    def _renew(self) -> bool:
        """Renew the lease; return False if this worker is no member any more."""
        with self.failing("written"):
            said, *_ = self._renewing(self._keys, [*self._known, _LEASE])
        if said == b"state":
            raise StoreError(f"{self.place}: has lost what the fleet notes.")
        return bool(said == b"done")

    # --- writing ---

    def commit(self, deleted: Sequence[bytes], pairs: Pairs) -> None:
        """Delete streams, then write records, as far as this worker may; all of it or nothing.

        Raises
        ------
        FencedError
            If this worker is no member any more, or another fleet owns the store.
        """
        self._write(1, deleted, pairs)

    def check(self) -> None:
        """Find out whether the store is there, and whether this worker is a member still."""
        self._write(0)

    def _write(self, commits: int, deleted: Sequence[bytes] = (), pairs: Pairs = ()) -> None:
        """Write what this worker may write of it, as so many commits."""
        with self._writing, self.failing("written"):
            of_deleted, of_pairs = _partitions(deleted), _partitions([key for key, _ in pairs])
            while True:
                held = self.held.copy()
                wanted = np.unique(np.concatenate([of_deleted, of_pairs]))
                wanted = wanted[held[wanted] > 0]
                args = [*self._known, _LEASE, self._commits, commits, self._seen]
                args.append(_named(wanted, held))
                noted = self._arrived()
                arrived = [each for _, these in noted for each in these if held[each] > 0]
                args.append(_named(np.array(arrived, np.int64), held))
                args += _allowed(deleted, of_deleted, pairs, of_pairs, held)
                space = self.space
                more = [space.header, space.order, space.arrived]
                said, *found = self._committing([*self._keys, *more], args)
                if said == b"done":
                    self._commits += commits
                    self._forget_arrived(noted)
                    self._note_forgotten(deleted, held[of_deleted] == 0)
                    space.count = int(found[0])
                    return
                self._examine(said.decode(), *found)

    def _examine(self, said: str, found: Any = None) -> None:
        """Find out why nothing was written, and whether to try again at once.

        Raises
        ------
        FencedError
            If this worker is no member any more.
        StoreError
            If something has to happen first.
        """
        if said == "left":
            raise FencedError(
                f"{self.place}: the lease of worker {self._name} had ended, and others have its "
                "streams now."
            )
        if said == "refused":
            self._refuse([int(partition) for partition in found])
        elif said == "commits":
            self._note_commits(int(found))
        elif said == "header":
            self._follow_header(found)
        else:
            state_of(self.space, self._state.epoch, self.place)
            raise StoreError(
                f"{self.place}: has lost what the fleet notes; the supervisor writes it again."
            )

    def _note_commits(self, found: int) -> None:
        if found < self._commits:
            reason = f"is back at commit {found} of worker {self._name}, after {self._commits}"
            left = self.space.look().fields - 1
            self.loss = Loss(f"{self.place}: {reason}", left)
        self._commits = found  # or an answer of Redis was lost

    def _follow_header(self, found: bytes) -> None:
        """Go on under the header of another worker, where that is for this one's model, too."""
        header = decode_header(found, self.place)
        if self.header.now in header.earlier:  # all streams restart, and this worker's with its
            self._seen = found  # own change of the model
            return
        if self.header.model not in (header.model, *header.others):
            raise StoreError(
                f"{self.place}: another worker of the fleet runs the model {header.model[:8]} now, "
                f"this one {self.header.model[:8]}; it commits again when it runs that, too."
            )
        if header.epoch != self.header.epoch:
            raise StoreError(f"{self.place}: all streams have restarted in another worker.")
        self._seen = found

    def set_header(self, header: Header) -> None:
        """Replace the header; from any thread."""
        with self._writing, self.failing("written"):
            self.space.writer.set(self.space.header, header.encode())
            self.header, self._seen = header, header.encode()

    def close(self) -> None:
        """End the membership, and close the connections."""
        self.lease.close()
        space = self.space
        with suppress(self.error):
            leave = space.writer.register_script(LEAVE)
            leave([space.members, space.lease_of(self._name)], [self._name, self._token])
        self._lease_client.close()
        space.close()


def _partitions(keys: Sequence[bytes]) -> NDArray[np.int64]:
    return partitions_of([stream_from_key(key) for key in keys])


def _named(partitions: NDArray[np.int64], held: NDArray[np.uint32]) -> bytes:
    """Return partitions and epochs as the script reads them."""
    named = np.zeros(len(partitions), np.dtype([("partition", "<u2"), ("epoch", "<u4")]))
    named["partition"], named["epoch"] = partitions, held[partitions]
    return named.tobytes()


def _allowed(
    deleted: Sequence[bytes],
    of_deleted: NDArray[np.int64],
    pairs: Pairs,
    of_pairs: NDArray[np.int64],
    held: NDArray[np.uint32],
) -> list[Any]:
    """Return what is deleted and written of partitions that are held, as the script reads it."""
    may, may_write = held[of_deleted] > 0, held[of_pairs] > 0
    deleted = [key for key, ok in zip(deleted, may.tolist(), strict=True) if ok]
    if not may_write.all():
        pairs = [pair for pair, ok in zip(pairs, may_write.tolist(), strict=True) if ok]
    return [len(deleted), *deleted, *parts_of(pairs)]
