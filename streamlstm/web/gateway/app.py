"""The requests of the HTTP gateway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ... import wire
from ...engine.ids import check_stream_id
from ...errors import RemoteError, StreamLSTMError, shown
from ..access import Access
from ..files import Files, file_response
from ..listening import LINES
from ..where import Where
from . import bodies, problems
from .description import describe
from .feed import Feed
from .listen import Listeners, as_sse, until_gone
from .problems import BadRequestError

_LOG = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
MOST_LISTED = 1_000
_FAILED, _RESTARTED = 1011, 1012  # statuses of a WebSocket whose server failed, or restarts


class Gateway:
    """Answers requests with what a worker, or a fleet, says.

    Parameters
    ----------
    where : Where
        Where it is.
    timeout : float
        Seconds that it has to answer.
    limit : int
        Bytes that a body may have.
    """

    def __init__(self, where: Where, timeout: float, limit: int) -> None:
        self._limit = limit
        self._listeners, self.feed = Listeners(where), Feed(where, timeout)

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Close the connection at the end."""
        try:
            yield
        finally:
            await self.feed.close()

    async def observe(self, request: Request) -> Response:
        """Apply one or many observations of a stream."""
        stream = _stream_of(request)
        said = await bodies.read(request, self._limit)
        given = bodies.observations(said, await self.feed.inputs())
        if isinstance(given, bodies.Observation):
            found = {"stream": stream, **await self.feed.observe(stream, given)}
        else:
            predictions = await self.feed.observe_run(stream, given)
            found = {"stream": stream, "predictions": predictions}
        return bodies.reply(request, found)

    async def stream(self, request: Request) -> Response:
        """Tell of a stream, or delete it."""
        stream, client = _stream_of(request), await self.feed.client()
        if request.method == "DELETE":
            await client.forget(stream)
            return Response(status_code=204)
        (seq,) = await client.last_seqs([stream])
        if not seq and not await self._lives(stream):
            raise RemoteError(f"stream {shown(stream)} has sent nothing", "unknown-stream", stream)
        found = {"stream": stream, "seq": seq, **self.feed.last_of(stream, seq)}
        return bodies.reply(request, found)

    async def _lives(self, stream: wire.StreamId) -> bool:
        """Return whether a stream without numbers exists."""
        prefix = stream if isinstance(stream, str) else None
        client = await self.feed.client()
        async for found, _ in client.list_streams(prefix):
            if found == stream:
                return True
            if isinstance(found, str) or isinstance(stream, str) or found > stream:
                break  # they come in order, integers first
        return False

    async def streams(self, request: Request) -> Response:
        """List streams and their last numbers."""
        prefix = request.query_params.get("prefix", "")
        found: list[dict[str, Any]] = []
        more = False
        client = await self.feed.client()
        async for stream, seq in client.list_streams(prefix or None):
            if more := len(found) == MOST_LISTED:
                break
            found.append({"stream": stream, "seq": seq})
        return bodies.reply(request, {"streams": found, "more": more})

    async def info(self, request: Request) -> Response:
        """Tell of the model."""
        info = await (await self.feed.client()).info()
        known = ("inputs", "outputs", "horizon", "fingerprint", "online")
        model = {key: info["model"][key] for key in known}
        return bodies.reply(request, {"model": model, "streams": info["streams"]})

    async def health(self, _: Request) -> Response:
        """Tell whether the worker answers."""
        await (await self.feed.client()).ping()
        return Response("ok\n", media_type="text/plain")

    async def description(self, _: Request) -> Response:
        """Return the description of all requests, OpenAPI 3.1."""
        try:
            inputs = await self.feed.inputs()
        except StreamLSTMError:
            inputs = ["value"]  # the page shows nevertheless
        return JSONResponse(describe(inputs))

    async def events(self, request: Request) -> Response:
        """Send predictions as server-sent events."""
        self._listeners.check()
        events = self._listeners.events(*_wanted(request))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(as_sse(events), 200, headers, "text/event-stream")

    async def socket(self, socket: WebSocket) -> None:
        """Send predictions over a WebSocket."""
        await socket.accept()
        sending = asyncio.create_task(self._send(socket))
        leaving = asyncio.create_task(until_gone(socket.receive))
        await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, leaving):
            task.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, socket: WebSocket) -> None:
        try:
            async for event in self._listeners.events(*_wanted(socket)):
                if event is not None:
                    await socket.send_json(event)
            await socket.close(_RESTARTED, "the worker was replaced")
        except WebSocketDisconnect:
            pass
        except StreamLSTMError as error:
            LINES.warn(_LOG, f"a listener is sent away: {error}")
            await socket.close(_FAILED, str(error)[:120])


def make_app(gateway: Gateway, access: Access) -> Starlette:
    """Return the application."""
    one, predictions = "/streams/{stream:path}", "/streams/{stream:path}/predictions"

    async def page(_: Request) -> Response:
        return file_response(STATIC / "index.html")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/openapi.json", gateway.description),
            Route("/healthz", gateway.health),
            Route("/info", gateway.info),
            Route("/predictions", gateway.events),
            WebSocketRoute("/predictions", gateway.socket),
            Route("/streams", gateway.streams),
            Route("/streams/{stream:path}/observations", gateway.observe, methods=["POST"]),
            Route(predictions, gateway.events),
            WebSocketRoute(predictions, gateway.socket),
            Route(one, gateway.stream, methods=["GET", "DELETE"]),
            Mount("/static", Files(directory=STATIC)),
        ],
        middleware=access.middleware(),
        exception_handlers={
            StreamLSTMError: problems.answer,
            OSError: problems.answer,
            HTTPException: _not_found,
        },
        lifespan=gateway.lifespan,
    )


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "method" if error.status_code == 405 else "not-found"
    sentence = f"{request.method} {request.url.path}: {error.detail}; / lists all requests"
    return problems.answer(request, BadRequestError(code, sentence))


def _stream_of(connection: HTTPConnection) -> wire.StreamId:
    """Return the stream that a path names; with ?id=integer one whose id is an integer."""
    text: str = connection.path_params["stream"]
    try:
        unquote_to_bytes(connection.scope.get("raw_path") or b"").decode()
    except UnicodeDecodeError:  # the server has put another character there, the same for all
        raise BadRequestError("bad-frame", "stream: expected UTF-8, percent-encoded") from None
    kind = connection.query_params.get("id", "text")
    if kind not in ("text", "integer"):
        raise BadRequestError("bad-frame", f"id: expected text or integer, got {shown(kind)}")
    if kind == "text":
        return check_stream_id(text)
    if not text.isascii() or not text.isdigit():
        raise BadRequestError("bad-frame", f"stream: expected an unsigned integer, got {text!r}")
    return check_stream_id(int(text))


def _wanted(connection: HTTPConnection) -> tuple[wire.StreamId | None, str, bool, bool]:
    """Return the stream or the prefix to listen to, and whether alarms alone, or values too."""
    query = connection.query_params
    stream = _stream_of(connection) if "stream" in connection.path_params else None
    alarms, values = (query.get(name) == "true" for name in ("alarms", "values"))
    return stream, query.get("prefix", ""), alarms, values
