"""AsyncReplayingPublisher: every observation is applied exactly once, from an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from inspect import isawaitable
from typing import Self, TypeAlias

from numpy.typing import ArrayLike

from ... import wire
from ...engine.ids import check_stream_id
from ...engine.validation import Float32Array
from ...errors import StreamLSTMError
from ..connection import check_seconds
from ..replay.base import Attempt, BaseReplayingPublisher, Result, WouldBlock
from ..replay.failures import noting
from ..replay.protocol import Delivery
from ..requests import observation, single_observations

OnPrediction: TypeAlias = Callable[[wire.StreamId, int, Float32Array], Awaitable[object] | object]


class _AsyncCondition(threading.Condition):
    """A condition that coroutines of one event loop can wait for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.event = asyncio.Event()
        self.waiting = 0
        self._loop = loop

    def notify_all(self) -> None:
        super().notify_all()
        if self.waiting:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                self._loop.call_soon_threadsafe(self.event.set)


class AsyncReplayingPublisher(BaseReplayingPublisher[OnPrediction]):
    """Sends observations so that each is applied exactly once, from an event loop.

    Parameters, methods and errors are those of :class:`streamlstm.ReplayingPublisher`; calls are
    served in their order. It is created in a coroutine, in the event loop that uses it.

    ``on_prediction`` is called in the event loop, and awaited if it is a coroutine function: the
    next prediction comes when it is done, and a prediction counts as delivered only then. A call in
    it that would wait for this publisher itself raises an error at once. A call of :meth:`send`
    that is cancelled while it waits was not accepted.

    A call writes its observations to the journal before it returns, into the system's memory and in
    the loop's own thread; with ``sync`` another thread waits for the disk.

    Examples
    --------
    >>> async with AsyncReplayingPublisher(journal="pump-7.journal") as publisher:  # doctest: +SKIP
    ...     for x in observations[await publisher.last_seq("pump-7") :]:
    ...         await publisher.send("pump-7", x)
    """

    _changed: _AsyncCondition
    _delivery: Future[None] | None = None
    _delivering: asyncio.Task[None] | None = None  # the task that calls on_prediction

    def _setup(self) -> _AsyncCondition:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise StreamLSTMError(
                "expected a publisher that is made in a coroutine, since predictions are delivered "
                "in its event loop; there is none here. ReplayingPublisher needs none"
            ) from None
        self._order = asyncio.Lock()  # a call that waits holds back those behind it
        return _AsyncCondition(self._loop)

    async def last_seq(self, stream: wire.StreamId) -> int:
        """Return the number of a stream's last observation; as ReplayingPublisher.last_seq."""
        stream = check_stream_id(stream)
        return await self._wait(lambda: self._try_last_seq(stream), self.timeout, "last_seq")

    async def send(self, stream: wire.StreamId, x: ArrayLike, *, time: float | None = None) -> int:
        """Accept an observation, x[F], and return its number; as ReplayingPublisher.send."""
        return (await self._accept([observation(stream, x, 0, time, self._full)]))[0]

    async def send_many(
        self,
        streams: Sequence[wire.StreamId],
        X: ArrayLike,
        *,
        times: Sequence[float | None] | None = None,
    ) -> list[int]:
        """Accept observations of many streams, X[B, F], all or none; return their numbers."""
        return await self._accept(single_observations(streams, X, times, self._full))

    async def flush(self, timeout: float | None = None) -> None:
        """Wait until everything is confirmed; as ReplayingPublisher.flush."""
        seconds = self.timeout if timeout is None else check_seconds("timeout", timeout)
        await self._wait(self._try_flush, seconds, "flush")

    async def close(self) -> None:
        """Flush, for ``linger`` at most, and close. Closing twice is harmless."""
        if self._forked is not None:
            return  # the parent has what waits, and its journal
        self._check_may_wait("close")
        with self._changed:
            if not self._stop_accepting():
                return
            self._changed.notify_all()  # calls that wait for room find that it is closed
        try:
            await self.flush(self._linger)
        finally:
            if self._delivery is not None:  # still in progress after that time
                self._delivery.cancel()
            await asyncio.to_thread(self._end)

    async def _accept(self, steps: list[wire.Step]) -> list[int]:
        self._check_process()
        self._check_size(steps)
        if not steps:
            return []
        if self._in_callback():  # behind a call that waits for this callback it would wait, too
            return await self._wait(lambda: self._try_accept(steps), self.timeout, "send")
        async with self._order:
            return await self._wait(lambda: self._try_accept(steps), self.timeout, "send")

    def _in_callback(self) -> bool:
        return self._delivering is not None and asyncio.current_task() is self._delivering

    async def _wait(self, attempt: Attempt[Result], seconds: float, call: str) -> Result:
        """Repeat an attempt whenever something has changed, until it succeeds."""
        self._check_process()
        if asyncio.get_running_loop() is not self._loop:
            raise StreamLSTMError(
                "this publisher is used by another event loop; expected one for each loop"
            )
        deadline = self._loop.time() + seconds
        changed = self._changed
        while True:
            with changed:
                changed.event.clear()
                result = attempt()
                if not isinstance(result, WouldBlock):
                    return result
                self._check_may_wait(call)
                changed.waiting += 1
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.event.wait()
            except TimeoutError:
                raise result.error(seconds) from None
            finally:
                with changed:
                    changed.waiting -= 1

    def _deliver(self, deliveries: list[Delivery]) -> None:
        """Let the event loop deliver, and wait for it: in the sending thread."""
        coroutine = self._deliver_in_loop(deliveries)
        self._delivery = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._delivery.result()

    async def _deliver_in_loop(self, deliveries: list[Delivery]) -> None:
        assert self._on_prediction is not None
        self._delivering = asyncio.current_task()
        for delivery in deliveries:
            outcome = self._on_prediction(*delivery)
            if isawaitable(outcome):
                await outcome

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        with noting(error):
            await self.close()
