"""The traffic of a client that follows the table of a fleet as workers come and go."""

from __future__ import annotations

import logging
import math
import time as clock
from collections.abc import Callable
from typing import Any

from ... import wire
from ...errors import ProtocolError
from ..failures import table_unknown
from ..replies import decode_done
from . import parts
from .link import Link
from .links import Links
from .request import FleetRequest
from .search import TableSearch, lone_table
from .seeds import Seeds
from .traffic import STALLED, Traffic

_LOG = logging.getLogger(__name__)


class Tracking(Traffic):
    """Asks for the table when something does not go on, and does what it says.

    Parameters
    ----------
    links : Links
    seeds : Seeds
    """

    def __init__(self, links: Links, seeds: Seeds) -> None:
        super().__init__(links)
        self._search = TableSearch(seeds)
        self._to_all: list[FleetRequest] = []  # to all workers, when it is known who they are
        self._asked: set[str] = set()  # who has not answered yet what the table is
        self._on_table: Callable[[wire.FleetTable], object] = lambda _: None
        self._is_old = False  # the table, if it is followed
        self._denied: Exception | None = None  # why a worker does not tell the table

    def follow(self, interval: float, on_table: Callable[[wire.FleetTable], object]) -> None:
        """Ask for the table again and again, and tell it."""
        self._search.interval, self._on_table, self._is_old = interval, on_table, True
        self._seek()

    def refresh(self) -> None:
        """Ask for the table once more; it is told as to :meth:`follow`."""
        self._is_old = True
        self._seek()

    def _send_to_all(self, request: FleetRequest) -> None:
        assert self._search.table is not None
        workers = self._search.table.workers
        if isinstance(request.message, wire.Reload):
            workers = workers[:1]  # it lets all the others follow
        made = parts.for_all(request, workers, self._settle, self._wait_for_table)
        self._unsettled += len(made)
        for part in made:
            self._send(part)

    def _wait_for_table(self, request: FleetRequest) -> None:
        """Send a request to all workers as soon as it is known which there are now."""
        self._to_all.append(request)
        self._seek()

    def _seek(self, without: str | None = None, after: float = 0.0) -> None:
        self._search.begin(clock.monotonic() + after, without)
        self.due = min(self.due, self._search.due)

    def _ask(self, now: float) -> None:
        if not self._misses_something(now):
            self._search.end(now)
            self._is_old = self._search.interval < math.inf
            return
        router = self._search.next(now)
        if router is None or router in self._asked:
            return
        self._asked.add(router)
        answer = _Answer(lambda value, error: self._learn(router, value, error))
        message = wire.Table()
        ask = FleetRequest(answer, message, wire.encode(message), decode_done, math.inf)
        ask.router = router
        self._unsettled += 1
        self._send(ask)

    def _misses_something(self, now: float) -> bool:
        return (
            self._search.table is None
            or self._is_old
            or bool(self._undecided)
            or bool(self._to_all)
            or self._router.needs_table
            or any(self._is_stuck(link, now) for link in self._links)
        )

    def _is_stuck(self, link: Link, now: float) -> bool:
        if link.in_flight:
            return now - link.heard > STALLED
        return bool(link.unsent) and not link.is_connected

    def _learn(self, router: str, value: Any, error: Exception | None) -> None:
        """Take what a worker has answered to a TABLE."""
        self._asked.discard(router)
        self._search.answered()
        if error is not None and getattr(error, "code", "") != "unknown-kind":
            self._denied = error if getattr(error, "code", "") == "forbidden" else None
            return  # another is asked
        known = self._search.table
        if value is not None:
            try:
                table = wire.FleetTable.from_value(value)
            except ProtocolError as error:
                if self._denied is None:
                    _LOG.warning("%s", table_unknown(router, error))
                self._denied = table_unknown(router, error)
                return
        elif known is None or not known.workers[0].name:
            table = lone_table(router)
        else:
            return
        self._denied = None
        self._search.found(table, lambda: not any(link.is_connected for link in self._links))
        self._is_old = False
        self._on_table(table)
        self._router.follow(table)
        self._decide(table)
        self._names |= {worker.router: worker.name for worker in table.workers if worker.name}
        self._look_at_links(clock.monotonic())
        again, self._to_all = self._to_all, []
        for request in again:
            self._send_to_all(request)

    def _look_at_links(self, now: float) -> None:
        """Take back what workers did not take or answer, where others have the streams now."""
        assert self._search.table is not None
        listed = {worker.router for worker in self._search.table.workers}
        for link in self._links:
            if link.unsent and not link.is_connected:
                self._recall(link, link.router not in listed)
            if self._is_stuck(link, now):
                for number, request in list(link.in_flight.items()):
                    routers = {self._router.router_of(n) for n in request.partitions}
                    if routers != {link.router} and (routers or link.router not in listed):
                        del link.in_flight[number]
                        self._doubt(link, request)

    def _look_around(self, now: float) -> None:
        """Ask for the table if something does not go on; close connections to those who left."""
        for link in self._links:
            if link.look():
                self._lose(link)
        if any(self._is_stuck(link, now) for link in self._links):
            self._seek()
        table = self._search.table
        listed = [] if table is None else [worker.router for worker in table.workers]
        for link in self._links:
            if listed and link.router not in listed and not link.in_flight and not link.unsent:
                self._links.close(link)
        self._look = now + STALLED / 2 if self._unsettled else math.inf


class _Answer:
    """The future of a TABLE."""

    def __init__(self, tell: Callable[[Any, Exception | None], object]) -> None:
        self._tell = tell

    def done(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return True

    def set_result(self, value: Any) -> None:
        self._tell(value, None)

    def set_exception(self, error: Exception) -> None:
        self._tell(None, error)
