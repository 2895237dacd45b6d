"""Accounts of clients, which limit their rates."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict

from ... import wire
from ...errors import ProtocolError
from ..line_limit import LineLimit
from ..native import layout
from .limits import Limits

_LOG = logging.getLogger(__name__)
_KIND = "throttled"  # of lines in the log
_END = b"\0"  # of the address in the name of an account

PULL_NAME = "pull socket"  # ZeroMQ's own routing ids and user ids begin otherwise
THROTTLED = "this client sends more observations than --max-rate allows; wait, then send it again"


class Account:
    """The account of one client.

    Parameters
    ----------
    number : int
        No other account of this worker has it, or had it before.
    name : bytes
        User id, or what :func:`connection_name` returns; that of PULL_NAME is the PULL socket's.
    authenticated : bool
        Whether it is a user id.

    Attributes
    ----------
    paid : int
        Moment, in ns, up to which its time is used.
    """

    __slots__ = ("_authenticated", "_name", "number", "paid")

    def __init__(self, number: int, name: bytes, authenticated: bool) -> None:
        self.number, self._name, self._authenticated, self.paid = number, name, authenticated, 0

    def __str__(self) -> str:
        """Return what the log calls the client."""
        if self._name == PULL_NAME.encode():
            return "clients of the pull socket"
        if self._authenticated:
            return self._name[1:].decode(errors="replace")
        origin = f" from {self.address}" if self.address else ""
        return f"connection {self._name.partition(_END)[2].hex()}{origin}"

    @property
    def address(self) -> str:
        """Address of the machine that a connection without a key comes from; "" if not known."""
        if self._authenticated:
            return ""
        address, end, _ = self._name.partition(_END)
        return address.decode(errors="replace") if end else ""


def connection_name(address: str, routing_id: bytes) -> bytes:
    """Return the name of the account of a connection without a key.

    Parameters
    ----------
    address : str
        Of its machine, as libzmq knows it; of a local socket user and group of the process, too.
    routing_id : bytes
    """
    if address.startswith("localhost:"):  # the process at the end is changed at will
        address = address.rpartition(":")[0]
    return (address.encode()[: layout.MAX_ADDRESS] + _END + routing_id)[: layout.MAX_IDENTITY]


class Accounts:
    """The accounts of the Python loop; the compiled one has its own (native/rate.py).

    A new connection without a key begins with as much time used as the one of its address that has
    used most, so that who connects again gains nothing by it.

    Parameters
    ----------
    limits : Limits
    authenticated : bool
        Whether clients have keys.

    Attributes
    ----------
    pull : Account
        The account of the PULL socket.
    """

    def __init__(self, limits: Limits, authenticated: bool) -> None:
        self._interval, self._authenticated = limits.interval, authenticated
        self._accounts: OrderedDict[bytes, Account] = OrderedDict()
        self._most: OrderedDict[str, int] = OrderedDict()  # time used, in ns, by address
        self._made = 0
        self.pull = self.of(PULL_NAME.encode())

    def of(self, name: bytes) -> Account:
        """Return the account of a name, a new one if there is none."""
        account = self._accounts.get(name)
        if account is None:
            self._made += 1
            account = self._accounts[name] = Account(self._made, name, self._authenticated)
            account.paid = self._most.get(account.address, 0)
            if len(self._accounts) > layout.MAX_ACCOUNTS:
                self._drop_one()
        self._accounts.move_to_end(name)
        return account

    def _drop_one(self) -> None:
        """Drop the least recently used, except the PULL socket's and those that have to wait."""
        now = time.monotonic_ns()
        for name, account in self._accounts.items():
            if account is not self.pull and account.paid <= now:
                del self._accounts[name]
                return

    def wait_of(self, account: Account) -> int:
        """Return for how many ns an account has to wait; 0 or less if it need not."""
        return account.paid - time.monotonic_ns() - layout.BURST if self._interval else 0

    def charge(self, account: Account, frame: bytes | ProtocolError) -> None:
        """Charge a message to an account."""
        paid = max(account.paid, time.monotonic_ns())
        account.paid = paid + self._interval * wire.count_observations(frame)
        if address := account.address:
            self._most[address] = max(self._most.get(address, 0), account.paid)
            self._most.move_to_end(address)
            if len(self._most) > layout.MAX_ACCOUNTS:
                self._most.popitem(last=False)


class ThrottleLog:
    """Logs which clients are throttled.

    Parameters
    ----------
    lines : LineLimit
    """

    def __init__(self, lines: LineLimit) -> None:
        self._lines, self._logged = lines, 0

    def note(self, throttled: int, account: Account) -> None:
        """Take note of how many messages were throttled so far, and whose the last one was."""
        if throttled == self._logged or self._lines.is_silent(_KIND):
            return
        count, self._logged = throttled - self._logged, throttled
        self._lines.warn(
            _LOG,
            f"{account}: more observations than --max-rate allows; {count} messages had to wait",
            _KIND,
        )


def throttled_reply(frame: bytes | ProtocolError, wait: int) -> bytes:
    """Return the reply to a message whose client has to ``wait``, in ns."""
    named: tuple[wire.StreamId | None, int | None] = (None, None)
    if isinstance(frame, bytes):
        try:
            message = wire.decode_request(frame, len(frame))
            named = (getattr(message, "stream", None), getattr(message, "seq", None))
        except ProtocolError:
            pass
    return wire.encode(wire.Error(*named, "busy", THROTTLED, max(-(-wait // 1_000_000), 1)))
