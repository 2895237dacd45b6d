"""``streamlstm watch``: see a worker's predictions, whoever asked for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

if TYPE_CHECKING:
    from streamlstm.client.client import Subscriber
    from streamlstm.wire import Done, Prediction

# What may be done to a stream beside a step, by the kind of what is published then.
_EVENTS = {3: "reset", 5: "imported", 11: "forgotten", 12: "left memory"}

QUIET = 1.0  # seconds after which it is said that nothing comes


def watch(
    xpub: Annotated[
        str | None, Option(help="Listen there; tcp://127.0.0.1:7452 if left out.")
    ] = None,
    endpoints: Annotated[
        Path | None, Option(help="Listen where the file says that serve --endpoints wrote.")
    ] = None,
    stream: Annotated[str, Option(help="Only streams whose id begins like this.")] = "",
    count: Annotated[int | None, Option(min=1, help="Stop after so many predictions.")] = None,
    key: Annotated[
        Path | None, Option(help="This client's secret key, for a worker that has keys.")
    ] = None,
    server: Annotated[Path | None, Option(help="The worker's public key.")] = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print predictions as a worker makes them, until Ctrl-C.

    Also what else is done to streams: that one was reset, imported or forgotten, or left memory.

    \b
    Example:
      streamlstm watch --stream pump-
      streamlstm watch --json --count 100
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm import wire
    from streamlstm.client.client import Subscriber
    from streamlstm.serving.endpoints_file import read_endpoints

    if xpub is not None and endpoints is not None:
        raise BadParameter("expected only one of --xpub and --endpoints")
    heard = read_endpoints(endpoints)["xpub"] if endpoints else xpub or wire.XPUB
    with Subscriber(heard, [stream], timeout=QUIET, key=key, server=server) as subscriber:
        left = count
        for said in _heard(subscriber):
            print(_line(said, json), flush=True)
            if left is not None and isinstance(said, wire.Prediction):
                left -= 1
                if left == 0:
                    return


def _line(heard: Prediction | Done, json: bool) -> str:
    """Write a prediction, or what else was done to a stream."""
    from json import dumps
    from time import time

    from streamlstm import wire

    if isinstance(heard, wire.Prediction):
        values = heard.values.tolist()
        if not json:
            return f"{heard.stream}  {' '.join(f'{value:.6g}' for value in values)}"
        told: dict[str, Any] = {"seq": heard.seq, "prediction": values}
    else:
        event = _EVENTS.get(heard.kind, str(heard.kind))
        ended = heard.kind == wire.EVICTED and not heard.value
        if not json:
            return f"{heard.stream}  {event}{', and begins anew' if ended else ''}"
        told = {"event": event}
        if heard.kind == wire.EVICTED:
            told["kept"] = not ended
    return dumps({"time": time(), "stream": heard.stream, **told})


def _heard(subscriber: Subscriber) -> Iterator[Prediction | Done]:
    """Yield what is published for ever; say once on stderr if nothing comes at first.

    ZeroMQ does not tell a worker that is not there from one that nobody asks.
    """
    from streamlstm.cli.console import err
    from streamlstm.errors import HandshakeError, WorkerTimeoutError

    try:
        yield subscriber.receive_event()
    except HandshakeError:
        raise
    except WorkerTimeoutError:
        err.print(
            f"waiting for a worker at {subscriber.endpoint} to predict something", markup=False
        )
    subscriber.timeout = None
    while True:
        yield subscriber.receive_event()
