"""The pages and the WebSocket that a browser asks for; all of them read, none changes anything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from ..access import Access
from ..files import Files, file_response
from ..listening import LINES
from .live import Live, key_of
from .watch import Watch

_LOG = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
MOST_VIEWERS = 100
_TRY_LATER = 1013  # a WebSocket's status of a server that is full


def make_app(watch: Watch, access: Access) -> Starlette:
    """Return the live page of what a :class:`Watch` follows."""
    viewers: set[WebSocket] = set()

    async def page(_: Request) -> Response:
        return file_response(STATIC / "index.html")

    async def alarm(request: Request) -> Response:
        found = watch.alarms.find(request.path_params["number"])
        if found is None:
            return JSONResponse({"title": "this alarm is not kept any more"}, 404)
        return JSONResponse(found.as_map() | {"stream": key_of(found.stream)})

    async def healthz(_: Request) -> Response:
        status = 200 if watch.problem is None else 503
        return Response(f"{watch.problem or 'ok'}\n", status, media_type="text/plain")

    async def live(socket: WebSocket) -> None:
        await socket.accept()
        if len(viewers) >= MOST_VIEWERS:
            await socket.close(_TRY_LATER, f"{MOST_VIEWERS} viewers look at this page")
            return
        viewers.add(socket)
        try:
            await Live(socket, watch).run()
        finally:
            viewers.discard(socket)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(watch.run())
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/alarms/{number:int}", alarm),
            Route("/healthz", healthz),
            WebSocketRoute("/live", live),
            Mount("/static", Files(directory=STATIC)),
        ],
        middleware=access.middleware(),
        exception_handlers={OSError: _later},
        lifespan=lifespan,
    )


def _later(_: Request, error: Exception) -> Response:
    """Answer a request for which no file can be opened now."""
    said = str(getattr(error, "strerror", None) or error)
    LINES.warn(_LOG, f"no answer: {said}")
    return Response(f"{said}\n", 503, {"retry-after": "1"}, "text/plain")
