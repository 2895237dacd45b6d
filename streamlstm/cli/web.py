"""``streamlstm web``: the live page of a worker or a fleet."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import BadParameter, Option

from .configuration.decorator import service
from .worker_options import Endpoints, Key, Router, Server

if TYPE_CHECKING:
    from streamlstm.web.where import Where

# Of every command that speaks HTTP.
Xpub = Annotated[
    str | None,
    Option(help="Endpoint of the worker's XPUB socket; tcp://127.0.0.1:7452 by default."),
]
Listen = Annotated[
    str, Option(metavar="HOST:PORT", help="Where to listen; port * lets the system choose.")
]
Token = Annotated[
    Path | None,
    Option(
        help="File with the token that who asks has to know; it is made if it does not exist. "
        "Beyond loopback it is needed."
    ),
]
Public = Annotated[
    str | None,
    Option(metavar="URL", help="Where a reverse proxy makes this public, such as https://a.org/b."),
]
Insecure = Annotated[
    bool,
    Option("--insecure", help="Listen without a token where other machines can reach it."),
]


@service
def web(
    listen: Listen = "127.0.0.1:7480",
    router: Router = None,
    xpub: Xpub = None,
    endpoints: Endpoints = None,
    model: Annotated[
        Path | None,
        Option(help="The model file that is served, to show its gates at an alarm."),
    ] = None,
    memory: Annotated[
        int, Option(min=1, metavar="MIB", help="Memory for the points of all streams.")
    ] = 256,
    token: Token = None,
    public: Public = None,
    insecure: Insecure = False,
    key: Key = None,
    server: Server = None,
    parent: Annotated[int | None, Option(hidden=True)] = None,
) -> None:
    """Show a worker or a fleet in a browser: all its streams, their alarms, and how it is.

    The page reads and changes nothing. It keeps the last hour of every stream, as far as --memory
    allows, and goes on by itself when a worker has been restarted.

    \b
    Example:
      streamlstm web
      streamlstm web --endpoints fleet.json
      streamlstm web --listen 0.0.0.0:7480 --token page.token
    """  # noqa: D301 - \b keeps the lines of the example apart
    from .listening import listen_at, serve_until_stopped

    if parent is not None:
        _end_with(parent)
    where = find_worker(router, xpub, endpoints, key, server)
    listener, access = listen_at(listen, token, public, insecure)
    from streamlstm.web.page.app import make_app
    from streamlstm.web.page.watch import Watch

    watch = Watch(where, memory * 2**20, model)
    serve_until_stopped(make_app(watch, access), listener, "page", parent is None)


def find_worker(
    router: str | None,
    xpub: str | None,
    endpoints: Path | None,
    key: Path | None,
    server: Path | None,
) -> "Where":
    """Return where the worker or the fleet is that is shown."""
    from streamlstm import wire
    from streamlstm.web.where import Where

    if endpoints is not None and (router is not None or xpub is not None):
        raise BadParameter("expected only one of --endpoints and --router with --xpub")
    if endpoints is None and (router is None) != (xpub is None):
        if xpub is not None:
            raise BadParameter("expected --router beside --xpub")
        return Where(router, key=key, server=server)  # any worker of a fleet
    if endpoints is not None and not endpoints.exists():
        logging.getLogger(__name__).warning(
            "waiting for the worker: %s is not there; serve or fleet write it (--endpoints %s)",
            endpoints, endpoints,
        )  # fmt: skip
    return Where(endpoints, router or wire.ROUTER, xpub or wire.XPUB, key, server)


def _end_with(parent: int) -> None:
    """End when the worker ends that has started this process, and leave the processor to it."""
    from os import nice

    from streamlstm.serving.parent import end_with

    end_with(parent)
    nice(10)
