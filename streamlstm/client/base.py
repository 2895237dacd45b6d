"""The constructors that the blocking and the asyncio clients share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import zmq

from .. import wire
from .batching import Backlog
from .connection import (
    LINGER,
    TIMEOUT,
    ConnectedSocket,
    SocketType,
    check_limit,
    check_seconds,
    milliseconds,
)
from .failures import no_prediction
from .fleet.feed import FleetFeed
from .fleet.queue import FleetQueue
from .fleet.seeds import Endpoints, Seeds, find
from .fleet.subscription import Subscription
from .keys import KeyPath
from .observing import Published, decode_published
from .precision import Precision
from .request_queue import WINDOW, check_window
from .requests import topic_before, topics


class BaseClient(ConnectedSocket[zmq.Socket[bytes]]):
    """A DEALER, its timeout and its limits."""

    _kind = zmq.DEALER
    _name = "client"

    def __init__(
        self,
        router: str = wire.ROUTER,
        *,
        endpoints: Endpoints = None,
        timeout: float = TIMEOUT,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        window: int = WINDOW,
        precision: str = "auto",
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        self._window = check_window(window)
        self._limit = check_limit(max_message_bytes)
        self._precision = Precision(precision)
        self._seeds, endpoint = find("router", router, wire.ROUTER, endpoints)
        self._fleet: FleetQueue | None = None  # made when it is used first
        # IMMEDIATE: a request waits here, not in a queue of ZeroMQ from which it would still be
        # sent after its deadline.
        connects = self._seeds is None
        super().__init__(endpoint, context, key=key, server=server, connects=connects, IMMEDIATE=1)

    def _close_socket(self) -> None:
        if self._fleet is not None:
            self._fleet.fail_all()
        super()._close_socket()


class BasePublisher(ConnectedSocket[zmq.Socket[bytes]]):
    """A PUSH and the observations that wait for it."""

    _kind = zmq.PUSH
    _name = "publisher"

    def __init__(
        self,
        pull: str = wire.PULL,
        *,
        endpoints: Endpoints = None,
        timeout: float = TIMEOUT,
        linger: float = LINGER,
        delay: float = 0.0,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        precision: str = "auto",
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        linger = check_seconds("linger", linger)
        self._delay = check_seconds("delay", delay)
        self._limit = check_limit(max_message_bytes)
        self._precision = Precision(precision)
        self._backlog = Backlog(self._limit, is_delayed=self._delay > 0)
        self._closing = False
        self._linger = linger
        self._seeds, endpoint = find("pull", pull, wire.PULL, endpoints)
        self._feed: FleetFeed | None = None  # made when it is used first
        send_timeout = milliseconds(timeout)  # of sockets that block
        connects = self._seeds is None
        super().__init__(
            endpoint, context, linger, key, server, connects, IMMEDIATE=1, SNDTIMEO=send_timeout
        )

    def _feed_of(self, seeds: Seeds) -> FleetFeed:
        """Return what sends to a fleet."""
        if self._feed is None:
            self._feed = FleetFeed(
                self._context, seeds, self._keys, self.timeout, self._backlog.note_lost
            )
        return self._feed

    def _flush_feed(self) -> None:
        """Wait for the replies of a fleet."""
        if self._feed is not None:
            self._feed.flush()

    def _end_feed(self) -> None:
        """Wait for the replies of a fleet, not for long after ``linger``, and end."""
        if self._feed is not None:
            self._feed.close(self._linger)

    def _raise_lost(self, includes_call: bool = False) -> None:
        """Raise the error for delayed observations that were lost."""
        self._backlog.raise_lost(self.endpoint, self.timeout, includes_call)


INTEGER = 9  # bytes of the topic of an integer id


class BaseSubscriber(ConnectedSocket[SocketType]):
    """A SUB and its subscriptions."""

    _kind = zmq.SUB
    _name = "subscriber"

    def __init__(
        self,
        xpub: str = wire.XPUB,
        streams: Sequence[wire.StreamId] = ("",),
        *,
        endpoints: Endpoints = None,
        timeout: float | None = None,
        alarms: bool = False,
        values: bool = False,
        key: KeyPath = None,
        server: KeyPath = None,
        context: zmq.Context[Any] | None = None,
    ) -> None:
        self._alarms, self._values = alarms, values
        self.timeout = None if timeout is None else check_seconds("timeout", timeout)
        subscriptions = topics(streams, alarms, values)
        self._seeds, endpoint = find("xpub", xpub, wire.XPUB, endpoints)
        self._subscription: Subscription | None = None
        connects = self._seeds is None
        super().__init__(endpoint, context, key=key, server=server, connects=connects)
        for topic in subscriptions:
            self._open().subscribe(topic)
        if self._seeds is not None:
            self._subscription = Subscription(
                self._open(), self._context, self._seeds, self._keys, self._on_socket
            )
            self._begin_to_follow()

    def _begin_to_follow(self) -> None:
        """Follow the table of a fleet from now on, if that can begin already."""

    def _on_socket(self, descriptor: int, comes: bool) -> None:
        """Take note of a socket that asks the workers of a fleet for the others."""

    def _close_socket(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
        super()._close_socket()

    def _decode(self, frames: Sequence[bytes]) -> Published | wire.Done | None:
        """Return what was published; None if it is to be skipped."""
        if frames[0].startswith(wire.VALUE_TOPIC) > self._values and len(frames[0]) != INTEGER:
            return None  # everything matches those too
        event = decode_published(frames[-1])
        if event is None or event.stream is None:
            return None if self._alarms or self._values else event
        before = topic_before(self._alarms, self._values)
        return event if frames[0] == before + wire.topic(event.stream) else None

    def _timed_out(self) -> Exception:
        return no_prediction(self.endpoint, self.timeout or 0.0, self._handshake.failure())
