"""What all commands have in common that ask one worker: where it is, and with which keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import BadParameter, Option

if TYPE_CHECKING:
    from streamlstm.client.client import Client

Router = Annotated[str | None, Option(help="Ask there; tcp://127.0.0.1:7450 if left out.")]
Endpoints = Annotated[
    Path | None, Option(help="Ask where the file says that serve --endpoints wrote.")
]
Key = Annotated[Path | None, Option(help="This client's secret key, for a worker that has keys.")]
Server = Annotated[Path | None, Option(help="The worker's public key.")]


def connect(
    router: str | None,
    endpoints: Path | None,
    key: Path | None,
    server: Path | None,
    timeout: float = 5.0,
) -> Client:
    """Return a client of the worker that a command is to ask, which has answered already.

    Raises
    ------
    WorkerTimeoutError
        If no worker answers within 5 seconds; then nothing is on its way to it.
    """
    from streamlstm import wire
    from streamlstm.client.client import Client
    from streamlstm.errors import HandshakeError, WorkerTimeoutError
    from streamlstm.serving.endpoints_file import read_endpoints

    if router is not None and endpoints is not None:
        raise BadParameter("expected only one of --router and --endpoints")
    asked = read_endpoints(endpoints)["router"] if endpoints else router or wire.ROUTER
    with Client(asked, key=key, server=server) as client:
        try:
            client.ping()
        except HandshakeError:
            raise
        except WorkerTimeoutError:
            if key is not None:
                raise  # it says what may be wrong with keys
            raise WorkerTimeoutError(
                f"{asked}: no worker answered within {client.timeout:g} s. Start one there, for "
                f"instance: streamlstm serve MODEL --router {asked}; if it "
                "speaks with keys only, give --key and --server"
            ) from None
    return Client(asked, timeout=timeout, key=key, server=server)
