"""Workers that change their model: what is refused, what waits, the command and the client."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from streamlstm import Engine, wire
from streamlstm.client.aio import client as aio
from streamlstm.errors import RemoteError
from streamlstm.serving.access.roles import authorize
from streamlstm.serving.native import layout

from .conftest import Sockets
from .reloading import LOOPS, MODELS, OTHER, ROUNDS, Deployment, x_of


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    made = Deployment(tmp_path)
    yield made
    made.stop()


@LOOPS
def test_what_is_refused_changes_nothing(deployment: Deployment, options: tuple[str, ...]) -> None:
    worker = deployment.start(*options)
    alone = Engine(MODELS[0], threads=1)
    whole = deployment.file.read_bytes()

    def torn() -> None:
        deployment.file.write_bytes(whole[: len(whole) // 2])

    def newer() -> None:
        deployment.file.write_bytes(whole.replace(b'"version":"1"', b'"version":"9"'))

    cases: list[tuple[Callable[[], object], str, str]] = [
        (deployment.file.unlink, "bad-model", "cannot be read: No such file"),
        (
            lambda: deployment.put(OTHER),
            "model-mismatch",
            "it has 3 inputs (x0, x1, x2), the running",
        ),
        (torn, "bad-model", "is damaged or of another kind"),
        (newer, "bad-model", "written in format version 9"),
        (lambda: deployment.file.write_bytes(b""), "bad-model", "damaged"),
    ]
    with worker.client() as client:
        for seq, (change, code, said) in enumerate(cases, 1):
            change()
            with pytest.raises(RemoteError, match="reload: ") as caught:
                client.reload(anew=code == "bad-model")
            assert (caught.value.code, said in str(caught.value)) == (code, True), caught.value
            assert str(deployment.file) in str(caught.value) or code == "model-mismatch"
            x = np.frombuffer(x_of(seq), np.float32)
            np.testing.assert_array_equal(client.step("a", x, seq=seq), alone.step("a", x, seq=seq))
            assert client.export_stream("a") == alone.export_stream("a")
            assert client.info()["model"]["fingerprint"] == MODELS[0].fingerprint
        assert client.info()["counters"]["reloads"] == 0


def test_only_one_reload_at_a_time(deployment: Deployment, sockets: Sockets) -> None:
    worker = deployment.start()
    dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    for n in range(20):  # until the second comes before the first is done
        deployment.put(MODELS[(n + 1) % 2])
        for number in (b"1", b"2"):
            dealer.send_multipart([number, wire.encode(wire.Reload(False))])
        answers = dict(dealer.recv_multipart() for _ in range(2))
        second, first = (wire.decode_reply(answers[number]) for number in (b"2", b"1"))
        assert isinstance(first, wire.Done)
        changed = ["weights of layers 0, 1", "input scaling", "output scaling"]
        assert first.value["changed"] == changed
        assert first.value["paused"] > 0
        if isinstance(second, wire.Error):
            break
        assert second.value["changed"] == []
    assert isinstance(second, wire.Error)
    assert (second.code, "another one is under way" in second.message) == ("busy", True)


@ROUNDS
@pytest.mark.parametrize("anew", [False, True])
def test_a_worker_that_stops_meanwhile_answers_and_stops(
    deployment: Deployment, sockets: Sockets, anew: bool, rounds: int
) -> None:
    for n in range(rounds):
        deployment.put(MODELS[n])
        worker = deployment.start("--store", f"lmdb:{deployment.folder / f'store {n}'}")
        dealer = sockets.connect(zmq.DEALER, worker.endpoints["router"])
        dealer.send(wire.encode(wire.Step("a", 1, x_of(1))))
        dealer.recv()
        deployment.put(OTHER if anew else MODELS[n + 1])
        dealer.send(wire.encode(wire.Reload(anew)))
        # Either reply says that the worker has taken the request to reload.
        dealer.send(wire.encode(wire.Ping(0)))
        replies = [wire.decode_reply(dealer.recv())]
        worker.process.send_signal(signal.SIGTERM)
        replies.append(wire.decode_reply(dealer.recv()))
        done = [reply.kind for reply in replies if isinstance(reply, wire.Done)]
        assert wire.Kind.PING in done
        assert wire.Kind.RELOAD in done or any(
            isinstance(reply, wire.Error) and "the worker stops" in reply.message
            for reply in replies
        )
        assert worker.stop(0) == 0  # it was sent the signal
        with deployment.start(
            "--store", f"lmdb:{deployment.folder / f'store {n}'}"
        ).client() as client:
            assert client.last_seqs(["a"]) == [1]


def test_the_command_the_asynchronous_client_and_a_file_that_is_a_link(
    deployment: Deployment,
) -> None:
    os.replace(deployment.file, deployment.folder / "first")
    MODELS[1].save(deployment.folder / "second")
    deployment.file.symlink_to("first")
    worker = deployment.start()
    (deployment.folder / "link").symlink_to("second")
    os.replace(deployment.folder / "link", deployment.file)
    asked = [sys.executable, "-m", "streamlstm", "reload", "--router", worker.endpoints["router"]]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*asked, *options], capture_output=True, text=True, timeout=60)

    ran = run()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == (
        f"model {MODELS[1].fingerprint[:8]} replaces {MODELS[0].fingerprint[:8]}; changed: weights "
        "of layers 0, 1; input scaling; output scaling\nall streams continue with their state\n"
    )
    assert "changed: nothing, it is the same model" in run().stdout
    deployment.put(OTHER)
    ran = run()
    assert ran.returncode == 1
    assert "it has 3 inputs (x0, x1, x2), the running model 2" in ran.stderr
    with worker.client() as client:
        client.step("a", [1, 2], seq=1)
        ran = run("--anew")
        assert (ran.returncode, "all streams were reset" in ran.stdout) == (0, True)
        with pytest.raises(RemoteError, match=r"expected 3 features a stream \(x0, x1, x2\)"):
            client.step("a", [1, 2], seq=2)
        y = client.step("a", [1, 2, 3], seq=2)
        np.testing.assert_array_equal(y, Engine(OTHER, threads=1).step("a", [1, 2, 3]))

    async def again() -> dict[str, Any]:
        async with aio.AsyncClient(worker.endpoints["router"]) as client:
            return await client.reload(anew=True)

    done = asyncio.run(again())
    assert (done["anew"], done["model"]) == (True, OTHER.fingerprint)
    with worker.client() as client:
        assert client.info()["counters"]["reloads"] == 4
    assert worker.stop() == 0
    assert "reloaded: the model" in worker.said  # a line a second at most


def test_only_the_role_all_may_reload() -> None:
    frame = wire.encode(wire.Reload(True))
    assert authorize(frame, layout.MAY_ALL) == frame
    for role in (ord("R"), layout.MAY_STEP, 0):
        refused = authorize(frame, role)
        assert not isinstance(refused, bytes)
        assert refused.code == "forbidden"
