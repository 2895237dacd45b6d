"""NATS: reads a JetStream consumer, acknowledges behind the worker's commits, publishes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import nats
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from ..errors import StreamLSTMError
from .bridge import Bridge
from .messages import Message, Output
from .settings import Settings
from .topics import TopicPattern

SEPARATOR = "."
NAMES = ()
BARRIER_SECONDS = 0.01
_AT_ONCE, _WAIT = 500, 0.05
_UNACKNOWLEDGED = 20_000
_ACK_WAIT = 60.0  # seconds after which the broker sends again what was not acknowledged


class Nats:
    """A bridge's side of NATS with JetStream: one durable consumer for each pattern."""

    def __init__(
        self, settings: Settings, patterns: Sequence[TopicPattern], say: Callable[[str], object]
    ) -> None:
        self._settings, self._patterns, self._say = settings, patterns, say
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._outbox: list[Output] = []
        self._acks: list[Any] = []
        self._lock = threading.Lock()
        self._wanted: asyncio.Event | None = None

    def run(self, bridge: Bridge) -> None:
        """Take messages until the bridge is to stop."""
        self._loop.run_until_complete(self._run(bridge))

    async def _run(self, bridge: Bridge) -> None:
        self._wanted = asyncio.Event()
        self._client = await self._connect(bridge)
        if self._client is None:
            return
        stream = self._client.jetstream()
        subscriptions = [await self._subscribe(stream, n) for n in range(len(self._patterns))]
        bridge.ready()
        sending = asyncio.create_task(self._send())
        takers = [asyncio.create_task(self._take(bridge, each)) for each in subscriptions]
        try:
            done, _ = await asyncio.wait([*takers, sending], return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            bridge.stopping.set()
            for taker in takers:
                taker.cancel()
            await asyncio.gather(*takers, return_exceptions=True)
            await asyncio.to_thread(bridge.finish, 5.0)
            await self._drain()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await self._client.close()

    async def _connect(self, bridge: Bridge) -> Any:
        url = self._settings.url or "nats://127.0.0.1:4222"
        while not bridge.stopping.is_set():
            try:
                return await nats.connect(
                    url,
                    name=self._settings.name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    allow_reconnect=True,
                    **self._settings.client,
                )
            except (OSError, NatsError) as error:
                self._say(f"nats: {url}: {error or type(error).__name__}; connecting again")
                await asyncio.sleep(1)
        return None

    async def _subscribe(self, stream: Any, n: int) -> Any:
        subject = self._patterns[n].filter
        durable = self._settings.name + (f"-{n}" if n else "")
        earliest = self._settings.start == "earliest"
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT,
            max_ack_pending=_UNACKNOWLEDGED,
            deliver_policy=DeliverPolicy.ALL if earliest else DeliverPolicy.NEW,
        )
        try:
            name = await stream.find_stream_name_by_subject(subject)
            await self._go_back(stream, name, durable, config)
            return await stream.pull_subscribe(
                subject, durable, name, config, pending_msgs_limit=-1, pending_bytes_limit=-1
            )
        except NotFoundError:
            raise StreamLSTMError(
                f"nats: no stream of JetStream has the subject {subject}; make one: nats stream "
                f"add NAME --subjects '{subject}'"
            ) from None

    async def _go_back(self, stream: Any, name: str, durable: str, config: ConsumerConfig) -> None:
        """Let a consumer begin behind the last message before which all are acknowledged.

        JetStream would send those that a bridge had when it was killed only after a while, and
        behind later ones, whose numbers are higher: they would count as applied.
        """
        try:
            found = await stream.consumer_info(name, durable)
        except NotFoundError:
            return
        if found.num_ack_pending:
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = found.ack_floor.stream_seq + 1
            await stream.delete_consumer(name, durable)

    async def _take(self, bridge: Bridge, subscription: Any) -> None:
        while not bridge.stopping.is_set():
            try:
                found = await subscription.fetch(_AT_ONCE, timeout=_WAIT)
            except (TimeoutError, NatsTimeoutError):
                found = []
            except NatsError as error:
                self._say(f"nats: {error}")
                await asyncio.sleep(0.2)
                continue
            await asyncio.to_thread(bridge.take, [_message(each) for each in found])

    # --- from the bridge's threads ---

    def acknowledge(self, origins: Sequence[Any]) -> None:
        """Acknowledge messages."""
        with self._lock:
            self._acks += origins
        self._wake()

    def publish(self, outputs: Sequence[Output]) -> None:
        """Publish outputs; a stream of JetStream that gets them leaves out what comes twice."""
        with self._lock:
            self._outbox += outputs
        self._wake()

    def _wake(self) -> None:
        assert self._wanted is not None
        self._loop.call_soon_threadsafe(self._wanted.set)

    async def _send(self) -> None:
        assert self._wanted is not None
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._send_all()

    async def _send_all(self) -> None:
        with self._lock:
            outputs, self._outbox = self._outbox, []
            acks, self._acks = self._acks, []
        for output in outputs:
            headers = dict(output.headers)
            if "seq" in headers:
                headers["Nats-Msg-Id"] = f"{output.topic}:{headers['seq']}"
            await self._client.publish(output.topic, output.payload, headers=headers)
        for each in acks:
            await each.ack()
        if outputs:
            await self._flushed(outputs)

    async def _flushed(self, outputs: list[Output]) -> None:
        """Settle outputs when the server has them: it answers what was sent before in order."""
        while True:
            try:
                await self._client.flush(timeout=5)
                break
            except (TimeoutError, NatsError) as error:
                self._say(f"nats: {error or type(error).__name__}; sending again")
                await asyncio.sleep(0.2)
        for output in outputs:
            if output.settle is not None:
                output.settle()

    async def _drain(self) -> None:
        while self._outbox or self._acks:
            await self._send_all()
        await self._client.flush(timeout=5)

    async def _on_error(self, error: Exception) -> None:
        self._say(f"nats: {error or type(error).__name__}")

    async def _on_disconnected(self) -> None:
        if not self._client or not self._client.is_closed:
            self._say("nats: the connection ended; connecting again")

    async def _on_reconnected(self) -> None:
        self._say("nats: connected again")

    def finish(self, seconds: float) -> None:
        """Do nothing: it was done before the loop ended."""

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()


def _message(message: Any) -> Message:
    metadata = message.metadata
    return Message(
        topic=message.subject,
        payload=message.data,
        origin=message,
        number=metadata.sequence.stream,
        time=metadata.timestamp.timestamp(),
        properties=dict(message.headers or {}),
    )
