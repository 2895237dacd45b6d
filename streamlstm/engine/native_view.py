"""An engine's streams in the hands of compiled code."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..backends.cpu import CpuBackend
from .lock_flag import Held
from .state_table import StateTable


class Lent:
    """What a loop in compiled code needs to step the streams of an engine.

    Parameters
    ----------
    table : StateTable
    backend : CpuBackend
        Pointed to the table's rows.
    lock : threading.Lock
    held : Held

    Attributes
    ----------
    table, task : int
        Addresses of the table's head (kernels/id_index.py) and of the backend's task
        (kernels/layout.py).
    threads : int
        How many may share a block.
    row_work : int
        Multiply-adds of a step of one stream.
    inputs, outputs : int
        F and O.
    model : int
        How many models came before this one. When it rises, only these last five may be others;
        look at it when :meth:`alone`.
    """

    def __init__(
        self, table: StateTable, backend: CpuBackend, lock: threading.Lock, held: Held
    ) -> None:
        self._table, self._lock, self._held = table, lock, held
        self.table, self.task = table.address, backend.address
        self.model = -1
        self.follow(backend)

    def follow(self, backend: CpuBackend) -> None:
        """Tell of another model; only when alone. Addresses stay."""
        self.threads, self.row_work = backend.threads, backend.work
        self.inputs, self.outputs = backend.inputs, backend.outputs
        self.model += 1

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all others out, within ``with``."""
        with self._lock, self._held:
            yield

    def make_room(self, streams: int, size: int) -> None:
        """Give the table room for so many new ids, of so many bytes together; only when alone."""
        self._table.make_room(streams, size)
