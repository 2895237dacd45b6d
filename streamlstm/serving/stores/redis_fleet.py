"""A store in Redis as the supervisor of a fleet sees it: owner, table and members.

A fleet owns a store as a worker would (owner.py): its supervisor takes it, and renews the fleet's
lease. The fleet's epoch stands in the state beside the streams, and every script of the fleet and
of its workers checks it first; so whoever was before commits nothing more.
"""

from __future__ import annotations

import logging
import math
import secrets
import threading
import time
from contextlib import suppress
from typing import Any, NamedTuple

from ...errors import StoreError
from .header import HEADER_KEY, decode_header
from .owner import Owner
from .redis_namespace import LEASE_SECONDS, RedisNamespace, State
from .redis_ownership import LOOK_SECONDS, await_owner, next_epoch
from .redis_scripts import EXPEL, MEMBERS, RENEW_FLEET, RESTORE, WRITE_TABLE
from .redis_streams import RedisStreams
from .store import FencedError

_LOG = logging.getLogger(__name__)

FREE_SECONDS = 8.0  # in which workers of a supervisor that was killed commit and end


class StoredTable(NamedTuple):
    """A table as the store has it.

    Attributes
    ----------
    version : int
    table : bytes
        As its writer encodes it; empty if there was never one.
    epochs : bytes
        Of its partitions, uint32[PARTITIONS], little-endian.
    """

    version: int
    table: bytes
    epochs: bytes


class Registered(NamedTuple):
    """A worker that is a member of the fleet.

    Attributes
    ----------
    name, token : str
        The token is another one for each process.
    lives : bool
        Whether its lease runs.
    """

    name: str
    token: bytes
    lives: bool


class RedisFleet(RedisStreams):
    """Owner, table and members of a fleet in Redis; for several threads.

    Parameters
    ----------
    url : str
        As for :class:`.redis.RedisStore`.
    empty : StoredTable
        The table of a fleet that never had one.

    Attributes
    ----------
    epoch : int
        The fleet's.
    stored : StoredTable
        As it was read or written last.
    restored : float
        When something was written again that Redis had lost, by the monotonic clock: the workers'
        leases are lost as well then.
    """

    lease = LEASE_SECONDS

    def __init__(self, url: str, empty: StoredTable) -> None:
        super().__init__(url)
        self._empty = empty
        self.epoch, self.restored = 0, -math.inf
        self._more: dict[str, bytes] = {}  # that the fleet notes
        self._lock = threading.Lock()
        self._members: dict[bytes, bytes] = {}  # as Redis had them last
        register = self.space.writer.register_script
        self._renew, self._write = register(RENEW_FLEET), register(WRITE_TABLE)
        self._expel, self._restore = register(EXPEL), register(RESTORE)
        self._list = register(MEMBERS)

    # --- ownership ---

    def take(self, take_over: bool = False) -> None:
        """Become the owner.

        Parameters
        ----------
        take_over : bool
            Whether to take the store from its owner.

        Raises
        ------
        StoreError
            If it cannot be reached, is owned by somebody else, or is the store of something else.
        """
        with self.opening():
            self._take(take_over)
            self.renew()
            self.complete_order(self.renew)

    def _take(self, take_over: bool) -> None:
        space = self.space
        while True:
            found = space.look()
            if not take_over:
                found = await_owner(space, self.place, found)
                self._await_members()
            if found.header or found.fields > bool(found.state):
                decode_header(found.header, self.place)
            state = State(secrets.token_hex(8))
            if found.state:
                state = State.decode(found.state, self.place)
            version, table, epochs = space.writer.hmget(space.fleet, "version", "table", "epochs")
            self.stored = self._empty
            if version is not None and table is not None and epochs is not None:
                self.stored = StoredTable(int(version), table, epochs)
            self.epoch = next_epoch(found, state, self.place)
            self._me = Owner.of_this_process(self.epoch, fleet=True)
            self._state = state._replace(epoch=self.epoch)
            if self._write_all(found.state, found.owner):
                return

    def _await_members(self) -> None:
        """Let the workers of a supervisor that has ended make their last commits."""
        deadline = time.monotonic() + FREE_SECONDS
        while self._has_live_members() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        self._members = {}

    def _has_live_members(self) -> bool:
        """Tell whether a worker has a lease, of whatever fleet."""
        members = self.space.writer.hgetall(self.space.members)
        return any(each.lives for each in self._registered(members))

    def _write_all(self, state: bytes, owner: bytes) -> bool:
        """Write all that the fleet notes; False if state and owner are others than these."""
        stored, space = self.stored, self.space
        members = [part for member in self._members.items() for part in member]
        keys = [space.streams, space.fleet, space.members, space.owner]
        args = [HEADER_KEY, state, owner, self._state.encode(), self._me.encode(), self._ms]
        noted = {"version": stored.version, "table": stored.table, "epochs": stored.epochs}
        fields = [part for field in (noted | self._more).items() for part in field]
        done, *_ = self._restore(keys, [*args, len(fields), *fields, *members])
        return bool(done == b"done")

    @property
    def _ms(self) -> int:
        return round(1000 * self.lease)

    def _call(self, script: Any, more_keys: list[str], *args: Any) -> tuple[str, list[Any]]:
        """Execute a script of the fleet; return its answer."""
        space = self.space
        keys = [space.streams, space.fleet, space.members, space.owner, *more_keys]
        me = [self._me.encode(), self._more.get("term", b"")]
        said, *found = script(keys, [HEADER_KEY, prefix_of(self._state), *me, *args])
        return said.decode(), found

    def renew(self) -> None:
        """Renew the fleet's lease; write again what Redis has lost of the fleet.

        Raises
        ------
        FencedError
            If somebody else has taken the store.
        StoreError
            If Redis cannot be reached.
        """
        space = self.space
        with self._lock, self.failing("written"):
            said, found = self._call(self._renew, [space.order], self._ms)
            if said == "done" and int(found[0]) == self.stored.version:
                space.count, space.ordered = found[1:]
            else:
                self._examine()

    def _examine(self) -> None:
        """Find out why what is there is not as expected, and write it again."""
        found, term = self.space.look(), self._more.get("term")
        if term is not None and self.space.writer.hget(self.space.fleet, "term") not in (
            None,
            term,
        ):
            raise FencedError(f"{self.place}: another machine leads this fleet now.")
        if found.owner:
            holder = Owner.decode(found.owner, self.place)
            if holder.token != self._me.token and holder.epoch >= self.epoch:
                raise FencedError(f"{self.place}: {holder} has taken over; this fleet ends.")
        if found.state and State.decode(found.state, self.place).epoch > self.epoch:
            raise FencedError(
                f"{self.place}: somebody else has taken over, and ended since; this fleet ends."
            )
        if found.header:
            decode_header(found.header, self.place)
        _LOG.error(
            "%s: has lost the table of this fleet; it is written again, and the workers write "
            "again what they have in memory as far as that is lost",
            self.place,
        )
        self._write_all(found.state, found.owner)
        self.restored = time.monotonic()

    # --- the table ---

    def write_table(self, table: StoredTable) -> None:
        """Replace the table that was read or written last; nobody else may have written one.

        Raises
        ------
        FencedError
            If somebody else has taken the store, or changed the table.
        StoreError
            If it cannot be written now.
        """
        with self._lock, self.failing("written"):
            before = self.stored.version
            said, found = self._call(self._write, [], before, *table)
            if said == "version":
                raise FencedError(
                    f"{self.place}: somebody else has changed the table of this fleet, which is of "
                    f"version {int(found[0])}, expected {before}; this fleet ends."
                )
            if said != "done":
                self._examine()
                raise StoreError(f"{self.place}: had lost the table of this fleet.")
            self.stored = table

    # --- members ---

    def members(self) -> list[Registered]:
        """Return the workers that are members, and whether their leases run.

        Raises
        ------
        StoreError
            If Redis cannot be reached, or has lost what the fleet notes, members too.
        """
        with self._lock, self.failing("read"):
            said, found = self._call(self._list, [])
            if said != "done":
                raise StoreError(f"{self.place}: has lost what the fleet notes.")
            self._know(found[0])
            return self._registered(self._members)

    def _know(self, members: list[bytes]) -> None:
        """Remember the members, names and tokens in turn, for when Redis loses them."""
        self._members = dict(zip(members[::2], members[1::2], strict=True))

    def _registered(self, members: dict[bytes, bytes]) -> list[Registered]:
        leases = [self.space.lease_of(name.decode()) for name in members]
        lives = self.space.writer.mget(leases) if leases else []
        return [
            Registered(name.decode(), token, lease is not None)
            for (name, token), lease in zip(members.items(), lives, strict=True)
        ]

    def arrived(self) -> dict[int, int]:
        """Return partitions that have moved, and the epochs in which their owners have them all."""
        with self.failing("read"):
            found = self.space.writer.hgetall(self.space.arrived)
            return {int(partition): int(epoch) for partition, epoch in found.items()}

    def expel(self, name: str, token: bytes, ended: bool = False) -> bool:
        """End a worker's membership: it commits nothing from now on.

        Parameters
        ----------
        name, token
            Of the member.
        ended : bool
            Whether it is known to have ended; else only if its lease has.

        Returns
        -------
        bool
            Whether it was ended.
        """
        with self._lock, self.failing("written"):
            lease = self.space.lease_of(name)
            said, _ = self._call(self._expel, [lease], name, token, int(ended))
            if said == "done":
                self._members.pop(name.encode(), None)
            return said == "done"

    def close(self) -> None:
        """End the ownership, and close the connections."""
        with suppress(self.error):
            self.space.release(self._me)
        self.space.close()


def prefix_of(state: State) -> bytes:
    """Return how the state of a fleet begins, whatever its commits: generation and epoch."""
    return state.encode().partition(b', "commits"')[0]


def state_of(space: RedisNamespace, epoch: int, place: str) -> State:
    """Return the state of the store of the fleet of an epoch.

    Raises
    ------
    FencedError
        If somebody else has taken the store.
    StoreError
        If Redis has lost the state, which the supervisor then writes again.
    """
    found = space.look()
    state = State.decode(found.state, place) if found.state else State("")
    if state.epoch > epoch:
        raise FencedError(f"{place}: somebody else has taken over from this worker's fleet.")
    if state.epoch < epoch:
        raise StoreError(f"{place}: has lost what the fleet notes; the supervisor writes it again.")
    return state
