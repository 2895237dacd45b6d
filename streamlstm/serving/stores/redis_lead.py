"""A store in Redis whose fleet is on many machines: one of them leads, and another can go on.

The fleet's epoch stays the same when another machine leads, so that its workers go on; the term
rises, so that whoever led before changes nothing any more, even if it was only stopped. No clocks
are compared: Redis ends a lease, and whoever looks finds that it has.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, NamedTuple

from ...errors import StoreError
from .header import HEADER_KEY
from .owner import Owner
from .redis_fleet import RedisFleet, StoredTable, prefix_of
from .redis_namespace import State
from .redis_ownership import in_use
from .redis_scripts import LEAD

LEAD_SECONDS = 1.5  # without a renewal, until another machine may lead
LOOK_SECONDS = 0.25  # for which a look waits for an answer


class Leader(NamedTuple):
    """Who leads a fleet.

    Attributes
    ----------
    token : str
        Of its lease: another one each time that somebody begins to lead.
    machine, address : str
        Its name, and the endpoint at which it waits for the others.
    public : str
        Its CURVE key; empty if it has none.
    """

    token: str
    machine: str
    address: str
    public: str


class RedisLead(RedisFleet):
    """The store of a fleet as one of its machines sees it.

    Parameters
    ----------
    url, empty
        As for :class:`.redis_fleet.RedisFleet`.
    machine, address, public : str
        As in :class:`Leader`, of this machine.
    """

    lease = LEAD_SECONDS

    def __init__(
        self, url: str, empty: StoredTable, machine: str, address: str, public: str = ""
    ) -> None:
        super().__init__(url, empty)
        self._about = json.dumps([machine, address, public]).encode()
        self._lead = self.space.writer.register_script(LEAD)
        self._looker = self.space.client(LOOK_SECONDS)

    def leader(self) -> Leader | None:
        """Return who leads; None if nobody does now.

        Raises
        ------
        StoreError
            If Redis cannot be reached, or something else than such a fleet owns the store.
        """
        space = self.space
        with self.failing("read"):
            pipe = self._looker.pipeline(transaction=True)
            pipe.get(space.owner).hmget(space.fleet, "leader", "of")
            found, (about, of), state = pipe.hget(space.streams, HEADER_KEY).execute()
        if found is None:
            return None
        owner = Owner.decode(found, self.place)
        if about is None or not (of and state and state.startswith(of)):
            raise StoreError(in_use(self.place, owner))
        return Leader(owner.token, *json.loads(about))

    def lead(self, is_known: bool) -> bool:
        """Try to lead while nobody does; tell whether this machine does now.

        Parameters
        ----------
        is_known : bool
            Whether this machine belongs to the fleet that runs; another one may begin a fleet, and
            waits while there are workers that one of their own machines can lead.

        Raises
        ------
        StoreError
            If Redis cannot be reached, or something else owns the store.
        """
        space = self.space
        with self.failing("written"):
            if not is_known and self._has_live_members():
                return False
            me = Owner.of_this_process(0, fleet=True)
            keys = [space.streams, space.fleet, space.owner, space.members]
            said, *rest = self._lead(keys, [HEADER_KEY, me.encode(), self._ms, self._about])
            if said == b"led":
                return False
            if said == b"other":
                return self._begin(is_known)
        state, term, version, table, epochs, members = rest
        self._know(members)
        self._state, self._me = State.decode(state, self.place), me
        self.epoch, self.stored = self._state.epoch, StoredTable(int(version), table, epochs)
        self._note(term)
        return True

    def _begin(self, is_known: bool) -> bool:
        """Begin a fleet on the store of something else, or on an empty one."""
        if is_known:  # Redis has lost all; whoever led writes it again
            return False
        self._more = {"term": b"1", "leader": self._about, "of": b""}
        self._take(False)
        return True

    def _write_all(self, state: bytes, owner: bytes) -> bool:
        self._more["of"] = prefix_of(self._state)
        return super()._write_all(state, owner)

    def _note(self, term: Any) -> None:
        self._more = {"term": str(int(term)).encode(), "leader": self._about}

    def close(self) -> None:
        """End the ownership; another machine can lead at once."""
        with suppress(self.error):  # then its lease ends by itself
            self.space.release(self._me)

    def disconnect(self) -> None:
        """Close the connections."""
        self._looker.close()
        self.space.close()
