"""How a worker starts, refuses to start, is overloaded, stops and is restarted."""

from __future__ import annotations

import json
import re
import signal
import socket as posix
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamlstm import Engine, wire
from streamlstm.client.client import Client
from streamlstm.client.publisher import Publisher
from streamlstm.errors import RemoteError, WorkerTimeoutError

from .conftest import FREE_PORTS, MODEL, Sockets, WorkerProcess


@pytest.fixture(params=["native", "python"])
def mortal(model_file: Path, request: pytest.FixtureRequest) -> Iterator[WorkerProcess]:
    """A worker for one test, that may kill it."""
    options = ("--capacity", "3", "--max-message-bytes", "4096", "--loop", request.param)
    process = WorkerProcess(model_file, *options)
    yield process
    process.stop(signal.SIGKILL)


def serve(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlstm", "serve", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_after_it_answered_what_it_has(
    mortal: WorkerProcess, sockets: Sockets, number: int
) -> None:
    socket = sockets.connect(zmq.DEALER, mortal.endpoints["router"], SNDHWM=0, RCVHWM=0)
    frame = wire.encode(wire.Step("last", 0, wire.to_floats([1, 2])))
    socket.send(frame)
    socket.recv()
    # More messages than a worker takes at once arrive while it sleeps, then the signal.
    mortal.process.send_signal(signal.SIGSTOP)
    for _ in range(1500):
        socket.send(frame)
    mortal.process.send_signal(number)
    assert mortal.stop(signal.SIGCONT) == 0
    assert "stopped: 1,501 messages, 1,501 steps" in mortal.said
    assert " 0 answers dropped" in mortal.said
    assert "Traceback" not in mortal.said
    for _ in range(1500):
        assert isinstance(wire.decode_reply(socket.recv()), wire.Prediction)


def test_an_idle_worker_ends(mortal: WorkerProcess) -> None:
    assert mortal.stop(signal.SIGTERM) == 0


def test_a_killed_worker_times_out_and_its_successor_is_found(
    mortal: WorkerProcess, model_file: Path
) -> None:
    endpoint = mortal.endpoints["router"]
    with (
        mortal.client() as client,
        Publisher(mortal.endpoints["pull"], timeout=0.3) as publisher,
    ):
        client.step("a", [1, 2])
        client.timeout = 0.5
        mortal.stop(signal.SIGKILL)
        with pytest.raises(WorkerTimeoutError, match="streamlstm info --router " + endpoint):
            client.step("a", [1, 2])
        with pytest.raises(WorkerTimeoutError, match="it was not sent"):
            client.step("a", [1, 2])
        with pytest.raises(WorkerTimeoutError, match="it was not sent"):
            publisher.send("a", [1, 2])
        successor = WorkerProcess(model_file, "--router", endpoint, "--backend", "reference")
        try:
            client.timeout = 20.0
            assert client.step("a", [1, 2]).shape == (3,)
            assert client.info()["counters"]["steps"] == 1  # nothing that was given up came late
        finally:
            successor.stop()


def test_capacity_and_limits_are_those_asked_for(mortal: WorkerProcess) -> None:
    engine = Engine(MODEL, backend="reference")
    with mortal.client() as client:
        for stream in ("a", "b", 3):
            client.step(stream, [1, 2])
        with pytest.raises(RemoteError) as caught:
            client.step("d", [1, 2])
        assert caught.value.code == "capacity"
        with pytest.raises(RemoteError) as caught:
            client.step_many(["a", "e"], [[1, 2], [1, 2]])
        assert caught.value.code == "capacity"
        with pytest.raises(RemoteError) as caught:
            client.import_stream("a", b"x" * 5000)
        assert caught.value.code == "too-large"
        engine.step("a", [1, 2])
        np.testing.assert_array_equal(client.step("a", [3, 4]), engine.step("a", [3, 4]))
        info = client.info()
        assert (info["streams"], info["capacity"]) == (3, 3)
        assert info["limits"]["message_bytes"] == 4096
        assert info["pid"] == mortal.process.pid


def test_a_client_that_does_not_read_stalls_nobody(mortal: WorkerProcess, sockets: Sockets) -> None:
    deaf = sockets.connect(zmq.DEALER, mortal.endpoints["router"], RCVHWM=1, RCVBUF=4096)
    question = wire.encode(wire.Ping(b"x" * 200))
    with mortal.client() as client:
        dropped = sent = 0
        while dropped == 0:
            for _ in range(500):
                deaf.send(question)
            sent += 500
            assert client.ping() < 10
            dropped = client.info()["counters"]["dropped_answers"]
        info = client.info()
        counters, waiting = info["counters"], info["queue"]["messages"]
        # every message is accounted for; the last one is the question for the counters itself
        done = counters["answers"] + counters["dropped_answers"] + waiting
        assert counters["messages"] == done + 1


def test_the_pull_socket_logs_little_and_no_content(
    mortal: WorkerProcess, sockets: Sockets
) -> None:
    socket = sockets.connect(zmq.PUSH, mortal.endpoints["pull"])
    for _ in range(500):
        socket.send(b"\x94\x01\xa6secret\x00\xa6secret")
    socket.send_multipart([b"two", b"frames"])
    socket.send(wire.encode(wire.Reset("secret")))
    with mortal.client() as client:
        while sum(client.info()["counters"]["errors"].values()) < 502:
            pass
    mortal.stop()
    lines = [line for line in mortal.said.splitlines() if "refused" in line]
    assert 1 <= len(lines) < 50
    said = "STEP: x: expected a bin of little-endian float32 or an array of numbers"
    assert f"pull: refused, bad-frame: {said}, got text of 6 bytes" in lines[0]
    counted = [re.search(r"(\d+) more since the last line", line) for line in lines]
    logged = sum(int(found[1]) for found in counted if found)
    logged += sum("pull: refused, " in line for line in lines)
    assert logged == 502  # each is counted, though few have a line
    assert "secret" not in mortal.said


def test_an_endpoints_file_has_one_owner(mortal: WorkerProcess, model_file: Path) -> None:
    path = model_file.with_suffix(".endpoints.json")
    assert path.exists()
    mortal.stop()
    assert not path.exists()  # gone with the worker, and one from before at once:
    path.write_text("{}")
    assert serve("no-such-model", "--endpoints", str(path)).returncode == 1
    assert not path.exists()
    done = serve(str(model_file), "--endpoints", str(model_file))
    assert done.returncode == 1
    assert "the file with the model" in done.stderr
    done = serve(str(model_file), "--endpoints", "/dev/null")
    assert done.returncode == 1
    assert "not a regular file" in done.stderr
    assert model_file.is_file()
    assert Path("/dev/null").is_char_device()


def test_another_worker_s_endpoints_file_stays(mortal: WorkerProcess, model_file: Path) -> None:
    path = model_file.with_suffix(".endpoints.json")
    path.write_text(json.dumps(mortal.endpoints | {"pid": 1}))
    mortal.stop()
    assert path.exists()
    path.unlink()


def test_the_endpoints_file_is_written_when_ready(mortal: WorkerProcess, model_file: Path) -> None:
    assert mortal.endpoints.keys() == {"router", "pull", "xpub", "pid", "model"}
    assert mortal.endpoints["pid"] == mortal.process.pid
    assert all(mortal.endpoints[name] in mortal.said for name in ("router", "pull", "xpub"))
    assert [path.name for path in model_file.parent.iterdir() if path.suffix == ".json"]
    assert not [path for path in model_file.parent.iterdir() if path.name.startswith(".")]


def test_two_workers_cannot_have_one_address(model_file: Path) -> None:
    with posix.create_server(("127.0.0.1", 0)) as taken:
        router = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        shown = serve(str(model_file), *FREE_PORTS, "--router", router, "--backend", "reference")
    assert shown.returncode == 1
    assert shown.stderr.startswith(f"streamlstm: --router {router}: is taken")


def test_an_address_that_others_can_reach_is_refused_in_a_sentence(model_file: Path) -> None:
    shown = serve(str(model_file), *FREE_PORTS, "--pull", "tcp://0.0.0.0:*")
    assert shown.returncode == 1
    assert shown.stderr.startswith("streamlstm: --pull tcp://0.0.0.0:*: ")
    assert "--insecure" in shown.stderr
    assert shown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--loop", "quick"), "expected auto, native or python"),
        (("--loop", "native", "--backend", "reference"), "the cpu backend"),
        (("--backend", "abacus"), "expected auto, cpu, cuda or reference"),
        (("--weights", "int4"), "float16"),
        (("--spin", "inf"), "--spin"),
        (("--threads", "99999999999999999999"), "--threads"),
        (("--queue-messages", "99999999999999999999"), "--queue-messages"),
        (("--queue-bytes", "8192"), "eight times"),
        (("--max-message-bytes", "99999999999999999999"), "--max-message-bytes"),
        (("--loop", "python", "--spin", "5"), "--spin"),
        (("--router", "inproc://here"), "no other process"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(
    model_file: Path, options: tuple[str, ...], said: str
) -> None:
    """At once, whatever there is still to compile."""
    shown = serve(str(model_file), *FREE_PORTS, *options)
    assert shown.returncode in (1, 2)
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


def test_a_second_worker_that_cannot_start_leaves_the_first_one_s_endpoints(
    model_file: Path, tmp_path: Path
) -> None:
    first = WorkerProcess(model_file)
    try:
        file = tmp_path / "worker.json"
        file.write_text(json.dumps({**first.endpoints, "pid": first.process.pid}))
        taken = ("--router", first.endpoints["router"], *FREE_PORTS[2:])
        shown = serve(str(model_file), *taken, "--endpoints", str(file))
        assert "is taken" in shown.stderr
        assert json.loads(file.read_text())["pid"] == first.process.pid
    finally:
        first.stop()


def test_a_file_that_is_no_model_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"PK\3\4 not a model")
    shown = serve(str(path), *FREE_PORTS)
    assert shown.returncode == 1
    assert shown.stderr.startswith("streamlstm: ")
    assert str(path) in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_ipc_and_insecure_addresses_work(model_file: Path, tmp_path: Path) -> None:
    worker = WorkerProcess(
        model_file, "--router", f"ipc://{tmp_path}/r", "--pull", "tcp://0.0.0.0:*", "--insecure"
    )
    try:
        with Client(f"ipc://{tmp_path}/r") as client:
            assert client.step("a", [1, 2]).shape == (3,)
    finally:
        assert worker.stop() == 0
    assert json.loads(json.dumps(worker.endpoints))["router"] == f"ipc://{tmp_path}/r"
