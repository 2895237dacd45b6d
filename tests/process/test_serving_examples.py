"""The example programs: each runs, and gives the numbers of the engine."""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from streamlstm import Engine

from .conftest import MODEL, WorkerProcess

PROGRAMS = [
    "workers/worker.py",
    "workers/publisher.py",
    "examples/plain_client.py",
    "examples/embedded.py",
    "examples/http_service.py",
    "examples/line_service.py",
    "examples/gateway.py",
    "examples/alarm.py",
]


def run(root: Path, program: str, *arguments: str) -> str:
    shown = subprocess.run(
        [sys.executable, str(root / program), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout


@pytest.fixture
def start(root: Path) -> Iterator[object]:
    """Start a program that runs until it is stopped."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(root / program), *arguments], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_has_a_help_text(root: Path, program: str) -> None:
    assert "usage: " in run(root, program, "--help")


@pytest.mark.parametrize("socket", ["dealer", "req"])
def test_the_plain_client(root: Path, worker: WorkerProcess, engine: Engine, socket: str) -> None:
    program = "examples/plain_client.py"
    assert "import streamlstm" not in (root / program).read_text()
    assert "from streamlstm" not in (root / program).read_text()
    shown = run(
        root, program, "--router", worker.endpoints["router"], "--socket", socket,
        "--stream", socket, "--count", "4",
    )  # fmt: skip
    for n, line in enumerate(shown.splitlines()):
        y = engine.step(socket, [math.sin(0.3 * n), math.sin(0.3 * n + 1)])
        assert line == f"{socket} {n}: " + " ".join(f"{value:.6f}" for value in y)
    assert n == 3


def test_the_plain_client_reports_a_missing_worker(root: Path) -> None:
    program = str(root / "examples/plain_client.py")
    shown = subprocess.run(
        [sys.executable, program, "--router", "tcp://127.0.0.1:9", "--timeout", "0.1"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert shown.returncode == 1
    assert shown.stderr == "no answer from tcp://127.0.0.1:9; is a worker running there?\n"


def test_embedded(root: Path, model_file: Path) -> None:
    shown = run(root, "examples/embedded.py", str(model_file))
    assert "again   True" in shown
    assert "['pump-7', 'pump-8', 9]" in shown


def test_the_gateway(root: Path, worker: WorkerProcess) -> None:
    shown = run(
        root, "examples/gateway.py", "--router", worker.endpoints["router"],
        "--sensors", "7", "--count", "6",
    )  # fmt: skip
    assert "42 predictions" in shown
    own = Engine(MODEL, threads=1)
    for n in range(6):
        y = own.step("sensor", [math.sin(0.1 * n + 2), math.sin(0.1 * n + 3)])
    assert f"sensor-2 {y[0]:.6f}" in shown


def test_the_alarm(start, worker: WorkerProcess) -> None:
    process = start(
        "examples/alarm.py", "--xpub", worker.endpoints["xpub"],
        "--streams", "alarm-", "--above=-1e9", "--count", "1",
    )  # fmt: skip
    with worker.client() as client:
        while process.poll() is None:  # its subscription takes a moment to arrive
            client.step("alarm-1", [1, 2])
    assert "alarm-1: " in process.communicate()[0]
    assert process.returncode == 0


def test_the_custom_publisher_and_worker(
    root: Path, start, model_file: Path, tmp_path: Path, engine: Engine
) -> None:
    anywhere = "tcp://127.0.0.1:*"
    file = tmp_path / "endpoints.json"
    serving = start(
        "workers/worker.py", str(model_file), "--router", anywhere, "--pull", anywhere,
        "--xpub", anywhere, "--endpoints", str(file),
    )  # fmt: skip
    router = re.match(r"ready: (\S+) ", serving.stdout.readline())[1]
    shown = run(
        root, "workers/publisher.py", "--router", router, "--rate", "500", "--count", "3"
    ).splitlines()
    for n, line in enumerate(shown):
        y = engine.step("pump-7", [math.sin(n / 500), math.sin(2 * n / 500)])
        assert line == "pump-7 " + " ".join(f"{value:.4f}" for value in y)
    assert len(shown) == 3
    assert json.loads(file.read_text())["router"] == router
    serving.send_signal(signal.SIGTERM)
    assert "stopped after 3 steps of 1 streams" in serving.communicate(timeout=30)[0]
    assert serving.returncode == 0


def test_the_http_service(start, model_file: Path, engine: Engine) -> None:
    process = start("examples/http_service.py", str(model_file), "--port", "0")
    host, port = re.match(r"http://(.*):(\d+)", process.stdout.readline()).groups()
    connection = HTTPConnection(host, int(port), timeout=30)

    def ask(method: str, path: str, body: str | None = None) -> tuple[int, dict]:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    try:
        for x in ([1, 2], [3, 4]):
            status, answer = ask("POST", "/streams/pump%207", json.dumps({"x": x}))
            assert (status, answer) == (200, {"prediction": engine.step("p", x).tolist()})
        for body in ("", "[]", '{"y": 1}', "{"):
            assert ask("POST", "/streams/a", body)[0] == 422
        for body in ('{"x": null}', '{"x": ["a", "b"]}'):
            assert ask("POST", "/streams/a", body)[0] == 422, body
        for body in ('{"x": [1]}', '{"x": [1, null]}'):
            assert ask("POST", "/streams/a", body)[0] == 400, body
        assert ask("POST", "/elsewhere", '{"x": [1, 2]}')[0] == 404
        assert ask("GET", "/streams") == (200, {"streams": ["pump 7"], "steps": 2})
        assert ask("DELETE", "/streams/pump%207")[0] == 200
        assert ask("DELETE", "/streams/pump%207")[0] == 404
    finally:
        connection.close()
    process.send_signal(signal.SIGINT)
    assert "stopped after 2 steps" in process.communicate(timeout=30)[0]
    assert process.returncode == 0


def test_the_line_service(start, model_file: Path) -> None:
    process = start("examples/line_service.py", str(model_file), "--port", "0")
    address = ("127.0.0.1", int(process.stdout.readline()))
    X = [[0.1 * n, 1.0] for n in range(30)]

    def ask(name: str) -> list[dict]:
        lines = [json.dumps({"stream": name, "x": x}) for x in X]
        lines[3:3] = ["nonsense", '{"stream": "a"}', '{"stream": "a", "x": [1]}']
        with socket.create_connection(address, timeout=30) as connection:
            connection.sendall("\n".join(lines).encode() + b"\n")
            with connection.makefile() as answers:
                return [json.loads(answers.readline()) for _ in lines]

    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(ask, "abcd"))
    own = Engine(MODEL, threads=1)
    expected = [own.step("any", x).tolist() for x in X]
    for name, answers in zip("abcd", said, strict=True):
        assert ["error" in answer for answer in answers[3:6]] == [True] * 3
        assert answers[5]["code"] == "bad-shape"
        good = answers[:3] + answers[6:]
        assert good == [{"stream": name, "prediction": y} for y in expected]
    process.send_signal(signal.SIGINT)
    assert "stopped after 120 steps" in process.communicate(timeout=30)[0]
    assert process.returncode == 0
