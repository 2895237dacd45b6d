"""The part that both replaying publishers share: accepts observations, without ever waiting.

An attempt returns its result, or :class:`WouldBlock`. A publisher waits in its own way, a thread on
a condition and a coroutine on its event loop, and tries again when something has changed.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import zmq
from numpy.typing import NDArray

from ... import wire
from ...engine.forks import tell_in_child
from ...engine.validation import check_flag
from ...errors import BadValueError, EndpointError, ForkError, StreamLSTMError, shown
from ..connection import LINGER, TIMEOUT, check_context, check_limit, check_seconds
from ..descriptors import new_context
from ..failures import closed, forked
from ..fleet.lanes import Lanes
from ..fleet.seeds import Endpoints, Seeds
from ..fleet.sender import FleetSender
from ..keys import KeyPath, credentials
from ..requests import encode
from .claims import Claims
from .failures import last_seq_unknown, outbox_full, unconfirmed, within_callback
from .journal import Journal
from .outbox import Entry, Outbox
from .protocol import Callbacks, Delivery, OnMoved, ReplayProtocol
from .sender import FindEndpoint, Sender
from .thread import SendingThread

Result = TypeVar("Result")
OnPrediction = TypeVar("OnPrediction", bound=Callable[..., object])


class WouldBlock(NamedTuple):
    """The attempt has to wait; with the error for a caller that has waited long enough."""

    error: Callable[[float], StreamLSTMError]


Attempt: TypeAlias = Callable[[], Result | WouldBlock]


class BaseReplayingPublisher(Generic[OnPrediction]):
    """Numbers observations, stores them until they are confirmed, and owns the sending thread.

    :class:`streamlstm.ReplayingPublisher` documents the parameters and errors. The lock of
    ``_changed`` is held in every attempt; it is notified when one that would have blocked may
    succeed.
    """

    def __init__(
        self,
        router: str | FindEndpoint = wire.ROUTER,
        *,
        endpoints: Endpoints = None,
        on_prediction: OnPrediction | None = None,
        journal: str | PathLike[str] | None = None,
        sync: bool = False,
        max_rows: int = 100_000,
        max_bytes: int = 64 * 2**20,
        timeout: float = TIMEOUT,
        retry: float = 1.0,
        linger: float = LINGER,
        max_message_bytes: int = wire.MAX_MESSAGE_BYTES,
        leave_out: bool = True,
        context: zmq.Context[Any] | None = None,
        key: KeyPath = None,
        server: KeyPath = None,
    ) -> None:
        self.timeout = check_seconds("timeout", timeout)
        self._linger = check_seconds("linger", linger)
        self._changed = self._setup()
        if not isinstance(router, str) and not callable(router):
            raise EndpointError(
                f"router: expected an endpoint such as {wire.ROUTER}, or a function that returns "
                f"it, got {shown(router)}"
            )
        seeds = None if endpoints is None else Seeds(endpoints)
        if seeds is not None and router != wire.ROUTER:
            raise EndpointError("expected only one of router and endpoints")
        if seeds is not None and seeds.worker is not None:
            router, seeds = partial(_router_of, seeds), None
        keys = credentials(key, server)
        check_seconds("retry", retry)
        for name, bound in (("max_rows", max_rows), ("max_bytes", max_bytes)):
            if type(bound) is not int or bound < 1:
                raise BadValueError(f"{name}: expected an integer of 1 or more, got {shown(bound)}")
        self._max_rows, self._max_bytes, self._limit = (
            max_rows,
            max_bytes,
            check_limit(max_message_bytes),
        )
        check_context(context)
        if on_prediction is not None and not callable(on_prediction):
            raise BadValueError(f"on_prediction: expected a function, got {shown(on_prediction)}")
        sync, leave_out = check_flag("sync", sync), check_flag("leave_out", leave_out)
        self._on_prediction = on_prediction
        callbacks = self._callbacks()
        one_in_flight = callbacks.deliver is not None
        self._outbox: Any = Outbox(one_in_flight)  # or Lanes
        self._accepting, self._closed = True, False
        self._forked: ForkError | None = None  # in a child by fork, which has no sending thread
        self._journal = None if journal is None else Journal(journal, sync)
        self._owns_context = context is None
        self._context = context or new_context()
        try:
            producer = (
                secrets.randbelow(wire.MAX_UINT) + 1
            )  # a new one for each life of a publisher
            formers = self._take_over_journal(producer)
            claims = Claims(producer, formers, self._outbox, self._limit)

            def protocol(
                outbox: Outbox, claims: Claims, moved: OnMoved | None = None
            ) -> ReplayProtocol:
                return ReplayProtocol(
                    outbox,
                    claims,
                    self._journal,
                    self._changed,
                    callbacks,
                    self._limit,
                    leave_out,
                    moved,
                )

            self._sender: SendingThread
            self._protocol: ReplayProtocol | Lanes
            self._claims: Claims | Lanes = claims
            if seeds is None:
                self._protocol = one = protocol(self._outbox, claims)
                self._sender = Sender(
                    one, self._context, router, retry, keys, producer, self._changed
                )
            else:
                lanes = Lanes(self._outbox, claims, one_in_flight, protocol)
                self._outbox = self._claims = self._protocol = lanes
                self._sender = FleetSender(
                    lanes, self._context, seeds, retry, keys, producer, self._changed
                )
        except BaseException:
            self._release()
            raise
        tell_in_child(self)

    def _after_fork(self) -> None:
        """Refuse every use of this copy in the child; the parent goes on sending."""
        self._forked = forked("publisher")
        if self._journal is not None and not self._closed:
            self._journal.close()  # its lock would outlast the parent's publisher in the child

    def _check_process(self) -> None:
        """Raise ForkError in a child by fork, before any lock is taken."""
        if self._forked is not None:
            raise self._forked.with_traceback(None)

    def _take_over_journal(self, producer: int) -> list[int]:
        """Read what the journal holds, and record who has it now; return who had it before."""
        journal = self._journal
        if journal is None:
            return []
        formers = journal.producers
        journal.begin(producer)
        self._outbox.last_seqs.update(journal.last_seqs)
        for step in journal.steps:
            self._outbox.add(Entry(step, tries=1))
        journal.steps.clear()
        return formers

    def _setup(self) -> threading.Condition:
        """Return the condition of this kind of publisher."""
        return threading.Condition()

    def _callbacks(self) -> Callbacks:
        """Return what the sending thread calls."""
        return Callbacks(None if self._on_prediction is None else self._deliver_new)

    def _deliver_new(
        self, entries: list[Entry], Y: NDArray[Any], _extra: dict[str, Any] | None
    ) -> None:
        pairs = zip(entries, Y, strict=True)
        deliveries = [Delivery(e.stream, e.seq, y) for e, y in pairs if not e.delivered]
        if deliveries:
            self._deliver(deliveries)

    def _deliver(self, deliveries: list[Delivery]) -> None:
        """Call ``on_prediction`` and wait for it: in the sending thread."""
        raise NotImplementedError

    @property
    def endpoint(self) -> str:
        """Endpoint of the worker."""
        return self._sender.endpoint

    @property
    def unconfirmed(self) -> int:
        """Number of observations that the worker has not confirmed."""
        return int(self._outbox.rows)

    @property
    def replayed(self) -> int:
        """Number of observations that were sent again, those of a journal included."""
        return self._protocol.replayed

    @property
    def _full(self) -> bool:
        """Whether the worker may need numbers of full precision."""
        return self._outbox.full is not False

    def _check_size(self, steps: list[wire.Step]) -> None:
        """Raise ProtocolError or BadValueError for invalid messages or too many for one call."""
        for step in steps:
            encode(step, self._limit)
        size = _size(steps)
        if len(steps) > self._max_rows or size > self._max_bytes:
            raise BadValueError(
                f"expected at most {self._max_rows} observations and {self._max_bytes} bytes in a "
                f"call, got {len(steps)} and {size}; send fewer at a time, or raise max_rows and "
                "max_bytes"
            )

    def _try_last_seq(self, stream: wire.StreamId) -> int | WouldBlock:
        """Attempt to return the number of a stream's last observation."""
        self._check_open()
        self._sender.check()
        return self._request_unknown([stream]) or self._outbox.last_seqs[stream]

    def _try_accept(self, steps: list[wire.Step]) -> list[int] | WouldBlock:
        """Attempt to accept observations, all of them or none; return their numbers."""
        if not self._accepting:
            raise closed("publisher")
        self._sender.check()
        if would_block := self._request_unknown(step.stream for step in steps):
            return would_block
        if self._outbox.full is False:  # known only since then, maybe
            steps = [step._replace(x=bytes(step.x)) for step in steps]
        outbox, size = self._outbox, self._outbox.size + _size(steps)
        if outbox.rows + len(steps) > self._max_rows or size > self._max_bytes:
            self._sender.hurry()
            return WouldBlock(lambda timeout: outbox_full(self.endpoint, timeout, outbox.rows))
        numbered = self._number(steps)
        if self._journal is not None:
            self._journal.add(numbered)
        for step in numbered:
            outbox.add(Entry(step))
        self._sender.wake()
        return [step.seq for step in numbered]

    def _try_flush(self) -> WouldBlock | None:
        """Attempt to find every observation confirmed."""
        self._check_open()
        self._sender.hurry()
        self._sender.check()
        if not self._outbox.rows:
            return None
        has_journal = self._journal is not None
        return WouldBlock(lambda _: unconfirmed(self.endpoint, self._outbox.rows, has_journal))

    def _in_callback(self) -> bool:
        """Return whether ``on_prediction`` makes this call: what it waits for could not come."""
        raise NotImplementedError

    def _check_may_wait(self, call: str) -> None:
        if self._in_callback():
            raise within_callback(call)

    def _stop_accepting(self) -> bool:
        """Accept nothing more; return False if that was so before."""
        before, self._accepting = self._accepting, False
        return before

    def _end(self) -> None:
        """End the thread and close everything; it may take a moment."""
        self._closed = True
        self._sender.close()
        self._release()

    def _check_open(self) -> None:
        if self._closed:
            raise closed("publisher")

    def _release(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._owns_context:
            self._context.term()

    def _request_unknown(self, streams: Iterable[wire.StreamId]) -> WouldBlock | None:
        """Claim streams that are new to this publisher."""
        unknown = [stream for stream in streams if stream not in self._claims.claimed]
        if not unknown:
            return None
        self._claims.want(unknown)
        self._sender.wake()
        return WouldBlock(lambda timeout: last_seq_unknown(self.endpoint, timeout))

    def _number(self, steps: list[wire.Step]) -> list[wire.Step]:
        """Assign each the number after its stream's last one."""
        last: dict[wire.StreamId, int] = {}
        numbered = []
        for step in steps:
            seq = last[step.stream] = last.get(step.stream, self._outbox.last_seqs[step.stream]) + 1
            numbered.append(step._replace(seq=seq))
        return numbered


def _size(steps: list[wire.Step]) -> int:
    return sum(Entry(step).size for step in steps)


def _router_of(seeds: Seeds) -> str:
    """Return where the worker is now that wrote an endpoints file."""
    return seeds.routers()[0]
