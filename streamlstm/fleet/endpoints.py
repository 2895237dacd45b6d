"""The endpoints file of a fleet, in which clients and commands find it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import EndpointError
from ..files import replace_file


def write_fleet(path: Path, control: str, status: Mapping[str, Any]) -> None:
    """Write where a fleet is: its supervisor, and the endpoints of its workers, as JSON."""
    found = {"fleet": control, "pid": os.getpid(), **status}
    replace_file(path, (json.dumps(found, indent=1) + "\n").encode())


def read_fleet(path: Path) -> dict[str, Any]:
    """Return what :func:`write_fleet` wrote.

    Raises
    ------
    EndpointError
        If there is no such file, or it is something else.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        if isinstance(found["fleet"], str) and found["workers"]:
            return found
    except OSError as error:
        raise EndpointError(
            f"{path}: cannot be read: {error.strerror}; a fleet writes it when it is ready "
            f"(streamlstm fleet MODEL --endpoints {path})"
        ) from None
    except (ValueError, KeyError, TypeError):
        pass
    raise EndpointError(
        f"{path}: expected the JSON that streamlstm fleet --endpoints writes, got something else"
    )
