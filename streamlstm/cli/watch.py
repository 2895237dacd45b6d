"""``streamlstm watch``: prints the predictions that a worker publishes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

from .worker_options import Endpoints, Key, Server

if TYPE_CHECKING:
    from pathlib import Path

    from streamlstm.cli.came import Came
    from streamlstm.client.observing import Published
    from streamlstm.client.subscriber import Subscriber
    from streamlstm.engine.prediction import Prediction
    from streamlstm.wire import Done

# Events of a stream other than steps, by the kind in the published DONE message.
_EVENTS = {3: "reset", 5: "imported", 11: "forgotten", 12: "left memory"}

_WORDS, _SHORTEST = 40, 8  # columns that are left for more than the name, and for the name
QUIET = 1.0  # seconds without a message after which a note is printed


def watch(
    xpub: Annotated[
        str | None,
        Option(help="Endpoint of the worker's XPUB socket; tcp://127.0.0.1:7452 by default."),
    ] = None,
    endpoints: Endpoints = None,
    stream: Annotated[str, Option(help="Only streams whose id has this prefix.")] = "",
    alarms: Annotated[
        bool, Option("--alarms", help="Only predictions with an alarm; they alone are sent.")
    ] = False,
    count: Annotated[int | None, Option(min=1, help="Stop after this many predictions.")] = None,
    key: Key = None,
    server: Server = None,
    json: Annotated[bool, Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Print the predictions of a worker or a fleet, whoever requested them, until Ctrl-C.

    A line has the time of day, the stream and the prediction. Of a model with an online stage also
    what came and the error of what had been predicted for it, the widest interval, how unusual the
    observation is (a bar, and the score), and alarms. Without a stage the worker publishes
    predictions alone, not what came: `streamlstm online` adds one, which `train` does by itself.
    Other events of streams are printed too: reset, import, deletion, eviction from memory.

    \b
    Example:
      streamlstm watch --stream pump-
      streamlstm watch --json --count 100
      streamlstm watch --alarms
      streamlstm watch --endpoints fleet.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm import wire
    from streamlstm.client.subscriber import Subscriber

    if xpub is not None and endpoints is not None:
        raise BadParameter("expected only one of --xpub and --endpoints")
    where: dict[str, Any] = {"endpoints": endpoints} if endpoints else {"xpub": xpub or wire.XPUB}
    with Subscriber(
        **where, streams=[stream], timeout=QUIET, alarms=alarms, key=key, server=server
    ) as subscriber:
        left, forecasts = count, None
        # Alarms alone do not tell what came: the forecasts before them are not received.
        where_model = None if alarms else _where(xpub, endpoints)
        told = False
        for event in _events(subscriber):
            if where_model is not None and isinstance(event, wire.Prediction):
                forecasts = _forecasts(where_model, event.observed, key, server)
                where_model = None
            if isinstance(event, wire.Prediction):
                told = told or event.observed.has_stage or _say_what_is_missing()
            _print(event, json, _came(forecasts, event))
            if left is not None and isinstance(event, wire.Prediction):
                left -= 1
                if left == 0:
                    return


def _say_what_is_missing() -> bool:
    """Say once why lines have neither a value nor an error."""
    from streamlstm.cli.console import err

    err.print(
        "this model has no online stage, so its worker does not tell what came: lines have the "
        "prediction, no value and no error (`streamlstm online` adds a stage)",
        markup=False,
    )
    return True


def _where(xpub: str | None, endpoints: Path | None) -> dict[str, Any] | None:
    """Return where a worker tells about its model; None if nothing says where."""
    if endpoints is not None:
        return {"endpoints": endpoints}
    return {} if xpub is None else None


def _forecasts(
    where: dict[str, Any], observed: Prediction, key: Path | None, server: Path | None
) -> Came | None:
    """Return what remembers forecasts; None if the model has none, or its worker does not say."""
    from streamlstm.cli.came import Came, horizons_of
    from streamlstm.client.client import Client
    from streamlstm.errors import StreamLSTMError

    if not observed.has_stage:
        return None
    try:
        with Client(**where, timeout=2.0, key=key, server=server) as client:
            horizons = horizons_of(client.info()["model"])
    except StreamLSTMError:
        return None  # a key may be allowed to listen only
    return Came(horizons) if min(horizons) > 0 and len(horizons) == len(observed.y) else None


def _came(forecasts: Came | None, event: Published | Done) -> list[float] | None:
    """Return what came, as far as it is known."""
    from streamlstm import wire

    if isinstance(event, wire.Done):
        if forecasts is not None and event.stream is not None:
            forecasts.forget(event.stream)
        return None
    observed = event.observed
    if forecasts is None:
        return [float("nan")] * len(observed.y) if observed.has_stage else None
    return forecasts.values(event.stream, event.seq, observed)


def _print(event: Published | Done, json: bool, came: list[float] | None = None) -> None:
    """Print a prediction or another event of a stream on a line, in a terminal on one that fits."""
    from json import dumps
    from time import strftime, time

    from rich.text import Text

    from streamlstm import wire
    from streamlstm.cli.console import console
    from streamlstm.cli.said import in_words, name_of
    from streamlstm.client.fields import as_fields

    width = console.width if console.is_terminal else None
    name = name_of(event.stream, width and max(width - _WORDS, _SHORTEST))
    is_alarm, head = False, f"{strftime('%H:%M:%S')}  {name}  "
    if isinstance(event, wire.Done):
        fields = _event(event)
        said = fields["event"] + ("" if fields.get("kept", True) else ", not stored")
    else:
        observed = event.observed
        is_alarm = observed.alarm
        room = width and width - len(head)
        fields = {} if not json else {"seq": event.seq, **as_fields(observed)}
        if json and came is not None and any(value == value for value in came):
            fields["value"] = [value if value == value else None for value in came]
        said = "" if json else in_words(observed, room, came)
    if json:
        print(dumps({"time": time(), "stream": event.stream, **fields}), flush=True)
    elif console.is_terminal:
        line = Text(f"{head}{said}", "bold red" if is_alarm else "", overflow="ellipsis")
        console.print(line, no_wrap=True, soft_wrap=False, crop=True)
    else:
        print(f"{head}{said}", flush=True)


def _event(event: Done) -> dict[str, Any]:
    """Return an event of a stream other than a prediction, for JSON."""
    from streamlstm import wire

    fields: dict[str, Any] = {"event": _EVENTS.get(event.kind, str(event.kind))}
    return fields | ({"kept": bool(event.value)} if event.kind == wire.EVICTED else {})


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
    while True:
        try:
            event = subscriber.receive_event()
        except WorkerTimeoutError:  # a Ctrl-C just before the wait is noticed behind it
            continue
        yield event
