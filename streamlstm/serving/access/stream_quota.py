"""Limits how many streams each client may have in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ...engine.ids import dict_key
from ...engine.stream_owners import StreamOwners
from ...errors import CapacityError
from ...wire import StreamId
from ..native import layout
from .client_accounts import Account


@dataclass
class _Usage:
    """Streams of one client, never too few; and how many had left memory when they were counted."""

    streams: int
    left: int


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
    """

    def __init__(self, owners: StreamOwners, limit: int) -> None:
        self._owners, self._limit = owners, limit
        self._usage: OrderedDict[int, _Usage] = OrderedDict()
        self._highest = 0
        # Admitted streams and the numbers of their clients, by dict_key.
        self._pending: dict[str | bytes, tuple[StreamId, int]] = {}
        self._admitted: list[StreamId] = []  # of the last call of admit

    def admit(self, account: Account, streams: Sequence[StreamId]) -> list[bool]:
        """Tell which of these streams a client may step; each that is not in memory uses quota.

        The client owns the admitted streams as soon as :meth:`assign` is called.
        """
        new = [s for s in self._owners.absent(streams) if dict_key(s) not in self._pending]
        room = self._room(account.number, len(new))
        self._admitted = new[:room]
        self._pending |= {dict_key(s): (s, account.number) for s in self._admitted}
        self._usage[account.number].streams += min(room, len(new))
        if room >= len(new):
            return [True] * len(streams)
        refused = set(map(dict_key, new[room:]))
        return [dict_key(stream) not in refused for stream in streams]

    def revoke(self) -> None:
        """Take back what was admitted last; it is not stepped after all."""
        for stream in self._admitted:
            _, number = self._pending.pop(dict_key(stream))
            self._usage[number].streams -= 1

    def assign(self) -> None:
        """Record the owners of those admitted streams that are in memory now."""
        admitted: dict[int, list[StreamId]] = {}
        for stream, number in self._pending.values():
            admitted.setdefault(number, []).append(stream)
        for number, streams in admitted.items():
            self._usage[number].streams -= self._owners.assign(streams, number)
        self._pending.clear()

    def error(self, account: Account, stream: StreamId) -> CapacityError:
        """Return the error for a stream that a client may not bring into memory."""
        return CapacityError(
            f"stream {stream!r}: {account} has the {self._limit} streams in memory that "
            "--max-streams-per-client allows; let it forget streams that have ended, or allow more."
        )

    def _room(self, number: int, wanted: int) -> int:
        """Return how many streams a client may still bring into memory."""
        usage, left = self._usage.get(number), self._owners.departures
        if usage is None:
            # Numbers rise: a client with a higher one than any before is new, and has nothing.
            usage = _Usage(0 if number > self._highest else self._owners.count(number), left)
            self._highest = max(self._highest, number)
            self._usage[number] = usage
            if len(self._usage) > layout.MAX_ACCOUNTS:
                self._usage.popitem(last=False)
        self._usage.move_to_end(number)
        if usage.streams + wanted > self._limit and usage.left != left:
            pending = sum(n == number for _, n in self._pending.values())
            usage.streams, usage.left = self._owners.count(number) + pending, left
        return max(self._limit - usage.streams, 0)
