"""Ctrl-C at any moment of a command, from its first import to the end of the interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .conftest import MODEL

HERE = Path(__file__).parent / "interrupting"
ENDED = (130, -signal.SIGINT)  # a shell shows both as 130
SCRIPT = "import re, sys; from streamlstm.cli import main; sys.exit(main())"


class Command:
    """A command that ends by itself, and is interrupted at some event."""

    def __init__(self, folder: Path, *arguments: str, script: bool = False) -> None:
        self._folder = folder
        self._command = [sys.executable, "-m", "streamlstm", *arguments]
        if script:  # what pip writes into bin
            path = folder / "streamlstm"
            path.write_text(SCRIPT)
            self._command = [sys.executable, str(path), *arguments]

    def run(self, kind: str, at: int) -> subprocess.CompletedProcess[str]:
        root = str(HERE.parent.parent.parent)
        own = {
            "PYTHONPATH": os.pathsep.join([str(HERE), root]),
            "INTERRUPT_BY": kind,
            "INTERRUPT_AT": str(at),
            "INTERRUPT_COUNT": str(self._folder / "count"),
        }
        return subprocess.run(
            self._command, env={**os.environ, **own}, cwd=self._folder,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def events(self, kind: str) -> int:
        """Return how many events there are, undisturbed."""
        assert self.run(kind, 0).returncode == 0
        return int((self._folder / "count").read_text())

    def is_quiet(self, kind: str, at: int) -> bool:
        done = self.run(kind, at)
        quiet = "Traceback" not in done.stderr and "KeyboardInterrupt" not in done.stderr
        return quiet and done.returncode in ENDED


@pytest.fixture
def predict(tmp_path: Path) -> Command:
    MODEL.save(tmp_path / "model.safetensors")
    rows = np.zeros((20, 2))
    np.savetxt(tmp_path / "data.csv", rows, delimiter=",", header="x0,x1", comments="")
    return Command(tmp_path, "predict", "model.safetensors", "data.csv")


@pytest.mark.parametrize("script", [False, True])
@pytest.mark.parametrize("at", [1, 2, 5, 20, 60])
def test_an_interrupt_in_the_first_imports_is_quiet(tmp_path: Path, at: int, script: bool) -> None:
    assert Command(tmp_path, "--version", script=script).is_quiet("import", at)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8, 0.99])
def test_an_interrupt_in_the_imports_of_a_command_is_quiet(predict: Command, part: float) -> None:
    assert predict.is_quiet("import", int(part * predict.events("import")))


@pytest.mark.parametrize("part", [0.001, 0.5, 0.9, 1.0])
def test_an_interrupt_between_any_calls_is_quiet(tmp_path: Path, part: float) -> None:
    command = Command(tmp_path, "--version")
    assert command.is_quiet("call", max(1, int(part * command.events("call"))))


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["import", "call"])
def test_an_interrupt_at_many_moments_is_quiet(predict: Command, kind: str) -> None:
    total = predict.events(kind)
    last = total - total // 1_000  # the number of calls differs a little from run to run
    moments = sorted({1 + (last - 1) * n // 10 for n in range(11)})
    assert [at for at in moments if not predict.is_quiet(kind, at)] == []


@pytest.mark.exhaustive
def test_an_interrupt_in_any_of_the_first_imports_is_quiet(tmp_path: Path) -> None:
    command = Command(tmp_path, "--version")
    total = command.events("import")
    assert [at for at in range(1, total + 1) if not command.is_quiet("import", at)] == []
