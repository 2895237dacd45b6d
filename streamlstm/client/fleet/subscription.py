"""A SUB that is connected to all workers of a fleet, as they come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import zmq

from ... import wire
from ...errors import EndpointError
from ..keys import Credentials
from .listening import Listening
from .queue import FleetQueue
from .seeds import Seeds

_INTERVAL = 0.2  # seconds between two questions who there is


class Subscription:
    """Connects a SUB to the workers that the table has, and asks for it again and again.

    A prediction is published by the worker that made it, so none comes twice.

    Parameters
    ----------
    socket : zmq.Socket
        A SUB with its options and keys.
    context : zmq.Context
    seeds : Seeds
    keys : Credentials or None
    on_socket : callable, optional
        As for :class:`FleetQueue`.

    Attributes
    ----------
    queue : FleetQueue
        Asks for the table; to be processed when it is due.
    """

    def __init__(
        self,
        socket: Any,
        context: zmq.Context[Any],
        seeds: Seeds,
        keys: Credentials | None,
        on_socket: Callable[[int, bool], object] = lambda _, __: None,
    ) -> None:
        self._text = seeds.text
        self._wrong: EndpointError | None = None
        self._listening = Listening(socket)
        self._listening.follow(set(seeds.published()))
        self.queue = FleetQueue(context, seeds, keys, 1, lambda _: True, on_socket)
        self.queue.follow(_INTERVAL, self._take)

    def _take(self, table: wire.FleetTable) -> None:
        there = {worker.xpub for worker in table.workers}
        if "" in there:
            self._wrong = EndpointError(
                f"{self._text}: the worker there belongs to no fleet, and does not say where it "
                "publishes: give the endpoint of its XPUB as xpub"
            )
            return
        self._listening.follow(there)

    def check(self) -> None:
        """Raise EndpointError if nobody says where predictions are published."""
        if self._wrong is not None:
            raise self._wrong

    def close(self) -> None:
        """Ask no more."""
        self.queue.fail_all()
