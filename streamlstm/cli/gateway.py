"""``streamlstm gateway``: lets those who speak another protocol use a worker or a fleet."""

from typing import Annotated

import typer
from typer import Option

from .configuration.decorator import service
from .web import Insecure, Listen, Public, Token, Xpub, find_worker
from .worker_options import Endpoints, Key, Router, Server

gateway = typer.Typer(
    help="Let programs that speak another protocol use a worker or a fleet.\n\n\b\nExample:\n"
    "  streamlstm gateway http",
    no_args_is_help=True,
)


@gateway.callback()
def _gateway() -> None:
    """Keep the name of the protocol a command, though there is one only."""


@gateway.command("http")
@service
def http(
    listen: Listen = "127.0.0.1:7490",
    router: Router = None,
    xpub: Xpub = None,
    endpoints: Endpoints = None,
    timeout: Annotated[
        float, Option(min=0.01, max=3600, help="Seconds that a worker has to answer.")
    ] = 5.0,
    max_body: Annotated[
        int, Option(min=1024, max=2**30, metavar="BYTES", help="Largest body of a request.")
    ] = 1_048_576,
    token: Token = None,
    public: Public = None,
    insecure: Insecure = False,
    key: Key = None,
    server: Server = None,
) -> None:
    """Take observations over HTTP and send predictions back, until Ctrl-C.

    POST /streams/NAME/observations applies one or many observations, in JSON or msgpack; GET
    /streams/NAME/predictions listens, as server-sent events or over a WebSocket. The page at / has
    all requests. An observation that has a number (seq) is applied once, however often it is sent.

    \b
    Example:
      streamlstm gateway http
      curl -d '{"x": [0.3], "seq": 1}' http://127.0.0.1:7490/streams/pump-7/observations
      streamlstm gateway http --endpoints fleet.json --listen 0.0.0.0:7490 --token http.token
    """  # noqa: D301 - \b keeps the lines of the example apart
    from .listening import listen_at, serve_until_stopped

    where = find_worker(router, xpub, endpoints, key, server)
    listener, access = listen_at(listen, token, public, insecure)
    from streamlstm.web.gateway.app import Gateway, make_app

    app = make_app(Gateway(where, timeout, max_body), access)
    serve_until_stopped(app, listener, "http", most_sent=4096)
