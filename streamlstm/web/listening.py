"""Binds an address of HTTP and serves an application there until the process is told to end."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from ..errors import EndpointError
from ..serving.addresses import bracketed
from ..serving.endpoints import describe_bind_error

_BACKLOG = 128
_END = 2  # seconds that open connections have at the end


def bind(name: str, address: tuple[str, int]) -> socket.socket:
    """Return a socket that listens at an address; ``name`` is the option that says so.

    Raises
    ------
    EndpointError
        If it is taken, or not to be had.
    """
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
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
        timeout_graceful_shutdown=_END,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
