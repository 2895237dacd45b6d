"""Opening files: signatures of their formats, and JSON."""

import json
from os import PathLike, fspath
from typing import Any

from ...errors import ConvertError
from ...files import check_path


def first_bytes(path: str | PathLike[str]) -> bytes:
    """Return the first 4 KiB of a file.

    Raises
    ------
    ConvertError
        If there is no such file.
    """
    if not check_path(path, ConvertError, "a file of a network").is_file():
        raise ConvertError(f"{fspath(path)}: there is no such file.")
    with open(path, "rb") as file:
        return file.read(4096)


def is_zip(start: bytes) -> bool:
    """Return whether bytes start a zip archive."""
    return start.startswith(b"PK\x03\x04")


def is_hdf5(start: bytes) -> bool:
    """Return whether bytes start an HDF5 file."""
    return start.startswith(b"\x89HDF\r\n\x1a\n")


def is_json_object(start: bytes) -> bool:
    """Return whether bytes start a JSON object, perhaps after a byte order mark."""
    return start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{"


def is_safetensors(start: bytes) -> bool:
    """Return whether bytes start a safetensors file: a length of 8 bytes, then JSON."""
    return len(start) > 9 and start[8:9] == b"{" and 0 < int.from_bytes(start[:8], "little") < 2**32


def read_json(path: str | PathLike[str]) -> dict[str, Any]:
    """Read a JSON file whose top level is an object.

    Raises
    ------
    ConvertError
        If it is not JSON, or its top level is not an object.
    """
    first_bytes(path)
    name = fspath(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            value = json.load(file)
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{name}: expected JSON, which this is not: {error}.") from None
    if not isinstance(value, dict):
        raise ConvertError(f"{name}: expected a map in JSON, got a {type(value).__name__}.")
    return value
