"""A Redis that loses what was committed to it: everything in memory is written again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine
from streamlstm.errors import StoreError
from streamlstm.serving.eviction import Eviction, make_eviction
from streamlstm.serving.metrics import WorkerCollector
from streamlstm.serving.service import Service
from streamlstm.serving.stores import checkpointer as checkpoints
from streamlstm.serving.stores import commit_thread
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.redis import RedisStore

from ..redis_server import Redis, needs_redis
from .test_store import MODEL, exports, opened, read_back

pytestmark = needs_redis
COUNT = 100
HASH, ORDER = "streamlstm:streams", "streamlstm:order"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_thread, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr("streamlstm.serving.stores.outage.RETRY_SECONDS", 0.02)


def turn_until(checkpointer: Checkpointer, done: Callable[[], bool]) -> None:
    while not done():
        checkpointer.turn()
        checkpointer.wait(0.001)


def commit(checkpointer: Checkpointer) -> None:
    turn_until(checkpointer, lambda: checkpointer.settled and not checkpointer.has_changes)


def started(engine: Engine, checkpointer: Checkpointer) -> None:
    """Start streams, commit them, and leave some in the store only."""
    engine.step_many(range(COUNT), np.ones((COUNT, 2)))
    commit(checkpointer)


def restart_without_its_file(redis: Redis) -> None:
    redis.kill()
    redis.forget()
    redis.start()


LOSSES = {
    "flushed": lambda redis, server: server.flushall(),
    "restarted": lambda redis, server: restart_without_its_file(redis),
    "streams deleted": lambda redis, server: server.delete(HASH),
    "all deleted": lambda redis, server: server.delete(HASH, ORDER, "streamlstm"),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_an_idle_worker_notices_and_writes_all_again(
    redis: Redis, server: Any, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        assert checkpointer.status()["losses"] == 0
        LOSSES[kind](redis, server)
        turn_until(checkpointer, lambda: checkpointer.losses > 0)
        commit(checkpointer)
        service = Service(engine, checkpointer=checkpointer)
        found = {m.name: m.samples[0].value for m in WorkerCollector(service).collect()}
        assert found["streamlstm_store_losses"] == service.info()["store"]["losses"] == 1
    said = [
        r for r in caplog.records if "written again" in r.message and r.levelno == logging.ERROR
    ]
    assert len(said) == 1
    assert "has lost what was in it; the 100 streams in memory are written again" in caplog.text
    assert read_back(redis.url) == exports(engine)


def test_an_idle_worker_notices_that_its_store_can_be_read_again(redis: Redis) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        commit(checkpointer)
        checkpointer.stored.outage.record(StoreError("it could not be read"))
        assert checkpointer.failing
        turn_until(checkpointer, lambda: not checkpointer.failing)


@pytest.mark.parametrize("kind", LOSSES)
def test_a_worker_that_stops_looks_once_more(
    redis: Redis, server: Any, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(commit_thread, "CHECK_SECONDS", 60.0)
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        LOSSES[kind](redis, server)
        checkpointer.finish()
        assert checkpointer.lost == 0
    assert read_back(redis.url) == exports(engine)


def test_emptied_within_a_commit(
    redis: Redis, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "BATCH_BYTES", 2**12)
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        engine.step_many(range(COUNT), np.ones((COUNT, 2)))
        ticket = checkpointer.ticket()
        written = checkpointer.written
        turn_until(checkpointer, lambda: checkpointer.written > written)
        assert checkpointer.committed < ticket
        server.flushall()
        turn_until(checkpointer, lambda: checkpointer.committed >= ticket)
        assert server.hlen(HASH) == COUNT + 1  # what is confirmed is there, as a whole
    assert read_back(redis.url) == exports(engine)


def test_nothing_is_evicted_until_all_is_there_again(
    redis: Redis, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "BATCH_BYTES", 2**12)
    engine = Engine(MODEL, 2 * COUNT, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        eviction = make_eviction(engine, checkpointer, "evict-idle", 1e-9)
        assert isinstance(eviction, Eviction)
        server.flushall()
        while checkpointer.losses == 0:
            checkpointer.wait(0.001)
        assert not checkpointer.settled
        while not checkpointer.settled:
            eviction.turn(False)
            assert eviction.evicted == 0
            checkpointer.turn()
        assert server.hlen(HASH) == COUNT + 1
        while len(engine):
            eviction.turn(False)
            checkpointer.turn()
        assert checkpointer.stored.count == eviction.evicted == COUNT
    assert len(read_back(redis.url)) == COUNT


def test_info_counts_only_what_the_store_has(redis: Redis, server: Any) -> None:
    first = Engine(MODEL, threads=1)
    with opened(first, redis.url, 0.0) as checkpointer:
        started(first, checkpointer)
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        checkpointer.stored.restore(range(10))
        assert checkpointer.status()["absent"] == COUNT - 10
        server.flushall()
        turn_until(checkpointer, lambda: checkpointer.losses > 0)
        commit(checkpointer)
        assert checkpointer.status()["absent"] == 0
    assert len(read_back(redis.url)) == 10


def test_restarted_with_an_older_file(
    redis: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(MODEL, 2 * COUNT, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        redis.copy(tmp_path / "older")
        engine.step_many(range(50, 150), np.ones((100, 2)))
        commit(checkpointer)
        redis.kill()
        redis.bring_back(tmp_path / "older")
        redis.start()
        turn_until(checkpointer, lambda: checkpointer.losses > 0)
        commit(checkpointer)
        turn_until(checkpointer, lambda: checkpointer.status()["absent"] == 0)
        assert "is back at commit" in caplog.text
    assert read_back(redis.url) == exports(engine)


def test_another_store_in_its_place(redis: Redis, server: Any) -> None:
    engine, other = Engine(MODEL, threads=1), Engine(MODEL, threads=1)
    with opened(other, f"{redis.url}?prefix=other", 0.0) as checkpointer:
        other.step_many(range(1000, 1005), np.ones((5, 2)))
        checkpointer.finish()
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        server.copy(f"other:{HASH}", HASH, replace=True)  # without its order
        turn_until(checkpointer, lambda: checkpointer.losses > 0)
        commit(checkpointer)
    assert read_back(redis.url) == exports(engine) | exports(other)
    assert server.zcard(ORDER) == COUNT + 5


def test_a_store_of_another_model_in_its_place_is_left_alone(redis: Redis, server: Any) -> None:
    engine = Engine(MODEL, threads=1)
    checkpointer = opened(engine, redis.url, 0.0)
    started(engine, checkpointer)
    with server.pipeline(transaction=True) as pipe:
        pipe.flushall()
        pipe.set("streamlstm", '{"model": "abcdefgh", "record_size": 9, "format": 1}')
        pipe.hset(HASH, "a", "b")
        pipe.execute()
    turn_until(checkpointer, lambda: checkpointer.status()["error"] is not None)
    assert "holds streams of the model abcdefgh" in checkpointer.status()["error"]
    assert not checkpointer.settled
    checkpointer.close()
    assert server.hgetall(HASH) == {b"a": b"b"}


def test_a_store_without_streams_is_of_any_model(redis: Redis) -> None:
    other, engine = Header("ab" * 16, 9), Engine(MODEL, threads=1)
    RedisStore(redis.url, other).close()
    with opened(engine, redis.url, 0.0) as checkpointer:
        engine.step("a", [1.0, 1.0])
        checkpointer.finish()
    with pytest.raises(StoreError, match=f"holds streams of the model {MODEL.fingerprint[:8]}"):
        RedisStore(redis.url, other)


def test_a_header_that_is_gone_is_written_again(redis: Redis, server: Any) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        server.delete("streamlstm")
        while not server.exists("streamlstm"):
            pass
        assert checkpointer.losses == 0
    assert read_back(redis.url) == exports(engine)


def test_an_answer_that_was_lost_is_no_loss(redis: Redis) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        started(engine, checkpointer)
        store = checkpointer._store
        before = store._state  # type: ignore[attr-defined]
        engine.step(1, [1.0, 1.0])
        commit(checkpointer)
        store._state = before  # type: ignore[attr-defined]
        engine.step(2, [1.0, 1.0])
        commit(checkpointer)
        assert checkpointer.losses == 0
    assert read_back(redis.url) == exports(engine)
