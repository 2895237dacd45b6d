"""Metrics and `streamlstm top` with real workers that die and restart."""

from __future__ import annotations

import json
import os
import signal
import socket as posix
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import zmq
from prometheus_client.parser import text_string_to_metric_families

from .conftest import FREE_PORTS, MODEL, Sockets, WorkerProcess
from .terminal import rest_of
from .test_serving_cli import STREAMLSTM, streamlstm

NAME = MODEL.fingerprint[:8]
ONE, TWO = "one.endpoints", "two.endpoints"  # workers are called by their files


@pytest.fixture
def two(tmp_path: Path) -> Iterator[list[WorkerProcess]]:
    workers = []
    try:
        for name in ("one", "two"):
            MODEL.save(tmp_path / f"{name}.safetensors")
            workers.append(WorkerProcess(tmp_path / f"{name}.safetensors"))
        yield workers
    finally:
        for worker in workers:
            worker.stop(signal.SIGKILL)


def scrape(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=20) as response:
        text = response.read().decode()
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


def files(folder: Path) -> list[str]:
    """Return the options that name both workers of `two`."""
    return [
        part
        for name in ("one", "two")
        for part in ("--endpoints", str(folder / f"{name}.endpoints.json"))
    ]


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[WorkerProcess]:
    MODEL.save(tmp_path / "scraped.safetensors")
    process = WorkerProcess(tmp_path / "scraped.safetensors", "--metrics", "127.0.0.1:*")
    yield process
    process.stop(signal.SIGKILL)


def test_a_worker_is_scraped_while_it_works(scraped: WorkerProcess) -> None:
    url = scraped.endpoints["metrics"]
    assert f"metrics {url}\n" in scraped.said
    enough = threading.Event()

    def load() -> None:
        with scraped.client() as client:
            while not enough.is_set():
                client.step_many(["a", "b", "c"], [[1, 2]] * 3)

    loading = threading.Thread(target=load)
    loading.start()
    try:
        before = after = scrape(url)
        for _ in range(20):
            while after["streamlstm_steps_total"] == before["streamlstm_steps_total"]:
                after = scrape(url)
            assert all(
                after[name] >= before[name]
                for name in before
                if name.endswith(("_total", "_sum", "_count"))
            )
            before = after
    finally:
        enough.set()
        loading.join()
    with scraped.client() as client:
        info = client.info()
    last = scrape(url)
    assert last["streamlstm_steps_total"] == info["counters"]["steps"] >= 60
    assert last["streamlstm_messages_total"] == info["counters"]["messages"]
    assert last["streamlstm_blocks_total"] == info["counters"]["blocks"]
    assert last["streamlstm_block_size_sum"] == info["counters"]["steps"]
    assert last["streamlstm_step_seconds_sum"] == info["histograms"]["step_time"]["sum"] > 0
    assert last["streamlstm_streams"] == info["streams"] == 3
    assert last["streamlstm_resident_memory_bytes"] > 2**20
    assert scraped.stop() == 0
    assert "Traceback" not in scraped.said


def test_no_metrics_port_by_default(worker: WorkerProcess) -> None:
    assert "metrics" not in worker.endpoints
    assert "metrics" not in worker.said


def test_a_metrics_port_that_is_taken(model_file: Path) -> None:
    with posix.create_server(("127.0.0.1", 0)) as owner:
        taken = f"127.0.0.1:{owner.getsockname()[1]}"
        for address, said in (
            (taken, "is taken"),
            ("0.0.0.0:*", "--insecure"),
            ("nonsense", "HOST:PORT"),
        ):
            shown = streamlstm("serve", str(model_file), *FREE_PORTS, "--metrics", address)
            assert shown.returncode == 1
            sentence = shown.stderr.splitlines()[-1]
            assert sentence.startswith(f"streamlstm: --metrics {address}: ")
            assert said in sentence
            assert "Traceback" not in shown.stderr


def test_top_once_shows_many_workers(two: list[WorkerProcess], tmp_path: Path) -> None:
    with two[0].client() as client:
        client.step_many(["a", "b"], [[1, 2]] * 2)
    look = ("top", "--once", "--every", "0.2")
    shown = streamlstm(*look, *files(tmp_path))
    assert shown.returncode == 0, shown.stderr
    head, *lines = shown.stdout.splitlines()
    assert head.split()[:4] == ["worker", "model", "streams", "steps/s"]
    assert [line.split()[:2] for line in lines] == [[ONE, NAME], [TWO, NAME], ["all", "2"]]
    assert [line.split()[2] for line in lines] == ["2", "0", "2"]
    two[1].stop(signal.SIGKILL)
    shown = streamlstm(
        *look, *files(tmp_path)[:2], "--router", two[1].endpoints["router"], "--router", "ipc:///x"
    )
    assert shown.returncode == 1
    assert shown.stderr.startswith("streamlstm: 2 of 3 workers did not answer: tcp://")
    assert shown.stderr.count("\n") == 1
    lines = shown.stdout.splitlines()[1:]
    dead = two[1].endpoints["router"]
    assert [line.split()[0] for line in lines] == [dead, "ipc:///x", ONE, "1"]
    assert [" no answer for " in line for line in lines] == [True, True, False, False]
    assert lines[2].split()[1] == NAME


def lines_until(pipe: IO[str], wanted: str) -> list[str]:
    """Read to the first line that has this in it, which comes last."""
    lines = [pipe.readline()]
    while wanted not in lines[-1]:
        assert lines[-1], "the pipe ended"
        assert len(lines) < 1000, f"no {wanted!r} among {lines[-8:]}"
        lines.append(pipe.readline())
    return lines


def test_top_in_a_pipe_survives_the_restart_of_a_worker(
    two: list[WorkerProcess], tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    process = subprocess.Popen(
        [*STREAMLSTM, "top", "--every", "0.1", *files(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    assert process.stdout is not None
    assert process.stderr is not None
    lines = lines_until(process.stdout, "all 2")
    two[1].stop(signal.SIGKILL)
    lines += lines_until(process.stdout, f"{TWO}  no answer for ")
    lines += lines_until(process.stdout, "1 of 2")
    assert lines[-3].split()[:2] == [ONE, NAME]
    # The same file, and other ports: it is found by what it writes there.
    two[1] = WorkerProcess(tmp_path / "two.safetensors")
    lines += lines_until(process.stdout, "all 2")
    heads = [line for line in lines if line.startswith("worker")]
    assert 4 * len(heads) == len(lines)
    assert not any("\x1b" in line for line in lines)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert process.stderr.read() == ""


def test_a_silent_worker_delays_no_other(
    worker: WorkerProcess, sockets: Sockets, started: list[subprocess.Popen[str]]
) -> None:
    silent = sockets.bind(zmq.ROUTER)
    places = [silent.get_string(zmq.LAST_ENDPOINT), worker.endpoints["router"]]
    process = subprocess.Popen(
        [
            *STREAMLSTM,
            "top",
            "--every",
            "0.1",
            *(p for place in places for p in ("--router", place)),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    started.append(process)
    assert process.stdout is not None
    tables = questions = 0
    while not 1 <= questions <= tables / 4:  # tables come while the same question is under way
        lines = lines_until(process.stdout, "1 of 2")[-4:]  # in those before nobody had answered
        assert [NAME in line for line in lines] == [False, False, True, False]
        tables += 1
        while silent.poll(0):
            silent.recv_multipart()
            questions += 1
        assert tables < 200


def test_top_draws_in_a_terminal_and_exits_quietly(
    worker: WorkerProcess, started: list[subprocess.Popen[str]]
) -> None:
    ours, theirs = os.openpty()
    # Where tests run in the background Ctrl-C is ignored, and a child would inherit that.
    usual = "import signal, runpy; signal.signal(signal.SIGINT, signal.default_int_handler);"
    run = f"{usual} runpy.run_module('streamlstm', run_name='__main__')"
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", run, "top", "--router", worker.endpoints["router"]],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "70", "LINES": "20"},
            text=True,
        )
        started.append(process)
        os.close(theirs)
        drawn = b""
        address = worker.endpoints["router"].removeprefix("tcp://").encode()
        while drawn.count(address) < 2:
            drawn += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        drawn += rest_of(ours)
        assert process.wait(timeout=20) == 130
    finally:
        os.close(ours)
    assert drawn.rstrip().endswith(b"\x1b[?25h")  # the cursor is shown again, and nothing said
    assert b"overflows" not in drawn  # there is no room for it
    assert b"steps/s" in drawn
    assert b"Traceback" not in drawn


def test_info_summarizes_histograms_and_prints_them_as_json(worker: WorkerProcess) -> None:
    with worker.client() as client:
        for n in range(3):
            client.step_many([f"summed-{n}-{m}" for m in range(5)], [[1, 2]] * 5)
    router = worker.endpoints["router"]
    shown = streamlstm("info", "--router", router)
    assert shown.returncode == 0, shown.stderr
    lines = {line[:30].strip(): line[30:].strip() for line in shown.stdout.splitlines()}
    assert max(map(len, lines.values())) < 100
    assert lines["block size"] == "p50 5, p99 5, mean 5.0"
    assert lines["step time"].startswith("p50 ")
    assert lines["latency"]
    assert lines["memory"].endswith(" MiB")
    assert lines["queue messages"] == "0"
    histograms = json.loads(streamlstm("info", "--router", router, "--json").stdout)["histograms"]
    assert sum(histograms["block_size"]["counts"]) == 3
    for histogram in histograms.values():
        assert len(histogram["bounds"]) == len(histogram["counts"]) == 56
        assert histogram["bounds"][-1] is None
        assert all(bound > 0 for bound in histogram["bounds"][:-1])
