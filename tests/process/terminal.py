"""Commands as they run in a terminal."""

import os
import subprocess
from collections.abc import Sequence
from typing import Any


def rest_of(terminal: int) -> bytes:
    """Read what is written to a pseudo-terminal until its other end is closed."""
    found = b""
    while True:
        try:
            found += os.read(terminal, 4096)
        except OSError:
            return found


def shown_in_terminal(command: Sequence[str], stream: str = "stdout", **environment: str) -> bytes:
    """Return what a command writes to a terminal on ``stdout`` or ``stderr``; it must succeed."""
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"} | environment
    outputs: dict[str, Any] = {"stdout": subprocess.DEVNULL} | {stream: theirs}
    process = subprocess.Popen(command, env=environment, **outputs)
    os.close(theirs)
    try:
        shown = rest_of(ours)
    finally:
        os.close(ours)
    assert process.wait(60) == 0
    return shown
