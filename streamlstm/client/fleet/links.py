"""A client's connections to the workers of a fleet, made when something is sent there."""

from __future__ import annotations

import math
import select
import time as clock
from collections.abc import Callable, Iterator
from typing import Any

import zmq

from ..connection import milliseconds
from ..curve_handshake import HandshakeFailure
from ..keys import Credentials
from .link import POLLIN, POLLOUT, Link


class Links:
    """The connections, by routers.

    Parameters
    ----------
    context : zmq.Context
    keys : Credentials or None
    window : int
        How many requests may be in flight on each.
    on_socket : callable
        Told the descriptor of each socket, and whether it comes or goes.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        keys: Credentials | None,
        window: int,
        on_socket: Callable[[int, bool], object],
    ) -> None:
        self._context, self._keys, self._window = context, keys, window
        self._on_socket = on_socket
        self._links: dict[str, Link] = {}
        self.get = self._links.get  # the connection to a router, or None

    def __iter__(self) -> Iterator[Link]:
        """Yield the connections; some may be closed meanwhile."""
        return iter(list(self._links.values()))

    def to(self, router: str) -> Link:
        """Return the connection to a worker, a new one if there is none."""
        link = self._links.get(router)
        if link is None:
            link = self._links[router] = Link(self._context, router, self._keys, self._window)
            self._on_socket(link.socket.fileno(), True)
        return link

    def close(self, link: Link) -> None:
        """Close a connection."""
        del self._links[link.router]
        self._on_socket(link.socket.fileno(), False)
        link.close()

    def close_all(self) -> None:
        """Close all."""
        for link in self:
            self.close(link)

    def failure(self) -> HandshakeFailure:
        """Return the probable reason why there is no connection."""
        failures = [link.failure() for link in self if not link.is_connected]
        certain = [failure for failure in failures if failure.certain]
        return (certain or failures or [HandshakeFailure()])[0]

    def have_something(self) -> bool:
        """Return whether something came, or can be sent, or a connection broke."""
        return any(
            (events := link.events) & POLLIN
            or (events & POLLOUT and link.unsent and len(link.in_flight) < self._window)
            or (link.in_flight and not events & POLLOUT)
            for link in self._links.values()
        )

    def descriptors(self) -> list[int]:
        """Return the descriptors that can be read after each change, once."""
        return [link.socket.fileno() for link in self._links.values()]

    def wait(self, wakeup: int | None, until: float) -> bool:
        """Wait for a change, or for the descriptor ``wakeup``; tell whether that can be read."""
        # The descriptors signal every change, also the end of a connection; zmq_poll would not.
        files = select.poll()
        for link in self._links.values():
            files.register(link.socket.fileno(), select.POLLIN)
        if wakeup is not None:
            files.register(wakeup, select.POLLIN)
        left = until - clock.monotonic()
        ready = files.poll(None if left == math.inf else milliseconds(left) + 1)
        return any(file == wakeup for file, _ in ready)
