"""``streamlstm streams``: which streams a worker has, and the number of their last observations."""

from typing import Annotated

from typer import Option

from .worker_options import Endpoints, Key, Router, Server, connect


def streams(
    prefix: Annotated[str | None, Option(help="Only ids of text that begin so.")] = None,
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
) -> None:
    """List a worker's streams: id, and number of the last observation (0: none was numbered).

    \b
    Example:
      streamlstm streams --prefix pump-
    """  # noqa: D301 - \b keeps the lines of the example apart
    with connect(router, endpoints, key, server) as client:
        found = [(str(stream), seq) for stream, seq in client.list_streams(prefix)]
    wide = max((len(stream) for stream, _ in found), default=0)
    high = max((len(f"{seq:,}") for _, seq in found), default=0)
    for stream, seq in found:
        print(f"{stream:{wide}}  {seq:{high},}")
