"""The requests of a client of a fleet: each goes to the worker that has its streams.

It does for several workers what request_queue.py does for one. Which request goes where and when is
decided by router.py; a message whose streams several workers have is divided by parts.py.
"""

from __future__ import annotations

import heapq
import math
import time as clock
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import zmq

from ... import wire
from ...errors import RemoteError
from ..failures import closed, no_owner, no_reply, worker_lost
from ..keys import Credentials
from ..replies import Decoder, decode_done
from ..request_queue import settle
from . import parts
from .ids import PartitionMemory
from .link import Link
from .links import Links
from .request import FleetRequest
from .router import Router
from .search import TableSearch, lone_table
from .seeds import Seeds

_STALLED = 1.0  # seconds without an answer after which it is asked who has the streams
_REST = 0.005  # seconds until a request is sent again that came too early
_HALTED = 8_000  # requests that may wait for their owners besides those of a window


class FleetQueue:
    """The requests of one client, in order: sends them, receives replies, expires the overdue.

    Parameters
    ----------
    context : zmq.Context
    seeds : Seeds
    keys : Credentials or None
    window : int
        How many requests may be in flight at each worker.
    starts : callable
        Told a future before its request is sent; returns whether it is still wanted.
    on_socket : callable, optional
        Told the descriptor of each socket, and whether it comes or goes.

    Attributes
    ----------
    endpoint, window
        For errors; as given.
    due : float
        When :meth:`process` has something to do by itself; in seconds of the monotonic clock.
    """

    def __init__(
        self,
        context: zmq.Context[Any],
        seeds: Seeds,
        keys: Credentials | None,
        window: int,
        starts: Callable[[Any], bool],
        on_socket: Callable[[int, bool], object] = lambda _, __: None,
    ) -> None:
        self.window, self.endpoint = window, seeds.text
        self._starts = starts
        self._links = Links(context, keys, window, on_socket)
        self._search, self._router, self._ids = TableSearch(seeds), Router(), PartitionMemory()
        self._waiting: deque[FleetRequest] = deque()  # until there is a table
        self._to_all: list[FleetRequest] = []  # to all workers, when it is known who they are
        self._asked: set[str] = set()  # who has not answered yet what the table is
        self._rests: list[tuple[float, int, FleetRequest]] = []
        self._unsettled = self._rested = 0
        self._is_closed = False
        self._deadline = self._look = self.due = math.inf

    def __len__(self) -> int:
        """Return how many requests are not settled, but for some that wait for their owners."""
        return self._unsettled - min(self._router.waiting, _HALTED)

    # --- requests ---

    def make(
        self,
        future: Any,
        message: wire.Request,
        frame: bytes,
        decode: Decoder[Any],
        timeout: float,
    ) -> FleetRequest:
        """Return a request to :meth:`add`; any thread may make one."""
        request = FleetRequest(future, message, frame, decode, timeout)
        if isinstance(message, wire.Steps | wire.Last):
            request.place(self._ids.of(message.streams))
        elif (stream := getattr(message, "stream", None)) is not None:
            partition = self._ids.get(stream)
            if partition is None:
                request.unknown = stream
            else:
                request.partitions = (partition,)
        return request

    def add(self, requests: Iterable[FleetRequest]) -> None:
        """Append requests."""
        requests = list(requests)
        unknown = [request for request in requests if request.unknown is not None]
        if unknown:  # together, since most of the time is that of the call
            found = self._ids.of([request.unknown for request in unknown])  # type: ignore[misc]
            for request, partition in zip(unknown, found, strict=True):
                request.partitions, request.unknown = (partition,), None
        self._unsettled += len(requests)
        for request in requests:
            self._waiting.append(request)
            if request.deadline < self._deadline:
                self._deadline = request.deadline
                self.due = min(self.due, self._deadline)

    def process(self) -> bool:
        """Send what may be sent, settle what was answered, expire what is overdue; never waits.

        Return whether anything was sent or received.
        """
        moved = bool(self._waiting) and self._take()
        moved |= self._route()
        for link in self._links:
            moved |= self._exchange(link)
        moved |= self._route()
        if clock.monotonic() >= self.due:
            self._act(clock.monotonic())
        return moved

    def is_ready(self) -> bool:
        """Return whether `process` would find something to do at once."""
        has_table = self._search.table is not None
        return bool(self._waiting and has_table) or self._links.have_something()

    def wait(self, wakeup: int | None) -> bool:
        """Wait until there is something to do, or a signal; as :meth:`RequestQueue.wait`."""
        return False if self.is_ready() else self._links.wait(wakeup, self.due)

    def fail_all(self) -> None:
        """Fail every request, since the client is closed, and close the connections."""
        self._is_closed = True
        found: list[Any] = [*self._waiting, *self._to_all, *self._router.all_waiting()]
        for link in self._links:
            found += [*link.in_flight.values(), *link.unsent]
        for request in found:
            self._settle(request, None, closed("client"))
        self._links.close_all()
        self._waiting.clear()

    # --- out ---

    def _take(self) -> bool:
        """Let requests be routed, in their order."""
        waiting, add = self._waiting, self._router.add
        if self._search.table is None:
            self._seek()
            return False
        while waiting:
            request = waiting.popleft()
            if not self._starts(request.future):
                self._unsettled -= 1
            elif not request.partitions:
                self._wait_for_table(request)
            elif add(request):
                self._send(request)
        return True

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
                self._unsettled += len(made)
                router.divide(request, made)
            elif request.future.done():  # nobody waits for it any more
                router.drop(request)
            else:
                self._send(request)
        if router.needs_table:
            self._seek()
        return bool(ready)

    def _send(self, request: FleetRequest) -> None:
        router = request.router
        assert router is not None
        (self._links.get(router) or self._links.to(router)).send(request)
        if self._look == math.inf:
            self._look = clock.monotonic() + _STALLED / 2
            self.due = min(self.due, self._look)

    def _send_to_all(self, request: FleetRequest) -> None:
        assert self._search.table is not None
        workers = self._search.table.workers
        made = parts.for_all(request, workers, self._settle, self._wait_for_table)
        self._unsettled += len(made)
        for part in made:
            self._send(part)

    def _wait_for_table(self, request: FleetRequest) -> None:
        """Send a request to all workers as soon as it is known which there are now."""
        self._to_all.append(request)
        self._seek()

    # --- in ---

    def _exchange(self, link: Link) -> bool:
        """Take what came over a connection, and send what waits for it."""
        answers = link.receive()
        for request, frame in answers:
            self._answer(request, frame)
        sent = bool(link.unsent) and link.flush()
        if link.in_flight and not link.is_connected:
            for request, frame in link.receive():  # what came before the end
                self._answer(request, frame)
            self._lose(link)
        return bool(answers) or sent

    def _answer(self, request: FleetRequest, frame: bytes) -> None:
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
        except Exception as failed:
            error = failed
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
            if not self._router.moved(request, reply.number, reply.owner):
                self._rest(request, _REST)
                self._seek()
            return True
        if refusal.code == "busy" and refusal.retry_after is not None:
            request.refusal = refusal
            self._router.again(request)
            self._rest(request, refusal.retry_after)
            return True
        return False

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
        self._asked.discard(link.router)
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
        elif request.future.done() or not request.repeats:
            self._router.drop(request)
            self._settle(request, None, worker_lost(link.router))
        else:
            request.tries += 1
            if isinstance(request.message, wire.Steps):
                made = parts.by_row(request, self._settle)
                self._unsettled += len(made)
                self._router.drop(request)
                self._router.put(request, made)
            else:
                self._router.again(request)

    def _recall(self, link: Link) -> None:
        """Let requests find their ways anew that were not sent."""
        unsent = list(link.unsent)
        link.unsent.clear()
        for request in unsent:
            if request.partitions:
                self._router.again(request)
            else:
                self._settle(request, None, parts.WorkerGoneError(str(worker_lost(link.router))))

    # --- the table ---

    def _seek(self, without: str | None = None) -> None:
        """Ask for the table; not the worker ``without``, which is not there any more."""
        self._search.begin(clock.monotonic(), without)
        self.due = min(self.due, self._search.due)

    def _ask(self, now: float) -> None:
        if not self._misses_something(now):
            self._search.end()
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
            or bool(self._to_all)
            or self._router.needs_table
            or any(self._is_stuck(link, now) for link in self._links)
        )

    def _is_stuck(self, link: Link, now: float) -> bool:
        if link.in_flight:
            return now - link.heard > _STALLED
        return bool(link.unsent) and not link.is_connected

    def _learn(self, router: str, value: Any, error: Exception | None) -> None:
        """Take what a worker has answered to a TABLE."""
        self._asked.discard(router)
        if error is not None and getattr(error, "code", "") != "unknown-kind":
            return  # another is asked
        known = self._search.table
        if value is not None:
            table = wire.FleetTable.from_value(value)
        elif known is None or not known.workers[0].name:
            table = lone_table(router)
        else:
            return
        self._search.found(table, lambda: not any(link.is_connected for link in self._links))
        self._router.follow(table)
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
                self._recall(link)
            if self._is_stuck(link, now):
                for number, request in list(link.in_flight.items()):
                    routers = {self._router.router_of(n) for n in request.partitions}
                    if routers != {link.router} and (routers or link.router not in listed):
                        del link.in_flight[number]
                        self._doubt(link, request)

    # --- time ---

    def _act(self, now: float) -> None:
        """Do what is due."""
        while self._rests and self._rests[0][0] <= now:
            self._router.wake(heapq.heappop(self._rests)[2].partitions)
        if self._search.due <= now:
            self._ask(now)
        if self._look <= now:
            self._look_around(now)
        if self._deadline <= now:
            self._expire(now)
        rest = self._rests[0][0] if self._rests else math.inf
        self.due = min(self._deadline, self._search.due, self._look, rest)
        self._route()

    def _look_around(self, now: float) -> None:
        """Ask for the table if something does not go on; close connections to those who left."""
        if any(self._is_stuck(link, now) for link in self._links):
            self._seek()
        table = self._search.table
        listed = [] if table is None else [worker.router for worker in table.workers]
        for link in self._links:
            if listed and link.router not in listed and not link.in_flight and not link.unsent:
                self._links.close(link)
        self._look = now + _STALLED / 2 if self._unsettled else math.inf

    def _expire(self, now: float) -> None:
        """Fail what is overdue; an answer that still comes is only noted."""
        left = [math.inf]

        def is_over(request: FleetRequest) -> bool:
            if request.deadline > now and not request.is_settled:
                left.append(request.deadline)
            return request.deadline <= now

        for link in self._links:
            for request in link.in_flight.values():
                if is_over(request):
                    self._settle(request, None, no_reply(link.router, request.timeout))
            for request in [each for each in link.unsent if is_over(each)]:
                link.unsent.remove(request)
                self._router.drop(request)
                self._fail_unsent(request)
        waiting = {id(each): each for each in self._router.all_waiting()}
        for each in waiting.values():
            assert isinstance(each, FleetRequest)
            if is_over(each):
                self._router.cancel(each)
                self._fail_unsent(each)
        for queue in (self._waiting, self._to_all):
            for request in [each for each in queue if is_over(each)]:
                queue.remove(request)
                self._fail_unsent(request)
        self._deadline = min(left)

    def _fail_unsent(self, request: FleetRequest) -> None:
        error = request.refusal or no_owner(self.endpoint, request.timeout, self._links.failure())
        self._settle(request, None, error)


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
