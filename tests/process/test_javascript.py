"""The JavaScript client, by node: at a worker that dies, at a fleet whose partitions move."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine, detector
from streamlstm.client.keys import new_key

from .conftest import MODEL, WorkerProcess
from .fleet_process import FleetProcess

PACKAGE = Path(__file__).resolve().parents[2] / "clients" / "js"
SOCKETS = ("router", "pull", "xpub")


def node() -> str:
    """Return the program node; skip where it, or what the client needs, is not installed."""
    found = shutil.which("node")
    if found is None or not (PACKAGE / "node_modules" / "zeromq").is_dir():
        pytest.skip("needs node 18 or newer on the PATH, and `npm ci` in clients/js")
    return found


class Program:
    """A program of clients/js/test that runs."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [node(), str(PACKAGE / "test" / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._limit = threading.Timer(120, self.process.kill)  # it waits for something for ever
        self._limit.start()

    def lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        yield from self.process.stdout
        assert self.process.wait() == 0

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self._limit.cancel()
        self.process.kill()
        self.process.communicate()


FIELDS = {"pValue": "p_value"}  # of `observe` that Python names in another way


def compare(line: str, engine: Engine) -> str:
    """Compare an answer with that of an engine, bit for bit; return its stream."""
    name, is_text, x, seen = json.loads(line)
    expected = engine.observe(name if is_text else int(name), [*map(number, x)])
    if isinstance(seen, list):
        seen = {"y": seen}
    for level, low, high in map(dict.values, seen.pop("intervals", [])):
        assert same([low, high], expected.interval(level)), line
    for key, value in seen.items():
        if key not in ("event", "stream", "seq", "x", "time"):
            assert same(value, getattr(expected, FIELDS.get(key, key))), line
    return str(name)


def same(value: Any, expected: Any) -> bool:
    """Tell whether what JSON has is what is expected, bit for bit."""
    if isinstance(expected, str):
        return bool(value == expected)
    return np.array_equal(np.float64(number(value)), np.float64(expected), equal_nan=True)


def number(value: Any) -> Any:
    """Return numbers of JSON, which has no infinity."""
    if isinstance(value, list):
        return [number(each) for each in value]
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


def test_at_a_worker(tmp_path: Path) -> None:
    store = ("--detector", "--store", f"lmdb:{tmp_path / 'store'}", "--commit-ms", "5")
    start = partial(WorkerProcess, tmp_path / "detector", *store, serves="temperature,pressure")
    worker, engine = start(), Engine(detector(["temperature", "pressure"]))
    try:
        with Program("worker.mjs", str(tmp_path / "detector.endpoints.json")) as program:
            compared = 0
            for line in program.lines():
                if line == "readme\n":
                    assert run_readme(worker.endpoints["router"]).endswith("\n1000\n")
                    program.say("it works")
                elif line == "stop\n":
                    worker.process.send_signal(signal.SIGSTOP)
                    program.say("stopped")
                elif line == "kill\n":
                    worker.stop(signal.SIGKILL)
                    where = [(f"--{name}", worker.endpoints[name]) for name in SOCKETS]
                    worker = start(*sum(where, ()))
                else:
                    compare(line, engine)
                    compared += 1
            assert compared > 4300
    finally:
        worker.stop()


def test_at_a_fleet(tmp_path: Path) -> None:
    MODEL.save(tmp_path / "model.safetensors")
    engine = Engine(MODEL)
    fleet = FleetProcess(tmp_path / "model.safetensors", tmp_path, "--commit-ms", "5")
    router = fleet.workers()["w1"]["router"]
    try:
        with Program("fleet.mjs", router) as program:
            fleet.ask("drain", "w0")
            settle(fleet, 1)
            fleet.ask("scale", 2)
            settle(fleet, 2)
            program.say("moved")
            streams = set()
            for line in program.lines():
                if line == "stop\n":
                    pid = fleet.workers()["w1"]["pid"]
                    os.kill(pid, signal.SIGSTOP)
                    program.say("stopped")
                elif line == "kill\n":
                    os.kill(pid, signal.SIGKILL)
                    program.say("end")
                else:
                    streams.add(compare(line, engine))
            assert len(streams) == 60 + 60 + 1 + 12
    finally:
        assert fleet.stop() == 0, fleet.lines


def run_readme(router: str) -> str:
    """Run the first example of the package's README; return what it shows."""
    readme = (PACKAGE / "README.md").read_text()
    _, example, *_ = re.split("```js\n|```\n", readme[readme.index("```js") :])
    example = example.replace("tcp://127.0.0.1:7450", router)
    return subprocess.run(
        [node(), "--input-type=module", "--eval", example],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def test_keys(model_file: Path, engine: Engine, tmp_path: Path) -> None:
    for name in ("worker", "allowed", "stranger"):
        new_key(name, tmp_path)
    (tmp_path / "clients").mkdir()
    (tmp_path / "allowed.pub").rename(tmp_path / "clients" / "allowed.pub")
    options = ("--key", str(tmp_path / "worker.key"), "--allow", str(tmp_path / "clients"))
    worker = WorkerProcess(model_file, *options)
    try:
        with Program("keys.mjs", worker.endpoints["router"], str(tmp_path)) as program:
            for line in program.lines():
                compare(line, engine)
    finally:
        worker.stop()


@pytest.mark.parametrize(
    "command", [["--test", "test/order.mjs"], ["node_modules/typescript/bin/tsc", "-p", "test"]]
)
def test_what_needs_no_worker(command: list[str]) -> None:
    done = subprocess.run(
        [node(), *command], cwd=PACKAGE, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def settle(fleet: FleetProcess, workers: int) -> None:
    """Wait until a fleet has so many workers, and nothing moves."""
    while not (status := fleet.ask("status"))["settled"] or len(status["workers"]) != workers:
        pass
