"""Where a worker is: ports, and the file in which it tells other programs."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import EndpointError

DOORS = ("router", "pull", "xpub")
MAX_PORT = 2**16 - 1


def is_port(endpoint: str) -> bool:
    """Return whether an endpoint's port is one; true also for endpoints that have none.

    libzmq itself reads 99999 as 34463, and connects there.
    """
    scheme, _, address = endpoint.partition("://")
    _, colon, port = address.rpartition(":")
    if scheme != "tcp" or not colon:
        return True
    digits = port.isascii() and port.isdecimal() and len(port) <= len(str(MAX_PORT))
    return digits and 1 <= int(port) <= MAX_PORT


def write_endpoints(path: Path, endpoints: Mapping[str, str]) -> None:
    """Write ``{"router", "pull", "xpub", "pid"}`` as JSON, all of it at once or nothing.

    Parameters
    ----------
    path : Path
        A file there is replaced.
    endpoints : mapping of str to str
        As the sockets were bound.

    Raises
    ------
    EndpointError
        If the file cannot be written.
    """
    text = json.dumps({**{door: endpoints[door] for door in DOORS}, "pid": os.getpid()})
    try:
        # Beside the file and renamed to it: whoever waits for the file never reads half of it.
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            file.write(text + "\n")
        os.chmod(file.name, 0o644)
        os.replace(file.name, path)
    except OSError as error:
        raise EndpointError(f"{path}: cannot be written: {error.strerror}") from None


def read_endpoints(path: Path) -> dict[str, str]:
    """Return the endpoints that a worker wrote, by door.

    Raises
    ------
    EndpointError
        If there is no such file, or it is not one.
    """
    try:
        found = json.loads(path.read_text())
        return {door: str(found[door]) for door in DOORS}
    except OSError as error:
        raise EndpointError(
            f"{path}: cannot be read: {error.strerror}; a worker writes it when it is ready "
            f"(streamlstm serve MODEL --endpoints {path})"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise EndpointError(
            f"{path}: expected the JSON that streamlstm serve --endpoints writes, got something "
            "else"
        ) from None
