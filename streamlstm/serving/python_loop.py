"""The Python loop of a worker: receives messages and dispatches them as one batch a turn."""

from __future__ import annotations

import time
from math import ceil

import zmq

from .access.client_accounts import Account, Accounts, ThrottleLog, throttled_reply
from .dispatcher import Dispatcher
from .envelope import Envelope, from_curve_router, from_pull, from_router
from .native import layout
from .sender import Sender
from .service import Service
from .sessions import Session, Sessions
from .sockets import Sockets
from .wakeup import Wakeup

TURN_MESSAGES = 512  # of one turn: enough for a full block, few enough that the first waits little
TURN_BYTES = 2**23


class PythonLoop:
    """Receives what is ready, up to the bounds of a turn, and has it answered.

    It keeps no queue: a sender waits until its message is received.

    Parameters
    ----------
    service : Service
    sockets : Sockets
    wakeup : Wakeup
        Ends a wait.
    dispatcher : Dispatcher
    sender : Sender
        Of replies to messages that are throttled.
    authenticated : bool
        Whether the sockets use CURVE.
    """

    name = "python"

    def __init__(
        self,
        service: Service,
        sockets: Sockets,
        wakeup: Wakeup,
        dispatcher: Dispatcher,
        sender: Sender,
        authenticated: bool,
    ) -> None:
        self._router, self._pull, self._xpub = sockets
        self._counters, self._wakeup = service.counters, wakeup
        self._dispatcher, self._sender = dispatcher, sender
        self._authenticated = authenticated
        self._rated = bool(service.limits.interval)
        self.accounts = Accounts(service.limits, authenticated) if service.limits else None
        self._throttle_log = ThrottleLog(service.lines)
        self._sessions = Sessions()
        self._topics: set[bytes] = set()
        self._poller = zmq.Poller()
        for waited in (*sockets, wakeup.fileno()):
            self._poller.register(waited, zmq.POLLIN)

    def turn(self, seconds: float) -> bool:
        """Wait for messages, at most ``seconds``, and answer those that are ready.

        Returns
        -------
        bool
            Whether the worker was asked to stop.
        """
        pause = self._pause_pull()
        ready = dict(self._poller.poll(ceil(1000 * min(seconds, pause or seconds))))
        stop = self._wakeup.fileno() in ready and self._wakeup.heard()
        if self._xpub in ready:
            self._count_subscriptions()
        received = time.perf_counter_ns()
        batch = self._receive([s for s in (self._router, self._pull) if s in ready])
        self._counters.cells[layout.QUEUED] = len(batch)
        if batch:
            self._dispatcher.dispatch(batch, [self._session_of(envelope) for envelope in batch])
        self._counters.cells[layout.QUEUED] = 0
        for _ in batch:
            self._counters.latency.add(time.perf_counter_ns() - received)
        return stop

    def _receive(self, sockets: list[zmq.Socket[bytes]]) -> list[Envelope]:
        """Receive what is ready, one message of each socket in turn."""
        batch: list[Envelope] = []
        size = 0
        while sockets and len(batch) < TURN_MESSAGES and size < TURN_BYTES:
            for socket in tuple(sockets):
                try:
                    if self._authenticated and socket is self._router:
                        envelope = from_curve_router(socket.recv_multipart(zmq.NOBLOCK, copy=False))
                    else:
                        parts = socket.recv_multipart(zmq.NOBLOCK)
                        envelope = (
                            from_router(parts) if socket is self._router else from_pull(parts)
                        )
                except zmq.Again:
                    sockets.remove(socket)
                    continue
                self._counters.add(layout.MESSAGES)
                if self.accounts is not None:
                    if self._throttle(self.accounts, envelope):
                        continue
                    if socket is self._pull and self._pause_pull():
                        sockets.remove(socket)
                        self._count_throttled(self.accounts.pull)
                batch.append(envelope)
                size += len(envelope.frame) if isinstance(envelope.frame, bytes) else 0
        return batch

    def _session_of(self, envelope: Envelope) -> Session:
        """Return the session of a message's connection."""
        session = Session() if envelope.route is None else self._sessions.of(envelope.route[0])
        if self.accounts is not None:
            session.account = _account_of(self.accounts, envelope)
        return session

    def _pause_pull(self) -> float:
        """Stop polling PULL while its account has to wait; return for how many seconds."""
        if not self._rated or self.accounts is None:
            return 0.0
        wait = self.accounts.wait_of(self.accounts.pull)
        self._poller.modify(self._pull, 0 if wait > 0 else zmq.POLLIN)
        return max(wait, 0) * 1e-9

    def _throttle(self, accounts: Accounts, envelope: Envelope) -> bool:
        """Charge a message to its client; or answer it with ``busy``, if the client has to wait."""
        account = _account_of(accounts, envelope)
        wait = accounts.wait_of(account)
        if wait <= 0 or envelope.route is None:
            accounts.charge(account, envelope.frame)
            return False
        self._counters.add(layout.BUSY)
        self._count_throttled(account)
        self._sender.reply(envelope.route, throttled_reply(envelope.frame, wait))
        return True

    def _count_throttled(self, account: Account) -> None:
        self._counters.add(layout.THROTTLED)
        self._throttle_log.note(self._counters[layout.THROTTLED], account)

    def _count_subscriptions(self) -> None:
        """Count topics that are subscribed to: nothing is published where there are none."""
        for _ in range(TURN_MESSAGES):
            try:
                event = self._xpub.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if event[:1] == b"\1":
                self._topics.add(event[1:])
            elif event[:1] == b"\0":
                self._topics.discard(event[1:])
            self._counters.cells[layout.SUBSCRIPTIONS] = len(self._topics)

    def wait_for_clients(self, seconds: float) -> None:
        """Do nothing: all replies are sent by the sender."""

    def stop_receiving(self) -> None:
        """Do nothing: no message waits between turns."""

    def close(self) -> None:
        """Do nothing: the sockets are the worker's."""


def _account_of(accounts: Accounts, envelope: Envelope) -> Account:
    if envelope.route is None:
        return accounts.pull
    return accounts.of(envelope.user.encode() if envelope.user else envelope.route[0])
