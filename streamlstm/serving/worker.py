"""The worker: binds its sockets, and runs the loop that answers what comes through them.

There are two loops. The compiled one takes the ordinary messages and leaves the others to
:class:`Service`; the one in Python passes all of them there. Both wait until something is ready,
take all of it, answer it as one batch, and wait again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NoReturn

import zmq

from .. import __version__, wire
from ..engine.forks import fork_error, tell_in_child
from ..errors import BadValueError, EndpointError, ForkError
from .access.authenticator import Authenticator
from .access.curve_server import CurveServer
from .compiled_loop import CompiledLoop
from .connections import Connections, connection_limit
from .control_link import ControlLink
from .dispatcher import Dispatcher
from .fleet_reload import FleetReload
from .libzmq import find_functions
from .load import Load
from .member import Member
from .native import layout
from .python_loop import PythonLoop
from .queue_limits import QueueLimits
from .sender import Sender
from .service import Service
from .sockets import SocketFiles, Sockets, bind_sockets
from .wakeup import Wakeup

_LOG = logging.getLogger(__name__)

TURN_SECONDS = 0.09  # after which Python looks around, whatever the loop does
QUIET_SECONDS = 0.1  # without a message a worker that stops has answered all that arrived;
LOOK_SECONDS = 0.01  # of them count for one look at most, or standing still would pass for quiet
RECEIVE_SECONDS = 1.0  # for which a worker that stops keeps receiving at most,
DRAIN_SECONDS = 2.0  # and then answering what it has received
CLIENT_SECONDS = 0.75  # for which it then waits for clients' full queues at most, all in all
REPORT_SECONDS = 1.0  # between two reports to the supervisor of a fleet
EVENTS_SECONDS = 0.002  # for which the loop runs between two chunks of events


def check_loop(loop: str, backend: str) -> None:
    """Raise BadValueError for an unknown loop, or one that does not step with this backend."""
    if loop not in ("auto", "native", "python"):
        raise BadValueError(f"loop: expected auto, native or python, got {loop!r}")
    if loop == "native" and backend not in ("auto", "cpu"):
        raise BadValueError(
            f"loop: the compiled loop steps with the cpu backend, not with {backend}; use loop "
            "auto or python"
        )


def _end_refused(reason: str) -> NoReturn:
    """End this worker, which its fleet does not take."""
    raise EndpointError(f"the fleet refuses this worker: {reason}")


class Worker:
    """Serves a :class:`Service` on three sockets: ROUTER, PULL and XPUB.

    The sockets are bound when the object is made; clients are answered while :meth:`run` runs.

    Parameters
    ----------
    service : Service
    router, pull, xpub : str
        ZeroMQ endpoints; a ``*`` port lets the system choose.
    insecure : bool
        Allow addresses that other machines can reach.
    context : zmq.Context, optional
        Needed for ``inproc://`` endpoints only; one of its own if left out.
    loop : {"auto", "native", "python"}
        "auto" takes the compiled loop where there is one: only for the cpu backend.
    queue_limits : QueueLimits
        How much may wait before senders are answered ``busy``; the loop in Python has limits of
        its own, and lets senders wait.
    spin : float
        Seconds for which the compiled loop keeps polling after a message before it sleeps.
    curve : CurveServer, optional
        Only clients with a key that it authorizes may connect, and do what their role may.
    max_connections : int, optional
        Connections of all sockets together; further ones are closed at once. Left out, 1,000, or
        as many as the process may open files for.
    former_ports : sequence of int, optional
        Of ROUTER, PULL and XPUB, as :func:`.sockets.bind_sockets` has them.

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
        If there is no such loop here, the queue is too small, or there are too many connections
        for the files that the process may open.
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
        queue_limits: QueueLimits = QueueLimits(),  # noqa: B008 - it cannot change
        spin: float = 0.0,
        curve: CurveServer | None = None,
        max_connections: int | None = None,
        former_ports: Sequence[int] | None = None,
    ) -> None:
        limit = connection_limit(max_connections)
        self._service = service
        self._counters = service.counters
        self._stopping = False
        self._wakeup = Wakeup()
        with ExitStack() as resources:
            if context is None:
                context = zmq.Context()
                resources.callback(context.term)
            resources.callback(self._wakeup.close)
            authenticator = None
            if curve is not None:
                authenticator = Authenticator(
                    context, curve, self._counters.count_refused_connection
                )
                resources.callback(authenticator.close)
            connections = Connections(
                context, limit, None if authenticator is None else authenticator.note_failure
            )
            resources.callback(connections.close)
            sockets = bind_sockets(
                context,
                (router, pull, xpub),
                # Twice the limit, so that a message above it gets an answer that says so.
                max_bytes=2 * service.max_message_bytes,
                insecure=insecure,
                curve=curve,
                connections=connections,
                former_ports=former_ports,
            )
            resources.callback(sockets.close)
            resources.callback(SocketFiles(sockets).remove)
            if authenticator is not None:
                authenticator.start()
            self.endpoints, self._router = sockets.endpoints(), sockets.router
            connections.start(self.endpoints.values())
            service.connections = connections
            self._sender = Sender(sockets, self._counters)
            self._dispatcher = Dispatcher(service, self._sender)
            self._loop = self._make_loop(loop, sockets, queue_limits, spin, curve is not None)
            resources.callback(self._loop.close)
            if isinstance(self._loop, CompiledLoop):
                self._sender.send_large = self._loop.send_large
            if service.checkpointer is not None:
                service.checkpointer.on_commit = self._on_commit
            service.serving = True
            self._resources = resources.pop_all()
        self._forked: ForkError | None = None
        self._member: Member | None = None
        self._fleet_reload: FleetReload | None = None
        self._reported = 0.0  # when its supervisor was told what this worker does
        tell_in_child(self)

    def _after_fork(self) -> None:
        """Refuse to serve in a child by fork, and leave the parent's sockets alone there."""
        why = "its sockets do not survive a fork"
        self._forked = fork_error("this worker", why, "Make a worker in the child")
        self._wakeup.leave_to_parent()

    def _check_process(self) -> None:
        if self._forked is not None:
            raise self._forked.with_traceback(None)

    def _make_loop(
        self,
        loop: str,
        sockets: Sockets,
        queue_limits: QueueLimits,
        spin: float,
        authenticated: bool,
    ) -> CompiledLoop | PythonLoop:
        service, wakeup, dispatcher = self._service, self._wakeup, self._dispatcher
        check_loop(loop, service.engine.backend)
        if loop != "python":
            view = service.engine.native_view()
            functions = find_functions()
            if view is not None and functions is not None:
                return CompiledLoop(
                    view,
                    service,
                    sockets,
                    wakeup,
                    dispatcher,
                    functions,
                    queue_limits,
                    spin,
                    authenticated,
                )
            reason = "the libzmq that pyzmq uses was not found; pyzmq's own wheels have one"
            if view is None:
                backend = service.engine.backend
                reason = f"the compiled loop steps with the cpu backend, not with {backend}"
            if loop == "native":
                raise BadValueError(f"loop: {reason}; use loop auto or python")
            _LOG.info("serving with the loop in Python: %s", reason)
        return PythonLoop(service, sockets, wakeup, dispatcher, self._sender, authenticated)

    def join_fleet(self, supervisor: str, name: str, metrics: str = "") -> None:
        """Do what the supervisor at an endpoint says; the service must have partitions.

        ``metrics`` is the URL at which this worker serves its own.
        """
        service = self._service
        assert service.partitions is not None
        self._member = Member(
            service.engine,
            service.partitions,
            service.checkpointer,
            service.held,
            service.eviction,
            ControlLink(supervisor, name, self._wakeup.nudge),
            name,
            self._wakeup.nudge,
        )
        self._resources.callback(self._member.close)
        if (place := wire.gateway_place(supervisor, name)) is not None:
            self._router.bind(place)
        folder = Path(supervisor.removeprefix("ipc://")).parent
        self._fleet_reload = FleetReload(service, self._member.tell_reload, folder)
        self._member.also({**self._fleet_reload.commands, "refused": _end_refused})
        about = [service.engine.model.fingerprint, __version__, metrics]
        self._member.introduce(self.endpoints, about)

    @property
    def loop(self) -> str:
        """Name of the loop that serves: "native" or "python"."""
        return self._loop.name

    def _on_commit(self) -> None:
        """Let the loop send the replies that waited for this commit, or end if it was fenced."""
        checkpointer = self._service.checkpointer
        if self._dispatcher.uncommitted or (checkpointer is not None and checkpointer.fenced):
            self._wakeup.nudge()

    # --- serving ---

    def _turn(self, seconds: float) -> None:
        """Deal with what is ready; return when something was done, or after ``seconds``."""
        service, dispatcher = self._service, self._dispatcher
        checkpointer, eviction = service.checkpointer, service.eviction
        service.turned = time.monotonic()
        subscribed = self._counters[layout.SUBSCRIPTIONS] > 0
        reloaded = service.reload(subscribed)
        if self._member is not None and self._fleet_reload is not None:
            seconds = min(seconds, self._member.turn())
            self._fleet_reload.turn(reloaded)
            reloaded = self._fleet_reload.answer()
            if service.turned >= self._reported + REPORT_SECONDS:
                self._reported = service.turned
                self._member.report(Load.of(service).to_fields())
        dispatcher.send_reloaded(reloaded)
        if eviction is not None:  # before a commit begins, while streams may be evicted
            seconds = min(seconds, eviction.turn(subscribed))
        for publication in service.events():
            self._sender.publish(publication)
        if service.has_events:
            seconds = min(seconds, EVENTS_SECONDS)
        if checkpointer is not None:
            seconds = min(seconds, checkpointer.turn())
        dispatcher.send_committed()
        if self._loop.turn(seconds):
            self._stopping = True

    def run(self) -> None:
        """Answer until :meth:`stop`, then answer what has arrived by then.

        Raises
        ------
        StoreError
            If another worker has taken the store over: at once, without another answer.
        """
        self._check_process()
        while not self._stopping:
            self._turn(TURN_SECONDS)
        self._service.serving = False
        self._sender.wait_for_clients(CLIENT_SECONDS)
        self._loop.wait_for_clients(CLIENT_SECONDS)
        self._receive_rest()
        self._drain()
        self._dispatcher.log_rest()
        self._dispatcher.send_reloaded(self._service.stop_reloading())
        if self._service.checkpointer is not None:
            self._service.checkpointer.finish()
            if self._member is not None:
                self._member.finish()
            self._dispatcher.send_committed()

    def _receive_rest(self) -> None:
        """Receive and answer what has arrived so far, and what comes until nothing more does."""
        deadline, quiet = time.monotonic() + RECEIVE_SECONDS, 0.0
        while quiet < QUIET_SECONDS and (start := time.monotonic()) < deadline:
            before = self._counters[layout.MESSAGES]
            self._turn(min(LOOK_SECONDS, deadline - start))
            quiet += min(time.monotonic() - start, LOOK_SECONDS)
            if self._counters[layout.MESSAGES] != before or self._counters[layout.QUEUED]:
                quiet = 0.0

    def _drain(self) -> None:
        """Answer what waits in the queue, and receive nothing more."""
        self._loop.stop_receiving()
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._counters[layout.QUEUED] and (left := deadline - time.monotonic()) > 0:
            self._turn(left)
        if self._counters[layout.QUEUED]:
            _LOG.warning(
                "stopped with %d messages unanswered: the queue was not empty after %g s",
                self._counters[layout.QUEUED],
                DRAIN_SECONDS,
            )

    # --- its end ---

    def on_signals(self) -> AbstractContextManager[None]:
        """Let SIGINT and SIGTERM stop the worker, within ``with``; in the main thread only."""
        return self._wakeup.on_signals()

    def on_stop(self, call: Callable[[], object]) -> None:
        """Call something when the worker has heard that it is to stop, and before it has."""
        self._wakeup.on_stop = call

    def stop(self) -> None:
        """Let :meth:`run` come to its end; from any thread."""
        self._check_process()
        self._wakeup.call()

    def close(self) -> None:
        """Close the sockets; waits for clients to take their last replies, as sockets linger."""
        if self._forked is not None:
            return
        if self._service.checkpointer is not None:
            self._service.checkpointer.on_commit = lambda: None
        self._resources.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
