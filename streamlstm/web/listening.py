"""Binds an address of HTTP and serves an application there until the process is told to end."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from contextlib import suppress
from importlib import import_module
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from ..errors import EndpointError
from ..serving.addresses import bracketed
from ..serving.endpoints import describe_bind_error
from ..serving.line_limit import LineLimit

_LOG = logging.getLogger(__name__)
LINES = LineLimit()  # of what goes wrong where no file can be opened

_BACKLOG = 128
_END = 2  # seconds that open connections have at the end


class _Listener(socket.socket):
    """Lets so many connections wait, whatever asyncio says."""

    def listen(self, _backlog: int = _BACKLOG, /) -> None:
        super().listen(_BACKLOG)


def bind(name: str, address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens at an address; ``name`` is the option that says so.

    Raises
    ------
    EndpointError
        If it is taken, or not to be had.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = _Listener(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        reason = describe_bind_error(error, name, "127.0.0.1:*")
        raise EndpointError(f"--{name} {bracketed(host)}:{port}: {reason}") from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return where a browser of this machine finds a socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{bracketed(host)}:{port}"


def serve(app: ASGIApp, listener: socket.socket, most_sent: int) -> None:
    """Serve an application until SIGINT or SIGTERM; ``most_sent`` bounds what WebSockets bring."""
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=most_sent,
        ws_per_message_deflate=False,
        backlog=1,  # asyncio tries as often at once, and where it fails again as often each second
        timeout_graceful_shutdown=_END,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(uvicorn.Server(config), listener))


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    await _import_early()
    asyncio.get_running_loop().set_exception_handler(_note)
    await server.serve(sockets=[listener])


async def _import_early() -> None:
    """Let others import what they import at first use: no file might be opened then."""
    import_module("numpy.ma")  # of which NumPy makes use where it looks at what a request brought
    await asyncio.to_thread(int)
    async with anyio.create_task_group(), await anyio.open_file(os.devnull):
        for stream in anyio.create_memory_object_stream[None]():
            stream.close()


def _note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say that no connection can be accepted; asyncio tries again, and would fill the log."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        LINES.warn(_LOG, f"no connection can be accepted: {error.strerror} (ulimit -n)", "accept")
    else:
        loop.default_exception_handler(context)
