"""Which partitions a worker of a fleet has, and who has the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from .. import wire
from ..engine.partitions import partitions_of
from ..errors import ArrivingError, MovedError, StreamLSTMError
from .native import layout
from .stores.lease import LEASE_SECONDS
from .stores.shared_store import SharedStore
from .stores.store import FencedError

MOVED = (
    "another worker of the fleet has this stream, nothing was done; send it to the router that is "
    "named here, or ask any worker for the TABLE"
)
ARRIVING = "this stream is on its way to this worker, nothing was done; send it again"
SUSPENDED = (
    "this worker cannot reach the store, so that others may have this stream by now, and nothing "
    "was done; send it again, or ask another worker for the TABLE"
)
COPYING = (
    "what another worker had of this stream is still copied, so that it could come back if it were "
    "forgotten now; nothing was done, send it again"
)
COPYING_MS = 50


class Partitions:
    """The partitions of a worker, as the compiled loop and Python read them.

    Parameters
    ----------
    shared : SharedStore, optional
        Where all workers have one store: it learns which partitions this one has, and without its
        lease none is answered for.

    Attributes
    ----------
    states : uint8[PARTITIONS]
        ELSEWHERE, HERE or ARRIVING (native/layout.py); changed between two turns of the loop only.
    steps : uint32[PARTITIONS]
        Observations of each that were taken; from 2**32 on again from 0.
    owners : int64[PARTITIONS, OWNER]
        Epochs and owners of all partitions, as the loop reads them.
    unsettled : bool[PARTITIONS]
        Of which another worker, or its folder, still has streams that would count if this worker
        ended.
    table : FleetTable
        The last one that came.
    name : str
        This worker's, once it has joined its fleet.
    capacity : int or None
        Streams that all workers of the fleet together may have in memory, once that is known.
    suspended : bool
        Whether the lease has ended by this worker's own clock: states say ARRIVING for HERE then.
    on_return : callable
        Called with partitions that left and have come back before another worker had them.
    """

    def __init__(self, shared: SharedStore | None = None) -> None:
        self._shared, self.suspended, self.name = shared, False, ""
        self.capacity: int | None = None
        self._own: NDArray[np.uint8] = np.zeros(wire.PARTITIONS, np.uint8)
        self._before: NDArray[np.uint32] = np.zeros(wire.PARTITIONS, np.uint32)
        self.on_return: Callable[[Sequence[int]], object] = lambda _: None
        cells = np.zeros(5 * wire.PARTITIONS, np.uint8)  # the loop finds one behind the other
        self.states: NDArray[np.uint8] = cells[: wire.PARTITIONS]
        self.steps: NDArray[np.uint32] = cells[wire.PARTITIONS :].view(np.uint32)
        self.owners: NDArray[np.int64] = np.zeros((wire.PARTITIONS, layout.OWNER), np.int64)
        self.unsettled: NDArray[np.bool_] = np.zeros(wire.PARTITIONS, np.bool_)
        self.follow(wire.FleetTable.new())

    def follow(self, table: wire.FleetTable) -> None:
        """Know another table; which partitions are here does not change by it."""
        self.table = table
        if self._shared is not None:  # what is coming may be written once it is in the table
            coming = np.flatnonzero(self._own == layout.ARRIVING)
            mine = [n for n, worker in enumerate(table.workers) if worker.name == self.name]
            newer = table.epochs[coming] > self._before[coming]
            self._shared.hold(coming[newer & np.isin(table.owners[coming], mine)], table)
        routers = wire.pack_words([worker.router for worker in table.workers])
        self._routers = [np.frombuffer(router, np.uint8) for router in routers]
        places = np.array([[each.ctypes.data, len(each)] for each in self._routers] + [[0, 0]])
        self.owners[:, layout.EPOCH] = table.epochs
        self.owners[:, layout.OWNER_AT :] = places[np.minimum(table.owners, len(table.workers))]

    def set(self, partitions: Sequence[int], state: int) -> None:
        """Set the state of partitions."""
        self._own[list(partitions)] = state
        if self._shared is not None:
            if state == layout.HERE:
                self._shared.hold(partitions, self.table)
                if back := [each for each in partitions if each in self._shared.in_doubt]:
                    self.on_return(back)
            elif state == layout.ELSEWHERE:
                self._shared.drop(partitions)
            else:
                self._before[list(partitions)] = self.table.epochs[list(partitions)]
        self._write_states()

    def _write_states(self) -> None:
        self.states[:] = self._own
        if self.suspended:
            self.states[self._own == layout.HERE] = layout.ARRIVING

    def left(self, partitions: Sequence[int]) -> None:
        """Note that another worker has committed what it got of partitions."""
        if self._shared is not None:
            self._shared.settle(partitions)

    def look(self) -> float:
        """Look whether this worker may answer; return the monotonic time until which it may.

        Raises
        ------
        FencedError
            If others have partitions that nobody has asked this worker to hand over.
        """
        if self._shared is None:
            return inf
        now = time.monotonic()
        if refused := self._shared.refused:
            self._own[list(refused)] = layout.ELSEWHERE
            if now > min(refused.values()) + 2 * LEASE_SECONDS:
                raise FencedError("others have streams of this worker. This worker ends.")
        if refused or self.suspended != (now >= self._shared.lease.until):
            self.suspended = now >= self._shared.lease.until
            self._write_states()
        return inf if self.suspended else self._shared.lease.until

    def are_here(self, streams: Sequence[wire.StreamId]) -> list[bool]:
        """Tell of each stream whether this worker has it."""
        here: list[bool] = (self.states[partitions_of(streams)] == layout.HERE).tolist()
        return here

    def count(self, streams: Sequence[wire.StreamId]) -> None:
        """Count an observation of each stream."""
        np.add.at(self.steps, partitions_of(streams), np.uint32(1))

    def check_settled(self, stream: wire.StreamId) -> None:
        """Raise ArrivingError if a stream that is forgotten could come back."""
        if self.unsettled[partitions_of([stream])[0]]:
            raise ArrivingError(COPYING, COPYING_MS)

    def error(self, streams: Sequence[wire.StreamId]) -> StreamLSTMError | None:
        """Return why streams cannot be served here; ``position`` is the first of them."""
        self.look()
        found = partitions_of(streams)
        states = self.states[found]
        if (states == layout.HERE).all():
            return None
        row = int(np.argmax(states != layout.HERE))
        partition = int(found[row])
        error: StreamLSTMError
        if states[row] == layout.ARRIVING:
            sentence = SUSPENDED if self.suspended else ARRIVING
            error = ArrivingError(sentence, layout.ARRIVING_MS)
        else:
            owner = self.table.owner(partition)
            epoch = int(self.table.epochs[partition])
            error = MovedError(MOVED, partition, epoch, None if owner is None else owner.router)
        error.position = row
        return error
