"""Keeps each client from bringing more streams into memory than it may."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ...engine.owners import Owners
from ...errors import CapacityError
from ...wire import StreamId
from ..native import layout
from .limits import Account


@dataclass
class _Count:
    """Streams of one client, never too few; and how many had left memory when they were counted."""

    streams: int
    left: int


class Shares:
    """What streams each client brought into memory, and whether it may bring more.

    What a client has is counted as it goes up only. Before a client is refused its streams are
    counted anew if any stream has left memory meanwhile, which means looking at all slots: half a
    millisecond where there are a million.

    Parameters
    ----------
    owners : Owners
        Of the engine.
    limit : int
        How many streams of one client may live in memory.
    """

    def __init__(self, owners: Owners, limit: int) -> None:
        self._owners, self._limit = owners, limit
        self._counts: OrderedDict[int, _Count] = OrderedDict()
        self._highest = 0
        self._coming: dict[StreamId, int] = {}
        self._admitted: list[StreamId] = []

    def admit(self, account: Account, streams: Sequence[StreamId]) -> list[bool]:
        """Tell which of these streams a client may step, each that is not here taking room.

        Streams that may come are its own as soon as :meth:`note` is called.
        """
        new = [s for s in self._owners.absent(streams) if s not in self._coming]
        room = self._room(account.number, len(new))
        self._admitted = new[:room]
        self._coming |= dict.fromkeys(self._admitted, account.number)
        self._counts[account.number].streams += min(room, len(new))
        barred = set(new[room:])
        return [stream not in barred for stream in streams]

    def withdraw(self) -> None:
        """Take back what was admitted last; it is not stepped after all."""
        for stream in self._admitted:
            self._counts[self._coming.pop(stream)].streams -= 1

    def note(self) -> None:
        """Note whose the streams are that were admitted and have come."""
        for number in set(self._coming.values()):
            came = [stream for stream, owner in self._coming.items() if owner == number]
            self._counts[number].streams -= self._owners.note(came, number)
        self._coming.clear()

    def refusal(self, account: Account, stream: StreamId) -> CapacityError:
        """Return the error for a stream that a client may not bring."""
        return CapacityError(
            f"stream {stream!r}: {account} has the {self._limit} streams in memory that "
            "--max-streams-per-client allows; let it forget streams that have ended, or allow more."
        )

    def _room(self, number: int, wanted: int) -> int:
        """Return how many streams a client may still bring."""
        known, left = self._counts.get(number), self._owners.left
        if known is None:
            # Numbers rise: a client with a higher one than any before is new, and has nothing.
            known = _Count(0 if number > self._highest else self._owners.count(number), left)
            self._highest = max(self._highest, number)
            self._counts[number] = known
            if len(self._counts) > layout.MAX_ACCOUNTS:
                self._counts.popitem(last=False)
        self._counts.move_to_end(number)
        if known.streams + wanted > self._limit and known.left != left:
            coming = sum(n == number for n in self._coming.values())
            known.streams, known.left = self._owners.count(number) + coming, left
        return max(self._limit - known.streams, 0)
