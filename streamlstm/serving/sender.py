"""Sends replies and publications without waiting, and counts them."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil

import zmq

from .counters import Counters
from .large_replies import LargeReplies
from .native import layout
from .response import Publication
from .sockets import Sockets


class Sender:
    """Sends from Python; the compiled loop sends what it answers by itself.

    Parameters
    ----------
    sockets : Sockets
    counters : Counters

    Attributes
    ----------
    send_large : callable or None
        Sends a large reply to the message that is answered, and counts it, so that no client makes
        ZeroMQ hold many; returns False if it sends none. Of the compiled loop.
    """

    def __init__(self, sockets: Sockets, counters: Counters) -> None:
        self._router, self._xpub, self._counters = sockets.router, sockets.xpub, counters
        self._wait_until = 0.0
        self._large = LargeReplies(sockets.router)
        self.send_large: Callable[[bytes], bool] | None = None

    def wait_for_clients(self, seconds: float) -> None:
        """Let replies wait for clients' full queues from now on, ``seconds`` in all at most."""
        self._wait_until = time.monotonic() + seconds

    def reply(self, route: list[bytes], reply: bytes) -> None:
        """Send a reply; drop it if its client has gone, or does not read and its queue is full."""
        is_large = len(reply) > layout.LARGE
        if is_large and self.send_large is not None and self.send_large(reply):
            return
        if is_large and not self._large.may_send(route[0], len(reply)):
            self._counters.add(layout.DROPPED_ANSWERS)
            return
        flags = zmq.NOBLOCK
        if self._wait_until and (left := self._wait_until - time.monotonic()) > 0:
            self._router.set(zmq.SNDTIMEO, ceil(1000 * left))
            flags = zmq.Flag(0)
        try:
            if is_large:
                self._large.send(route, reply, flags)
            else:
                self._router.send_multipart([*route, reply], flags)
        except zmq.ZMQError:
            self._counters.add(layout.DROPPED_ANSWERS)
        else:
            self._counters.add(layout.ANSWERS)

    def publish(self, publication: Publication) -> None:
        """Send a publication to all subscribers but those whose queues are full."""
        self._counters.add(layout.PUBLICATIONS)
        try:
            self._xpub.send_multipart(publication, zmq.NOBLOCK)
        except zmq.Again:
            # Some subscriber's queue is full, and in this mode no one was sent anything. Send to
            # all the others. From now on libzmq passes the full one over without a word, until it
            # has read half of its queue: this counts the times that it happens, since nothing
            # tells how many publications it costs.
            self._counters.add(layout.SUBSCRIBER_OVERFLOWS)
            self._xpub.set(zmq.XPUB_NODROP, 0)
            self._xpub.send_multipart(publication, zmq.NOBLOCK)
            self._xpub.set(zmq.XPUB_NODROP, 1)
