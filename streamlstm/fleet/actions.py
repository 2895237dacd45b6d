"""What a coordinator wants done; whoever runs it does so, in this order."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from .. import wire


class Spawn(NamedTuple):
    """Start the process of a worker."""

    worker: str


class Stop(NamedTuple):
    """Ask the process of a worker, which has no partitions any more, to end."""

    worker: str


class Tell(NamedTuple):
    """Send a message to a worker (wire/control.py)."""

    worker: str
    name: str
    fields: tuple[Any, ...]


class Publish(NamedTuple):
    """Store a table in place of the one before it, then tell it to all workers."""

    table: wire.FleetTable


Action: TypeAlias = Spawn | Stop | Tell | Publish
