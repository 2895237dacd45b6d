"""``streamlstm streams``: lists a worker's streams and their last sequence numbers."""

from typing import Annotated

from typer import Option

from .worker_options import Endpoints, Key, Router, Server, connect


def streams(
    prefix: Annotated[str | None, Option(help="Only text ids with this prefix.")] = None,
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
) -> None:
    """List a worker's streams: id and last sequence number (0: no observation had one).

    \b
    Example:
      streamlstm streams --prefix pump-
    """  # noqa: D301 - \b keeps the lines of the example apart
    with connect(router, endpoints, key, server) as client:
        found = [(str(stream), seq) for stream, seq in client.list_streams(prefix)]
    id_width = max((len(stream) for stream, _ in found), default=0)
    seq_width = max((len(f"{seq:,}") for _, seq in found), default=0)
    for stream, seq in found:
        print(f"{stream:{id_width}}  {seq:{seq_width},}")
