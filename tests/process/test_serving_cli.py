"""`streamlstm publish`, `watch` and `info` with a real worker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import streamlstm as streamlstm_package
from streamlstm import Engine
from streamlstm.cli import app

from .conftest import WorkerProcess, listen

CSV = "time,x0,x1\n" + "".join(f"{n},{n / 4},{1 - n}\n" for n in range(1, 7))
STREAMLSTM = [sys.executable, "-m", "streamlstm"]
NOBODY = "tcp://127.0.0.1:9"


def streamlstm(*arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STREAMLSTM, *arguments],
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def endpoints(worker: WorkerProcess, tmp_path: Path) -> str:
    path = tmp_path / "endpoints.json"
    path.write_text(json.dumps(worker.endpoints))
    return str(path)


def values(n: int) -> list[float]:
    return [n / 4, 1.0 - n]


def test_a_file_is_published_as_json(endpoints: str, tmp_path: Path, engine: Engine) -> None:
    path = tmp_path / "pump.csv"
    path.write_text(CSV)
    shown = streamlstm("publish", str(path), "--endpoints", endpoints, "--json")
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    for n, line in enumerate(lines, start=1):
        assert line.keys() == {"time", "stream", "value", "prediction", "round_trip_us"}
        assert (line["time"], line["stream"], line["value"]) == (n, "pump", values(n))
        np.testing.assert_array_equal(
            np.float32(line["prediction"]), engine.step("pump", values(n))
        )
        assert line["round_trip_us"] > 0
    assert len(lines) == 6
    assert shown.stderr.startswith("6 predictions, 0 refused; round trip p50")


def test_a_file_with_many_streams_and_chosen_columns(worker: WorkerProcess, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("id,b,a\n" + "".join(f"m-{n % 2},{n},{-n}\n" for n in range(6)))
    shown = streamlstm(
        "publish", str(path), "--router", worker.endpoints["router"],
        "--stream-column", "id", "--column", "a", "--column", "b",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["m-0", "m-1"] * 3
    assert "m-1  -3 3  ->  " in lines[3]
    assert "\x1b" not in shown.stdout + shown.stderr


def test_a_pipe_is_published_line_by_line(
    endpoints: str, started: list[subprocess.Popen[str]]
) -> None:
    process = subprocess.Popen(
        [*STREAMLSTM, "publish", "-", "--json", "--stream", "live", "--endpoints", endpoints],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    started.append(process)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("x0,x1\n")
    for n in range(3):
        process.stdin.write(f"{n},{n}\n")
        process.stdin.flush()
        # the answer comes before the next line is written, and before the pipe ends
        assert json.loads(process.stdout.readline())["value"] == [n, n]
    process.stdin.close()
    assert process.wait(timeout=20) == 0


def test_one_way_observations_are_counted(worker: WorkerProcess, tmp_path: Path) -> None:
    path = tmp_path / "fed.csv"
    path.write_text(CSV)
    with listen(worker, ["fed"], known="fed-known") as subscriber:
        shown = streamlstm("publish", str(path), "--pull", worker.endpoints["pull"])
        assert (shown.returncode, shown.stdout) == (0, "6 observations sent\n"), shown.stderr
        assert [subscriber.receive().stream for _ in range(6)] == ["fed"] * 6


def test_rate_and_seconds_bound_a_file(endpoints: str, tmp_path: Path) -> None:
    path = tmp_path / "paced.csv"
    path.write_text("x0,x1\n" + "1,1\n" * 1000)
    shown = streamlstm(
        "publish", str(path), "--endpoints", endpoints, "--rate", "20", "--seconds", "0.3"
    )
    assert shown.returncode == 0, shown.stderr
    assert 1 <= len(shown.stdout.splitlines()) <= 6


def test_this_machine_is_published(endpoints: str, worker: WorkerProcess) -> None:
    # the test's model takes two features: the first sample is refused, as all others would be
    shown = streamlstm("publish", "--host", "--seconds", "0.35", "--json", "--endpoints", endpoints)
    assert shown.returncode == 1
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(line["stream"], line["error"]["code"]) for line in lines] == [("cpu-0", "bad-shape")]
    assert 0 <= lines[0]["value"][0] <= 1
    with worker.client() as client:
        client.step("cpu-0", [1, 2], seq=1)  # untouched by what was refused


def test_refused_observations_end_in_a_status(endpoints: str, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("a,b,c\n" + "1,2,3\n" * 100)
    shown = streamlstm(
        "publish", str(path), "--endpoints", endpoints,
        "--column", "a", "--column", "b", "--column", "c",
    )  # fmt: skip
    assert shown.returncode == 1
    assert "wide: refused, bad-shape: STEP: x: expected 2 features" in shown.stderr
    assert "0 predictions, 1 refused" in shown.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "x0"),
        ("x0,x1\n1,\n", "line 2"),
        ("x0,x1\n1,two\n", "two"),
        ("", "empty"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_a_sentence(
    endpoints: str, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    shown = streamlstm("publish", str(path), "--endpoints", endpoints)
    assert shown.returncode == 1
    assert "Traceback" not in shown.stderr
    assert "0 predictions" not in shown.stderr
    sentence = [line for line in shown.stderr.splitlines() if line.startswith("streamlstm: ")]
    assert len(sentence) == 1
    assert "bad.csv" in sentence[0]
    assert said in sentence[0] or f":{said.removeprefix('line ')}" in sentence[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["publish"],
        ["publish", "data.csv", "--host"],
        ["publish", "--host", "--rate", "0"],
        ["publish", "--host", "--rate", "inf"],
        ["publish", "--host", "--seconds", "-1"],
        ["publish", "--host", "--seconds", "nan"],
        ["publish", "data.csv", "--stream", ""],
        ["publish", "--host", "--router", NOBODY, "--pull", NOBODY],
        ["watch", "--xpub", NOBODY, "--endpoints", "x"],
        ["info", "--router", NOBODY, "--endpoints", "x"],
        ["watch", "--count", "0"],
    ],
)
def test_invalid_options_are_usage_errors(arguments: list[str]) -> None:
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 2
    assert "Usage" in shown.output


def test_an_invalid_endpoints_file(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_text('["router"]')
    shown = streamlstm("watch", "--endpoints", str(path))
    assert shown.returncode == 1
    assert "expected the JSON" in shown.stderr


def test_waiting_for_a_worker_is_reported(started: list[subprocess.Popen[str]]) -> None:
    process = subprocess.Popen(
        [*STREAMLSTM, "watch", "--xpub", NOBODY], stderr=subprocess.PIPE, text=True
    )
    started.append(process)
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said == f"waiting for a worker at {NOBODY} to predict something\n"
    shown = streamlstm("info", "--router", NOBODY)
    assert shown.returncode == 1
    assert f"streamlstm serve MODEL --router {NOBODY}" in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_the_units_of_host_metrics_are_printed(tmp_path: Path) -> None:
    shipped = Path(streamlstm_package.__file__).parent / "models" / "host.safetensors"
    model = tmp_path / "host.safetensors"
    model.write_bytes(shipped.read_bytes())
    worker = WorkerProcess(model, "--backend", "reference")
    try:
        router = worker.endpoints["router"]
        shown = streamlstm("publish", "--host", "--seconds", "0.25", "--router", router)
        assert shown.returncode == 0, shown.stderr
        assert shown.stderr.count("log10(1 + r) / 10") == 1
        assert "cpu-0  " in shown.stdout
    finally:
        worker.stop()


@pytest.mark.parametrize("closed", ["publish - --stream s <&-", "info >&-"])
def test_closed_streams_end_in_no_traceback(endpoints: str, closed: str) -> None:
    command, _, closing = closed.rpartition(" ")
    line = f'"{sys.executable}" -m streamlstm {command} --endpoints "{endpoints}" {closing}'
    shown = subprocess.run(
        line, shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in shown.stderr
    if command == "info":
        assert (shown.returncode, shown.stderr) == (0, "")
    else:
        assert shown.returncode == 1
        assert shown.stderr.startswith("streamlstm: <stdin>: the file is empty")


def test_watch_prints_the_predictions_of_other_clients(
    endpoints: str, worker: WorkerProcess, started: list[subprocess.Popen[str]]
) -> None:
    chosen = ("--stream", "watched", "--count", "2")
    for options in ([], ["--json"]):
        process = subprocess.Popen(
            [*STREAMLSTM, "watch", *options, "--endpoints", endpoints, *chosen],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        with worker.client() as client:
            while process.poll() is None:  # its subscription takes a moment to arrive
                y = client.step("watched-1", [1, 2])
                client.step("other", [1, 2])
        assert process.returncode == 0
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        assert len(lines) == 2
        assert process.stderr is not None
        assert process.stderr.read().count("this model has no online stage") == 1
        if options:
            line = json.loads(lines[0])
            assert line.keys() == {"time", "stream", "seq", "prediction"}
            assert len(line["prediction"]) == len(y)
        else:
            assert all(re.match(r"\d\d:\d\d:\d\d  watched-1  ", line) for line in lines)


def test_info_shows_the_worker(endpoints: str, worker: WorkerProcess) -> None:
    shown = streamlstm("info", "--endpoints", endpoints, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["pid"] == worker.process.pid
    shown = streamlstm("info", "--router", worker.endpoints["router"])
    assert shown.returncode == 0, shown.stderr
    assert any(
        line.split() == ["model", "inputs", "x0,", "x1"] for line in shown.stdout.splitlines()
    )
