"""What commands that speak HTTP have in common: where they listen, for whom, and until when."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from typer import BadParameter

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from streamlstm.web.access import Access

REMEDY = "give it a token (--token FILE, docs/web.md), "


def check_installed() -> None:
    """Say what to install if it is missing.

    Raises
    ------
    StreamLSTMError
    """
    from importlib.util import find_spec

    from streamlstm.errors import StreamLSTMError

    if missing := [name for name in ("starlette", "uvicorn", "websockets") if not find_spec(name)]:
        raise StreamLSTMError(
            f"{', '.join(missing)} is needed and not installed: pip install {' '.join(missing)}"
        )


def listen_at(
    address: str, token: Path | None, public: str | None, insecure: bool
) -> tuple[socket.socket, Access]:
    """Return a socket that listens at HOST:PORT, and who may ask there.

    Raises
    ------
    BadParameter
        If ``public`` is no URL.
    KeyFileError
        If the file has no token.
    EndpointError
        If the address is malformed or taken, or other machines could reach it and nothing protects
        it.
    """
    check_installed()
    from streamlstm.serving.addresses import is_loopback
    from streamlstm.serving.metrics_port import parse_address
    from streamlstm.web.access import Access, read_token
    from streamlstm.web.listening import bind

    if public is not None:
        parts = urlsplit(public)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadParameter(f"--public: expected a URL such as https://a.org/b, got {public!r}")
    may_be_reached = insecure or token is not None
    bound = parse_address(address, may_be_reached, "listen", 7480, REMEDY)
    known = None if token is None else read_token(token)
    access = Access(bound[0], not is_loopback(bound[0]), known, public)
    return bind("listen", bound), access


def serve_until_stopped(
    app: ASGIApp,
    listener: socket.socket,
    name: str,
    says_ready: bool = True,
    most_sent: int = 65_536,
) -> None:
    """Serve an application until Ctrl-C or SIGTERM; say where it is, and perhaps how it ends.

    Nothing larger than ``most_sent`` bytes is taken over a WebSocket.
    """
    from streamlstm.web.listening import serve, url_of

    from .signals import sigterm_as_interrupt

    log = logging.getLogger(__name__)
    try:
        with sigterm_as_interrupt():
            log.info("%-7s %s", name, url_of(listener))
            if says_ready:
                log.info("ready; Ctrl-C stops")
            serve(app, listener, most_sent)
    except KeyboardInterrupt:
        pass
