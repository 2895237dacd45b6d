"""Passes received messages to the service, and sends what they lead to."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence

from .. import wire
from .envelope import Envelope
from .native import layout
from .response import Response
from .sender import Sender
from .service import Service
from .sessions import Session

_LOG = logging.getLogger(__name__)
LOG_SECONDS = 1.0  # between two lines about refused messages


class Dispatcher:
    """Passes batches to a service and sends the responses, each when it may be sent.

    Parameters
    ----------
    service : Service
    sender : Sender

    Attributes
    ----------
    uncommitted : deque of (list of bytes, Response)
        Replies to barriers that wait for a commit, and their routes.
    """

    def __init__(self, service: Service, sender: Sender) -> None:
        self._service, self._sender = service, sender
        self.uncommitted: deque[tuple[list[bytes], Response]] = deque()
        self._reload_route: list[bytes] | None = None  # of the RELOAD under way
        self._silent_until, self._unlogged = 0.0, 0

    def dispatch(self, batch: Sequence[Envelope], sessions: Sequence[Session | None]) -> None:
        """Handle a batch of messages and send what it leads to."""
        pulled = {n for n, envelope in enumerate(batch) if envelope.route is None}
        frames = [envelope.frame for envelope in batch]
        subscribed = self._service.counters[layout.SUBSCRIPTIONS] > 0
        producers = {n: who for n, envelope in enumerate(batch) if (who := envelope.producer)}
        responses = self._service.handle(frames, pulled, subscribed, sessions, producers)
        for envelope, response in zip(batch, responses, strict=True):
            for publication in response.publications:
                self._sender.publish(publication)
            route, error = envelope.route, response.error
            if response.reloads:
                self._reload_route = route
            elif route is not None and not self._service.is_safe(response):
                self.uncommitted.append((route, response))
            elif route is not None:
                self._sender.reply(route, response.reply)
                if error is not None and error.code == "capacity":
                    self._log("router", error)
            elif error is not None:
                self._log("pull", error)

    def send_committed(self) -> None:
        """Reply to the barriers whose observations are now safe."""
        while self.uncommitted and self._service.is_safe(self.uncommitted[0][1]):
            route, response = self.uncommitted.popleft()
            self._sender.reply(route, response.reply)

    def send_reloaded(self, response: Response | None) -> None:
        """Reply to the RELOAD under way, if this is its response and it came through ROUTER."""
        if response is not None and self._reload_route is not None:
            route, self._reload_route = self._reload_route, None
            self._sender.reply(route, response.reply)

    def _log(self, socket: str, error: wire.Error) -> None:
        """Log that a message was refused, a line a second at most."""
        now = time.monotonic()
        if now < self._silent_until:
            self._unlogged += 1
            return
        more = f" ({self._unlogged} more since the last line)" if self._unlogged else ""
        sentence = error.message.encode("unicode_escape").decode()
        _LOG.warning("%s: refused, %s: %s%s", socket, error.code, sentence, more)
        self._silent_until, self._unlogged = now + LOG_SECONDS, 0

    def log_rest(self) -> None:
        """Log how many messages were refused since the last line."""
        if self._unlogged:
            _LOG.warning("refused %d more since the last line", self._unlogged)
            self._unlogged = 0
