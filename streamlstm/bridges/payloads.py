"""Payloads: what a message holds, as values by name or by place."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from .. import wire
from ..data.cells.number_format import NumberFormat
from ..errors import BadValueError, DataError, shown

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
Decode = Callable[[bytes], Any]


def decode_json(payload: bytes) -> Any:
    """Return the value of a JSON text."""
    try:
        return json.loads(payload)
    except ValueError as error:  # UnicodeDecodeError is one
        raise DataError(f"expected JSON: {error}") from None


def decode_csv(payload: bytes) -> list[str]:
    """Return the cells of one line, separated by comma, semicolon or tab."""
    try:
        line = payload.decode().strip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"expected a line of text: {error}") from None
    if "\n" in line:
        raise DataError("expected one line, got several")
    separator = next((each for each in "\t;," if each in line), ",")
    return [cell.strip() for cell in line.split(separator)]


def decode_msgpack(payload: bytes) -> Any:
    """Return the value of a msgpack message."""
    return wire.unpack(payload)


def decode_float32(payload: bytes) -> list[float]:
    """Return little-endian float32, as many as there are."""
    if not payload or len(payload) % 4:
        raise DataError(f"expected float32, four bytes each, got {len(payload)} bytes")
    values: list[float] = wire.from_floats(payload).tolist()
    return values


DECODERS: dict[str, Decode] = {
    "json": decode_json,
    "csv": decode_csv,
    "msgpack": decode_msgpack,
    "float32": decode_float32,
}


class Path:
    """Where in a payload a value is: ``motor.speed``, ``values[0]``, or a column, from 1, of CSV.

    Parameters
    ----------
    text : str
    counts_from : int
        The number of the first element where a path is a number alone: 1 for columns of CSV.
    """

    def __init__(self, text: str, counts_from: int = 0) -> None:
        self.text = text
        parts = text.removeprefix("$").lstrip(".").replace("[", ".").replace("]", "").split(".")
        if not all(parts):
            raise BadValueError(
                f"expected a path such as motor.speed or values[0], got {shown(text)}"
            )
        self._parts: list[str | int] = [int(p) if p.isdigit() else p for p in parts]
        if counts_from and isinstance(self._parts[0], int):
            self._parts[0] -= counts_from

    def find(self, value: Any) -> Any:
        """Return what is there; None if there is nothing."""
        for part in self._parts:
            if isinstance(value, Mapping):
                value = value.get(part if isinstance(part, str) else str(part))
            elif (
                isinstance(value, Sequence) and isinstance(part, int) and not isinstance(value, str)
            ):
                value = value[part] if 0 <= part < len(value) else None
            else:
                return None
        return value


def number_of(value: Any, where: str, numbers: NumberFormat) -> float:
    """Return a value as a number, NaN for a missing one.

    Raises
    ------
    DataError
        If it is neither.
    """
    if type(value) is float or type(value) is int:
        return float(value) if abs(value) < math.inf or value != value else _refuse(value, where)
    if value is None or (
        isinstance(value, str) and value.strip() in ("", "NaN", "nan", "null", "NA")
    ):
        return math.nan
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        parsed = numbers.parse(value)
        if parsed is not None and abs(parsed) < math.inf:
            return parsed
    return _refuse(value, where)


def _refuse(value: Any, where: str) -> float:
    raise DataError(f"{where}: expected a finite number, got {shown(value)}")


def time_of(value: Any, where: str, unit: float) -> float:
    """Return a time in seconds since 1970: a number in a unit, or a text of ISO 8601.

    A text without a zone is UTC.

    Raises
    ------
    DataError
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise DataError(
                    f"{where}: expected a time such as 2026-07-01T12:00:00Z, got {shown(value)}"
                ) from None
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{where}: expected a time, got {shown(value)}")
    return float(value) * unit


def whole_of(value: Any, where: str) -> int:
    """Return a value as a whole number of 0 or more.

    Raises
    ------
    DataError
    """
    if isinstance(value, str) and value.strip().isdigit():
        return int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1 >= 0:
        return int(value)
    raise DataError(f"{where}: expected a whole number of 0 or more, got {shown(value)}")
