"""The table of a fleet: which worker has which partition. The value of a reply to TABLE."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ProtocolError
from . import elements

PARTITIONS = 1024  # for ever: stores and tables rely on it
NOBODY = 2**16 - 1  # owner of a partition that nobody has


class FleetWorker(NamedTuple):
    """A worker of a fleet: its name, and the endpoints of its sockets."""

    name: str
    router: str
    pull: str
    xpub: str


class FleetTable(NamedTuple):
    """Which worker has which partition.

    Attributes
    ----------
    version : int
        Rises with every change.
    workers : tuple of FleetWorker
    owners : uint16[PARTITIONS]
        Position of the owner in ``workers``; NOBODY for a partition without one.
    epochs : uint32[PARTITIONS]
        Rises with each change of owners.
    """

    version: int
    workers: tuple[FleetWorker, ...]
    owners: NDArray[np.uint16]
    epochs: NDArray[np.uint32]

    @classmethod
    def new(cls) -> FleetTable:
        """Return the table of a fleet without workers."""
        return cls(0, (), np.full(PARTITIONS, NOBODY, np.uint16), np.zeros(PARTITIONS, np.uint32))

    @classmethod
    def from_value(cls, value: Any) -> FleetTable:
        """Return a table from the value of a reply.

        Raises
        ------
        ProtocolError
            If it is malformed.
        """
        if type(value) is not dict:
            elements.refuse("table", "a map", value)
        try:
            owners = np.frombuffer(value["owners"], "<u2").astype(np.uint16)
            epochs = np.frombuffer(value["epochs"], "<u4").astype(np.uint32)
            workers = tuple(
                FleetWorker(*(str(worker[key]) for key in FleetWorker._fields))
                for worker in value["workers"]
            )
            version = elements.unsigned(value["version"], "version", "")
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(
                f"table: expected owners, epochs, workers and version ({error})"
            ) from None
        if len(owners) != PARTITIONS or len(epochs) != PARTITIONS:
            raise ProtocolError(f"table: expected {PARTITIONS} owners and epochs")
        if not ((owners < len(workers)) | (owners == NOBODY)).all():
            raise ProtocolError(f"table: expected owners below {len(workers)}, or {NOBODY}")
        return cls(version, workers, owners, epochs)

    def to_value(self) -> dict[str, Any]:
        """Return the value of a reply to TABLE."""
        return {
            "version": self.version,
            "workers": [worker._asdict() for worker in self.workers],
            "owners": self.owners.astype("<u2").tobytes(),
            "epochs": self.epochs.astype("<u4").tobytes(),
        }

    def owner(self, partition: int) -> FleetWorker | None:
        """Return the owner of a partition, None if it has none."""
        place = int(self.owners[partition])
        return None if place == NOBODY else self.workers[place]
