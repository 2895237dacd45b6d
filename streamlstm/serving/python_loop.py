"""The Python loop of a worker: receives messages, and dispatches those of a turn as one batch."""

from __future__ import annotations

import time
from math import ceil

import zmq

from .access.client_accounts import (
    Account,
    Accounts,
    ThrottleLog,
    connection_name,
    throttled_reply,
)
from .backlog import Backlog, Waiting
from .dispatcher import Dispatcher
from .envelope import Envelope, from_curve_router, from_limited_router, from_pull, from_router
from .native import layout
from .sender import Sender
from .service import Service
from .sessions import Session, Sessions
from .sockets import Sockets
from .subscriptions import Subscriptions
from .wakeup import Wakeup

TURN_MESSAGES = 512  # received in one turn
TURN_BYTES = 2**23


class PythonLoop:
    """Receives what is ready, up to the bounds of a turn, and has it answered.

    It never answers ``busy``: when its backlog is full, senders wait.

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
        self._subscriptions = Subscriptions(sockets.xpub, service.counters)
        self._backlog, self._closed = Backlog(), False
        self._poller = zmq.Poller()
        for waited in (*sockets, wakeup.fileno()):
            self._poller.register(waited, zmq.POLLIN)

    def turn(self, seconds: float) -> bool:
        """Wait for messages, at most ``seconds``, and answer some of those that are there.

        Returns
        -------
        bool
            Whether the worker was asked to stop.
        """
        pause = self._pause_pull()
        seconds = 0 if len(self._backlog) else min(seconds, pause or seconds)
        ready = dict(self._poller.poll(ceil(1000 * seconds)))
        stop = self._wakeup.fileno() in ready and self._wakeup.heard()
        if self._xpub in ready:
            self._subscriptions.read()
        self._subscriptions.look()
        if not self._closed:
            self._receive([s for s in (self._router, self._pull) if s in ready])
        self._counters.cells[layout.QUEUED] = len(self._backlog)
        self._answer(self._backlog.take_observations())
        self._answer(self._backlog.take_other())
        self._counters.cells[layout.QUEUED] = len(self._backlog)
        return stop

    def _answer(self, batch: list[Waiting]) -> None:
        if not batch:
            return
        envelopes = [waiting.envelope for waiting in batch]
        self._dispatcher.dispatch(envelopes, [self._session_of(each) for each in envelopes])
        now = time.monotonic_ns()
        for waiting in batch:
            self._counters.latency.add(now - waiting.received)

    def _receive(self, sockets: list[zmq.Socket[bytes]]) -> None:
        """Receive what is ready, one message of each socket in turn."""
        now = time.monotonic_ns()
        count = size = 0
        while sockets and count < TURN_MESSAGES and size < TURN_BYTES:
            if self._backlog.is_full:
                return
            for socket in tuple(sockets):
                try:
                    if socket is self._pull:
                        envelope = from_pull(socket.recv_multipart(zmq.NOBLOCK))
                    else:
                        envelope = self._receive_request()
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
                self._backlog.add(Waiting(now, envelope))
                count += 1
                size += len(envelope.frame) if isinstance(envelope.frame, bytes) else 0

    def _receive_request(self) -> Envelope:
        if self._authenticated:
            return from_curve_router(self._router.recv_multipart(zmq.NOBLOCK, copy=False))
        if self.accounts is not None:
            return from_limited_router(self._router.recv_multipart(zmq.NOBLOCK, copy=False))
        return from_router(self._router.recv_multipart(zmq.NOBLOCK))

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

    def wait_for_clients(self, seconds: float) -> None:
        """Do nothing: all replies are sent by the sender."""

    def stop_receiving(self) -> None:
        """Receive nothing more; :meth:`turn` goes on answering what waits."""
        self._closed = True

    def close(self) -> None:
        """Do nothing: the sockets are the worker's."""


def _account_of(accounts: Accounts, envelope: Envelope) -> Account:
    if envelope.route is None:
        return accounts.pull
    if envelope.user:
        return accounts.of(envelope.user.encode())
    return accounts.of(connection_name(envelope.address, envelope.route[0]))
