"""The thread of a replaying publisher to a fleet: one connection to each worker."""

from __future__ import annotations

import math
import os
import select
import threading
import time as clock
from contextlib import suppress
from typing import Any

import zmq

from ... import wire
from ...errors import RemoteError
from ..connection import milliseconds
from ..keys import Credentials
from ..replay.connection import ConnectionBrokenError, ReplayConnection
from ..replay.protocol import ReplayProtocol, Request
from ..replay.thread import SendingThread
from .lanes import Lane, Lanes
from .queue import FleetQueue
from .search import LONGER, LONGEST, SHORTEST
from .seeds import Seeds

_MAX_WAIT = 60.0  # seconds


class FleetSender(SendingThread):
    """Runs the protocols of all lanes in one thread.

    Parameters
    ----------
    lanes : Lanes
    context : zmq.Context
    seeds : Seeds
    retry : float
        Seconds to wait for a reply.
    keys : Credentials or None
    producer : int
        The publisher's identity.
    changed : threading.Condition
        Its lock guards the lanes.
    """

    def __init__(
        self,
        lanes: Lanes,
        context: zmq.Context[Any],
        seeds: Seeds,
        retry: float,
        keys: Credentials | None,
        producer: int,
        changed: threading.Condition,
    ) -> None:
        self._lanes, self._context, self.endpoint = lanes, context, seeds.text
        self._retry, self._keys, self._producer = retry, keys, producer
        self._table = FleetQueue(context, seeds, keys, 1, lambda _: True)
        self._table.follow(math.inf, self._follow)
        self._ask_at, self._pause = math.inf, SHORTEST
        super().__init__(changed)

    def _protocols(self) -> list[ReplayProtocol]:
        return [lane.protocol for lane in self._lanes.all()]

    @property
    def left_out(self) -> list[RemoteError]:
        """Errors of observations that were left out, not yet raised."""
        return self._lanes.left_out

    # --- the thread ---

    def _follow(self, table: wire.FleetTable) -> None:
        with self._changed:
            self._lanes.follow(table)

    def _work(self) -> None:
        moved = False
        for lane in self._lanes.all():
            try:
                moved |= self._turn(lane)
            except ConnectionBrokenError:
                self._lose(lane)
                moved = True
        moved |= self._table.process()
        if self._lanes.are_stuck:
            self._ask()
        else:
            self._ask_at, self._pause = math.inf, SHORTEST
        if not moved:
            self._wait()

    def _turn(self, lane: Lane) -> bool:
        """Send and receive what there is on a lane; return whether there was anything."""
        connection = lane.connection
        if connection is None:
            arguments = str(lane.router), self._retry, self._keys, self._producer
            connection = lane.connection = self._connected(
                lambda: ReplayConnection[Request](self._context, *arguments)
            )
            lane.protocol.begin(connection)
        moved = False
        if lane.protocol.is_halted:
            with self._changed:
                moved = self._lanes.sort(lane)
        moved |= lane.protocol.send()
        for request, frame in connection.receive():
            moved = True
            lane.protocol.handle(request, wire.decode_reply(frame))
        left = lane.protocol.blocked and self._lanes.is_done_with(lane)
        is_broken = connection.is_broken or lane.protocol.is_cut
        if left or is_broken or connection.deadline <= clock.monotonic():
            raise ConnectionBrokenError
        return moved

    def _lose(self, lane: Lane) -> None:
        """Do without a worker that is not there any more, or does not answer."""
        assert lane.connection is not None
        lane.connection.close()
        with self._changed:
            self._lanes.close(lane)

    def _ask(self) -> None:
        """Ask for the table, again after a while that gets longer."""
        now = clock.monotonic()
        if self._ask_at == math.inf:
            self._ask_at = now
        if now >= self._ask_at:
            self._table.refresh()
            self._ask_at, self._pause = now + self._pause, min(LONGER * self._pause, LONGEST)

    def _wait(self) -> None:
        """Wait until something comes, is due, or is to be sent."""
        lanes = [lane for lane in self._lanes.all() if lane.connection is not None]
        if self._table.is_ready() or any(
            lane.connection.has_something(lane.protocol.blocked)
            for lane in lanes
            if lane.connection
        ):
            return
        files = select.poll()
        for descriptor in self._table.descriptors():
            files.register(descriptor, select.POLLIN)
        moments = [self._table.due, self._ask_at, clock.monotonic() + _MAX_WAIT]
        for lane in lanes:
            assert lane.connection is not None
            files.register(lane.connection.fileno(), select.POLLIN)
            moments += [lane.connection.deadline, lane.protocol.next_moment()]
        files.register(self._wakeup, select.POLLIN)
        files.poll(milliseconds(min(moments) - clock.monotonic()) + 1)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakeup)

    def _disconnect(self) -> None:
        for lane in self._lanes.all():
            if lane.connection is not None:
                lane.connection.close()
        self._table.fail_all()
