"""`streamlstm publish` with input that is not as it should be: nothing good is lost."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine
from streamlstm.network.online import Online

from ..contract.models import random_model
from .conftest import WorkerProcess, assert_same_state, listen
from .publish_commands import STREAMLSTM, publish, publishing

GOOD = np.random.default_rng(8).standard_normal((60, 2)).round(3)
NOISE = ["ERR,1\n", "1\n", "1,2,3\n", "x0,x1\n", '"1,2\n', ",\n", "\ufeff\n", "1,1e99\n"]


def noisy(seed: int = 2) -> str:
    """Return all good rows, with what is none between them."""
    chance = random.Random(seed)
    lines = ["x0,x1\n"]
    for x in GOOD:
        lines += chance.choices(NOISE, k=chance.randrange(3))
        lines.append(f"{x[0]:.3f},{x[1]:.3f}\n")
    return "".join(lines)


@pytest.fixture(scope="module")
def filling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker of a model that fills missing values."""
    path = tmp_path_factory.mktemp("filling") / "model.safetensors"
    random_model([LSTM(2, 5), Dense(5, 1)]).with_online(Online(fill="last")).save(path)
    process = WorkerProcess(path)
    yield process
    process.stop(signal.SIGKILL)


def test_bad_rows_are_skipped_and_told(worker: WorkerProcess, engine: Engine) -> None:
    router = worker.endpoints["router"]
    shown = publish("-", "--stream", "noisy", "--router", router, "--json", said=noisy())
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["value"] for line in lines] == GOOD.tolist()
    assert [line["prediction"] for line in lines] == [
        engine.step("noisy", x).tolist() for x in GOOD
    ]
    told = shown.stderr.splitlines()
    assert any("; 1 row skipped so far" in line for line in told)
    assert "rows skipped, " in told[-1]
    assert told[-1].endswith("passed over")


def test_a_line_says_where_and_what(worker: WorkerProcess) -> None:
    shown = publish(
        "-", "--stream", "told", "--router", worker.endpoints["router"],
        said="time,x0,x1\n1,1,2\n2,ERR,2\n3,ERR,4\n4,3,4\n",
    )  # fmt: skip
    assert shown.returncode == 0
    told = "line 3: column 'x0': expected a number, got 'ERR'; 1 row skipped so far"
    assert shown.stderr.splitlines()[0] == told
    assert "2 predictions, 0 refused" in shown.stderr
    assert shown.stderr.splitlines()[-1] == "2 rows skipped"


def test_a_clock_that_steps_back_is_told_and_the_row_kept(worker: WorkerProcess) -> None:
    shown = publish(
        "-", "--replay", "--stream", "clock", "--router", worker.endpoints["router"], "--json",
        said="time,x0,x1\n10,1,2\n5,3,4\n6,5,6\n",
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [(line["seq"], line["time"]) for line in lines] == [(1, 10), (2, 5), (3, 6)]
    assert (
        "line 3: column 'time': expected a time later than 10 on line 2, got 5, which is earlier; "
        "1 time not later than the one before (the row is kept) so far\n" in shown.stderr
    )


def test_bad_cells_are_filled(filling: WorkerProcess) -> None:
    command = ["--stream", "filled", "--router", filling.endpoints["router"], "--json"]
    shown = publish("-", *command, "--on-bad", "fill", said="x0,x1\n1,2\nERR,3\n1\n4,5\n")
    assert shown.returncode == 0, shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [line["value"] for line in lines] == [[1, 2], [None, 3], [4, 5]]
    assert shown.stderr.endswith("\n1 row skipped, 1 cell sent as missing\n")
    skipped = publish("-", *command, said="x0,x1\n1,2\nERR,3\n,5\n")
    assert [json.loads(line)["value"] for line in skipped.stdout.splitlines()] == [
        [1, 2],
        [None, 5],
    ]


def test_fill_needs_a_model_that_fills(worker: WorkerProcess) -> None:
    for endpoint, said in (
        (("--router", worker.endpoints["router"]), "streamlstm online MODEL --fill last"),
        (("--pull", worker.endpoints["pull"]), "send to --router"),
    ):
        shown = publish("-", *endpoint, "--on-bad", "fill", said="x0,x1\n1,2\n")
        assert shown.returncode == 2
        assert said in " ".join(shown.stderr.replace("│", "").split())


@pytest.mark.parametrize("replay", [[], ["--replay"]])
def test_stop_ends_at_the_first_bad_row(worker: WorkerProcess, replay: list[str]) -> None:
    stream = f"stop{len(replay)}"
    command = ["-", *replay, "--stream", stream, "--router", worker.endpoints["router"]]
    shown = publish(*command, "--on-bad", "stop", said="x0,x1\n1,2\n3,ERR\n5,6\n")
    assert shown.returncode == 1
    assert "<stdin>:3: column 'x1': expected a number, got 'ERR'" in shown.stderr
    assert len(shown.stdout.splitlines()) == 1


def test_one_way_observations_skip_too(worker: WorkerProcess) -> None:
    with listen(worker, ["one-way"], known="one-way-known") as subscriber:
        pull = worker.endpoints["pull"]
        shown = publish("-", "--pull", pull, "--stream", "one-way", said="x0,x1\n1,2\nERR\n5,6\n")
        assert (shown.returncode, shown.stdout) == (0, "2 observations sent\n")
        assert shown.stderr.splitlines()[-1] == "1 row skipped"
        assert [subscriber.receive().stream for _ in range(2)] == ["one-way"] * 2


def test_a_pipe_goes_on_after_a_bad_row(worker: WorkerProcess) -> None:
    with publishing("-", "--stream", "goes-on", "--router", worker.endpoints["router"]) as process:
        process.stdin.write("x0,x1\nERR,1\n")
        process.stdin.flush()
        assert process.stderr.readline().startswith("line 2: column 'x0': expected a number")
        for text in ("1,2\n", '3,"4\n5,6\n', "7,8\n"):
            process.stdin.write(text)
            process.stdin.flush()
            assert process.stdout.readline().startswith("goes-on  ")
        process.stdin.close()
        assert process.wait(20) == 0


def test_skipped_rows_do_not_shift_what_was_applied(
    model_file: Path, tmp_path: Path, engine: Engine
) -> None:
    """Kill the publisher and the worker between rows; every good row is applied once."""
    file = tmp_path / "noisy.csv"
    file.write_text(noisy())
    store = ("--store", f"lmdb:{tmp_path / 'store'}", "--commit-ms", "20")
    worker = WorkerProcess(model_file, *store)
    endpoints = str(model_file.with_suffix(".endpoints.json"))
    command = [str(file), "--replay", "--endpoints", endpoints, "--json", "--rate", "200"]
    command += ["--journal", str(tmp_path / "journal")]
    printed: dict[int, list[float]] = {}
    try:
        for kill in range(3):
            with subprocess.Popen(
                [*STREAMLSTM, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            ) as process:
                assert process.stdout is not None
                lines = [process.stdout.readline() for _ in range(5 + 2 * kill)]
                if kill % 2:
                    worker.stop(signal.SIGKILL)
                process.kill()
                lines += process.stdout.readlines()
            for line in map(json.loads, filter(None, lines)):
                printed[line["seq"]] = line["value"]
            if kill % 2:
                worker = WorkerProcess(model_file, *store)
        shown = publish(*command)
        assert shown.returncode == 0, shown.stderr
        assert "rows skipped, " in shown.stderr.splitlines()[-1]
        for line in map(json.loads, shown.stdout.splitlines()):
            printed[line["seq"]] = line["value"]
        assert printed == dict(enumerate(GOOD.tolist(), start=1))
        for n, x in enumerate(GOOD, start=1):
            engine.step("noisy", x, seq=n)
        with worker.client() as client:
            assert client.last_seqs(["noisy"]) == [len(GOOD)]
            assert_same_state(client, engine, "noisy")
    finally:
        worker.stop(signal.SIGKILL)


def test_a_machine_whose_counters_cannot_be_read_is_told() -> None:
    command = [sys.executable, "-c", HOST_WITHOUT_FILES]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split() == ["1.0", "3.0", "2.5", "skipped", "clock"]


HOST_WITHOUT_FILES = """
import resource
from streamlstm.cli.publish.sources import Pace, from_host
from streamlstm.data.live.problems import OnBad

problems, times, clock = [], [], iter([1.0, 2.0, 3.0, 2.5])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

def report(problem):
    problems.append(problem)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

for observation in from_host(Pace(100, 5), report, OnBad.SKIP, clock=lambda: next(clock)):
    if not times:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, hard))  # the next sample cannot be read
    if observation.time not in times:
        times.append(observation.time)
    if len(times) == 3:
        break
print(*times, *[problem.kind for problem in problems])
"""
