import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlstm import LSTM, __version__, cli
from streamlstm.cli.console import sparkline
from streamlstm.errors import DataError

from ..contract.models import random_model

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_help_of_every_command_shows_an_example(command):
    shown = CliRunner().invoke(cli.app, [command, "--help"], terminal_width=200)
    assert shown.exit_code == 0
    assert re.search(rf"Example: *\n *streamlstm {command} ", shown.output)


def test_the_help_lists_every_command():
    shown = run("--help")
    assert shown.returncode == 0
    assert all(command in shown.stdout for command in cli.COMMANDS)


def test_a_command_does_not_wait_for_the_others():
    program = (
        "import sys; sys.argv = ['streamlstm', 'compile', '--help']; import streamlstm.cli; "
        "print([f'streamlstm.cli.{name}' in sys.modules for name in ('compile', 'train')])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert shown.stdout == "[True, False]\n"


def test_the_version():
    shown = run("--version")
    assert (shown.returncode, shown.stdout) == (0, f"streamlstm {__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["no-such-command"], ["serve"], ["serve", "a.safetensors", "--capacity", "many"]]
)
def test_a_usage_error_exits_with_2(arguments):
    shown = run(*arguments)
    assert shown.returncode == 2
    assert "Usage" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_missing_file_is_one_sentence():
    shown = run("serve", "no-such-model.safetensors")
    assert shown.returncode == 1
    assert shown.stdout == ""
    assert shown.stderr.startswith("streamlstm: ")
    assert "no-such-model.safetensors" in shown.stderr
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (
            DataError("a.csv:3: [bold] is no number"),
            1,
            "streamlstm: a.csv:3: [bold] is no number\n",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "a.csv"),
            1,
            "streamlstm: a.csv: No such file or directory\n",
        ),
        (
            PermissionError(13, "Permission denied", "b.csv"),
            1,
            "streamlstm: b.csv: Permission denied\n",
        ),
        (KeyboardInterrupt(), 130, ""),
        (
            MemoryError("Unable to allocate 4 PiB"),
            1,
            "streamlstm: there is not enough memory for this: Unable to allocate 4 PiB\n",
        ),
    ],
)
def test_errors_become_sentences(monkeypatch, capsys, error, status, sentence):
    def command():
        raise error

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    assert exit_.value.code == status
    assert capsys.readouterr().err == sentence


def test_a_bug_is_not_hidden(monkeypatch):
    def command():
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", command)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_a_broken_pipe_is_no_error():
    program = (
        "from streamlstm import cli\n"
        "cli.app = lambda: [print('line') for _ in range(100_000)]\n"
        "cli.main()"
    )
    command = f'"{sys.executable}" -c "{program}" | head -n 1'
    shown = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert shown.stdout == "line\n"
    assert shown.stderr == ""


@pytest.mark.parametrize(
    ("values", "low", "high", "line"),
    [
        ([], 0, 1, ""),
        ([0, 0.5, 1], 0, 1, "▁▅█"),
        ([-5, 5], 0, 1, "▁█"),
        ([3, 3, 3], 3, 3, "▁▁▁"),
        ([0.0, 1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1.0], 0, 1, "▁▂▃▄▅▆▇█"),
    ],
)
def test_sparkline(values, low, high, line):
    assert sparkline(values, low, high) == line


def test_a_file_name_that_is_no_utf8_is_shown(tmp_path):
    random_model([LSTM(1, 2)]).save(tmp_path / "model.safetensors")
    done = subprocess.run(
        [sys.executable, "-m", "streamlstm", "convert", "model.safetensors", "--out", b"\xff"],
        capture_output=True, timeout=60, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"written to \\udcff" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_and_options():
    """A real bash loads what `--install-completion` installs, and asks it as the Tab key does."""
    lines = {
        "streamlstm fle": "fleet",
        "streamlstm fleet sc": "scale",
        "streamlstm serve model.safetensors --met": "--metrics",
    }
    program = 'eval "$(streamlstm --show-completion bash)"; complete -p streamlstm\n'
    for line in lines:
        program += f"COMP_WORDS=({line}) COMP_CWORD={len(line.split()) - 1}\n"
        program += '_streamlstm_completion streamlstm; echo "${COMPREPLY[@]}"\n'
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", program],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == list(lines.values())
