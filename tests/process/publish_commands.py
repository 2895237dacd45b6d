"""`streamlstm publish` in a process of its own."""

import subprocess
import sys

STREAMLSTM = [sys.executable, "-m", "streamlstm", "publish"]


def publish(*arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STREAMLSTM, *arguments],
        input=said,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def publishing(*arguments: str) -> subprocess.Popen[str]:
    """Start it with pipes as its standard input, output and error."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*STREAMLSTM, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
