"""Options of every bridge, and what they say as its settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import BadParameter, Option

from ..worker_options import Endpoints, Key, Router, Server

if TYPE_CHECKING:
    from streamlstm.bridges.settings import Settings

Client = Annotated[
    list[str] | None,
    Option(
        metavar="NAME=VALUE",
        help="Setting of the broker's own client, repeated for more; in a file also a table.",
        rich_help_panel="Log",
    ),
]
Start = Annotated[
    Literal["earliest", "latest"],
    Option(help="Where a bridge with a new name begins in the log.", rich_help_panel="Log"),
]


def of_every_bridge(
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
        str,
        Option(help="How streams are named: {machine}, {topic}, {key}; by default all names."),
    ] = "",
    format_: Annotated[
        Literal["json", "csv", "msgpack", "float32"], Option("--format", help="Of payloads.")
    ] = "json",
    features: Annotated[
        list[str] | None,
        Option(
            metavar="PATH,...",
            help="Where the features are, in the order of the model's inputs: motor.speed,"
            "values[0]; columns of CSV from 1. By default keys with the names of the inputs.",
        ),
    ] = None,
    decimal: Annotated[Literal[".", ","], Option(help="The decimal mark in CSV.")] = ".",
    time: Annotated[str, Option(metavar="PATH", help="Where the time is.")] = "",
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"], Option(help="Of times that are numbers since 1970.")
    ] = "s",
    number: Annotated[
        str,
        Option(
            metavar="PATH",
            help="Where a device's own count is, which rises and never repeats: each is applied "
            "once. By default the place in the log of Kafka or JetStream.",
        ),
    ] = "",
    generation: Annotated[
        str,
        Option(
            metavar="NUMBER|PATH",
            help="Raise it when numbers begin anew: a topic was made anew, a device counts again "
            "from 1. Or where it is in the payload.",
        ),
    ] = "0",
    join: Annotated[
        str,
        Option(
            metavar="TIME",
            help="Join the values that come of a stream within this time (1s, 500ms) into one "
            "observation.",
        ),
    ] = "",
    dead_letter: Annotated[
        str, Option(metavar="TOPIC", help="Publish payloads there that cannot be used.")
    ] = "",
    out: Annotated[
        str, Option(metavar="TOPIC", help="Publish predictions there: predictions/{stream}.")
    ] = "",
    out_format: Annotated[Literal["json", "msgpack"], Option(help="Of what is published.")] = (
        "json"
    ),
    alarms: Annotated[
        str, Option(metavar="TOPIC", help="Publish predictions with an alarm there too.")
    ] = "",
    name: Annotated[
        str,
        Option(
            help="Of this bridge at the broker: group, durable consumer or client id. A bridge "
            "that is started again under its name goes on where it was."
        ),
    ] = "streamlstm",
    lossless: Annotated[
        bool,
        Option(
            "--lossless/--fast",
            help="Whether the next observation of a stream waits until the broker has the "
            "prediction before it: then none is missing although the bridge is killed.",
        ),
    ] = True,
    user: Annotated[str, Option(help="Name at the broker.")] = "",
    password: Annotated[
        Path | None, Option(metavar="FILE", help="File with the password at the broker.")
    ] = None,
    ca: Annotated[
        Path | None,
        Option(metavar="FILE", help="TLS: certificates that the broker's is signed with."),
    ] = None,
    cert: Annotated[
        Path | None, Option(metavar="FILE", help="TLS: this bridge's own certificate.")
    ] = None,
    cert_key: Annotated[
        Path | None, Option(metavar="FILE", help="TLS: the secret key of --cert.")
    ] = None,
    router: Router = None,
    endpoints: Endpoints = None,
    key: Key = None,
    server: Server = None,
) -> None:
    """Have the options of every bridge; ``with_options_of`` reads them."""


def as_settings(
    broker: str,
    in_: Sequence[str] | None,
    format_: str,
    features: Sequence[str] | None,
    join: str,
    client: Sequence[str] | None = None,
    **options: Any,
) -> Settings:
    """Return the settings that options say."""
    from streamlstm.bridges.settings import Settings, duration

    return Settings(
        broker=broker,
        topics=tuple(in_ or ()),
        format=format_,
        features=tuple(path.strip() for each in features or () for path in each.split(",")),
        join=duration("--join", join) if join else 0.0,
        client=_client(client or ()),
        **options,
    )


def _client(settings: Sequence[str]) -> dict[str, str]:
    found = {}
    for each in settings:
        name, is_there, value = each.partition("=")
        if not name or not is_there:
            raise BadParameter(f"expected NAME=VALUE, got {each!r}", param_hint="--client")
        found[name] = value
    return found
