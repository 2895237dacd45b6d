"""What a worker of a fleet needs of a store that all workers of the fleet share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ... import wire
from .lease import Lease


class SharedStore:
    """A store in which each worker may write the streams of its own partitions only.

    Attributes
    ----------
    held : uint32[PARTITIONS]
        The epoch in which this worker has each partition; 0 for those that it does not have.
    refused : set of int
        Partitions with changes that were not written, since another worker has them by now. Who
        deals with one removes it.
    lease : Lease
        Without it the worker answers nothing.
    """

    lease: Lease

    def __init__(self) -> None:
        self.held: NDArray[np.uint32] = np.zeros(wire.PARTITIONS, np.uint32)
        self.refused: set[int] = set()

    def hold(self, partitions: Sequence[int], table: wire.FleetTable) -> None:
        """Write these partitions from now on, in their epochs of a table."""
        places = list(partitions)
        self.held[places] = table.epochs[places]

    def drop(self, partitions: Sequence[int]) -> None:
        """Write these partitions no more."""
        self.held[list(partitions)] = 0
        self.refused.difference_update(partitions)
