"""Tables of a FlatBuffer, read by the numbers of their fields.

A table starts with the distance to its vtable, which has the place of each field, 0 if it is left
out. Offsets point forward from where they stand.
"""

import struct
from typing import Any

import numpy as np


class Table:
    """A table of a buffer.

    Parameters
    ----------
    buffer : bytes
    place : int
        Where it starts.

    Raises
    ------
    struct.error, ValueError
        By every method, if the buffer is damaged.
    """

    def __init__(self, buffer: bytes, place: int) -> None:
        self.buffer, self.place = buffer, place
        self._vtable = place - self._at("<i", place)
        self._size = self._at("<H", self._vtable)

    @classmethod
    def root(cls, buffer: bytes) -> "Table":
        """Return the table to which the buffer points first."""
        return cls(buffer, struct.unpack_from("<I", buffer, 0)[0])

    def number(self, field: int, form: str = "<i", default: Any = 0) -> Any:
        """Return a number or truth value, in a form of :mod:`struct`."""
        place = self._field(field)
        return self._at(form, place) if place else default

    def table(self, field: int) -> "Table | None":
        """Return a table."""
        place = self._field(field)
        return Table(self.buffer, place + self._at("<I", place)) if place else None

    def tables(self, field: int) -> list["Table"]:
        """Return a vector of tables."""
        start, count = self._vector(field)
        places = range(start, start + 4 * count, 4)
        return [Table(self.buffer, place + self._at("<I", place)) for place in places]

    def array(self, field: int, kind: str) -> np.ndarray[Any, Any]:
        """Return a vector of numbers; empty if it is left out."""
        start, count = self._vector(field)
        if count * np.dtype(kind).itemsize > len(self.buffer):
            raise ValueError("a vector is longer than the file")
        return np.frombuffer(self.buffer, kind, count, start)

    def text(self, field: int) -> str:
        """Return a text; empty if it is left out."""
        start, count = self._vector(field)
        return self.buffer[start : start + count].decode("utf-8", "replace")

    def _vector(self, field: int) -> tuple[int, int]:
        place = self._field(field)
        if not place:
            return 0, 0
        start = place + self._at("<I", place)
        count = self._at("<I", start)
        if count > len(self.buffer):
            raise ValueError("a vector is longer than the file")
        return start + 4, count

    def _field(self, field: int) -> int:
        """Return the place of a field, 0 if it is left out."""
        entry = 4 + 2 * field
        offset = self._at("<H", self._vtable + entry) if entry < self._size else 0
        return self.place + offset if offset else 0

    def _at(self, form: str, place: int) -> Any:
        if place < 0:
            raise ValueError("an offset points before the file")
        return struct.unpack_from(form, self.buffer, place)[0]
