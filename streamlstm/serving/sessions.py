"""What is known of a connection: how many observations it has brought."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from .access.limits import Account

MAX_SESSIONS = 16_384  # that the loop in Python keeps; the compiled one as many as messages wait


class Session:
    """One connection to the router.

    Attributes
    ----------
    received : int
        Observations that came over it, of STEP and STEPS that could be read, refused ones too.
    account : Account or None
        Of the client, where what it may take is limited.
    """

    __slots__ = ("account", "received")

    def __init__(self, received: int = 0, account: Account | None = None) -> None:
        self.received, self.account = received, account


class Sessions:
    """The sessions of the loop in Python, by identity; who was silent longest is forgotten.

    Whoever is forgotten is counted from 0 again, and is told of fewer observations than it has
    sent: it sends again what it need not have sent, and nothing is lost.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def of(self, identity: bytes) -> Session:
        """Return the session of a connection, a new one if it is not known."""
        session = self._sessions.get(identity)
        if session is None:
            session = self._sessions[identity] = Session()
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(identity)
        return session


class Commits(Protocol):
    """What a store tells about its commits, which have rising numbers from 1 on."""

    @property
    def committed(self) -> int:
        """The number of the last commit that is safe on disk."""

    def ticket(self) -> int:
        """Return the number of the commit that will hold all that is applied by now."""
