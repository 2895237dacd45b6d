"""Two workers over one Redis: the second is refused, or takes it over and fences the first."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zmq

from streamlstm import wire

from ..exhaustive import exhaustive
from ..redis_server import Redis, needs_redis
from .conftest import FREE_PORTS, Sockets, WorkerProcess
from .test_store import STREAMS, observation, refused, settle
from .test_store_redis import assert_at, step_all

pytestmark = needs_redis


def test_a_second_worker_is_refused(start_on_redis: Any, redis: Redis, model_file: Path) -> None:
    first = start_on_redis()
    with first.client() as client:
        said = refused(str(model_file), "--store", redis.url)
        assert f"is in use by another worker, process {first.process.pid} on" in said
        assert "--take-over" in said
        step_all(client, 1)
    assert first.stop() == 0
    with start_on_redis().client() as client:
        assert_at(client, 1)


def test_only_a_store_in_redis_can_be_taken_over(model_file: Path) -> None:
    command = [sys.executable, "-m", "streamlstm", "serve", str(model_file), *FREE_PORTS]
    done = subprocess.run(
        [*command, "--take-over", "--store", "lmdb:store"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "--take-over is for a store in Redis" in " ".join(done.stderr.split())


def barrier(sockets: Sockets, worker: WorkerProcess, seq: int) -> Any:
    """Send the next observation of each stream and a barrier; return the socket."""
    socket = sockets.connect(zmq.DEALER, worker.endpoints["router"], LINGER=0)
    x = b"".join(wire.to_floats(observation(s, seq)) for s in STREAMS)
    socket.send(wire.encode(wire.Steps(STREAMS, [seq] * len(STREAMS), x)))
    socket.send(wire.encode(wire.Barrier(7, len(STREAMS))))
    return socket


def replies(socket: Any) -> list[Any]:
    """Return all that has come; the worker has ended."""
    found = []
    while socket.poll(200):
        found.append(wire.decode_reply(socket.recv()))
    return found


@pytest.mark.parametrize("loop", ["native", exhaustive("python")])
def test_a_worker_that_is_fenced_ends_and_confirms_nothing(
    start_on_redis: Any, sockets: Sockets, model_file: Path, loop: str
) -> None:
    old = start_on_redis("--loop", loop, "--commit-ms", "600000")
    with old.client() as client:
        step_all(client, 1)
    socket = barrier(sockets, old, 2)  # never committed
    assert isinstance(wire.decode_reply(socket.recv()), wire.Predictions)
    new = start_on_redis("--take-over")
    assert old.ended() == 1
    assert replies(socket) == []
    assert f"process {new.process.pid} on" in old.said
    assert "has taken over" in old.said
    assert "300 changes that it had not committed are not in the store" in old.said
    with new.client() as client:
        assert client.last_seqs(STREAMS) == [0] * len(STREAMS)
        step_all(client, 1)
        settle(client)
        assert_at(client, 1)
    assert new.stop() == 0


@pytest.mark.parametrize("stays", [exhaustive(True), False])
def test_a_worker_that_was_stopped_wakes_up_fenced(
    start_on_redis: Any, sockets: Sockets, stays: bool
) -> None:
    old = start_on_redis()
    with old.client() as client:
        step_all(client, 1)
        settle(client)
    old.process.send_signal(signal.SIGSTOP)
    socket = barrier(sockets, old, 2)  # waits in the sockets of the one that stopped
    new = start_on_redis("--take-over")
    with new.client() as client:
        step_all(client, 2)
        step_all(client, 3)
        settle(client)
    if not stays:
        assert new.stop() == 0
    old.process.send_signal(signal.SIGCONT)
    assert old.ended() == 1
    assert "taken over" in old.said
    assert not [reply for reply in replies(socket) if isinstance(reply, wire.Done)]
    with (new if stays else start_on_redis()).client() as client:
        assert_at(client, 3)


def test_one_that_stops_finds_that_it_is_fenced(start_on_redis: Any) -> None:
    old = start_on_redis()
    with old.client() as client:
        step_all(client, 1)
        settle(client)
    old.process.send_signal(signal.SIGSTOP)
    new = start_on_redis("--take-over")
    old.process.send_signal(signal.SIGTERM)
    old.process.send_signal(signal.SIGCONT)
    assert old.ended() == 1
    assert new.stop() == 0
