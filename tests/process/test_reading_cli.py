"""What commands say of the table they read, before anything runs."""

import math
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def write(path: Path, row: str, header: str = "time;flow;pump", encoding: str = "utf-8") -> Path:
    rows = [
        row.format(day=1 + n // 24, hour=n % 24, value=f"{20 + math.sin(n / 4):.2f}")
        for n in range(24 * 14)
    ]
    path.write_text("\n".join([header, *rows, ""]), encoding=encoding)
    return path


def train(data: Path, *options: object) -> "subprocess.CompletedProcess[str]":
    small = ("--hidden", 4, "--epochs", 1, "--no-online", "--out", data.with_suffix(".model"))
    return run("train", data, "--target", "flow", *small, *options)


def test_a_european_file_is_understood_and_that_is_said_first(tmp_path: Path) -> None:
    row = "{day:02}.01.2025 {hour:02}:00;{value} °C;süd"
    data = write(tmp_path / "plant.csv", row, encoding="cp1252")
    data.write_bytes(data.read_bytes().replace(b".", b",").replace(b",01,2025", b".01.2025"))
    done = train(data)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == f"understood in {data}:"
    assert said[1] == "  *     the text is in cp1252, not UTF-8"
    assert said[2] == "  time  the time, read as %d.%m.%Y %H:%M"
    assert said[3] == "  pump  holds text and is left out"
    assert said[4] == "  flow  numbers with decimal comma, the unit '°C'"
    assert "flow -> flow" in said[5]


def test_nothing_is_said_of_an_ordinary_file(tmp_path: Path) -> None:
    data = write(tmp_path / "plain.csv", "2025-01-{day:02} {hour:02}:00,{value}", "time,flow")
    done = train(data)
    assert done.returncode == 0, done.stderr
    assert "understood" not in done.stderr


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "detect"])
def test_commands_share_the_options_of_reading(command: str, tmp_path: Path) -> None:
    done = run(command, "--help")
    for option in ("time-column", "time-unit", "time-format", "timezone", "decimal", "thousands"):
        assert f"--{option}" in done.stdout
    for option in ("missing-value", "sort", "resample", "stream-column"):
        assert f"--{option}" in done.stdout
    assert ("--allow-gaps" in done.stdout) == (command != "detect")  # which always does


def test_an_option_settles_what_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "us.csv", "01/02/2025 {hour:02}:{day:02};{value};x")
    done = train(data, "--allow-gaps")
    assert done.returncode == 1
    assert "us.csv:2: column 'time': '01/02/2025 00:01' can be read as 2025-02-01" in done.stderr
    done = train(data, "--time-format", "%m/%d/%Y %H:%M", "--sort", "--allow-gaps")
    assert done.returncode == 0, done.stderr
