"""Limits for one client: observations in a second, and streams in memory.

A client is a key where sockets use CURVE, however many connections it opens, and a connection
without CURVE; but what connections of one address have used counts for the next one from there. All
clients of the PULL socket, where senders are not known, count as one.
"""

from __future__ import annotations

from dataclasses import dataclass

_SECOND = 1_000_000_000  # ns


@dataclass(frozen=True)
class Limits:
    """Limits for each client.

    Attributes
    ----------
    rate : float or None
        Observations in a second, and as many at once; beyond it ``busy`` is answered. A message is
        taken as a whole, and one that holds no observations counts as one.
    streams : int or None
        Streams in memory at once that this client's observations brought there.
    """

    rate: float | None = None
    streams: int | None = None

    @property
    def interval(self) -> int:
        """Nanoseconds that an observation takes of its client's time; 0 without a limit."""
        return 0 if self.rate is None else max(1, round(_SECOND / self.rate))

    def __bool__(self) -> bool:
        return self.rate is not None or self.streams is not None
