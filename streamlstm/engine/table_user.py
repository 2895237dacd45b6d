"""What looks at the streams of a table beside the engine: under the engine's lock."""

import threading

from .lock_flag import LockFlag
from .state_table import StateTable


class TableUser:
    """Base of classes that read or change the streams of a table.

    Parameters
    ----------
    table : StateTable
    lock : threading.Lock
        The engine's; every method that reads or changes streams holds it.
    flag : LockFlag
    """

    def __init__(self, table: StateTable, lock: threading.Lock, flag: LockFlag) -> None:
        self._table, self._lock, self._flag = table, lock, flag
