"""Sequence numbers in errors, LAST and LIST; BARRIER, FORGET, and the commands for streams."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamlstm import sparse_seq, wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError

from .conftest import Sockets, WorkerProcess

X = np.random.default_rng(6).standard_normal((8, 2)).astype(np.float32)


def refusal(client: Client, stream: wire.StreamId, seq: int) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        client.step(stream, X[0], seq=seq)
    return caught.value


def test_a_repeated_observation_gets_the_same_prediction(client: Client) -> None:
    for n in range(3):
        first = client.step("again", X[n], seq=n + 1)
        error = refusal(client, "again", n + 1)
        assert (error.code, error.last_seq) == ("duplicate", n + 1)
        assert error.values is not None
        assert error.values.tobytes() == first.tobytes()
    old, early = refusal(client, "again", 1), refusal(client, "again", 9)
    assert (old.code, old.last_seq, old.values) == ("duplicate", 3, None)
    assert (early.code, early.last_seq, early.values) == ("gap", 3, None)
    many = client.step_many(["again", "other", "again"], X[:3], seqs=[4, 1, 5])
    assert refusal(client, "again", 5).values.tobytes() == many[2].tobytes()  # type: ignore[union-attr]
    client.reset("again")
    assert refusal(client, "again", 5).last_seq == 0


async def test_streams_are_listed_counted_and_forgotten(worker: WorkerProcess) -> None:
    names: list[wire.StreamId] = [f"listed-{n:04}" for n in range(2_500)]
    with worker.client() as client:
        client.step_many(names, np.zeros((2_500, 2)), seqs=[1] * 2_500)
        client.step(names[7], X[0], seq=2)
        expected = [(name, 1 + (name == names[7])) for name in names]
        assert list(client.list_streams("listed-")) == expected
        assert client.last_seqs([*names[6:9], "nobody"]) == [1, 2, 1, 0]
        everything = list(client.list_streams())
        assert set(expected) <= set(everything)
        client.forget(names[0])
        with pytest.raises(RemoteError) as caught:
            client.forget(names[0])
        assert (caught.value.code, caught.value.stream) == ("unknown-stream", names[0])
    async with AsyncClient(worker.endpoints["router"]) as later:
        assert [found async for found in later.list_streams("listed-")] == expected[1:]
        assert await later.last_seqs(names[:2]) == [0, 1]
        await later.forget(names[1])
        assert await later.last_seqs(names[1:2]) == [0]


def test_a_barrier_counts_observations(worker: WorkerProcess, sockets: Sockets) -> None:
    asker = sockets.connect(zmq.DEALER, worker.endpoints["router"])
    steps = wire.encode(wire.Steps(["bar", "rier"], [1, 1], b"\0" * 16))
    for frame in (steps, steps, wire.encode(wire.Barrier(b"now", 4))):
        asker.send(frame)
    answers = [wire.decode_reply(asker.recv()) for _ in range(3)]
    assert answers[2] == wire.Done(wire.Kind.BARRIER, None, [b"now", 4])
    feeder = sockets.connect(zmq.PUSH, worker.endpoints["pull"])
    with worker.client() as client:
        before = client.info()["counters"]["errors"].get("unknown-kind", 0)
        feeder.send(wire.encode(wire.Barrier(1, 0)))
        while client.info()["counters"]["errors"].get("unknown-kind", 0) == before:
            pass


def test_the_commands(worker: WorkerProcess, tmp_path: Path) -> None:
    def streamlstm(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "streamlstm", *arguments, "--endpoints", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    path = tmp_path / "endpoints.json"
    path.write_text(json.dumps(worker.endpoints))
    with worker.client() as client:
        for seq in range(1, 13):
            client.step_many(["cmd-a", "cmd-long"], X[:2], seqs=[seq, seq])
        client.step("cmd-b", X[0])
        client.step(70_123, X[0], seq=1)
        client.step("own\n\x1b[2J", X[0], seq=sparse_seq(7, 2))
    # What a client calls its streams does nothing to the terminal of who lists them.
    assert streamlstm("streams", "--prefix", "own") == (
        0, r"own\n\x1b[2J  7 (sparse, generation 2)" + "\n", ""
    )  # fmt: skip
    shown = "cmd-a     12\ncmd-b      0\ncmd-long  12\n"
    assert streamlstm("streams", "--prefix", "cmd-") == (0, shown, "")
    assert streamlstm("forget", "cmd-a", "cmd-b") == (0, "", "")
    assert streamlstm("streams", "--prefix", "cmd-") == (0, "cmd-long  12\n", "")
    assert streamlstm("forget", "--integer", "70123") == (0, "", "")
    status, _, said = streamlstm("forget", "70123")
    assert (status, said.count("\n")) == (1, 1)
    assert "has no state here" in said
    assert streamlstm("streams", "--prefix", "nobody") == (0, "", "")
