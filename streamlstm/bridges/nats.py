"""NATS: reads a JetStream consumer, acknowledges behind the worker's commits, publishes."""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import nats
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from ..errors import BadValueError, StreamLSTMError
from .address import address_of, without_password
from .bridge import Bridge
from .credentials import password_of, refused, tls_of, unknown_broker
from .log import Trouble
from .messages import Message, Output, too_large
from .nats_place import Place
from .nats_pull import Pull
from .settings import Settings
from .topics import TopicPattern

SEPARATOR = "."
NAMES = ()
BARRIER_SECONDS = 0.01
_WAIT = 0.05
_LOG = logging.getLogger(__name__)
_CLOSE = 0.5  # seconds for the client to close its connection
_FINISH = 5.0  # seconds for the server to take what is left at the end


class _GivenUpError(Exception):
    """The bridge is to stop before it has connected."""


class Nats:
    """A bridge's side of NATS with JetStream: one durable consumer for each pattern."""

    def __init__(self, settings: Settings, patterns: Sequence[TopicPattern]) -> None:
        self._settings, self._patterns = settings, patterns
        self._trouble = Trouble(_LOG)
        self._url = settings.url or "nats://127.0.0.1:4222"
        self._where = without_password(self._url)
        self._options = _options(settings, self._url)
        self._failed: asyncio.Future[None] | None = None
        self._is_connected = self._gives_up = False
        self._loop = asyncio.new_event_loop()
        self._client: Any = None
        self._outbox: list[Output] = []
        self._acks: list[Any] = []
        self._lock = threading.Lock()
        self._wanted: asyncio.Event | None = None
        self._is_woken = False

    def run(self, bridge: Bridge) -> None:
        """Take messages until the bridge is to stop."""
        self._loop.run_until_complete(self._run(bridge))

    async def _run(self, bridge: Bridge) -> None:
        self._wanted = asyncio.Event()
        self._failed = asyncio.get_running_loop().create_future()
        if await self._connect(bridge):
            try:
                await self._serve(bridge, self._failed)
            finally:
                await self._close()

    async def _serve(self, bridge: Bridge, failed: asyncio.Future[None]) -> None:
        log = self._client.jetstream()
        subscriptions = [await self._subscribe(log, n) for n in range(len(self._patterns))]
        bridge.ready()
        sending = asyncio.create_task(self._send())
        takers = [asyncio.create_task(self._take(bridge, each)) for each in subscriptions]
        try:
            done, _ = await asyncio.wait(
                [*takers, sending, failed], return_when=asyncio.FIRST_COMPLETED
            )
            for each in done:
                each.result()
        finally:
            bridge.stopping.set()
            for taker in takers:
                taker.cancel()
            await asyncio.gather(*takers, return_exceptions=True)
            await asyncio.to_thread(bridge.finish, 5.0)
            try:
                await asyncio.wait_for(self._drain(), _FINISH)
            except (TimeoutError, NatsError):
                _LOG.warning("nats: what the server has not confirmed comes again")
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _connect(self, bridge: Bridge) -> bool:
        """Connect, as often as it takes; return whether that was done before the end.

        An attempt is never cancelled, which could leave its socket open: it ends by what
        ``_on_error`` raises.
        """
        self._client = nats.NATS()
        connecting = asyncio.create_task(
            self._client.connect(
                self._url,
                name=self._settings.name,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,
                error_cb=self._on_error,
                disconnected_cb=self._on_disconnected,
                reconnected_cb=self._on_reconnected,
                **self._options,
            )
        )
        while not connecting.done() and not bridge.stopping.is_set():
            await asyncio.wait([connecting], timeout=0.1)
        self._gives_up = not connecting.done()
        try:
            await connecting
        except BaseException as error:
            await self._close()
            if isinstance(error, _GivenUpError):
                return False
            raise
        self._is_connected = True
        self._trouble.over(f"nats: connected to {self._where}")
        return True

    async def _close(self) -> None:
        with suppress(TimeoutError):  # it waits for ever for TLS that was refused
            await asyncio.wait_for(self._client.close(), _CLOSE)

    async def _subscribe(self, log: Any, n: int) -> Pull:
        subject = self._patterns[n].filter
        durable = self._settings.name + (f"-{n}" if n else "")
        try:
            name = await log.find_stream_name_by_subject(subject)
        except NotFoundError:
            raise StreamLSTMError(
                f"nats: no stream of JetStream has the subject {subject}; make one: nats stream "
                f"add NAME --subjects '{subject}'"
            ) from None
        await Place(log, name, subject, durable, self._settings.start).go_back()
        pull = Pull(self._client, name, durable)
        await pull.begin()
        return pull

    async def _take(self, bridge: Bridge, pull: Pull) -> None:
        while not bridge.stopping.is_set():
            try:
                found = await pull.next(_WAIT)
            except (TimeoutError, NatsError) as error:
                self._trouble.note(f"nats: {error or type(error).__name__}")
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
        """Let the loop send, unless it was told to and has not begun."""
        assert self._wanted is not None
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._wanted.set)

    async def _send(self) -> None:
        assert self._wanted is not None
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._is_woken = False
            await self._send_all()

    async def _send_all(self) -> None:
        with self._lock:
            outputs, self._outbox = self._outbox, []
            acks, self._acks = self._acks, []
        while outputs or acks:
            connection = self._client.stats["reconnects"]
            try:
                await self._send_these(outputs, acks)
            except (TimeoutError, OSError, NatsError) as error:
                self._trouble.note(f"nats: {error or type(error).__name__}; sending again")
                await asyncio.sleep(0.2)
                continue
            if connection == self._client.stats["reconnects"]:
                break  # else some of it may have gone with the connection
        for output in outputs:
            if output.settle is not None:
                output.settle()

    async def _send_these(self, outputs: list[Output], acks: list[Any]) -> None:
        """Send; return when the server has it: it answers what was sent before in order."""
        for output in outputs:
            headers = dict(output.headers)
            if "seq" in headers:
                headers["Nats-Msg-Id"] = f"{output.topic}:{headers['seq']}"
            size = len(output.payload) + _size(headers)
            if size > self._client.max_payload:  # it would end the connection, again and again
                _LOG.warning("nats: %s", too_large(output, "max_payload of the server"))
                continue
            await self._client.publish(output.topic, output.payload, headers=headers)
        for each in acks:
            await self._client.publish(each.reply)
        if outputs:
            await self._client.flush(timeout=5)

    async def _drain(self) -> None:
        while self._outbox or self._acks:
            await self._send_all()
        await self._client.flush(timeout=5)

    async def _on_error(self, error: Exception) -> None:
        assert self._failed is not None
        text = str(error) or type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            self._fail(unknown_broker("nats", self._where, error.verify_message))
        elif isinstance(error, NatsError) and "authorization" in text.lower():
            self._fail(refused("nats", self._where, text))
        else:
            self._trouble.note(f"nats: {self._where}: {text}")
        if self._gives_up:
            raise _GivenUpError

    def _fail(self, error: StreamLSTMError) -> None:
        if not self._is_connected:
            raise error
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _on_disconnected(self) -> None:
        if self._client.is_reconnecting:
            self._trouble.note(f"nats: {self._where}: the connection ended; connecting again")

    async def _on_reconnected(self) -> None:
        self._trouble.over(f"nats: connected to {self._where}")

    def finish(self, seconds: float) -> None:
        """Do nothing: it was done before the loop ended."""

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()


def _size(headers: dict[str, str]) -> int:
    lines = (f"{name}: {text}\r\n" for name, text in headers.items())
    return len("NATS/1.0\r\n\r\n") + sum(len(line.encode()) for line in lines)


def _options(settings: Settings, url: str) -> dict[str, Any]:
    """Return the options of ``nats.connect`` that settings say."""
    known = inspect.signature(nats.NATS.connect).parameters
    found: dict[str, Any] = {}
    for name, text in settings.client.items():
        if name not in known or not isinstance(known[name].default, str | int | float | None):
            raise BadValueError(
                f"--client: expected a setting of nats.connect, such as user_credentials or "
                f"ping_interval, got {name}"
            )
        found[name] = _as(known[name].default, name, text)
    if tls := tls_of(settings, wanted=address_of("nats", url).scheme == "tls"):
        found["tls"] = tls
    if settings.user:
        found |= {"user": settings.user, "password": password_of(settings)}
    return found


def _as(default: Any, name: str, text: str) -> Any:
    """Return a setting as a value of the kind that its default is."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise BadValueError(f"--client: {name}: expected true or false, got {text}")
        return text == "true"
    if not isinstance(default, int | float):
        return text
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise BadValueError(f"--client: {name}: expected a number, got {text}") from None


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
