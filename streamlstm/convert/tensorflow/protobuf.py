"""Messages of protobuf, read by the numbers of their fields."""

import struct
from typing import Any

import numpy as np


class Message:
    """A message: its fields by their numbers, each a list of what came.

    A field is a number, or bytes: a text, packed numbers or a message.

    Raises
    ------
    ValueError
        If the bytes are no message.
    """

    def __init__(self, content: bytes) -> None:
        self.fields: dict[int, list[Any]] = {}
        place = 0
        while place < len(content):
            key, place = _varint(content, place)
            number, kind = key >> 3, key & 7
            value: Any
            if kind == 0:
                value, place = _varint(content, place)
            elif kind in (1, 5):
                size = 8 if kind == 1 else 4
                value, place = content[place : place + size], place + size
            elif kind == 2:
                size, place = _varint(content, place)
                value, place = content[place : place + size], place + size
            else:
                raise ValueError(f"a field of the kind {kind}, which protobuf does not have")
            if number == 0 or place > len(content):
                raise ValueError("a field ends behind the message")
            self.fields.setdefault(number, []).append(value)

    def number(self, field: int, default: int = 0) -> int:
        """Return an integer, an enumeration or a truth value."""
        value = self.fields.get(field, [default])[-1]
        if not isinstance(value, int):
            raise ValueError(f"field {field} is no integer")
        return value - (1 << 64) if value >= 1 << 63 else value

    def text(self, field: int) -> str:
        """Return a text."""
        return self.data(field).decode("utf-8", "replace")

    def texts(self, field: int) -> list[str]:
        """Return repeated texts."""
        return [value.decode("utf-8", "replace") for value in self.fields.get(field, [])]

    def data(self, field: int) -> bytes:
        """Return bytes."""
        value = self.fields.get(field, [b""])[-1]
        if not isinstance(value, bytes):
            raise ValueError(f"field {field} is no text")
        return value

    def message(self, field: int) -> "Message":
        """Return a message, empty if it is left out."""
        return Message(self.data(field))

    def messages(self, field: int) -> list["Message"]:
        """Return repeated messages."""
        return [Message(value) for value in self.fields.get(field, [])]

    def floating(self, field: int, form: str = "<f") -> float:
        """Return a floating-point number."""
        data = self.data(field)
        return float(struct.unpack(form, data)[0]) if data else 0.0

    def array(self, field: int, kind: str) -> np.ndarray[Any, Any]:
        """Return repeated numbers, packed or not; ``kind`` is "i" for integers of any length."""
        found: list[Any] = []
        for value in self.fields.get(field, []):
            if isinstance(value, int):
                found.append(value)
            elif kind != "i":
                found.extend(np.frombuffer(value, kind))
            else:
                place = 0
                while place < len(value):
                    number, place = _varint(value, place)
                    found.append(number)
        if kind != "i":
            return np.array(found, kind)
        return np.array([n - (1 << 64) if n >= 1 << 63 else n for n in found], np.int64)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(content) or shift > 63:
            raise ValueError("it ends within a number")
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value & (1 << 64) - 1, place
