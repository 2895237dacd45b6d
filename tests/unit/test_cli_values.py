"""Every option and argument of every command with values that make no sense: one sentence each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.testing
from typer.testing import CliRunner

from streamlstm import LSTM, cli
from streamlstm.errors import StreamLSTMError

from ..contract.models import random_model
from ..exhaustive import exhaustive, short

VALUES = (
    "", " ", "text", "-1", "0", "1.5", "nan", "inf", "-inf", "1e400", "9" * 40, "9" * 5000,
    "x" * 5000, "/", "/dev/null", "/nonexistent/file", "tcp://",
    "tcp://127.0.0.1:99999", "lmdb:", "[1]",
)  # fmt: skip
FEW = ("-1", "nan", "9" * 5000)
GROUP: Any = typer.main.get_command(cli.app)  # which takes longer to make than to use
NOWHERE = "/nonexistent/worker.json"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """Return arguments with which each command ends at once, in an error or without work."""
    folder = tmp_path_factory.mktemp("values")
    model, data = folder / "model.safetensors", folder / "data.csv"
    random_model([LSTM(1, 2)]).save(model)
    data.write_text("value\n" + "1\n" * 30)
    free = [
        part for name in ("router", "pull", "xpub") for part in (f"--{name}", "tcp://127.0.0.1:*")
    ]
    with socket.socket() as taken:  # serve fails last of all at this port
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = f"127.0.0.1:{taken.getsockname()[1]}"
        yield {
            "train": [str(data), "--target", "none", "--out", str(folder / "out.safetensors")],
            "convert": [str(model), "--out", str(folder / "out.safetensors")],
            "inspect": [str(model), "--no-cost"],
            "evaluate": [str(model), str(data)],
            "predict": [str(model), str(data), "--out", str(folder / "predictions.csv")],
            "online": [str(model), "--out", str(folder / "online.safetensors")],
            "detect": [str(data), "--out", str(folder / "scores.csv")],
            "plot": [str(data), "--out", str(folder / "plot.png")],
            "bench": ["--model", "/nonexistent/model.safetensors"],
            "web": ["--endpoints", NOWHERE, "--listen", busy],
            "gates": [str(model), str(data), "--csv", str(folder / "gates.csv")],
            "serve": [str(model), *free, "--metrics", busy],
            "publish": [str(data), "--endpoints", NOWHERE],
            "watch": ["--endpoints", NOWHERE],
            "info": ["--endpoints", NOWHERE],
            "top": ["--endpoints", NOWHERE],
            "keys": ["show", str(folder / "no.key")],
            "streams": ["--endpoints", NOWHERE],
            "forget": ["no-stream", "--endpoints", NOWHERE],
            "reload": ["--endpoints", NOWHERE],
            "compile": ["--cache", "/dev/null/folder"],
        }


def _parameters() -> Iterator[tuple[str, Any]]:
    for command in sorted(set(cli.COMMANDS) - WAIT):
        for parameter in GROUP.commands[command].params:
            is_switch = getattr(parameter, "is_flag", False) or parameter.name == "help"
            if not is_switch and (command, parameter.name) not in LEFT_OUT:
                yield command, parameter


# A port that would be opened, a folder that would be filled; and commands that wait for a worker.
LEFT_OUT = {("serve", "metrics"), ("compile", "cache")}
WAIT = {"top"}


@pytest.mark.parametrize(
    ("command", "parameter"),
    [pytest.param(*each, id=f"{each[0]} {each[1].name}") for each in _parameters()],
)
@pytest.mark.parametrize("values", [short(FEW), exhaustive(VALUES)], ids=["few", "all"])
def test_a_value_without_sense_is_no_traceback(
    base: dict[str, list[str]], command: str, parameter: Any, values: tuple[str, ...],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(typer.testing, "_get_command", lambda app: GROUP)
    raw = []
    for value in values:
        arguments = list(base[command])
        if parameter.param_type_name == "argument":
            arguments[[p.name for c, p in _parameters() if c == command].index(parameter.name)] = (
                value
            )
        else:
            option = parameter.opts[0]
            if option in arguments:
                place = arguments.index(option)
                del arguments[place : place + 2]
            arguments += [option, value]
        error = CliRunner().invoke(cli.app, [command, *arguments]).exception
        if not isinstance(error, type(None) | SystemExit | StreamLSTMError | OSError | MemoryError):
            raw.append(f"{value[:30]!r}: {type(error).__name__}: {str(error)[:100]}")
    assert raw == []
