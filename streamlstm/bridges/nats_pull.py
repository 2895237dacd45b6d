"""Messages of a JetStream consumer as they come, without a wait for a batch to be full."""

from __future__ import annotations

import asyncio
import json
import time as clock
from typing import Any

_BATCH = 1_000  # messages of a request
_EXPIRES = 2.0  # seconds after which the server says how much of a request is left
_ROOM = 2_000  # messages that wait for the bridge before no more are asked for
_PENDING = "Nats-Pending-Messages"


class Pull:
    """Asks for messages before they are needed.

    Parameters
    ----------
    client : nats.NATS
    stream, consumer : str
        The consumer, and the stream of JetStream that it is of.
    """

    def __init__(self, client: Any, stream: str, consumer: str) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = client.new_inbox()
        self._waiting: list[Any] = []
        self._came = asyncio.Event()
        self._asked, self._heard = 0, clock.monotonic()

    async def begin(self) -> None:
        """Subscribe to where the messages come."""
        await self._client.subscribe(
            self._inbox, cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1
        )

    async def next(self, seconds: float) -> list[Any]:
        """Return what has come; wait for the first so long."""
        await self._ask()
        if not self._waiting:
            self._came.clear()
            try:
                await asyncio.wait_for(self._came.wait(), seconds)
            except TimeoutError:
                return []
        found, self._waiting = self._waiting, []
        return found

    async def _ask(self) -> None:
        now = clock.monotonic()
        if now > self._heard + 2 * _EXPIRES:  # the server has lost what it was asked
            self._asked, self._heard = 0, now
        if self._asked > _BATCH // 2 or len(self._waiting) > _ROOM:
            return
        if self._asked <= 0:
            self._asked, self._heard = 0, now
        self._asked += _BATCH
        request = {"batch": _BATCH, "expires": round(_EXPIRES * 1e9)}
        await self._client.publish(self._subject, json.dumps(request).encode(), self._inbox)

    async def _on_message(self, message: Any) -> None:
        self._heard = clock.monotonic()
        headers = message.headers or {}
        if "Status" in headers:
            self._asked -= int(headers.get(_PENDING, 0))
            return
        self._asked -= 1
        self._waiting.append(message)
        self._came.set()
