"""The traffic of a client of a fleet: requests that go out, and answers that come in.

Which request goes where and when is decided by router.py; a message whose streams several workers
have is divided by parts.py.
"""

from __future__ import annotations

import heapq
import math
import time as clock
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from ... import wire
from ...errors import RemoteError
from ..descriptors import WAIT_SECONDS, NoDescriptorError
from ..failures import worker_lost
from ..request_queue import settle
from . import parts
from .link import POLLIN, POLLOUT, Link
from .links import Links
from .request import FleetRequest, Part
from .router import Router

STALLED = 1.0  # seconds without an answer after which it is asked who has the streams
_CONNECTING = 0.02  # seconds until it is asked whether a worker is there at all
_REST = 0.005  # seconds until a request is sent again that came too early


class Traffic:
    """Sends requests that the router lets go, and does what their answers say.

    Parameters
    ----------
    links : Links

    Attributes
    ----------
    due : float
        When there is something to do without an answer; in seconds of the monotonic clock.
    """

    def __init__(self, links: Links) -> None:
        self._links, self._router = links, Router()
        self._rests: list[tuple[float, int, FleetRequest]] = []
        self._names: dict[str, str] = {}  # of workers, by routers
        self._undecided: list[tuple[str, FleetRequest]] = []  # in flight at workers that ended
        self._unsettled = self._rested = 0
        self._is_closed = False
        self._look = self.due = math.inf

    @abstractmethod
    def _seek(self, without: str | None = None, after: float = 0.0) -> None:
        """Ask for the table after some seconds, if something is missing still.

        The worker ``without`` is not asked: it is not there any more.
        """

    @abstractmethod
    def refresh(self) -> None:
        """Ask for the table, though nothing is missing."""

    # --- out ---

    def _route(self) -> bool:
        """Send requests whose turn has come."""
        router = self._router
        if not router.stirred:
            return False
        ready = router.ready()
        for request in ready:
            assert isinstance(request, FleetRequest)
            if request.router is None:
                made = parts.by_owner(request, router.router_of, self._settle)
                self._count(request, made)
                router.divide(request, made)
            elif request.future.done():  # nobody waits for it any more
                router.drop(request)
            else:
                self._send(request)
        if router.needs_table:
            self._seek()
        return bool(ready)

    def _send(self, request: FleetRequest) -> None:
        link = self._links.get(request.router)  # type: ignore[arg-type]
        if link is None:
            assert request.router is not None
            try:
                link = self._links.to(request.router)
            except NoDescriptorError as error:
                self._wait_for_descriptor(request, error)
                return
            self._seek(after=_CONNECTING)
        link.send(request)
        if self._look == math.inf:
            self._look = clock.monotonic() + STALLED / 2
            self.due = min(self.due, self._look)

    def _wait_for_descriptor(self, request: FleetRequest, error: NoDescriptorError) -> None:
        """Send a request later, as long as its caller waits; tell one that may go elsewhere."""
        if request.partitions:
            request.refusal = error
            self._router.again(request)
            self._rest(request, WAIT_SECONDS)
        else:
            self._router.drop(request)
            self._settle(request, error=error)

    # --- in ---

    def _exchange(self, link: Link) -> bool:
        """Take what came over a connection, and send what waits for it."""
        events = link.events
        answers = link.receive() if events & POLLIN else []
        for request, frame in answers:
            self._answer(link, request, frame)
        sent = bool(link.unsent) and link.flush()
        if link.in_flight and not (answers or events & POLLOUT or link.events & POLLOUT):
            for request, frame in link.receive():  # what came before the end
                self._answer(link, request, frame)
            self._lose(link)
        return bool(answers) or sent

    def _answer(self, link: Link, request: FleetRequest, frame: bytes) -> None:
        error: Exception | None = None
        result = None
        try:
            result = request.decode(frame)
        except RemoteError as refusal:
            if self._is_sent_again(request, refusal, frame):
                return
            error = refusal
            if refusal.code == "duplicate" and request.tries and refusal.values is not None:
                result, error = request.known(frame), None
            if request.apart:
                link.served = clock.monotonic()
                self._put(request, parts.around(request, refusal, self._settle))
                return
        except Exception as failed:
            error = failed
        link.served = clock.monotonic()
        self._router.done(request)
        self._settle(request, result, error)

    def _is_sent_again(self, request: FleetRequest, refusal: RemoteError, frame: bytes) -> bool:
        """Return whether a request was refused for now only, and is sent again in its place."""
        if not request.partitions or request.future.done():
            return False
        if refusal.code == "moved":
            reply = wire.decode_reply(frame)
            assert isinstance(reply, wire.Error)
            if reply.number is None or reply.owner is None:
                return False
            request.refusal = None
            many = len(request.partitions) > 1
            if not self._router.moved(request, reply.number, reply.owner):
                self._rest(request, _REST)
                self._seek()
            elif many:  # others of its streams have moved as well, very likely
                self.refresh()
            return True
        if refusal.code == "gap" and self._router.has_earlier(request):
            self._router.again(request)
            return True
        if refusal.code == "busy" and refusal.retry_after is not None:
            request.refusal = refusal
            arriving = self._arriving(request, frame)
            if arriving is not None:  # the others need not wait for it
                first, others = parts.without(request, arriving, self._settle)
                self._put(request, [first, others])
                self._router.doubt(arriving)
                self._rest(first, refusal.retry_after)
                return True
            self._router.again(request)
            self._rest(request, refusal.retry_after)
            return True
        return False

    def _arriving(self, request: FleetRequest, frame: bytes) -> int | None:
        """Return the partition that is on its way to its new owner, if a request names others too.

        A worker that has no room for a request says `busy` as well, of a partition that it has.
        """
        if request.rows is None or len(request.partitions) < 2:
            return None
        reply, message = wire.decode_reply(frame), request.message
        assert isinstance(reply, wire.Error)
        assert isinstance(message, wire.Steps | wire.Last)
        if reply.stream not in message.streams:
            return None
        partition = request.rows[message.streams.index(reply.stream)]
        return None if self._router.is_proven(partition) else partition

    def _rest(self, request: FleetRequest, seconds: float) -> None:
        self._router.rest(request.partitions)
        self._rested += 1
        heapq.heappush(self._rests, (clock.monotonic() + seconds, self._rested, request))
        self.due = min(self.due, self._rests[0][0])

    def _settle(
        self, request: FleetRequest, result: Any = None, error: Exception | None = None
    ) -> None:
        if request.is_settled:
            return
        request.is_settled = True
        self._unsettled -= 1
        settle(request.future, result, error)
        if self._is_closed and not request.future.cancelled():
            request.future.exception()  # else asyncio would complain if nobody awaits it

    # --- workers that are not there any more ---

    def _lose(self, link: Link) -> None:
        """Do without a worker whose connection broke; what was in flight is in doubt."""
        self._links.close(link)
        self._router.lost(link.router)
        self._recall(link)
        for request in link.in_flight.values():
            self._doubt(link, request)
        link.in_flight.clear()
        self._seek(link.router)

    def _doubt(self, link: Link, request: FleetRequest) -> None:
        """Send a request again of which nobody knows whether it was applied, or fail it."""
        if not request.partitions:
            self._settle(request, None, parts.WorkerGoneError(str(worker_lost(link.router))))
        elif request.future.done():
            self._router.drop(request)
        elif not request.repeats:
            self._undecided.append((link.router, request))
        else:
            request.tries += 1
            if isinstance(request.message, wire.Steps):
                self._send_rows(request)
            else:
                self._router.again(request)

    def _decide(self, table: wire.FleetTable) -> None:
        """Send what was in flight at workers that left as they should; fail it at others.

        The former have answered all that they have applied, and are listed no more when they end;
        one that has died is listed, and will be started again.
        """
        listed = {worker.name for worker in table.workers}
        undecided, self._undecided = self._undecided, []
        for router, request in undecided:
            name = self._names.get(router)
            if name is not None and name not in listed:
                self._router.again(request)
            else:
                self._router.drop(request)
                self._settle(request, None, worker_lost(router))

    def _send_rows(self, request: FleetRequest) -> None:
        """Send each row of a message by itself, in its place."""
        self._put(request, parts.by_row(request, self._settle))

    def _put(self, request: FleetRequest, made: Sequence[FleetRequest]) -> None:
        """Let parts wait in the place of a request that was in flight."""
        self._count(request, made)
        self._router.drop(request)
        self._router.put(request, made)

    def _count(self, request: FleetRequest, made: Sequence[FleetRequest]) -> None:
        """Count parts; of a part that was divided nothing is told any more."""
        self._unsettled += len(made)
        if isinstance(request.future, Part):
            request.is_settled = True
            self._unsettled -= 1

    def _recall(self, link: Link, is_gone: bool = True) -> None:
        """Let requests find their ways anew that were not sent."""
        unsent = list(link.unsent)
        link.unsent.clear()
        for request in unsent:
            if request.partitions:
                self._router.again(request)
            elif is_gone:
                self._settle(request, None, parts.WorkerGoneError(str(worker_lost(link.router))))
            else:
                link.unsent.append(request)
