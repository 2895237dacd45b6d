"""The file in which a fleet on one machine keeps its table, and the lock that makes it alone.

Beside it each worker has a store of its own, in the folder ``worker-NAME.GENERATION``.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from pathlib import Path

from ..errors import ProtocolError, StoreError
from ..files import replace_file
from .record import Record


class TableFile:
    """The table of a fleet in a folder.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.

    Raises
    ------
    StoreError
        If another fleet uses the folder, or the table is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StoreError(
                f"{folder}: another fleet uses it; stop that one, or choose another folder."
            ) from None
        self._path = folder / "table.json"

    def read(self) -> Record:
        """Return the record that was written last; an empty one if there is none."""
        if not self._path.exists():
            return Record.new()
        try:
            value = json.loads(self._path.read_text())
            for column in ("owners", "epochs"):
                value[column] = base64.b64decode(value[column])
            return Record.from_value(value)
        except (ValueError, KeyError, TypeError, ProtocolError) as error:
            raise StoreError(
                f"{self._path}: expected the table of a fleet ({error}); restore it from a backup, "
                "or choose another folder."
            ) from None

    def write(self, record: Record) -> None:
        """Replace the record.

        Raises
        ------
        StoreError
            If that fails; then nothing has changed.
        """
        value = record.to_value()
        for column in ("owners", "epochs"):
            value[column] = base64.b64encode(value[column]).decode()
        try:
            replace_file(self._path, json.dumps(value).encode(), durable=True)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written: {error.strerror}.") from None

    def close(self) -> None:
        """Let another fleet use the folder."""
        os.close(self._lock)
