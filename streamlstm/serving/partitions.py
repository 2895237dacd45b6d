"""Which partitions a worker of a fleet has, and who has the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.partitions import partitions_of
from ..errors import ArrivingError, MovedError, StreamLSTMError
from .native import layout

MOVED = (
    "another worker of the fleet has this stream, nothing was done; send it to the router that is "
    "named here, or ask any worker for the TABLE"
)
ARRIVING = "this stream is on its way to this worker, nothing was done; send it again"


class Partitions:
    """The partitions of a worker, as the compiled loop and Python read them.

    Attributes
    ----------
    states : uint8[PARTITIONS]
        ELSEWHERE, HERE or ARRIVING (native/layout.py); changed between two turns of the loop only.
    steps : uint32[PARTITIONS]
        Observations of each that were taken; from 2**32 on again from 0.
    owners : int64[PARTITIONS, OWNER]
        Epochs and owners of all partitions, as the loop reads them.
    table : FleetTable
        The last one that came.
    """

    def __init__(self) -> None:
        cells = np.zeros(5 * wire.PARTITIONS, np.uint8)  # the loop finds one behind the other
        self.states: NDArray[np.uint8] = cells[: wire.PARTITIONS]
        self.steps: NDArray[np.uint32] = cells[wire.PARTITIONS :].view(np.uint32)
        self.owners: NDArray[np.int64] = np.zeros((wire.PARTITIONS, layout.OWNER), np.int64)
        self.follow(wire.FleetTable.new())

    def follow(self, table: wire.FleetTable) -> None:
        """Know another table; which partitions are here does not change by it."""
        self.table = table
        routers = wire.pack_words([worker.router for worker in table.workers])
        self._routers = [np.frombuffer(router, np.uint8) for router in routers]
        places = np.array([[each.ctypes.data, len(each)] for each in self._routers] + [[0, 0]])
        self.owners[:, layout.EPOCH] = table.epochs
        self.owners[:, layout.OWNER_AT :] = places[np.minimum(table.owners, len(table.workers))]

    def set(self, partitions: Sequence[int], state: int) -> None:
        """Set the state of partitions."""
        self.states[list(partitions)] = state

    def are_here(self, streams: Sequence[wire.StreamId]) -> list[bool]:
        """Tell of each stream whether this worker has it."""
        here: list[bool] = (self.states[partitions_of(streams)] == layout.HERE).tolist()
        return here

    def count(self, streams: Sequence[wire.StreamId]) -> None:
        """Count an observation of each stream."""
        np.add.at(self.steps, partitions_of(streams), np.uint32(1))

    def error(self, streams: Sequence[wire.StreamId]) -> StreamLSTMError | None:
        """Return why streams cannot be served here; ``position`` is the first of them."""
        found = partitions_of(streams)
        states = self.states[found]
        if (states == layout.HERE).all():
            return None
        row = int(np.argmax(states != layout.HERE))
        partition = int(found[row])
        error: StreamLSTMError
        if states[row] == layout.ARRIVING:
            error = ArrivingError(ARRIVING, layout.ARRIVING_MS)
        else:
            owner = self.table.owner(partition)
            epoch = int(self.table.epochs[partition])
            error = MovedError(MOVED, partition, epoch, None if owner is None else owner.router)
        error.position = row
        return error
