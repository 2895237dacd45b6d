"""What one client may take of a worker: observations in a second, and streams that it begins.

A client is a key where doors have locks, however many connections it opens, and a connection
without locks. All who feed at the pull door, where nobody says who sends, count as one client.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from dataclasses import dataclass

from ... import wire
from ...errors import ProtocolError
from ..native import layout

_LOG = logging.getLogger(__name__)
_SECOND = 1_000_000_000  # ns
LOG_SECONDS = 1.0  # between two lines about clients that are too quick

PULL_NAME = "pull door"  # ZeroMQ's own routing ids and user ids begin otherwise
TOO_QUICK = "this client sends more observations than --max-rate allows; wait, then send it again"


@dataclass(frozen=True)
class Limits:
    """For each client.

    Attributes
    ----------
    rate : float or None
        Observations in a second, and as many at once; beyond it ``busy`` is answered. A message is
        taken as a whole, and one that holds no observations counts as one.
    streams : int or None
        That live in memory at once because this client's observations brought them there.
    """

    rate: float | None = None
    streams: int | None = None

    @property
    def interval(self) -> int:
        """Nanoseconds that an observation takes of its client's time; 0 without a limit."""
        return 0 if self.rate is None else max(1, round(_SECOND / self.rate))

    def __bool__(self) -> bool:
        return self.rate is not None or self.streams is not None


class Account:
    """What is known of one client.

    Parameters
    ----------
    number : int
        No other account of this worker has it, or had it before.
    name : bytes
        User id or routing id; that of PULL_NAME is the pull door.
    locked : bool
        Whether it is a user id.

    Attributes
    ----------
    paid : int
        Moment, in ns, up to which its time is used.
    """

    __slots__ = ("_locked", "_name", "number", "paid")

    def __init__(self, number: int, name: bytes, locked: bool) -> None:
        self.number, self._name, self._locked, self.paid = number, name, locked, 0

    def __str__(self) -> str:
        """Return what the log calls the client."""
        if self._name == PULL_NAME.encode():
            return "who feeds"
        if self._locked:
            return self._name[1:].decode(errors="replace")
        return f"connection {self._name.hex()}"


class Accounts:
    """The accounts of the loop in Python; the compiled one has its own (native/rate.py).

    Parameters
    ----------
    limits : Limits
    locked : bool
        Whether clients have keys.
    """

    def __init__(self, limits: Limits, locked: bool) -> None:
        self._interval, self._locked = limits.interval, locked
        self._accounts: OrderedDict[bytes, Account] = OrderedDict()
        self._made = 0
        self.pull = self.of(PULL_NAME.encode())

    def of(self, name: bytes) -> Account:
        """Return the account of a user id or routing id, a new one if there is none."""
        account = self._accounts.get(name)
        if account is None:
            self._made += 1
            account = self._accounts[name] = Account(self._made, name, self._locked)
            if len(self._accounts) > layout.MAX_ACCOUNTS:
                self._forget_one()
        self._accounts.move_to_end(name)
        return account

    def _forget_one(self) -> None:
        """Forget who was silent longest, the pull door and who has still to wait apart."""
        now = time.monotonic_ns()
        for name, account in self._accounts.items():
            if account is not self.pull and account.paid <= now:
                del self._accounts[name]
                return

    def ahead(self, account: Account) -> int:
        """Return for how many ns an account has to wait; 0 or less if it need not."""
        return account.paid - time.monotonic_ns() - layout.BURST if self._interval else 0

    def charge(self, account: Account, frame: bytes | ProtocolError) -> None:
        """Charge a message to an account."""
        paid = max(account.paid, time.monotonic_ns())
        account.paid = paid + self._interval * wire.count_observations(frame)


class Throttling:
    """Tells the log which clients are too quick, a line a second at most."""

    def __init__(self) -> None:
        self._silent_until, self._told = 0.0, 0

    def tell(self, throttled: int, account: Account) -> None:
        """Look at how many messages were throttled so far, and whose the last one was."""
        now = time.monotonic()
        if throttled == self._told or now < self._silent_until:
            return
        _LOG.warning(
            "%s: more observations than --max-rate allows; %d messages had to wait",
            account,
            throttled - self._told,
        )
        self._told, self._silent_until = throttled, now + LOG_SECONDS


def too_quick(frame: bytes | ProtocolError, wait: int) -> bytes:
    """Return the answer to a message whose client has to wait so many ns."""
    named: tuple[wire.StreamId | None, int | None] = (None, None)
    if isinstance(frame, bytes):
        try:
            message = wire.decode_request(frame, len(frame))
            named = (getattr(message, "stream", None), getattr(message, "seq", None))
        except ProtocolError:
            pass
    return wire.encode(wire.Error(*named, "busy", TOO_QUICK, max(-(-wait // 1_000_000), 1)))
