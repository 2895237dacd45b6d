"""Workers over a real Redis, which goes away, comes back, and loses what it had."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.client.client import Client
from streamlstm.errors import RemoteError
from streamlstm.serving.stores.header import HEADER_KEY

from ..exhaustive import exhaustive
from ..redis_server import Redis, needs_redis
from ..unit.former_store import former_header, former_record
from .reloading import OTHER
from .test_store import STREAMS, blob_after, observation, settle, store_of

pytestmark = needs_redis


def step_all(client: Client, seq: int) -> None:
    client.step_many(STREAMS, [observation(s, seq) for s in STREAMS], seqs=[seq] * len(STREAMS))


def assert_at(client: Client, seq: int) -> None:
    assert client.last_seqs(STREAMS) == [seq] * len(STREAMS)
    for stream in STREAMS[::20]:
        assert client.export_stream(stream) == blob_after(stream, seq)


@pytest.mark.parametrize("options", [(), ("--preload",)])
def test_killed_and_started_again_at_once_it_goes_on(
    start_on_redis: Any, options: tuple[str, ...]
) -> None:
    first = start_on_redis()
    with first.client() as client:
        step_all(client, 1)
        step_all(client, 2)
        settle(client)
    first.stop(signal.SIGKILL)  # its lease runs on
    with start_on_redis(*options).client() as client:
        assert_at(client, 2)
        step_all(client, 3)
        assert_at(client, 3)


def test_a_redis_of_the_format_before_continues(start_on_redis: Any, server: Any) -> None:
    first = start_on_redis()
    with first.client() as client:
        step_all(client, 1)
    first.stop()
    server.set("streamlstm", former_header(server.get("streamlstm")))
    server.delete("streamlstm:order")
    server.hdel("streamlstm:streams", HEADER_KEY)  # there were no owners
    records = server.hgetall("streamlstm:streams")
    former = {key: former_record(record) for key, record in records.items()}
    server.hset("streamlstm:streams", mapping=former)
    some, others = STREAMS[:10], STREAMS[10:]
    second = start_on_redis()
    with second.client() as client:  # these are written in the new format
        client.step_many(some, [observation(s, 2) for s in some], seqs=[2] * len(some))
    second.stop()
    with start_on_redis().client() as client:
        client.step_many(others, [observation(s, 2) for s in others], seqs=[2] * len(others))
        for stream in STREAMS[::20]:
            assert client.export_stream(stream) == blob_after(stream, 2)


@pytest.mark.parametrize("empty", [False, True])
def test_a_redis_goes_away_and_comes_back(start_on_redis: Any, redis: Redis, empty: bool) -> None:
    worker = start_on_redis()
    with worker.client() as client:
        step_all(client, 1)
        settle(client)
        committed = store_of(client)["committed"]
        redis.kill()
        for seq in range(2, 5):
            step_all(client, seq)  # predictions go on
        while store_of(client)["failing"] is None:
            pass
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
        assert store_of(client)["losses"] == empty
    worker.stop(signal.SIGKILL)
    assert ("has lost what was in it" in worker.said) == empty
    with start_on_redis().client() as client:
        assert_at(client, 4)


def test_what_only_an_unreadable_redis_has_is_not_started_anew(
    start_on_redis: Any, redis: Redis
) -> None:
    with start_on_redis().client() as client:
        step_all(client, 1)
    start_again = start_on_redis("--take-over")
    with start_again.client() as client:
        redis.kill()
        with pytest.raises(RemoteError, match="cannot be read") as caught:
            client.step(STREAMS[0], [0.0, 0.0])
        assert caught.value.code == "busy"


def flush(redis: Redis) -> None:
    with redis.client() as server:
        server.flushall()


def restart_without_its_file(redis: Redis) -> None:
    redis.kill()
    redis.forget()
    redis.start()


@pytest.mark.parametrize("lose", [flush, exhaustive(restart_without_its_file)])
def test_a_redis_that_lost_everything_has_it_again_when_the_worker_stops(
    start_on_redis: Any, redis: Redis, lose: Any
) -> None:
    worker = start_on_redis()
    with worker.client() as client:
        step_all(client, 1)
        settle(client)
        lose(redis)
    assert worker.stop() == 0
    assert f"the {len(STREAMS)} streams in memory are written again" in worker.said
    with start_on_redis().client() as client:
        assert_at(client, 1)


@pytest.mark.parametrize(
    "options",
    [("--capacity", "400", "--when-full", "evict-idle"), ("--idle-ttl", "1")],
    ids=["evict-idle", "idle-ttl"],
)
def test_no_stream_leaves_for_a_redis_that_does_not_have_it(
    start_on_redis: Any, redis: Redis, options: tuple[str, ...]
) -> None:
    worker = start_on_redis(*options)
    with worker.client() as client:
        for seq in (1, 2):
            step_all(client, seq)
        settle(client)
        before = set(client.last_seqs(STREAMS))
        assert before == {2}
        step_all(client, 3)
        flush(redis)
        step_all(client, 4)  # all are in memory, and some have to leave for others
        while store_of(client)["losses"] == 0:
            client.step("someone", [0.0, 0.0])
        for n in range(10):
            client.step_many(range(10_000 + 40 * n, 10_040 + 40 * n), np.ones((40, 2)))
        while info_of(client, "evicted") == 0 or store_of(client)["absent"] == 0:
            pass
        assert_at(client, 4)
    assert worker.stop() == 0
    with start_on_redis(*options).client() as client:
        assert_at(client, 4)


def info_of(client: Client, counter: str) -> int:
    found: int = client.info()["counters"][counter]
    return found


def test_evicted_streams_are_listed_in_order(start_on_redis: Any) -> None:
    worker = start_on_redis("--capacity", "40", "--when-full", "evict-idle")
    with worker.client() as client:
        for n in range(0, len(STREAMS), 20):
            client.step_many(STREAMS[n : n + 20], np.ones((20, 2)), seqs=[1] * 20)
        client.forget(STREAMS[0])
        expected = sorted(STREAMS[1:], key=wire.topic)
        assert list(client.list_streams()) == [(stream, 1) for stream in expected]
        texts = [s for s in expected if isinstance(s, str) and s.startswith("pump-1")]
        assert [s for s, _ in client.list_streams("pump-1")] == texts


def test_streams_restart_with_another_model(
    start_on_redis: Any, model_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(model_file.read_bytes())
    worker = start_on_redis("--capacity", "400", "--when-full", "evict-idle", model=file)
    with worker.client() as client:
        step_all(client, 1)
        settle(client)
        OTHER.save(file)
        client.reload(anew=True)
        assert client.last_seqs(STREAMS) == [1] * len(STREAMS)
        y = client.step(STREAMS[0], [1, 2, 3], seq=2)
        truth = Engine(OTHER, threads=1)
        np.testing.assert_array_equal(y, truth.step(STREAMS[0], [1, 2, 3]))
        settle(client)
    worker.stop(signal.SIGKILL)
    with start_on_redis(model=file).client() as client:
        assert client.last_seqs(STREAMS[:2]) == [2, 1]
        y = client.step(STREAMS[0], [1, 2, 3], seq=3)
        np.testing.assert_array_equal(y, truth.step(STREAMS[0], [1, 2, 3]))
