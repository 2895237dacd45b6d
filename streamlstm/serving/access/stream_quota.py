"""Limits how many streams each client may have in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ...engine.ids import dict_key
from ...engine.stream_owners import StreamOwners
from ...errors import CapacityError
from ...wire import StreamId
from ..native import layout
from .client_accounts import Account


@dataclass
class _Usage:
    """Streams of one client, never too few; and how many had left memory when they were counted.

    Or those of all connections of an address, whose numbers are ``owners``.
    """

    streams: int
    left: int
    owners: set[int] = field(default_factory=set)


class StreamQuota:
    """Tracks which streams each client brought into memory, and whether it may bring more.

    A client's usage is counted up only. Before a client is refused its streams are counted again if
    any stream has left memory meanwhile, which means looking at all slots: half a millisecond where
    there are a million.

    Parameters
    ----------
    owners : StreamOwners
        The owners of the engine's streams.
    limit : int
        How many streams of one client may be in memory.
    connections_of : callable, optional
        Returns how many connections of an address are open, exactly or as far as is known. All that
        ever came from there may have as many streams together as those may that are open, so that
        a client without a key gains nothing by connecting again.
    """

    def __init__(
        self,
        owners: StreamOwners,
        limit: int,
        connections_of: Callable[[str, bool], int] = lambda *_: 1,
    ) -> None:
        self._owners, self._limit, self._connections_of = owners, limit, connections_of
        self._usage: OrderedDict[int | str, _Usage] = OrderedDict()  # by number or address
        self._highest = 0
        self._is_shared = False  # whether the last client was bound by others of its address
        # Admitted streams and their clients, by dict_key.
        self._pending: dict[str | bytes, tuple[StreamId, Account]] = {}
        self._admitted: list[StreamId] = []  # of the last call of admit

    def admit(self, account: Account, streams: Sequence[StreamId]) -> list[bool]:
        """Tell which of these streams a client may step; each that is not in memory uses quota.

        The client owns the admitted streams as soon as :meth:`assign` is called.
        """
        new = [s for s in self._owners.absent(streams) if dict_key(s) not in self._pending]
        room = self._room(account, len(new))
        self._admitted = new[:room]
        self._pending |= {dict_key(s): (s, account) for s in self._admitted}
        self._add(account, len(self._admitted))
        if room >= len(new):
            return [True] * len(streams)
        refused = set(map(dict_key, new[room:]))
        return [dict_key(stream) not in refused for stream in streams]

    def revoke(self) -> None:
        """Take back what was admitted last; it is not stepped after all."""
        for stream in self._admitted:
            self._add(self._pending.pop(dict_key(stream))[1], -1)

    def assign(self) -> None:
        """Record the owners of those admitted streams that are in memory now."""
        admitted: dict[int, tuple[Account, list[StreamId]]] = {}
        for stream, account in self._pending.values():
            admitted.setdefault(account.number, (account, []))[1].append(stream)
        for number, (account, streams) in admitted.items():
            self._add(account, -self._owners.assign(streams, number))
        self._pending.clear()

    def _add(self, account: Account, streams: int) -> None:
        for client in (account.number, account.address):
            if client in self._usage:
                self._usage[client].streams += streams

    def error(self, account: Account, stream: StreamId) -> CapacityError:
        """Return the error for a stream that a client may not bring into memory."""
        remedy = "let it forget streams that have ended, or allow more"
        if self._is_shared:
            return CapacityError(
                f"stream {stream!r}: the connections from {account.address}, closed ones "
                "included, have as many streams in memory as --max-streams-per-client "
                f"({self._limit}) allows those that are open; {remedy}, or give clients keys."
            )
        return CapacityError(
            f"stream {stream!r}: {account} has the {self._limit} streams in memory that "
            f"--max-streams-per-client allows; {remedy}."
        )

    def _room(self, account: Account, wanted: int) -> int:
        """Return how many streams a client may still bring into memory."""
        address, number = account.address, account.number
        room, self._is_shared = self._room_of(number, number, self._limit, wanted), False
        if address:
            there = 0
            for exact in (False, True):  # what is exact takes a while
                limit = self._limit * max(self._connections_of(address, exact), 1)
                there = self._room_of(address, number, limit, wanted)
                if there >= min(room, wanted):
                    return room
            room, self._is_shared = there, True
        return room

    def _room_of(self, client: int | str, number: int, limit: int, wanted: int) -> int:
        """Return how much of a limit a client, or all of an address, may still use."""
        usage, left = self._usage.get(client), self._owners.departures
        if usage is None:
            # Numbers rise: a client with a higher one than any before is new, and has nothing.
            is_new = client != number or number > self._highest
            usage = _Usage(0 if is_new else self._owners.count(number), left)
            self._highest = max(self._highest, number)
            self._usage[client] = usage
            if len(self._usage) > layout.MAX_ACCOUNTS:
                self._usage.popitem(last=False)
        self._usage.move_to_end(client)
        usage.owners.add(number)
        if usage.streams + wanted > limit and usage.left != left:
            counts = self._owners.counts(usage.owners)
            pending = sum(each.number in usage.owners for _, each in self._pending.values())
            usage.streams, usage.left = sum(counts.values()) + pending, left
            usage.owners.intersection_update({number, *counts})
        return max(limit - usage.streams, 0)
