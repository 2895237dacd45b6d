"""``streamlstm forget``: deletes streams of a worker."""

from typing import Annotated

from typer import Argument, Option

from .worker_options import Endpoints, Key, Router, Server, connect


def forget(
    streams: Annotated[list[str], Argument(metavar="STREAM...", help="Ids of the streams.")],
    integer: Annotated[
        bool, Option("--integer", help="Take the ids as integers: 7, not the text '7'.")
    ] = False,
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
) -> None:
    """Delete streams and their state; a later observation starts a new stream.

    \b
    Example:
      streamlstm forget pump-7 pump-9
    """  # noqa: D301 - \b keeps the lines of the example apart
    from typer import BadParameter

    from streamlstm.engine.ids import StreamId

    ids: list[StreamId] = list(streams)
    if integer:
        try:
            ids = [int(stream) for stream in streams]
        except ValueError:
            raise BadParameter("expected integers with --integer") from None
    with connect(router, endpoints, key, server) as client:
        for stream in ids:
            client.forget(stream)
