"""Predictions as they are made: server-sent events, and messages over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

from ... import wire
from ...client.aio.subscriber import AsyncSubscriber
from ...client.fields import as_fields, finite
from ...client.observing import Published
from ...errors import HandshakeError, StreamLSTMError, WorkerTimeoutError
from ..listening import LINES
from ..where import Where
from .problems import BadRequestError

_LOG = logging.getLogger(__name__)

MOST = 256  # listeners at a time
SILENCE = 15.0  # seconds after which a listener is told that the connection lives
_LOOK = 1.0  # seconds of silence after which another worker may have come
_EVENTS: dict[int, str] = {3: "reset", 5: "imported", 11: "forgotten"}  # by kind of a DONE


class Listeners:
    """Opens a subscription for each listener, and bounds their number.

    Parameters
    ----------
    where : Where
    """

    def __init__(self, where: Where) -> None:
        self._where, self._count = where, 0

    def check(self) -> None:
        """Refuse one more if there are as many as may be.

        Raises
        ------
        BadRequestError
        """
        if self._count >= MOST:
            raise BadRequestError("busy", f"{MOST} listen already: there is no room for one more")

    async def events(
        self, stream: wire.StreamId | None, prefix: str, alarms: bool, values: bool
    ) -> AsyncIterator[dict[str, Any] | None]:
        """Yield what is published of a stream, or of all with a prefix; None after a silence.

        It ends when another worker has taken the place of the one that is listened to.
        """
        self.check()
        stamp, silent = self._where.stamp(), 0.0
        wanted: list[wire.StreamId] = [prefix if stream is None else stream]
        self._count += 1
        try:
            async with AsyncSubscriber(
                **self._where.of_subscriber(),
                streams=wanted,
                timeout=_LOOK,
                alarms=alarms,
                values=values,
            ) as subscriber:
                while True:
                    try:
                        event = await subscriber.receive_event()
                    except HandshakeError:
                        raise
                    except WorkerTimeoutError:
                        if self._where.stamp() not in (None, stamp):
                            return
                        silent += _LOOK
                        if silent >= SILENCE:
                            silent = 0.0
                            yield None
                        continue
                    silent = 0.0
                    if stream is None or event.stream == stream:
                        yield _fields(event)
        finally:
            self._count -= 1


def _fields(event: Published | wire.Done) -> dict[str, Any]:
    """Return a published message as JSON has it."""
    if isinstance(event, wire.Done):
        if event.kind == wire.EVICTED:
            return {"stream": event.stream, "event": "evicted", "kept": bool(event.value)}
        return {"stream": event.stream, "event": _EVENTS.get(event.kind, "changed")}
    found: dict[str, Any] = {"stream": event.stream, **({"seq": event.seq} if event.seq else {})}
    if event.came is not None:
        found["x"] = list(finite(event.came))
        found |= {} if event.time is None else {"time": event.time}
    return found | as_fields(event.observed)


async def as_sse(events: AsyncIterator[dict[str, Any] | None]) -> AsyncIterator[bytes]:
    """Write events as a browser's EventSource reads them."""
    yield b"retry: 1000\n\n"
    try:
        async for event in events:
            if event is None:
                yield b": alive\n\n"
                continue
            name = event.get("event", "prediction")
            number = f"id: {event['seq']}\n" if "seq" in event else ""
            data = json.dumps(event, separators=(",", ":"))
            yield f"event: {name}\n{number}data: {data}\n\n".encode()
    except StreamLSTMError as error:  # the listener comes again
        LINES.warn(_LOG, f"a listener is sent away: {error}")


async def until_gone(receive: Any) -> None:
    """Return when the other side of a WebSocket has left; what it says is not read."""
    while (await receive())["type"] != "websocket.disconnect":
        await asyncio.sleep(0)
