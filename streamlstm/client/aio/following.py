"""Lets an event loop process the requests to a fleet that nobody awaits."""

from __future__ import annotations

import asyncio
import math
import time as clock

from ..fleet.queue import FleetQueue


class Following:
    """Processes a queue whenever something comes or is due.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    queue : FleetQueue
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, queue: FleetQueue) -> None:
        self._loop, self._queue = loop, queue
        self._next: asyncio.Handle | None = None

    def watch(self, descriptor: int, comes: bool) -> None:
        """Watch a socket of the queue, or watch it no more."""
        if comes:
            self._loop.add_reader(descriptor, self.turn)
        else:
            self._loop.remove_reader(descriptor)

    def turn(self) -> None:
        """Process the queue, and do so again when that is due."""
        if self._next is not None:
            self._next.cancel()
        self._queue.process()
        left = 0.0 if self._queue.is_ready() else self._queue.due - clock.monotonic()
        self._next = None if left == math.inf else self._loop.call_later(max(left, 0.0), self.turn)

    def close(self) -> None:
        """End it, before the queue is closed."""
        if self._next is not None:
            self._next.cancel()
