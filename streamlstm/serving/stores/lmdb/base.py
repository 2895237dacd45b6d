"""The store of a worker that has died, from which the workers that live read its streams.

Nobody writes to it any more, so no locks are needed. Its pages are not checked before: whatever
killed the worker alone leaves a sound file, as each record's hash tells, and a check would take
longer than clients should wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import lmdb

from ....errors import StoreError
from ....network.model import Model
from ..epochs import Epochs
from ..header import HEADER_KEY, Header
from .environment import open_environment
from .folder import RESTORE, has_data


class Base:
    """Reads the folder of a worker that has died.

    Parameters
    ----------
    path : Path
    header : Header
        What the reader's store is of.
    model : Model
        That runs.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    """

    def __init__(self, path: Path, header: Header, model: Model) -> None:
        self.place = f"lmdb:{path}"
        if not has_data(path, self.place):
            raise StoreError(f"{self.place}: there is no store; {RESTORE}.")
        try:
            self._env = open_environment(path, readonly=True, lock=False, readahead=False)
            with self._env.begin() as read:
                found = read.get(HEADER_KEY) or b""
        except (lmdb.Error, OSError) as error:
            raise StoreError(f"{self.place}: cannot be read: {error}.") from None
        self._epochs = Epochs(self._accept(header, found), model)

    def _accept(self, header: Header, found: bytes) -> Header:
        """Let its streams continue; if the model has another layout, they restart."""
        try:
            return header.accept(found, self.place, "keep")
        except StoreError:
            return header.accept(found, self.place, "anew")

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the record of each key as one of the model that runs, None where there is none."""
        try:
            with self._env.begin() as read:
                records = [read.get(key) for key in keys]
        except lmdb.Error as error:
            raise StoreError(f"{self.place}: cannot be read: {error}.") from None
        return [None if record is None else self._epochs.current(record) for record in records]

    def keys(self, prefix: bytes, after: bytes, count: int) -> list[bytes]:
        """Return the next keys in their order, as :meth:`.store.Store.keys`."""
        return next_keys(self._env, self.place, prefix, after, count)

    def close(self) -> None:
        """Close it."""
        self._env.close()


def next_keys(
    env: lmdb.Environment, place: str, prefix: bytes, after: bytes, count: int
) -> list[bytes]:
    """Return the next keys of streams in an environment, in their order.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    try:
        with env.begin() as read, read.cursor() as cursor:
            if not cursor.set_range(max(prefix, after) or b"\0"):
                return []
            found = list(islice(cursor.iternext(values=False), count + 2))
    except lmdb.Error as error:
        raise StoreError(f"{place}: cannot be read: {error}.") from None
    keys = [key for key in found if key > after and key != HEADER_KEY][:count]
    return [key for key in keys if key.startswith(prefix)] if prefix else keys
