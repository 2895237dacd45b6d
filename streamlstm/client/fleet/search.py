"""When a client asks for the table of a fleet, and whom. No sockets, and no clock of its own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable

from ... import wire
from ...errors import EndpointError
from ..descriptors import NoDescriptorError
from .seeds import Seeds

_LOG = logging.getLogger(__name__)

SILENT = 1.0  # seconds without any answer after which that is told
SHORTEST, LONGEST = 0.01, 0.2  # seconds between two questions,
LONGER = 1.3  # times the ones before: what becomes known is known soon, as soon as it was missed


class TableSearch:
    """Asks one worker after another, until what was missing is known.

    Parameters
    ----------
    seeds : Seeds

    Attributes
    ----------
    table : FleetTable or None
        The last one that came.
    due : float
        When to ask next, in seconds of the monotonic clock; infinite if nothing is missing.
    """

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self.table: wire.FleetTable | None = None
        self.due = math.inf
        self._pause = SHORTEST
        self._not_before = -math.inf
        self._turn = 0
        self.interval = math.inf  # in which it is asked although nothing is missing
        self._away: set[str] = set()  # workers that are not there any more: asked last
        self._remedy = seeds.remedy
        self._silent_from: float | None = None  # when somebody was asked whom nobody has answered

    def begin(self, moment: float, without: str | None = None) -> None:
        """Ask at a moment; not the worker ``without``, if there is another."""
        if without is not None:
            self._away.add(without)
        if moment < self.due:
            self.due, self._pause = max(moment, self._not_before), SHORTEST

    def next(self, now: float) -> str | None:
        """Return whom to ask now, and when that is due again; None if nobody is known."""
        self.due, self._not_before = now + self._pause, now + SHORTEST
        self._pause = min(LONGER * self._pause, LONGEST)
        routers = self._routers()
        if self._silent_from is None:
            self._silent_from = now
        elif self._silent_from < now - SILENT:
            self._silent_from = math.inf  # told once
            self._tell(routers)
        if not routers:
            return None
        self._turn += 1
        return routers[self._turn % len(routers)]

    def end(self, now: float) -> None:
        """Ask no more for now: nothing is missing."""
        self.due = now + self.interval
        self.answered()

    def answered(self) -> None:
        """Note that a worker has answered, whatever it was."""
        self._silent_from = None

    def _tell(self, routers: list[str]) -> None:
        """Say that nobody answers; a person may have to do something."""
        _LOG.warning(
            "%s: no worker answers (%s); it is asked on. %s",
            *(self._seeds.text, ", ".join(routers[:3]) or "none is named", self._remedy),
        )

    def found(self, table: wire.FleetTable, alone: Callable[[], bool]) -> None:
        """Take a table, unless a newer one is known; ``alone``: of none of its workers more."""
        if self.table is None or table.version >= self.table.version or alone():
            self.table = table
            self._away.clear()

    def _routers(self) -> list[str]:
        known = [] if self.table is None else [worker.router for worker in self.table.workers]
        try:
            seeds: Iterable[str] = self._seeds.routers()
            self._remedy = self._seeds.remedy
        except NoDescriptorError as error:
            seeds, self._remedy = (), str(error).capitalize()
        except EndpointError:  # the file is being replaced, or its fleet has ended
            seeds = ()
        found = list(dict.fromkeys([*known, *seeds]))
        return [router for router in found if router not in self._away] or found


def lone_table(router: str) -> wire.FleetTable:
    """Return the table of a worker that belongs to no fleet: it has everything."""
    empty = wire.FleetTable.new()
    owners = empty.owners * 0
    return empty._replace(workers=(wire.FleetWorker("", router, "", ""),), owners=owners)
