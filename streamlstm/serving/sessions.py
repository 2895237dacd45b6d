"""Sessions: for each connection, its count of observations and its account."""

from __future__ import annotations

from collections import OrderedDict

from .access.client_accounts import Account

MAX_SESSIONS = 16_384  # of the Python loop; the compiled one has as many as messages may wait


class Session:
    """One connection to the router.

    Attributes
    ----------
    received : int
        Observations that came over it, of STEP and STEPS that could be read, refused ones too.
    account : Account or None
        The client's account, where its rate or its streams are limited.
    """

    __slots__ = ("account", "received")

    def __init__(self, received: int = 0, account: Account | None = None) -> None:
        self.received, self.account = received, account


class Sessions:
    """The sessions of the Python loop, by routing id; the least recently used are dropped.

    A dropped session is counted from 0 again, and its client learns of fewer observations than it
    has sent: it sends some again without need, and nothing is lost.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def of(self, routing_id: bytes) -> Session:
        """Return the session of a connection, a new one if it is not known."""
        session = self._sessions.get(routing_id)
        if session is None:
            session = self._sessions[routing_id] = Session()
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(routing_id)
        return session
