"""The requests of a client of a fleet: each goes to the worker that has its streams.

It does for several workers what request_queue.py does for one. How requests go out and answers come
in is in traffic.py, and how it is found out who has what in tracking.py.
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
from ..failures import closed, no_owner, no_reply
from ..keys import Credentials
from ..replies import Decoder
from .ids import PartitionMemory
from .links import Links
from .request import FleetRequest
from .seeds import Seeds
from .tracking import Tracking

_HALTED = 8_000  # requests that may wait for their owners besides those of a window


class FleetQueue(Tracking):
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
        super().__init__(Links(context, keys, window, on_socket), seeds)
        self._starts, self._ids = starts, PartitionMemory()
        self._waiting: deque[FleetRequest] = deque()  # until there is a table
        self._deadline = math.inf

    def __len__(self) -> int:
        """Return how many requests are not settled."""
        return self._unsettled - len(self._asked)

    @property
    def load(self) -> int:
        """The same without some that wait for their owners: others need not wait for those."""
        return max(0, len(self) - min(self._router.waiting, _HALTED))

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
        if type(message) is wire.Step:
            partition = self._ids.get(message.stream)
            if partition is None:
                request.unknown = message.stream
            else:
                request.partitions = (partition,)
        elif isinstance(message, wire.Steps | wire.Last):
            request.place(self._ids.of(message.streams))
        elif (stream := getattr(message, "stream", None)) is not None:
            request.unknown = stream
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

    def call(self, request: FleetRequest) -> None:
        """Send a request and wait for its answer, in this thread."""
        self.add([request])
        while not request.future.done():
            if not self.process():
                self.wait(None)

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

    def wait(self, wakeup: int | None, until: float = math.inf) -> bool:
        """Wait until there is something to do, or a signal; as :meth:`RequestQueue.wait`."""
        return False if self.is_ready() else self._links.wait(wakeup, min(self.due, until))

    def descriptors(self) -> list[int]:
        """Return the descriptors that can be read after each change, once."""
        return self._links.descriptors()

    def fail_all(self) -> None:
        """Fail every request, since the client is closed, and close the connections."""
        self._is_closed = True
        found: list[Any] = [*self._waiting, *self._to_all, *self._router.all_waiting()]
        found += [request for _, request in self._undecided]
        for link in self._links:
            found += [*link.in_flight.values(), *link.unsent]
        for request in found:
            self._settle(request, None, closed("client"))
        self._links.close_all()
        self._waiting.clear()

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

    def _expire(self, now: float) -> None:
        """Fail what is overdue; an answer that still comes is only noted."""
        left = [math.inf]

        def is_over(request: FleetRequest) -> bool:
            deadline = self._deadline_of(request)
            if deadline > now and not request.is_settled:
                left.append(deadline)
            return deadline <= now

        for link in self._links:
            for request in link.in_flight.values():
                if is_over(request):
                    self._settle(request, None, no_reply(link.router, request.timeout))
            for request in [each for each in link.unsent if is_over(each)]:
                link.unsent.remove(request)
                self._router.drop(request)
                self._fail_unsent(request)
        for router, request in [each for each in self._undecided if is_over(each[1])]:
            self._undecided.remove((router, request))
            self._router.drop(request)
            self._settle(request, None, no_reply(router, request.timeout))
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

    def _deadline_of(self, request: FleetRequest) -> float:
        """Return when a request is overdue."""
        if not request.patient:
            return request.deadline
        routers = {self._router.router_of(n) or "" for n in request.partitions}
        links = [self._links.get(router) for router in routers]
        served = [-math.inf if link is None else link.served for link in links]
        return max(request.deadline, min(served, default=-math.inf) + request.timeout)

    def _fail_unsent(self, request: FleetRequest) -> None:
        error = request.refusal or self._denied
        if error is None:
            error = no_owner(self.endpoint, request.timeout, self._links.failure())
        self._settle(request, None, error)
