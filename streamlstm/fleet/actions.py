"""What a coordinator wants done; whoever runs it does so, in this order."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from .. import wire
from .record import Record


class Spawn(NamedTuple):
    """Start the process of a worker, with its store in a folder; where it was, if it was."""

    worker: str
    folder: str
    former: wire.FleetWorker | None = None


class Wait(NamedTuple):
    """Call ``waited`` for a worker after some seconds: it ends again and again."""

    worker: str
    seconds: float


class Stop(NamedTuple):
    """Ask the process of a worker, which has no partitions any more, to end."""

    worker: str


class Tell(NamedTuple):
    """Send a message to a worker (wire/control.py)."""

    worker: str
    name: str
    fields: tuple[Any, ...]


class Publish(NamedTuple):
    """Store a record in place of the one before it, then tell its table to all workers."""

    record: Record


class Remove(NamedTuple):
    """Delete a folder: all that was in it is elsewhere."""

    folder: str


class Dismiss(NamedTuple):
    """Let a machine end: it has handed over all that it had, or nobody can take it."""

    machine: str


class Say(NamedTuple):
    """Tell a person, in the log."""

    text: str


Action: TypeAlias = Spawn | Wait | Stop | Tell | Publish | Remove | Dismiss | Say
