"""``streamlstm forget``: drop streams of a worker."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option


def forget(
    streams: Annotated[list[str], Argument(metavar="STREAM...", help="Ids of the streams.")],
    integer: Annotated[
        bool, Option("--integer", help="The ids are integers: 7, not the text '7'.")
    ] = False,
    router: Annotated[
        str | None, Option(help="Ask there; tcp://127.0.0.1:7450 if left out.")
    ] = None,
    endpoints: Annotated[
        Path | None, Option(help="Ask where the file says that serve --endpoints wrote.")
    ] = None,
) -> None:
    """Drop streams and their memory; one that comes again is a new one.

    \b
    Example:
      streamlstm forget pump-7 pump-9
    """  # noqa: D301 - \b keeps the lines of the example apart
    from typer import BadParameter

    from streamlstm.client import Client
    from streamlstm.state import StreamId

    from .streams import asked

    ids: list[StreamId] = list(streams)
    if integer:
        try:
            ids = [int(stream) for stream in streams]
        except ValueError:
            raise BadParameter("expected integers with --integer") from None
    with Client(asked(router, endpoints)) as client:
        for stream in ids:
            client.forget(stream)
