"""Ctrl-C during imports, and the signal that stopped a command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamlstm.cli.signals import exit_on_interrupt, sigterm_as_interrupt


def python(program: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    usual = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return subprocess.run(
        [sys.executable, "-c", usual + program],
        capture_output=True, text=True, timeout=60, check=False, cwd=cwd,
    )  # fmt: skip


# A module that sends Ctrl-C to whoever imports it, in place of a slow one.
INTERRUPTED = """
import importlib.abc, os, sys
class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize("module", ["typer", "streamlstm.learn.fit", "numba"])
def test_ctrl_c_while_train_is_imported_is_quiet(module: str, tmp_path: Path) -> None:
    done = python(
        INTERRUPTED.format(module=module)
        + "sys.argv = ['streamlstm', 'train', 'no.csv', '--target', 'v']\n"
        + "from streamlstm.cli import main; main()",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("module", ["rich.live", "numpy"])
def test_ctrl_c_while_the_demo_is_imported_is_quiet(module: str, root: Path) -> None:
    done = python(
        INTERRUPTED.format(module=module)
        + "import runpy; sys.path.insert(0, 'workers'); sys.argv = ['demo.py']\n"
        + "runpy.run_path('workers/demo.py', run_name='__main__')",
        cwd=root,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_handler_of_ctrl_c_is_restored() -> None:
    with exit_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("number", "name", "status"),
    [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)],
)
def test_the_interruption_names_the_signal(number: int, name: str, status: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_as_interrupt() as interruption:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert (interruption.name, interruption.status) == (name, status)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_of_an_application_is_left_alone() -> None:
    def own(_number: int, _frame: object) -> None:
        """Do nothing."""

    signal.signal(signal.SIGINT, own)
    with exit_on_interrupt():
        assert signal.getsignal(signal.SIGINT) is own
