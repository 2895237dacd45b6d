"""The addresses through which a compiled loop steps an engine's streams."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..backends.cpu import CpuBackend
from .lock_flag import LockFlag
from .state_table import StateTable


class NativeView:
    """The addresses and sizes that a compiled loop needs to step the streams of an engine.

    Parameters
    ----------
    table : StateTable
    backend : CpuBackend
        It has the address of the table's rows.
    lock : threading.Lock
        The engine's.
    flag : LockFlag

    Attributes
    ----------
    table, task : int
        Addresses of the table's head (kernels/id_index.py) and of the backend's task
        (kernels/layout.py).
    threads : int
        How many may share a block.
    row_work : int
        Multiply-adds of a step of one stream.
    inputs, result : int
        F and W.
    model : int
        How many models came before this one. When it rises, only these last five may have changed;
        read it within :meth:`exclusive`.
    """

    def __init__(
        self, table: StateTable, backend: CpuBackend, lock: threading.Lock, flag: LockFlag
    ) -> None:
        self._table, self._lock, self._flag = table, lock, flag
        self.table, self.task = table.address, backend.address
        self.model = -1
        self.switch_backend(backend)

    def switch_backend(self, backend: CpuBackend) -> None:
        """Read the numbers of another model's backend; only under the lock. Addresses stay."""
        self.threads, self.row_work = backend.threads, backend.work
        self.inputs, self.result = backend.inputs, backend.result
        self.model += 1

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the engine's lock within ``with``."""
        with self._lock, self._flag:
            yield

    def reserve(self, streams: int, size: int) -> None:
        """Make room for ``streams`` new ids of ``size`` bytes; only within :meth:`exclusive`."""
        self._table.reserve(streams, size)
