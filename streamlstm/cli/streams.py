"""``streamlstm streams``: lists a worker's streams and their last sequence numbers."""

from typing import Annotated

from typer import Option

from .said import name_of
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
        found = [(name_of(stream), _shown(seq)) for stream, seq in client.list_streams(prefix)]
    id_width, seq_width = (max((len(row[n]) for row in found), default=0) for n in range(2))
    for stream, seq in found:
        print(f"{stream:{id_width}}  {seq:>{seq_width}}")


def _shown(seq: int) -> str:
    from streamlstm.engine.numbers import shown_seq, split_seq

    return f"{seq:,}" if split_seq(seq) is None else shown_seq(seq)
