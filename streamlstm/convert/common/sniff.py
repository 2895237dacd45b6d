"""Networks that are kept as JSON."""

import json
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ...errors import ConvertError

_OURS = ("source", "notes")


def first_bytes(path: str | PathLike[str]) -> bytes:
    """Return how a file starts.

    Raises
    ------
    ConvertError
        If there is no such file.
    """
    if not Path(fspath(path)).is_file():
        raise ConvertError(f"{fspath(path)}: there is no such file.")
    with open(path, "rb") as file:
        return file.read(4096)


def is_safetensors(start: bytes) -> bool:
    """Say whether a file starts as safetensors does: a length of 8 bytes, then JSON."""
    return len(start) > 9 and start[8:9] == b"{" and 0 < int.from_bytes(start[:8], "little") < 2**32


def read_json(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the map that a JSON file holds.

    Raises
    ------
    ConvertError
        If it is no JSON, or no map.
    """
    name = fspath(path)
    first_bytes(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            value = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{name}: expected JSON, which this is not: {error}.") from None
    if not isinstance(value, dict):
        raise ConvertError(f"{name}: expected a map in JSON, got a {type(value).__name__}.")
    return value


def about(values: Any) -> dict[str, str]:
    """Return the plain values of a map as text, for the metadata of a model.

    AIDA-X calls ``source`` what was recorded; here it is the framework.
    """
    if not isinstance(values, dict):
        return {}
    kept = {
        key: str(value) for key, value in values.items() if isinstance(value, str | int | float)
    }
    return {f"file.{key}" if key in _OURS else key: value for key, value in kept.items()}
