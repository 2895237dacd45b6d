"""``streamlstm bridge``: takes a broker's messages to workers, and predictions back."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, BadParameter, Option

from .. import interrupts
from ..worker_options import Endpoints, Key, Router, Server, worker_or_fleet

if TYPE_CHECKING:
    from streamlstm.bridges.bridge import Bridge
    from streamlstm.bridges.settings import Settings

FINISH = 10.0  # seconds that a bridge has to finish what it has


class Broker(StrEnum):
    """What a bridge connects to."""

    MQTT = "mqtt"
    KAFKA = "kafka"
    NATS = "nats"


def bridge(
    broker: Annotated[Broker, Argument(help="What to connect to.")],
    url: Annotated[
        str | None,
        Option(help="Address of the broker; by default its usual port on this machine."),
    ] = None,
    in_: Annotated[
        list[str] | None,
        Option(
            "--in",
            metavar="TOPIC",
            help="Topic to read, repeated for more; {names} in it stand for anything and name "
            "the stream: plant/{machine}/temperature. {input} names an input of the model.",
        ),
    ] = None,
    stream: Annotated[
        str | None,
        Option(help="How streams are named: {machine}, {topic}, {key}; by default all names."),
    ] = None,
    format_: Annotated[
        str | None,
        Option("--format", help="Of payloads: json, csv, msgpack or float32."),
    ] = None,
    features: Annotated[
        str | None,
        Option(
            metavar="PATH,...",
            help="Where the features are, in the order of the model's inputs: motor.speed,"
            "values[0]; columns of CSV from 1. By default keys with the names of the inputs.",
        ),
    ] = None,
    decimal: Annotated[str | None, Option(help="The decimal mark in CSV: . or ,")] = None,
    time: Annotated[str | None, Option(metavar="PATH", help="Where the time is.")] = None,
    time_unit: Annotated[
        str | None, Option(help="Of times that are numbers: s, ms, us or ns since 1970.")
    ] = None,
    number: Annotated[
        str | None,
        Option(
            metavar="PATH",
            help="Where a device's own count is, which rises and never repeats: each is applied "
            "once. By default the place in the log of Kafka or JetStream.",
        ),
    ] = None,
    generation: Annotated[
        str | None,
        Option(
            metavar="NUMBER|PATH",
            help="Raise it when numbers begin anew: a topic was made anew, a device counts again "
            "from 1. Or where it is in the payload.",
        ),
    ] = None,
    join: Annotated[
        str | None,
        Option(
            metavar="TIME",
            help="Join the values that come of a stream within this time (1s, 500ms) into one "
            "observation.",
        ),
    ] = None,
    dead_letter: Annotated[
        str | None, Option(metavar="TOPIC", help="Publish payloads there that cannot be used.")
    ] = None,
    out: Annotated[
        str | None, Option(metavar="TOPIC", help="Publish predictions there: predictions/{stream}.")
    ] = None,
    out_format: Annotated[str | None, Option(help="Of what is published: json or msgpack.")] = None,
    alarms: Annotated[
        str | None, Option(metavar="TOPIC", help="Publish predictions with an alarm there too.")
    ] = None,
    retain: Annotated[
        bool | None,
        Option(
            "--retain/--no-retain", help="MQTT: whether the last prediction stays at the broker."
        ),
    ] = None,
    home_assistant: Annotated[
        str | None,
        Option(
            metavar="PREFIX",
            help="MQTT: announce each stream's predictions to Home Assistant; its prefix, "
            "which usually is homeassistant.",
        ),
    ] = None,
    name: Annotated[
        str | None,
        Option(
            help="Of this bridge at the broker: group, durable consumer or client id. A bridge "
            "that is started again under its name goes on where it was."
        ),
    ] = None,
    start: Annotated[
        str | None,
        Option(help="Where a new name begins in a log: earliest or latest."),
    ] = None,
    lossless: Annotated[
        bool | None,
        Option(
            "--lossless/--fast",
            help="Whether the next observation of a stream waits until the broker has the "
            "prediction before it: then none is missing although the bridge is killed.",
        ),
    ] = None,
    config: Annotated[
        Path | None, Option(metavar="FILE", help="All of these from a TOML file; options win.")
    ] = None,
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
) -> None:
    """Connect a broker: its messages become observations, predictions go back to it.

    Each message is acknowledged when the worker has applied it and committed it to its store. See
    docs/bridges.md for what each broker makes of that: exactly once with Kafka and JetStream.

    \b
    Example:
      streamlstm bridge mqtt --in 'plant/{machine}/state' --out 'predictions/{machine}'
      streamlstm bridge kafka --in sensors --stream '{key}' --out predictions
      streamlstm bridge nats --in 'plant.{machine}.{input}' --join 1s --out 'predicted.{stream}'
      streamlstm bridge mqtt --config bridge.toml --endpoints fleet.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    from streamlstm.bridges.settings import Settings, from_table

    given = {
        "url": url, "in": in_, "stream": stream, "format": format_,
        "features": features and [part.strip() for part in features.split(",")],
        "decimal": decimal, "time": time, "time_unit": time_unit, "number": number,
        "generation": generation, "join": join, "dead_letter": dead_letter, "out": out,
        "out_format": out_format, "alarms": alarms, "retain": retain,
        "home_assistant": home_assistant, "name": name, "start": start,
        "lossless": lossless,
    }  # fmt: skip
    table, where = _read(config)
    for place in ("router", "endpoints", "key", "server"):
        value = table.pop(place, None)
        where.setdefault(place, Path(value) if value and place != "router" else value)
    options = {k: v for k, v in given.items() if v is not None and v != []}
    found = {
        **from_table(broker, table, str(config)),
        **from_table(broker, options, "options"),
    }
    settings = Settings(**found)
    connection = worker_or_fleet(router or where["router"], endpoints or where["endpoints"])
    keys = {"key": key or where["key"], "server": server or where["server"]}
    _run(settings, {**connection, **keys})


def _read(config: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    import tomllib

    if config is None:
        return {}, {}
    try:
        return tomllib.loads(config.read_text()), {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadParameter(f"{config}: {error}", param_hint="--config") from None


def _run(settings: Settings, worker: dict[str, Any]) -> None:
    from streamlstm.bridges.start import start

    from ..console import err

    made: list[Bridge] = []

    def stop(_number: object, _frame: object) -> None:
        for each in made:
            each.stopping.set()

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        with interrupts.Working():
            start(settings, worker, made, lambda text: err.print(text, markup=False))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
