"""``streamlstm streams``: which streams a worker has, and the number of their last observations."""

from pathlib import Path
from typing import Annotated

from typer import BadParameter, Option


def streams(
    prefix: Annotated[str | None, Option(help="Only ids of text that begin so.")] = None,
    router: Annotated[
        str | None, Option(help="Ask there; tcp://127.0.0.1:7450 if left out.")
    ] = None,
    endpoints: Annotated[
        Path | None, Option(help="Ask where the file says that serve --endpoints wrote.")
    ] = None,
) -> None:
    """List a worker's streams: id, and number of the last observation (0: none was numbered).

    \b
    Example:
      streamlstm streams --prefix pump-
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.client import Client

    with Client(asked(router, endpoints)) as client:
        found = [(str(stream), seq) for stream, seq in client.list_streams(prefix)]
    wide = max((len(stream) for stream, _ in found), default=0)
    high = max((len(f"{seq:,}") for _, seq in found), default=0)
    for stream, seq in found:
        print(f"{stream:{wide}}  {seq:{high},}")


def asked(router: str | None, endpoints: Path | None) -> str:
    """Return the endpoint that a command is to ask."""
    from streamlstm import wire
    from streamlstm.serving.endpoints import read_endpoints

    if router is not None and endpoints is not None:
        raise BadParameter("expected only one of --router and --endpoints")
    return read_endpoints(endpoints)["router"] if endpoints else router or wire.ROUTER
