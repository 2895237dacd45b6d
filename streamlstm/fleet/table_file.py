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
from ..serving.stores.lmdb.folder import OF_A_FLEET
from .record import Record

FORMAT = 1  # of the file; a later one is refused


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
                f"{folder}: another fleet, or a worker, uses it; stop that one, or choose another "
                "folder."
            ) from None
        self._path = folder / OF_A_FLEET

    def read(self) -> Record:
        """Return the record that was written last; an empty one if there is none."""
        if not self._path.exists():
            return Record.new()
        try:
            value = json.loads(self._path.read_text())
            if (found := int(value.get("format", FORMAT))) > FORMAT:
                raise StoreError(
                    f"{self._path}: a newer streamlstm has written it (format {found}, this one "
                    f"reads {FORMAT}); nothing was changed, start the fleet with that version."
                )
            for column in ("owners", "epochs"):
                value[column] = base64.b64decode(value[column])
            return Record.from_value(value)
        except (ValueError, KeyError, TypeError, ProtocolError) as error:
            raise StoreError(
                f"{self._path}: expected the table of a fleet ({error}); restore it from a backup, "
                "or choose another folder."
            ) from None

    def write(self, record: Record) -> None:
        """Replace the record; the folder is made again if somebody has deleted it.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        value = {"format": FORMAT, **record.to_value()}
        for column in ("owners", "epochs"):
            value[column] = base64.b64encode(value[column]).decode()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, json.dumps(value).encode(), durable=True)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written: {error.strerror}.") from None

    def is_there(self) -> bool:
        """Tell whether the file is where it was written."""
        return self._path.exists()

    def close(self) -> None:
        """Let another fleet use the folder."""
        os.close(self._lock)
