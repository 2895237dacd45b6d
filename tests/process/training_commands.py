"""What tests of `streamlstm train` and `predict` share: real commands, and a table to train on."""

import csv
import math
import subprocess
import sys
from pathlib import Path

QUICK = ["--hidden", "8", "--epochs", "4", "--window", "16"]


def run(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused(*arguments: object, stdin: str | None = None) -> str:
    """Run what must fail with one sentence, and return the sentence."""
    done = run(*arguments, stdin=stdin)
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("streamlstm: ")
    return done.stderr


def write_wave(path: Path, n: int = 400, streams: tuple[str, ...] = ("one",)) -> Path:
    rows = [
        (60 * t, stream, 10 + 3 * math.sin(2 * math.pi * t / 20 + k), k + t % 7)
        for t in range(n)
        for k, stream in enumerate(streams)
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "pump", "value", "other"])
        writer.writerows(rows)
    return path
