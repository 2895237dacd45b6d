"""Options of all commands that connect to a worker: its endpoint and the CURVE keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

if TYPE_CHECKING:
    from streamlstm.client.client import Client

Router = Annotated[
    str | None,
    Option(help="Endpoint of the worker's ROUTER socket; tcp://127.0.0.1:7450 by default."),
]
Endpoints = Annotated[
    Path | None,
    Option(help="Read where to connect from the file that serve or fleet wrote with --endpoints."),
]
Key = Annotated[
    Path | None, Option(help="This client's secret key, for a worker that requires keys.")
]
Server = Annotated[Path | None, Option(help="The worker's public key.")]


def connect(
    router: str | None,
    endpoints: Path | None,
    key: Path | None,
    server: Path | None,
    timeout: float = 5.0,
) -> Client:
    """Return a client of a worker that has just answered a PING, or of its whole fleet.

    Raises
    ------
    WorkerTimeoutError
        If no worker answers within 5 seconds; then no request is on its way to it.
    """
    from streamlstm.client.client import Client
    from streamlstm.errors import HandshakeError, WorkerTimeoutError

    where = worker_or_fleet(router, endpoints)
    with Client(**where, key=key, server=server) as client:
        try:
            client.ping()
            if "router" in where and _is_of_a_fleet(client):
                where = {"endpoints": client.endpoint}
        except HandshakeError:
            raise
        except WorkerTimeoutError:
            if key is not None:
                raise  # its message says what may be wrong with the keys
            raise WorkerTimeoutError(
                f"{client.endpoint}: no worker answered within {client.timeout:g} s. Start one "
                f"there, for instance: streamlstm serve MODEL --router {client.endpoint}; if it "
                "requires keys, give --key and --server"
            ) from None
    return Client(**where, timeout=timeout, key=key, server=server)


def _is_of_a_fleet(client: Client) -> bool:
    """Ask a worker whether others serve beside it."""
    from streamlstm import wire
    from streamlstm.client.replies import decode_done
    from streamlstm.errors import RemoteError

    try:
        return client._call(wire.Table(), decode_done) is not None
    except RemoteError:
        return False


def worker_or_fleet(router: str | None, endpoints: Path | None) -> dict[str, Any]:
    """Return the arguments of a client that say where its worker or fleet is."""
    from streamlstm import wire

    if router is not None and endpoints is not None:
        raise BadParameter("expected only one of --router and --endpoints")
    return {"router": router or wire.ROUTER} if endpoints is None else {"endpoints": endpoints}
