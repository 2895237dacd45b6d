"""``streamlstm bridge``: takes a broker's messages to workers, and predictions back."""

from __future__ import annotations

import gc
import signal
import sys
from typing import Annotated, Any

import typer
from typer import Option

from .. import interrupts
from ..configuration.decorator import service, with_options_of
from ..worker_options import worker_or_fleet
from .options import Client, Start, as_settings, of_every_bridge

bridge = typer.Typer(
    help="Connect a broker: its messages become observations, predictions go back to it.\n\n\b\n"
    "Example:\n"
    "  streamlstm bridge mqtt --in 'plant/{machine}/state' --out 'predictions/{stream}'",
    no_args_is_help=True,
)


@bridge.command("mqtt")
@service
@with_options_of(of_every_bridge)
def mqtt(
    retain: Annotated[
        bool,
        Option(
            "--retain/--no-retain",
            help="Whether the last prediction stays at the broker.",
            rich_help_panel="MQTT",
        ),
    ] = True,
    home_assistant: Annotated[
        str,
        Option(
            metavar="PREFIX",
            help="Announce each stream's predictions to Home Assistant; its prefix, which usually "
            "is homeassistant.",
            rich_help_panel="MQTT",
        ),
    ] = "",
    **options: Any,
) -> None:
    """Take messages of an MQTT broker to a worker, and predictions back.

    Each message is acknowledged when the worker has applied it and committed it to its store: none
    is lost, and each is applied once if devices number what they send (--number).

    \b
    Example:
      streamlstm bridge mqtt --in 'plant/{machine}/state' --out 'predictions/{stream}'
      streamlstm bridge mqtt --config streamlstm.toml --endpoints fleet.json
    """  # noqa: D301 - \b keeps the lines of the example apart
    _run("mqtt", retain=retain, home_assistant=home_assistant, **options)


@bridge.command("kafka")
@service
@with_options_of(of_every_bridge)
def kafka(start: Start = "earliest", client: Client = None, **options: Any) -> None:
    """Take records of Kafka to a worker, each applied once, and predictions back.

    Offsets are committed when the worker has applied a record and committed it to its store.

    \b
    Example:
      streamlstm bridge kafka --in sensors --stream '{key}' --out predictions
      streamlstm bridge kafka --in sensors --stream '{key}' --client security.protocol=ssl
    """  # noqa: D301 - \b keeps the lines of the example apart
    _run("kafka", start=start, client=client, **options)


@bridge.command("nats")
@service
@with_options_of(of_every_bridge)
def nats(start: Start = "earliest", client: Client = None, **options: Any) -> None:
    """Take messages of a NATS JetStream to a worker, each applied once, and predictions back.

    Each message is acknowledged when the worker has applied it and committed it to its store.

    \b
    Example:
      streamlstm bridge nats --in 'plant.{machine}' --out 'predicted.{stream}'
      streamlstm bridge nats --in 'plant.{machine}.{input}' --join 1s --out 'predicted.{stream}'
    """  # noqa: D301 - \b keeps the lines of the example apart
    _run("nats", start=start, client=client, **options)


def _run(broker: str, router: Any, endpoints: Any, key: Any, server: Any, **options: Any) -> None:
    from streamlstm.bridges.brokers import load
    from streamlstm.bridges.start import start
    from streamlstm.bridges.stopping import Stopping

    load(broker)
    gc.freeze()  # what is there stays: to look through it would take a tenth of a second
    sys.setswitchinterval(5e-4)  # a thread that has work to do would wait 5 ms for each other one
    worker = {**worker_or_fleet(router, endpoints), "key": key, "server": server}
    settings = as_settings(broker, **options)
    stopping = Stopping()

    def stop(_number: object, _frame: object) -> None:
        stopping.set()

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        with interrupts.Working():
            start(settings, worker, stopping)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
