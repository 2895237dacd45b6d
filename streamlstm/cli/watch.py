"""``streamlstm watch``: prints the predictions that a worker publishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

from .worker_options import Endpoints, Key, Server

if TYPE_CHECKING:
    from streamlstm.client.observing import Published
    from streamlstm.client.subscriber import Subscriber
    from streamlstm.engine.prediction import Prediction as Observed
    from streamlstm.wire import Done

# Events of a stream other than steps, by the kind in the published DONE message.
_EVENTS = {3: "reset", 5: "imported", 11: "forgotten", 12: "left memory"}

QUIET = 1.0  # seconds without a message after which a note is printed


def watch(
    xpub: Annotated[
        str | None,
        Option(help="Endpoint of the worker's XPUB socket; tcp://127.0.0.1:7452 by default."),
    ] = None,
    endpoints: Endpoints = None,
    stream: Annotated[str, Option(help="Only streams whose id has this prefix.")] = "",
    count: Annotated[int | None, Option(min=1, help="Stop after this many predictions.")] = None,
    key: Key = None,
    server: Server = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print the predictions of a worker, whoever requested them, until Ctrl-C.

    Other events of streams are printed too: reset, import, deletion, eviction from memory.

    \b
    Example:
      streamlstm watch --stream pump-
      streamlstm watch --json --count 100
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm import wire
    from streamlstm.client.subscriber import Subscriber
    from streamlstm.serving.endpoints_file import read_endpoints

    if xpub is not None and endpoints is not None:
        raise BadParameter("expected only one of --xpub and --endpoints")
    endpoint = read_endpoints(endpoints)["xpub"] if endpoints else xpub or wire.XPUB
    with Subscriber(endpoint, [stream], timeout=QUIET, key=key, server=server) as subscriber:
        left = count
        for event in _events(subscriber):
            print(_line(event, json), flush=True)
            if left is not None and isinstance(event, wire.Prediction):
                left -= 1
                if left == 0:
                    return


def _line(event: Published | Done, json: bool) -> str:
    """Format a prediction or another event of a stream."""
    from json import dumps
    from time import time

    from streamlstm import wire

    if not isinstance(event, wire.Done):
        values = event.values.tolist()
        if not json:
            return f"{event.stream}  {_values(event.observed)}"
        fields: dict[str, Any] = {"seq": event.seq, "prediction": values, **_said(event.observed)}
    else:
        name = _EVENTS.get(event.kind, str(event.kind))
        ended = event.kind == wire.EVICTED and not event.value
        if not json:
            return f"{event.stream}  {name}{', not stored' if ended else ''}"
        fields = {"event": name}
        if event.kind == wire.EVICTED:
            fields["kept"] = not ended
    return dumps({"time": time(), "stream": event.stream, **fields})


def _values(observed: Observed) -> str:
    """Format the outputs, each with its widest interval, then score and alarm."""
    from streamlstm.cli.console import bar

    words = []
    for y, low, high in zip(observed.y, observed.low, observed.high, strict=True):
        bounds = "" if low != low else f" [{low:.6g}, {high:.6g}]"
        words.append(f"{y:.6g}{bounds}")
    if observed.score == observed.score:
        words.append(f" {bar(observed.score)} {observed.score:.1f}")
    if observed.alarm:
        words.append(f" ALARM: {observed.kind}")
    if observed.filled:
        words.append(f" ({observed.filled} missing)")
    return " ".join(words)


def _said(observed: Observed) -> dict[str, Any]:
    """Return what is known besides the outputs, for JSON, which has no NaN."""
    found: dict[str, Any] = {}
    for name in ("low", "high", "error"):
        values = getattr(observed, name)
        if _is_known(values):
            found[name] = [None if v != v or abs(v) == float("inf") else v for v in values.tolist()]
    if observed.score == observed.score:
        found |= {"score": observed.score, "p_value": observed.p_value, "alarm": observed.alarm}
        found |= {"kind": observed.kind} if observed.alarm else {}
    return found | ({"filled": observed.filled} if observed.filled else {})


def _is_known(values: Any) -> bool:
    """Tell whether one of some numbers is not NaN."""
    return any(value == value for value in values.tolist())


def _events(subscriber: Subscriber) -> Iterator[Published | Done]:
    """Yield all events without end; print a note on stderr if none comes at first.

    ZeroMQ does not tell a missing worker from an idle one.
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
