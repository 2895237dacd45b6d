"""The thread of a replaying publisher: owns its connection, and reconnects when that breaks."""

from __future__ import annotations

import logging
import os
import threading
import time as clock
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import zmq

from ... import wire
from ...errors import EndpointError, RemoteError
from ..descriptors import NoDescriptorError
from ..keys import Credentials
from .connection import ConnectionBrokenError, ReplayConnection
from .protocol import ReplayProtocol, Request
from .thread import SendingThread

FindEndpoint: TypeAlias = Callable[[], str]

_LOG = logging.getLogger(__name__)

_MAX_WAIT = 60.0  # seconds


class Sender(SendingThread):
    """Runs the protocol of a replaying publisher in a thread.

    Parameters
    ----------
    protocol : ReplayProtocol
    context : zmq.Context
    router : str or callable
        The worker's endpoint, or a function that returns it, called again while there is no
        connection.
    retry : float
        Seconds to wait for a reply.
    keys : Credentials or None
        For a worker that requires keys.
    producer : int
        The publisher's identity.
    changed : threading.Condition
        Its lock guards every method but :meth:`close`.

    Attributes
    ----------
    endpoint : str
        Endpoint of the worker; empty before one is known.
    """

    def __init__(
        self,
        protocol: ReplayProtocol,
        context: zmq.Context[zmq.Socket[bytes]],
        router: str | FindEndpoint,
        retry: float,
        keys: Credentials | None,
        producer: int,
        changed: threading.Condition,
    ) -> None:
        self._protocol = protocol
        self._find_endpoint = None if isinstance(router, str) else router
        self.endpoint = router if isinstance(router, str) else router()
        self._context, self._retry, self._keys = context, retry, keys
        self._producer = producer
        self._find_again = 0.0
        self._connect()
        try:
            super().__init__(changed)
        except NoDescriptorError:
            self._connection.close()
            raise

    def _protocols(self) -> list[ReplayProtocol]:
        return [self._protocol]

    @property
    def left_out(self) -> list[RemoteError]:
        """Errors of observations that were left out, not yet raised."""
        return self._protocol.left_out

    def _work(self) -> None:
        try:
            self._communicate()
        except ConnectionBrokenError:
            self._connection.close()
            self._connected(self._connect)

    def _disconnect(self) -> None:
        self._connection.close()

    def _connect(self) -> None:
        self._connection = ReplayConnection[Request](
            self._context, self.endpoint, self._retry, self._keys, self._producer
        )
        self._protocol.begin(self._connection)

    def _communicate(self) -> None:
        protocol, connection = self._protocol, self._connection
        while not self._closing:
            moved = protocol.send()
            if protocol.blocked and self._has_moved():
                raise ConnectionBrokenError
            for request, frame in connection.receive():
                moved = True
                protocol.handle(request, wire.decode_reply(frame))
            if connection.is_broken or connection.deadline <= clock.monotonic():
                raise ConnectionBrokenError
            if not moved:
                connection.wait(self._wakeup, self._next_moment(), protocol.blocked)
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wakeup)

    def _has_moved(self) -> bool:
        """Look up, not too often, whether the worker has another endpoint."""
        now = clock.monotonic()
        if self._find_endpoint is None or now < self._find_again:
            return False
        self._find_again = now + self._retry
        before = self.endpoint
        try:
            self.endpoint = self._find_endpoint()
        except NoDescriptorError as error:
            _LOG.warning("%s", error)
        except EndpointError:  # it is down, and its next endpoint is not known yet
            pass
        return self.endpoint != before

    def _next_moment(self) -> float:
        must_look_up = self._protocol.blocked and self._find_endpoint is not None
        longest = clock.monotonic() + (self._retry if must_look_up else _MAX_WAIT)
        return min(self._connection.deadline, longest, self._protocol.next_moment())
