"""The demo without a terminal: real processes, host metrics and sockets."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ..exhaustive import exhaustive
from .web_process import ask

Demo = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def demo(root: Path) -> Iterator[Demo]:
    """Start the demo with arguments; whatever is left of it afterwards is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "workers/demo.py", *arguments],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.communicate()


def children(process: subprocess.Popen[str]) -> dict[str, psutil.Process]:
    """The demo's own processes by command: serve, publish."""
    found = psutil.Process(process.pid).children()
    return {child.cmdline()[3]: child for child in found}


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_demo_predicts_this_machine_and_scores_it(demo, tmp_path):
    summary = tmp_path / "summary.json"
    process = demo("--seconds", "4", "--json", str(summary))
    shown, complaints = process.communicate(timeout=240)
    assert process.returncode == 0, complaints
    assert "\x1b" not in shown
    assert "Traceback" not in complaints

    result = json.loads(summary.read_text())
    streams = result["streams"]
    assert {"cpu-0", "memory"} <= set(streams)
    assert result["observations"] == result["predictions"] >= 15 * len(streams)
    assert result["refused"] == 0
    assert 0 < result["round_trip_us"]["p50"] <= result["round_trip_us"]["p99"]

    # Half of a short run, twenty observations, is for learning: nothing of it is judged.
    assert result["scored"] == result["observations"] - 20 * len(streams)
    assert 0 < result["coverage"] <= 1
    assert 0 <= result["alarms"] < result["observations"]
    assert result["scored"] == sum(stream["scored"] for stream in streams.values())
    for kind in ("model", "persistence"):
        mean = sum(s[kind] * s["scored"] for s in streams.values()) / result["scored"]
        assert result["error"][kind] == pytest.approx(mean)
    assert result["error"]["ratio"] == pytest.approx(
        result["error"]["model"] / result["error"]["persistence"]
    )

    lines = shown.splitlines()
    # About one a second, and the summary; a busy machine leaves some out.
    assert sum("observations" in line for line in lines) >= 3
    times = [line.split(" s  ")[0] for line in lines if "round trip " in line and " s  " in line]
    assert len(times) == len(set(times)) >= 2  # no time is printed twice
    assert all(isinstance(stream["steady"], bool) for stream in streams.values())
    for word in ("observations", "predictions", "round trip", "error", "best", "worst"):
        assert any(line.strip().startswith(word) for line in lines), word


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        exhaustive(signal.SIGHUP, 129),
    ],
)
def test_a_signal_stops_the_demo_and_its_children(demo, number, status):
    process = demo("--seconds", "60")
    assert "observations" in first_line(process)
    started = children(process)
    assert set(started) == {"serve", "publish"}
    process.send_signal(number)
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == status
    assert complaints.count("Traceback") == 0
    assert not any(child.is_running() for child in started.values())


def test_the_children_of_a_killed_demo_end(demo):
    """Its page, too, which it says where to open."""
    process = demo("--seconds", "60", "--web", "0")
    assert "observations" in first_line(process)
    opens, url = process.stderr.readline().split()
    assert opens == "open"
    assert ask(url)[0] == 200
    started = children(process)
    assert set(started) == {"serve", "publish"}
    every = [*started.values(), *started["serve"].children()]
    assert len(every) == 3
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(every, timeout=20)
    assert not alive


@pytest.mark.parametrize("victim", ["serve", "publish"])
def test_a_child_that_dies_ends_the_demo(demo, victim):
    process = demo("--seconds", "60")
    first_line(process)
    started = children(process)
    started[victim].kill()
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"`streamlstm {victim}` ended with status -9" in complaints
    assert "Traceback" not in complaints
    assert not any(child.is_running() for child in started.values())


def test_an_invalid_model_is_refused_in_one_sentence(demo, tmp_path):
    model = tmp_path / "not-a-model.safetensors"
    model.write_bytes(os.urandom(100))
    process = demo("--model", str(model))
    shown, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert shown == ""
    assert complaints.startswith("demo: ")
    assert complaints.count("\n") == 1


def test_a_summary_that_cannot_be_written_is_refused_at_once(demo, tmp_path):
    for path in (tmp_path, tmp_path / "nowhere" / "summary.json"):
        shown, complaints = (process := demo("--json", str(path))).communicate(timeout=60)
        assert (process.returncode, shown) == (1, "")
        assert complaints.startswith(f"demo: --json {path}: ")
        assert complaints.count("\n") == 1


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_invalid_seconds_are_refused(demo, seconds):
    process = demo("--seconds", seconds)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--seconds" in complaints
