"""The worker: its three sockets, and the loop that answers what comes through them.

There are two loops. The compiled one (native/loop.py) takes the ordinary messages and leaves the
others to :class:`Service`; the one in Python below takes all of them there. Both wait until
something is ready, take all of it, answer it as one batch, and wait again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from math import ceil
from types import TracebackType
from typing import cast

import zmq

from .. import wire
from ..client.handshake import stop_telling
from ..errors import BadValueError
from .access.authenticator import Doorkeeper, Locks
from .access.limits import Account, Accounts, Throttling, too_quick
from .compiled_loop import CompiledLoop, Reason, find_functions
from .envelope import Arrival, asked, fed, known
from .native import layout
from .native.wakeup import Wakeup
from .queue_limits import Bounds
from .reply import Answer, Publication
from .service import Service
from .sessions import Session, Sessions
from .sockets import bind_door

_LOG = logging.getLogger(__name__)

TURN_MESSAGES = 512  # of one turn: enough for a full block, few enough that the first waits little
TURN_BYTES = 2**23
TURN_SECONDS = 0.09  # after which Python looks around, whatever the loop does
QUIET_SECONDS = 0.1  # without a message a worker that stops has answered all that arrived;
LOOK_SECONDS = 0.01  # of them count for one look at most, or standing still would pass for quiet
TAKE_SECONDS = 1.0  # for which a worker that stops goes on taking what arrives at most,
EMPTY_SECONDS = 2.0  # and then answering what it has taken
PATIENT_SECONDS = 0.75  # for which it then waits for clients' full queues at most, all in all
LINGER_MS = 2_000  # for which its last answers may be on their way
NEWS_SECONDS = 0.002  # for which the loop goes on between two pieces of news for subscribers
LOG_SECONDS = 1.0  # between two lines about messages refused at the pull door


def check_loop(loop: str, backend: str) -> None:
    """Raise BadValueError for a loop that is none, or does not step with this backend."""
    if loop not in ("auto", "native", "python"):
        raise BadValueError(f"loop: expected auto, native or python, got {loop!r}")
    if loop == "native" and backend not in ("auto", "cpu"):
        raise BadValueError(
            f"loop: the compiled loop steps with the cpu backend, not with {backend}; say loop "
            "auto or python"
        )


class Worker:
    """Serves a :class:`Service` on three sockets: ROUTER to ask, PULL to feed, XPUB to listen.

    The sockets are bound when the object is made; clients are answered while :meth:`run` runs.

    Parameters
    ----------
    service : Service
        What answers.
    router, pull, xpub : str
        ZeroMQ endpoints; a ``*`` port lets the system choose.
    insecure : bool
        Allow addresses that other machines can reach.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.
    loop : {"auto", "native", "python"}
        "auto" takes the compiled loop where there is one: only for the cpu backend.
    bounds : Bounds
        How much may wait before senders are answered ``busy``; the loop in Python keeps no queue,
        and lets senders wait.
    spin : float
        Seconds for which the compiled loop goes on looking after a message before it sleeps.
    locks : Locks, optional
        Only clients with a key that they allow come in, and do what their role may.

    Attributes
    ----------
    loop : str
        "native" or "python".
    endpoints : dict of str to str
        ``router``, ``pull`` and ``xpub`` as they were bound.

    Raises
    ------
    EndpointError
        If an endpoint is taken, malformed or not allowed.
    BadValueError
        If there is no such loop here, or the bounds are too small.
    """

    def __init__(
        self,
        service: Service,
        router: str = wire.ROUTER,
        pull: str = wire.PULL,
        xpub: str = wire.XPUB,
        *,
        insecure: bool = False,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        loop: str = "auto",
        bounds: Bounds = Bounds(),  # noqa: B008 - it cannot change
        spin: float = 0.0,
        locks: Locks | None = None,
    ) -> None:
        self._service = service
        self._counters = service.counters
        self._own_context = context is None
        self._context = context or zmq.Context()
        self._wakeup = Wakeup()
        self._doors: list[zmq.Socket[bytes]] = []
        self._topics: set[bytes] = set()
        self._sessions = Sessions()
        self._uncommitted: deque[tuple[list[bytes], Answer]] = deque()
        if service.keeper is not None:
            service.keeper.on_commit = self._committed
        self._reloader: list[bytes] | None = None  # who asked for the model to be changed
        self._stopping = False
        self._patient_until = 0.0
        self._silent_until, self._unlogged = 0.0, 0
        self._compiled: CompiledLoop | None = None
        self._limits, self._locked = service.limits, locks is not None
        self._throttling = Throttling()
        self._accounts: Accounts | None = None  # of the loop in Python
        self._doorkeeper: Doorkeeper | None = None
        # Twice the limit is received, so that a message above it gets an answer that says so.
        max_bytes = 2 * service.max_message_bytes
        try:
            if locks is not None:
                self._doorkeeper = Doorkeeper(self._context, locks, self._counters)
            for kind, name, endpoint in (
                (zmq.ROUTER, "router", router),
                (zmq.PULL, "pull", pull),
                (zmq.XPUB, "xpub", xpub),
            ):
                self._doors.append(
                    bind_door(
                        self._context,
                        kind,
                        name,
                        endpoint,
                        max_bytes=max_bytes,
                        insecure=insecure,
                        locks=locks,
                        doorkeeper=self._doorkeeper,
                    )
                )
            if self._doorkeeper is not None:
                self._doorkeeper.start()
            self._compiled = self._choose(loop, bounds, spin)
            if service.limits and self._compiled is None:
                self._accounts = Accounts(service.limits, self._locked)
        except BaseException:
            self.close()
            raise
        self._router, self._pull, self._xpub = self._doors
        names = ("router", "pull", "xpub")
        self.endpoints = {
            name: door.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
            for name, door in zip(names, self._doors, strict=True)
        }
        self._poller = zmq.Poller()
        for waited in (*self._doors, self._wakeup.fileno()):
            self._poller.register(waited, zmq.POLLIN)

    @property
    def loop(self) -> str:
        """Which loop serves."""
        return "python" if self._compiled is None else "native"

    def _choose(self, loop: str, bounds: Bounds, spin: float) -> CompiledLoop | None:
        service = self._service
        check_loop(loop, service.engine.backend)
        if loop == "python":
            return None
        lent = service.engine.lend()
        functions = find_functions()
        if lent is None:
            reason = (
                f"the compiled loop steps with the cpu backend, not with {service.engine.backend}"
            )
        elif functions is None:
            reason = "the libzmq that pyzmq uses was not found; pyzmq's own wheels have one"
        else:
            return CompiledLoop(
                lent,
                self._doors,
                self._wakeup.fileno(),
                self._counters,
                service.max_message_bytes,
                bounds,
                functions,
                spin,
                self._locked,
                self._limits,
            )
        if loop == "native":
            raise BadValueError(f"loop: {reason}; say loop auto or python")
        _LOG.info("serving with the loop in Python: %s", reason)
        return None

    def run(self) -> None:
        """Answer until :meth:`stop`, then answer what has arrived by then."""
        while not self._stopping:
            self._turn(TURN_SECONDS)
        self._patient_until = time.monotonic() + PATIENT_SECONDS
        if self._compiled is not None:
            self._compiled.be_patient(PATIENT_SECONDS)
        self._take_rest()
        self._empty()
        if self._unlogged:
            _LOG.warning("refused %d more since the last line", self._unlogged)
            self._unlogged = 0
        self._answer_reload(self._service.stop_reloading())
        if self._service.keeper is not None:
            self._service.keeper.finish()
            self._answer_committed()

    def _take_rest(self) -> None:
        """Take and answer what has arrived by now, and what comes until it is quiet."""
        deadline, quiet = time.monotonic() + TAKE_SECONDS, 0.0
        while quiet < QUIET_SECONDS and (start := time.monotonic()) < deadline:
            before = self._counters[layout.MESSAGES]
            self._turn(min(LOOK_SECONDS, deadline - start))
            quiet += min(time.monotonic() - start, LOOK_SECONDS)
            if self._counters[layout.MESSAGES] != before or self._counters[layout.QUEUED]:
                quiet = 0.0

    def _empty(self) -> None:
        """Answer what was taken, and take nothing more."""
        if self._compiled is None:
            return  # it keeps no queue
        self._compiled.stop_taking()
        deadline = time.monotonic() + EMPTY_SECONDS
        while self._counters[layout.QUEUED] and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        if self._counters[layout.QUEUED]:
            _LOG.warning(
                "stopped with %d messages unanswered: the queue was not empty after %g s",
                self._counters[layout.QUEUED],
                EMPTY_SECONDS,
            )

    def on_signals(self) -> AbstractContextManager[None]:
        """Let SIGINT and SIGTERM stop the worker, within ``with``; in the main thread only."""
        return self._wakeup.on_signals()

    def stop(self) -> None:
        """Let :meth:`run` come to its end; from any thread."""
        self._wakeup.call()

    def close(self) -> None:
        """Close the sockets; waits at most ``LINGER_MS`` for clients to take their answers."""
        if self._compiled is not None:
            self._compiled.close()
            self._compiled = None
        for door in self._doors:
            if self._doorkeeper is not None:
                stop_telling(door)
            door.close(linger=LINGER_MS)
        self._doors.clear()
        if self._doorkeeper is not None:
            self._doorkeeper.close()
            self._doorkeeper = None
        if self._service.keeper is not None:
            self._service.keeper.on_commit = lambda: None
        self._wakeup.close()
        if self._own_context:
            self._context.term()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- the loop ---

    def _turn(self, seconds: float) -> None:
        """Deal with what is ready; return when something was done, or after so many seconds."""
        keeper, eviction = self._service.keeper, self._service.eviction
        heard = self._counters[layout.SUBSCRIPTIONS] > 0
        self._answer_reload(self._service.reload(heard))
        if eviction is not None:  # before the keeper begins a batch, while nothing may leave
            seconds = min(seconds, eviction.turn(heard))
        for publication in self._service.news():
            self._publish(publication)
        if self._service.has_news:
            seconds = min(seconds, NEWS_SECONDS)
        if keeper is not None:
            seconds = min(seconds, keeper.turn())
        self._answer_committed()
        if self._compiled is None:
            self._turn_in_python(seconds)
            return
        # Python looks at every stream that is not here: it may be in the store, or one too many.
        absent = self._limits.streams is not None or (keeper is not None and keeper.has_more)
        reason = self._compiled.serve(seconds, absent)
        if throttled := self._counters[layout.THROTTLED]:
            self._throttling.tell(throttled, self._compiled.throttled_last)
        if reason is Reason.HAND_OVER:
            session = self._compiled.session
            self._answer([self._compiled.handed_over()], [session])
            self._compiled.session = session
            self._counters.latency.add(time.monotonic_ns() - self._compiled.taken)
        elif reason is Reason.WOKEN and self._wakeup.heard():
            self._stopping = True

    def _committed(self) -> None:
        """Let the loop look at the answers that waited for this commit, if any did."""
        if self._uncommitted:
            self._wakeup.nudge()

    def _answer_committed(self) -> None:
        """Answer the barriers whose observations are safe by now."""
        while self._uncommitted and self._service.is_safe(self._uncommitted[0][1]):
            back, answer = self._uncommitted.popleft()
            self._reply(back, answer.reply)

    def _answer_reload(self, answer: Answer | None) -> None:
        """Tell who asked what came of a change of the model; nobody is told of none."""
        if answer is not None and self._reloader is not None:
            back, self._reloader = self._reloader, None
            self._reply(back, answer.reply)

    def _turn_in_python(self, seconds: float) -> None:
        rest = self._let_pull_rest()
        ready = dict(self._poller.poll(ceil(1000 * min(seconds, rest or seconds))))
        if self._wakeup.fileno() in ready and self._wakeup.heard():
            self._stopping = True
        if self._xpub in ready:
            self._note_subscriptions()
        taken = time.perf_counter_ns()
        batch = self._take([door for door in (self._router, self._pull) if door in ready])
        self._counters.cells[layout.QUEUED] = len(batch)
        if batch:
            self._answer(batch, [self._session_of(arrival) for arrival in batch])
        self._counters.cells[layout.QUEUED] = 0
        for _ in batch:
            self._counters.latency.add(time.perf_counter_ns() - taken)

    def _session_of(self, arrival: Arrival) -> Session:
        """Return what is known of who sent a message."""
        session = Session() if arrival.back is None else self._sessions.of(arrival.back[0])
        if self._accounts is not None:
            session.account = self._account_of(self._accounts, arrival)
        return session

    @staticmethod
    def _account_of(accounts: Accounts, arrival: Arrival) -> Account:
        if arrival.back is None:
            return accounts.pull
        return accounts.of(arrival.user.encode() if arrival.user else arrival.back[0])

    def _let_pull_rest(self) -> float:
        """Return for how many seconds nothing is taken from the pull door, and pass it over."""
        if not self._limits.interval or self._accounts is None:
            return 0.0
        rest = self._accounts.ahead(self._accounts.pull)
        self._poller.modify(self._pull, 0 if rest > 0 else zmq.POLLIN)
        return max(rest, 0) * 1e-9

    def _is_too_quick(self, accounts: Accounts, arrival: Arrival) -> bool:
        """Charge a message to its client; or answer it, if that has to wait."""
        account = self._account_of(accounts, arrival)
        wait = accounts.ahead(account)
        if wait <= 0 or arrival.back is None:
            accounts.charge(account, arrival.frame)
            return False
        self._counters.add(layout.THROTTLED)
        self._counters.add(layout.BUSY)
        self._throttling.tell(self._counters[layout.THROTTLED], account)
        self._reply(arrival.back, too_quick(arrival.frame, wait))
        return True

    def _take(self, doors: list[zmq.Socket[bytes]]) -> list[Arrival]:
        """Take what is ready, one message of each door in turn, up to the bounds of a turn."""
        batch: list[Arrival] = []
        size = 0
        while doors and len(batch) < TURN_MESSAGES and size < TURN_BYTES:
            for door in tuple(doors):
                try:
                    if self._locked and door is self._router:
                        arrival = known(door.recv_multipart(zmq.NOBLOCK, copy=False))
                    else:
                        parts = door.recv_multipart(zmq.NOBLOCK)
                        arrival = asked(parts) if door is self._router else fed(parts)
                except zmq.Again:
                    doors.remove(door)
                    continue
                self._counters.add(layout.MESSAGES)
                if self._accounts is not None and self._is_too_quick(self._accounts, arrival):
                    continue
                if door is self._pull and self._let_pull_rest():
                    doors.remove(door)
                    self._counters.add(layout.THROTTLED)
                    self._throttling.tell(
                        self._counters[layout.THROTTLED], cast(Accounts, self._accounts).pull
                    )
                batch.append(arrival)
                size += len(arrival.frame) if isinstance(arrival.frame, bytes) else 0
        return batch

    def _answer(self, batch: Sequence[Arrival], sessions: Sequence[Session | None]) -> None:
        fed = {n for n, arrival in enumerate(batch) if arrival.back is None}
        frames = [arrival.frame for arrival in batch]
        answers = self._service.handle(
            frames, fed, publish=self._counters[layout.SUBSCRIPTIONS] > 0, sessions=sessions
        )
        for arrival, answer in zip(batch, answers, strict=True):
            for publication in answer.publications:
                self._publish(publication)
            if answer.reloads:
                self._reloader = arrival.back
            elif arrival.back is not None and not self._service.is_safe(answer):
                self._uncommitted.append((arrival.back, answer))
            elif arrival.back is not None:
                self._reply(arrival.back, answer.reply)
                if answer.error is not None and answer.error.code == "capacity":
                    self._log("router", answer)
            elif answer.error is not None:
                self._log("pull", answer)

    # --- the ways out; none of them waits, but for the last answers of a worker that stops ---

    def _reply(self, back: list[bytes], reply: bytes) -> None:
        flags = zmq.NOBLOCK
        if self._stopping and (left := self._patient_until - time.monotonic()) > 0:
            self._router.set(zmq.SNDTIMEO, ceil(1000 * left))
            flags = zmq.Flag(0)
        try:
            self._router.send_multipart([*back, reply], flags)
        except zmq.ZMQError:  # its queue is full because it does not read, or it has gone
            self._counters.add(layout.DROPPED_ANSWERS)
        else:
            self._counters.add(layout.ANSWERS)

    def _publish(self, publication: Publication) -> None:
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

    def _note_subscriptions(self) -> None:
        """Keep track of what is subscribed to: nothing is published where nobody listens."""
        for _ in range(TURN_MESSAGES):
            try:
                event = self._xpub.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            if event[:1] == b"\1":
                self._topics.add(event[1:])
            elif event[:1] == b"\0":
                self._topics.discard(event[1:])
            self._counters.cells[layout.SUBSCRIPTIONS] = len(self._topics)

    def _log(self, door: str, answer: Answer) -> None:
        """Write at most a line a second about what was refused, whatever comes."""
        now = time.monotonic()
        if now < self._silent_until:
            self._unlogged += 1
            return
        if answer.error is not None:
            more = f" ({self._unlogged} more since the last line)" if self._unlogged else ""
            sentence = answer.error.message.encode("unicode_escape").decode()
            _LOG.warning("%s: refused, %s: %s%s", door, answer.error.code, sentence, more)
        self._silent_until, self._unlogged = now + LOG_SECONDS, 0
