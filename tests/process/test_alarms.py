"""`streamlstm serve --detector`, and what people see of its alarms, intervals and counters."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from streamlstm import Engine, Prediction, detector
from streamlstm.cli import app
from streamlstm.client.aio.subscriber import AsyncSubscriber
from streamlstm.client.subscriber import Subscriber
from streamlstm.errors import RemoteError

from .conftest import WorkerProcess
from .terminal import rest_of
from .test_serving_cli import STREAMLSTM, streamlstm

INPUTS = ["temperature", "pressure"]
QUIET, SPIKES = 300, 4  # rows before the first spike, and spikes 40 rows apart
STREAMS = ["pump-1", "pump-2", 0x616C61726D2F6162]  # the topic of the last is that of an alarm


def rows() -> np.ndarray:
    random = np.random.default_rng(3)
    t = np.arange(QUIET + 40 * SPIKES)
    X = np.stack([np.sin(t / 9), np.cos(t / 5)], axis=1) + random.normal(0, 0.1, (len(t), 2))
    X[QUIET::40, 0] += 30
    X[100:103] = np.nan
    return X.astype(np.float32)


def shown(numbers: Prediction) -> str:
    return repr((numbers, numbers.error.tolist(), numbers.score, numbers.p_value, numbers.kind))


@pytest.fixture(scope="module", params=["native", "python"])
def watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    path = tmp_path_factory.mktemp("detector") / "detector"
    options = ("--detector", "--loop", request.param, "--metrics", "127.0.0.1:*")
    process = WorkerProcess(path, *options, serves=",".join(INPUTS))
    yield process
    process.stop(signal.SIGKILL)


def test_a_detector_is_served_and_its_alarms_are_published_apart(watched: WorkerProcess) -> None:
    engine, xpub = Engine(detector(INPUTS)), watched.endpoints["xpub"]
    with (
        watched.client() as client,
        Subscriber(xpub, timeout=20) as everything,
        Subscriber(xpub, ["pump-2"], timeout=20, alarms=True) as pager,
    ):
        before = client.info()
        assert before["model"]["inputs"] == before["model"]["outputs"] == INPUTS
        assert before["model"]["online"]["anomaly"] is True
        wait_for_subscriptions(client, 2)
        alarms = []
        for n, x in enumerate(rows()):
            for stream in STREAMS:
                seen = client.observe(stream, x, seq=n + 1)
                assert shown(seen) == shown(engine.observe(stream, x, seq=n + 1))
                heard = everything.receive()  # once, alarm or not
                assert (heard.stream, heard.seq) == (stream, n + 1)
                if seen.alarm and stream == "pump-2":
                    alarms.append(n + 1)
        assert SPIKES <= len(alarms) < 40
        paged = [pager.receive() for _ in alarms]
        assert {event.stream for event in paged} == {"pump-2"}
        assert [event.seq for event in paged] == alarms
        assert all(event.observed.alarm and event.observed.kind for event in paged)
        pager.timeout = 0.01
        with pytest.raises(TimeoutError):
            pager.receive()
        counters = client.info()["counters"]
        assert counters["alarms"] == 3 * len(alarms)
        assert counters["filled"] == 3 * 6
        assert counters["publications"] == 3 * (len(rows()) + len(alarms))
        assert 0.8 < counters["covered"] / counters["judged"] < 1
        with pytest.raises(RemoteError, match="not started with a model file"):
            client.reload()
    with urllib.request.urlopen(watched.endpoints["metrics"], timeout=20) as response:
        metrics = response.read().decode()
    for name in ("alarms", "filled", "absent", "judged", "covered", "own_error", "naive_error"):
        assert f"streamlstm_{name}_total {float(counters[name])}" in metrics
    shown_info = streamlstm("info", "--router", watched.endpoints["router"])
    share = f"{counters['covered'] / counters['judged']:.1%} of {counters['judged']:,}"
    assert share in shown_info.stdout, shown_info.stderr
    ratio = counters["own_error"] / counters["naive_error"]
    assert 0.5 < ratio < 1.5
    assert f"error, of that of persistence  {ratio:.3f}" in shown_info.stdout
    assert "intervals 0.9, anomaly True" in shown_info.stdout
    top = streamlstm("top", "--once", "--every", "0.1", "--router", watched.endpoints["router"])
    head, line = top.stdout.splitlines()
    assert {"alarms", "coverage", "error"} <= set(head.split())
    assert {share.split()[0], f"{ratio:.2f}"} <= set(line.split())


def wait_for_subscriptions(client, count: int) -> None:
    while client.info()["subscriptions"] != count:
        pass  # processes that subscribe may take long to start


async def test_an_async_subscriber_to_alarms(watched: WorkerProcess) -> None:
    async with AsyncSubscriber(watched.endpoints["xpub"], timeout=20, alarms=True) as pager:
        with watched.client() as client:
            wait_for_subscriptions(client, 1)
            seen = [client.observe("aio", x).alarm for x in rows()]
        paged = [await pager.receive() for _ in range(sum(seen))]
    assert {event.stream for event in paged} == {"aio"}


def test_watch_prints_alarms_alone(
    watched: WorkerProcess, started: list[subprocess.Popen[str]]
) -> None:
    xpub = watched.endpoints["xpub"]
    for options in (["--json"], []):
        started.append(
            subprocess.Popen(
                [*STREAMLSTM, "watch", "--xpub", xpub, "--alarms", "--count", "3", *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
    with watched.client() as client:
        wait_for_subscriptions(client, 2)
        for x in rows():
            client.observe("seen", x)
    as_json, as_text = (process.communicate(timeout=60)[0].splitlines() for process in started)
    assert [process.returncode for process in started] == [0, 0]
    for line in map(json.loads, as_json):
        assert line["stream"] == "seen"
        assert line["alarm"] is True
        assert line["kind"]
        assert len(line["low"]) == len(line["high"]) == len(line["prediction"]) == 2
    assert all(line.split()[1] == "seen" and "  ALARM: " in line for line in as_text)
    assert all(re.match(r"\d\d:\d\d:\d\d  seen  error [+-]", line) for line in as_text)
    assert all(line.count("[") == 2 for line in as_text)


def test_watch_keeps_to_a_narrow_terminal(
    watched: WorkerProcess, started: list[subprocess.Popen[str]]
) -> None:
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            [*STREAMLSTM, "watch", "--xpub", watched.endpoints["xpub"], "--alarms", "--count", "1"],
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "40", "NO_COLOR": "1"},
            text=True,
        )
        started.append(process)
        os.close(theirs)
        with watched.client() as client:
            wait_for_subscriptions(client, 1)
            for x in rows():
                client.observe("narrow", x)
        drawn = rest_of(ours)
        assert process.wait(timeout=20) == 0
    finally:
        os.close(ours)
    lines = drawn.decode().split("\r\n")
    line = next(line for line in lines if "narrow" in line)
    assert len(line.replace("\x1b[1m", "").replace("\x1b[0m", "")) <= 40
    assert "ALARM: " in line


def test_plot_draws_a_stream_while_it_is_served(
    watched: WorkerProcess, started: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    where = ("--router", watched.endpoints["router"], "--xpub", watched.endpoints["xpub"])
    command = [*STREAMLSTM, "plot", "--stream", "drawn", *where]
    ours, theirs = os.openpty()
    try:
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "50", "NO_COLOR": "1"}
        outputs = {"stdout": theirs, "stderr": subprocess.DEVNULL}
        live = subprocess.Popen(command, stdin=theirs, env=environment, text=True, **outputs)
        picture = subprocess.Popen([*command, "--out", str(tmp_path / "drawn.png")], text=True)
        started += [live, picture]
        os.close(theirs)
        with watched.client() as client:
            wait_for_subscriptions(client, 2)
            for x in rows():
                client.observe("drawn", x)
                client.observe("drawn-too", x)
        drawn = b""
        while "\N{BLACK UP-POINTING TRIANGLE} alarm" not in drawn.decode(errors="ignore"):
            drawn += os.read(ours, 4096)
        for process in (live, picture):
            process.send_signal(signal.SIGINT)
        drawn += rest_of(ours)
        assert [process.wait(timeout=30) for process in (live, picture)] == [0, 0]
    finally:
        os.close(ours)
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", drawn.decode(errors="replace")).replace("\r", "")
    lines = shown[shown.rindex("drawn") :].split("\n")
    assert max(map(len, lines)) <= 50
    legend = next(line for line in lines if "alarm" in line)
    assert "temperature" in legend
    assert "predicted" in legend
    assert (tmp_path / "drawn.png").read_bytes().startswith(b"\x89PNG")
    none = streamlstm("plot", "--stream", "nobody", *where, "--seconds", "1")
    assert none.returncode == 1
    assert "nobody: the worker predicted nothing for it" in none.stderr


def test_publish_prints_what_the_online_stage_says(watched: WorkerProcess, tmp_path: Path) -> None:
    path = tmp_path / "sensor.csv"
    values = [*np.nan_to_num(rows())[: QUIET + 1]]
    lines = (f"{n},{a:.9g},{b:.9g}\n" for n, (a, b) in enumerate(values))
    path.write_text("time,temperature,pressure\n" + "".join(lines))
    where = ("--router", watched.endpoints["router"])
    printed = streamlstm("publish", str(path), *where, "--stream", "as-json", "--json")
    assert printed.returncode == 0, printed.stderr
    last = json.loads(printed.stdout.splitlines()[-1])
    assert last["alarm"] is True
    assert last["kind"] == "spike"
    assert last["low"] < last["prediction"] < last["high"]
    assert last["residual"][0] > 20
    assert "error" not in last
    printed = streamlstm("publish", str(path), *where, "--stream", "as-text")
    assert "  ALARM: spike   " in printed.stdout.splitlines()[-1]
    assert "[" in printed.stdout.splitlines()[-2]
    assert "refused, " in printed.stderr
    assert " alarm" in printed.stderr


def test_either_a_model_file_or_the_detector(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    detector().save(file)
    for arguments, said in (
        ([], "expected a model file, or --detector"),
        ([str(file), "--detector"], "not both"),
        (["a,,b", "--detector"], "names between the commas"),
    ):
        refused = CliRunner().invoke(app, ["serve", *arguments])
        assert refused.exit_code == 2
        assert said in " ".join(refused.output.replace("\u2502", " ").split())


def test_watch_tells_what_came_beside_what_was_predicted(
    watched: WorkerProcess, started: list[subprocess.Popen[str]], tmp_path: Path
) -> None:
    endpoints = tmp_path / "endpoints.json"
    endpoints.write_text(json.dumps(watched.endpoints))
    for options in (["--json"], []):
        command = [*STREAMLSTM, "watch", "--endpoints", str(endpoints), "--stream", "told"]
        started.append(
            subprocess.Popen(
                [*command, "--count", "20", *options], stdout=subprocess.PIPE, text=True
            )
        )
    came = [[float(t), 0.25 * t * t] for t in range(20)]
    with watched.client() as client:
        wait_for_subscriptions(client, 2)
        for n, x in enumerate(came):
            client.observe("told", x, seq=n + 1)
    as_json, as_text = (process.communicate(timeout=60)[0].splitlines() for process in started)
    lines = [json.loads(line) for line in as_json]
    assert "value" not in lines[0]
    for line, x in zip(lines[1:], came[1:], strict=True):
        np.testing.assert_allclose(line["value"], x, atol=1e-4)
    assert re.match(
        r"\d\d:\d\d:\d\d  told  came 19 90.25 \(error [+-]\S+ [+-]\S+\), next ", as_text[-1]
    )
