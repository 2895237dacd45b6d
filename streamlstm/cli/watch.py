"""``streamlstm watch``: see a worker's predictions, whoever asked for them."""

from pathlib import Path
from typing import Annotated

from typer import BadParameter, Option


def watch(
    xpub: Annotated[
        str | None, Option(help="Listen there; tcp://127.0.0.1:7452 if left out.")
    ] = None,
    endpoints: Annotated[
        Path | None, Option(help="Listen where the file says that serve --endpoints wrote.")
    ] = None,
    stream: Annotated[str, Option(help="Only streams whose id begins like this.")] = "",
    count: Annotated[int | None, Option(min=1, help="Stop after so many predictions.")] = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print predictions as a worker makes them, until Ctrl-C.

    \b
    Example:
      streamlstm watch --stream pump-
      streamlstm watch --json --count 100
    """  # noqa: D301 - \b keeps the lines of the example apart
    from itertools import islice
    from json import dumps
    from time import time

    from streamlstm import wire
    from streamlstm.client import Subscriber
    from streamlstm.serving.endpoints import read_endpoints

    if xpub is not None and endpoints is not None:
        raise BadParameter("expected only one of --xpub and --endpoints")
    heard = read_endpoints(endpoints)["xpub"] if endpoints else xpub or wire.XPUB
    with Subscriber(heard, [stream]) as subscriber:
        for prediction in islice(subscriber, count):
            values = prediction.values.tolist()
            if json:
                line = dumps(
                    {
                        "time": time(),
                        "stream": prediction.stream,
                        "seq": prediction.seq,
                        "prediction": values,
                    }
                )
            else:
                line = f"{prediction.stream}  {' '.join(f'{value:.6g}' for value in values)}"
            print(line, flush=True)
