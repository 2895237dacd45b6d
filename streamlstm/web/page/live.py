"""What a browser is sent over its WebSocket, while it looks: only what it shows, as it changes."""

from __future__ import annotations

import asyncio
import json
import logging
import time as clock
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from ... import wire
from .board import ORDERS, Board
from .chart import Chart
from .watch import Watch

_LOG = logging.getLogger(__name__)

TICK = 0.1  # seconds between two updates of a chart,
LIST = 0.5  # and of the list of streams
MOST_ROWS = 200  # of the list that a browser may ask for at once
MOST_BYTES = 4096  # of what a browser sends
_FAILED = 1011  # a WebSocket's status of a server that failed


class Live:
    """Sends one browser what it looks at.

    Parameters
    ----------
    socket : WebSocket
        Accepted.
    watch : Watch
    """

    def __init__(self, socket: WebSocket, watch: Watch) -> None:
        self._socket, self._watch = socket, watch
        self._search, self._order, self._first, self._count = "", ORDERS[0], 0, 40
        self._wanted: tuple[wire.StreamId, int, float] | None = None
        self._chart: Chart | None = None
        self._generation = self._alarm = -1
        self._asked: object = None
        self._listed = 0.0
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Send and receive until the browser leaves."""
        sending = asyncio.create_task(self._go_on_sending())
        try:
            while True:
                self._hear(await self._socket.receive_text())
        except (WebSocketDisconnect, ValueError, KeyError, TypeError):
            pass
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _go_on_sending(self) -> None:
        """Send until the browser has left; a failure of ours closes the connection."""
        try:
            await self._send()
        except WebSocketDisconnect:
            pass
        except Exception:
            _LOG.exception("the page cannot be sent")
            await self._socket.close(_FAILED)

    def _hear(self, text: str) -> None:
        """Take note of what the browser wants to see."""
        if len(text) > MOST_BYTES:
            raise ValueError("too long")
        said = json.loads(text)
        if "order" in said:
            self._search, self._order = str(said["search"])[:255], str(said["order"])
            self._first = min(max(int(said["first"]), 0), 2**31)
            self._count = min(max(int(said["count"]), 0), MOST_ROWS)
            self._listed = 0.0
        if "stream" in said:
            self._chart = self._wanted = None
            if said["stream"]:
                stream = stream_of(str(said["stream"]))
                self._wanted = stream, int(said["signal"]), float(said["span"])
        self._woken.set()

    async def _send(self) -> None:
        last = clock.monotonic()
        while True:
            now = clock.monotonic()
            update = self._update(now - last)
            last = now
            if update:
                await self._socket.send_text(json.dumps(update, separators=(",", ":")))
            self._woken.clear()
            try:
                async with asyncio.timeout(TICK):
                    await self._woken.wait()
            except TimeoutError:
                pass

    def _update(self, seconds: float) -> dict[str, Any]:
        """Return what is new."""
        watch, now, found = self._watch, clock.time(), dict[str, Any]()
        if watch.generation != self._generation:
            self._generation, self._chart, self._alarm = watch.generation, None, -1
            found["model"] = watch.model and {
                **{key: watch.model[key] for key in ("inputs", "outputs", "horizon", "online")},
                "signals": [] if watch.board is None else watch.board.shape.signals,
            }
        if (asked := (watch.problem, watch.health and watch.health["asked"])) != self._asked:
            self._asked = asked
            found["health"] = watch.health
            found["problem"], found["no_gates"] = watch.problem, watch.no_gates
            found["followed"] = watch.followed
        if self._alarm != watch.alarms.last:
            new = watch.alarms.since(self._alarm)
            found["alarms"] = [each | {"stream": key_of(each["stream"])} for each in new]
            self._alarm = watch.alarms.last
        if watch.board is not None:
            found |= self._of_board(watch.board, now, seconds)
        return found

    def _of_board(self, board: Board, now: float, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if clock.monotonic() - self._listed >= LIST:
            self._listed = clock.monotonic()
            found["list"] = self._list(board, now)
        if self._chart is not None and self._chart.is_gone:
            self._chart = None
        if self._chart is not None:
            points = self._chart.go_on(seconds)
            return found if points is None else found | {"points": points}
        if self._wanted is not None and self._wanted[0] in board.slots:
            stream, place, span = self._wanted
            signals = board.shape.signals
            signal = signals[place if 0 <= place < len(signals) else 0]
            self._chart = Chart(board, board.slots[stream], signal, span)
            found["chart"] = {"stream": key_of(stream), **self._chart.begin(now)}
        return found

    def _list(self, board: Board, now: float) -> dict[str, Any]:
        slots, columns = board.find(self._search, self._order, now)
        shown = slots[self._first : self._first + self._count].tolist()
        rows = board.rows(shown, columns, now)
        return {
            "streams": len(board.slots),
            "found": len(slots),
            "first": self._first,
            "rows": [row | {"stream": key_of(row["stream"])} for row in rows],
        }


def key_of(stream: wire.StreamId) -> str:
    """Return a stream's id as the page has it: JavaScript has no integers of 64 bits."""
    return f"t{stream}" if isinstance(stream, str) else f"i{stream}"


def stream_of(key: str) -> wire.StreamId:
    """Return the id of a key.

    Raises
    ------
    ValueError
        If it is none.
    """
    if key[:1] not in ("t", "i"):
        raise ValueError(f"expected t and a text, or i and an integer, got {key!r}")
    return key[1:] if key[0] == "t" else int(key[1:])
