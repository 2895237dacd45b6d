"""`streamlstm publish --replay` applies every row once, however often either side is killed."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live.proxy import Proxy
from streamlstm import Engine, wire
from streamlstm.client.replay.journal import Journal

from .conftest import WorkerProcess, assert_same_state
from .publish_commands import STREAMLSTM, publish, publishing

STREAMS, ROWS = ["north", "south", "west"], 150
X = np.random.default_rng(3).standard_normal((ROWS, len(STREAMS), 2)).round(3).astype(np.float32)


def csv(rows: int) -> str:
    lines = [
        f"{s},{x[0]:.3f},{x[1]:.3f}" for X_n in X[:rows] for s, x in zip(STREAMS, X_n, strict=True)
    ]
    return "\n".join(["id,x0,x1", *lines, ""])


def expected(engine: Engine) -> dict[tuple[str, int], list[float]]:
    """Step an engine through all rows; return every prediction."""
    return {
        (stream, n + 1): engine.step(stream, X[n, k], seq=n + 1).tolist()
        for n in range(ROWS)
        for k, stream in enumerate(STREAMS)
    }


def assert_same(worker: WorkerProcess, engine: Engine) -> None:
    with worker.client() as client:
        for stream in STREAMS:
            assert_same_state(client, engine, stream)


@pytest.fixture
def workers(model_file: Path, tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    """Workers over one store, the last of them alive; a test starts the next one with `again`."""
    started: list[WorkerProcess] = []
    yield started
    for worker in started:
        worker.stop(signal.SIGKILL)


def start(workers: list[WorkerProcess], model_file: Path, folder: Path) -> WorkerProcess:
    store = ("--store", f"lmdb:{folder / 'store'}", "--commit-ms", "20")
    workers.append(WorkerProcess(model_file, *store))
    return workers[-1]


def test_every_row_is_applied_once_despite_kills(
    workers: list[WorkerProcess], model_file: Path, tmp_path: Path, engine: Engine
) -> None:
    chance = random.Random(6)
    file = tmp_path / "rows.csv"
    file.write_text(csv(ROWS))
    worker = start(workers, model_file, tmp_path)
    proxy = Proxy(worker.endpoints["router"])
    command = [str(file), "--replay", "--stream-column", "id", "--router", proxy.endpoint, "--json"]
    command += ["--journal", str(tmp_path / "journal"), "--rate", "300"]
    lines: list[str] = []
    for kills in range(8):
        with subprocess.Popen(
            [*STREAMLSTM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as publisher:
            assert publisher.stdout is not None
            for _ in range(chance.randrange(1, 80)):
                lines.append(publisher.stdout.readline())
            if kills % 2:
                worker.stop(signal.SIGKILL)
            publisher.kill()
            lines += publisher.stdout.readlines()
        if kills % 2:
            worker = start(workers, model_file, tmp_path)
            proxy.target = worker.endpoints["router"]
    shown = publish(*command)
    assert shown.returncode == 0, shown.stderr
    lines += shown.stdout.splitlines()
    proxy.close()
    printed: dict[tuple[str, int], list[float]] = {}
    for text in filter(None, lines):
        line = json.loads(text)
        assert line.keys() == {"time", "stream", "seq", "value", "prediction"}
        stream, seq = line["stream"], line["seq"]
        np.testing.assert_array_equal(np.float32(line["value"]), X[seq - 1, STREAMS.index(stream)])
        assert printed.setdefault((stream, seq), line["prediction"]) == line["prediction"]
    assert printed == expected(engine)
    assert_same(worker, engine)


def test_rows_of_a_journal_are_printed_as_in_an_undisturbed_run(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    rows = [f"{1000.5 + n},{x[0]:.3f},{x[1]:.3f}" for n, x in enumerate(X[:5, 0])]
    said = "\n".join(["time,x0,x1", *rows, ""])
    command = ["-", "--replay", "--router", worker.endpoints["router"], "--stream"]
    kept = Journal(tmp_path / "journal")  # as a publisher leaves it that is killed at once
    kept.add([wire.Step("killed", n + 1, X[n, 0].tobytes(), 1000.5 + n) for n in range(3)])
    kept.close()
    journal = ["--journal", str(tmp_path / "journal")]
    shown = publish(*command, "killed", "--json", *journal, said=said)
    undisturbed = publish(*command, "other", "--json", said=said)
    assert (shown.returncode, undisturbed.returncode) == (0, 0), shown.stderr
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert lines == [
        json.loads(line) | {"stream": "killed"} for line in undisturbed.stdout.splitlines()
    ]
    assert [(line["seq"], line["time"]) for line in lines] == [
        (n + 1, 1000.5 + n) for n in range(5)
    ]


def test_rows_applied_before_are_skipped(worker: WorkerProcess, engine: Engine) -> None:
    command = ["-", "--replay", "--stream-column", "id", "--router", worker.endpoints["router"]]
    first = publish(*command, said=csv(2))
    assert first.returncode == 0, first.stderr
    assert [line.split()[:2] for line in first.stdout.splitlines()] == [
        [stream, str(seq)] for seq in (1, 2) for stream in STREAMS
    ]
    assert "6 predictions, 0 applied before, 0 sent again" in first.stderr
    again = publish(*command, said=csv(2))
    assert (again.returncode, again.stdout) == (0, ""), again.stderr
    assert "0 predictions, 6 applied before" in again.stderr
    rest = publish(*command, said=csv(ROWS))
    assert rest.returncode == 0, rest.stderr
    assert f"{3 * ROWS - 6} predictions, 6 applied before" in rest.stderr
    expected(engine)
    assert_same(worker, engine)


def test_publish_waits_for_an_absent_worker(
    workers: list[WorkerProcess], model_file: Path, tmp_path: Path
) -> None:
    worker = start(workers, model_file, tmp_path)
    proxy = Proxy(worker.endpoints["router"])
    with publishing("-", "--replay", "--stream", "late", "--router", proxy.endpoint) as publisher:
        publisher.stdin.write("x0,x1\n1,2\n")
        publisher.stdin.flush()
        assert publisher.stdout.readline().startswith("late  1  1 2  ->  ")
        worker.stop(signal.SIGKILL)
        publisher.stdin.write("3,4\n")
        publisher.stdin.close()
        assert (
            publisher.stderr.readline()
            == f"{proxy.endpoint}: waiting for the worker; Ctrl-C ends\n"
        )
        worker = start(workers, model_file, tmp_path)
        proxy.target = worker.endpoints["router"]
        assert publisher.stdout.readline().startswith("late  2  3 4  ->  ")
        assert publisher.wait(60) == 0
    proxy.close()
    with worker.client() as client:
        assert client.last_seqs(["late"]) == [2]


def test_a_worker_is_found_on_another_port(
    workers: list[WorkerProcess], model_file: Path, tmp_path: Path
) -> None:
    worker = start(workers, model_file, tmp_path)
    file = model_file.with_suffix(".endpoints.json")
    with publishing("-", "--replay", "--stream", "found", "--endpoints", str(file)) as publisher:
        publisher.stdin.write("x0,x1\n1,2\n")
        publisher.stdin.flush()
        assert publisher.stdout.readline().startswith("found  1  1 2  ->  ")
        worker.stop(signal.SIGKILL)
        file.unlink()  # for a while nobody says where the worker will be
        publisher.stdin.write("3,4\n")
        publisher.stdin.flush()
        before, worker = worker, start(workers, model_file, tmp_path)
        assert worker.endpoints["router"] != before.endpoints["router"]
        assert publisher.stdout.readline().startswith("found  2  3 4  ->  ")
        worker.stop(signal.SIGKILL)  # with nothing under way, too
        worker = start(workers, model_file, tmp_path)
        publisher.stdin.write("5,6\n")
        publisher.stdin.close()
        assert publisher.stdout.readline().startswith("found  3  5 6  ->  ")
        assert publisher.wait(60) == 0
    with worker.client() as client:
        assert client.last_seqs(["found"]) == [3]


def test_a_refused_row_ends_the_command(worker: WorkerProcess, tmp_path: Path) -> None:
    shown = publish(
        "-", "--replay", "--stream", "narrow", "--column", "x0",
        "--router", worker.endpoints["router"], "--journal", str(tmp_path / "j"),
        said="x0,x1\n1,2\n3,4\n",
    )  # fmt: skip
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "stream 'narrow': the worker refused observation 1 (bad-shape: " in shown.stderr
    assert "without a journal that holds the old one" in shown.stderr
    assert "Traceback" not in shown.stderr
    with worker.client() as client:
        assert client.last_seqs(["narrow"]) == [0]


@pytest.mark.parametrize("journal", [False, True])
def test_every_row_before_a_bad_one_is_applied(
    worker: WorkerProcess, tmp_path: Path, journal: bool
) -> None:
    file = tmp_path / f"late-{journal}.csv"
    rows = 12_000  # more than are confirmed within the time that a publisher waits at its end
    file.write_text("x0,x1\n" + "1,2\n" * rows + "1,\n" + "1,2\n" * 5)
    command = [str(file), "--replay", "--router", worker.endpoints["router"], "--on-bad", "stop"]
    command += ["--journal", str(tmp_path / "journal")] if journal else []
    shown = publish(*command)
    assert shown.returncode == 1
    assert f"{file}:{rows + 2}: column 'x1': expected a number, got an empty cell" in shown.stderr
    assert "not confirmed" not in shown.stderr
    assert len(shown.stdout.splitlines()) == rows
    with worker.client() as client:
        assert client.last_seqs([file.stem]) == [rows]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.csv", "--journal", "j"], "expected --replay with it"),
        (["x.csv", "--replay", "--pull", "tcp://127.0.0.1:9"], "expected only one of --replay"),
    ],
)
def test_incompatible_options_are_refused(arguments: list[str], said: str) -> None:
    shown = publish(*arguments)
    assert shown.returncode == 2
    assert said in " ".join(shown.stderr.replace("│", "").split())
