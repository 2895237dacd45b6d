"""A namespace of a Redis belongs to one worker at a time; who has lost it commits nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine
from streamlstm.errors import StoreError
from streamlstm.serving.stores import commit_thread, redis_namespace
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.stores.header import header_of
from streamlstm.serving.stores.open import open_checkpointer
from streamlstm.serving.stores.owner import Owner
from streamlstm.serving.stores.redis import RedisStore
from streamlstm.serving.stores.store import FencedError

from ..redis_server import Redis, needs_redis
from .test_store import IDS, MODEL, exports, opened, read_back

pytestmark = needs_redis
OWNER = "streamlstm:owner"


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit_thread, "CHECK_SECONDS", 0.02)


def taken_over(engine: Engine, where: str) -> Checkpointer:
    checkpointer = open_checkpointer(engine, where, 0.0, take_over=True)
    assert checkpointer is not None
    return checkpointer


def step(engine: Engine, checkpointer: Checkpointer) -> None:
    """Step all streams once, and commit that."""
    checkpointer.stored.restore(IDS)
    engine.step_many(IDS, np.ones((len(IDS), 2)))
    ticket = checkpointer.ticket()
    while checkpointer.committed < ticket:
        checkpointer.turn()
        checkpointer.wait(0.001)


def turn_on(checkpointer: Checkpointer) -> None:
    while True:
        checkpointer._due = 0.0
        checkpointer.turn()
        checkpointer.wait(0.001)


def test_a_second_worker_is_refused(redis: Redis) -> None:
    with opened(Engine(MODEL, threads=1), redis.url):
        with pytest.raises(StoreError) as caught:
            opened(Engine(MODEL, threads=1), redis.url)
        said = str(caught.value)
        assert f"in use by another worker, process {os.getpid()} on {socket.gethostname()}" in said
        assert "--take-over" in said
    read_back(redis.url)  # it was released


def test_stores_of_one_redis_are_apart(redis: Redis, server: Any) -> None:
    places = [redis.url, f"{redis.url}?db=1", f"{redis.url}?prefix=a", f"{redis.url}?prefix=a&db=1"]
    engines = [Engine(MODEL, threads=1) for _ in places]
    checkpointers = [opened(e, p, 0.0) for e, p in zip(engines, places, strict=True)]
    for n, (engine, checkpointer) in enumerate(zip(engines, checkpointers, strict=True)):
        for _ in range(n):
            step(engine, checkpointer)
        checkpointer.close()
    shown = [checkpointer.status()["place"] for checkpointer in checkpointers]
    assert shown == [*places[:3], f"{redis.url}?db=1&prefix=a"]
    for engine, place in zip(engines, places, strict=True):
        assert read_back(place) == exports(engine)
    keys = {b"streamlstm", b"streamlstm:streams"}
    more = {b"a:streamlstm", b"a:streamlstm:streams", b"a:streamlstm:order"}
    assert set(server.keys()) == keys | more


def test_who_takes_over_fences_the_one_before(redis: Redis) -> None:
    old, new = Engine(MODEL, threads=1), Engine(MODEL, threads=1)
    with opened(old, redis.url, 60.0) as before:
        before._due = 0.0
        step(old, before)
        truth = exports(old)
        old.step("a", [3, 3])
        ticket = before.ticket()
        with taken_over(new, redis.url) as after:
            with pytest.raises(FencedError, match=f"process {os.getpid()} on .* has taken over"):
                before.set_header(before.header)
            with pytest.raises(FencedError) as caught:
                turn_on(before)
            assert "1 changes that it had not committed are not in the store" in str(caught.value)
            assert before.fenced
            assert not before.settled
            with pytest.raises(FencedError):
                before.finish()
            assert before.committed < ticket
            before.close()  # and releases nothing
            with pytest.raises(StoreError, match="in use by another worker"):
                opened(Engine(MODEL, threads=1), redis.url)
            step(new, after)
    for stream in IDS:
        old.import_stream(stream, truth[stream])
    old.step_many(IDS, np.ones((len(IDS), 2)))
    assert read_back(redis.url) == exports(new) == exports(old)


def test_an_idle_worker_learns_that_it_was_fenced(redis: Redis) -> None:
    told = threading.Event()
    with opened(Engine(MODEL, threads=1), redis.url, 60.0) as before:
        before.on_commit = told.set
        taken_over(Engine(MODEL, threads=1), redis.url).close()  # and has gone again
        told.wait()
        assert before.fenced
        with pytest.raises(FencedError, match="taken over"):
            before.turn()


def test_two_that_start_at_once_do_not_both_have_it(redis: Redis) -> None:
    header = header_of(MODEL, Engine(MODEL, threads=1).dirty_tracker().record_size)
    stores: list[RedisStore] = []
    refused: list[StoreError] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        try:
            stores.append(RedisStore(redis.url, header))
        except StoreError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(stores), len(refused)) == (1, 7)
    stores[0].close()


def note_owner(server: Any, seconds: float, **fields: Any) -> Owner:
    """Note an owner as another process would have."""
    owner = Owner.of_this_process(1)._replace(**fields)
    server.set(OWNER, owner.encode(), px=round(1000 * seconds))
    return owner


def test_one_that_has_died_here_is_recognised(redis: Redis, server: Any) -> None:
    note_owner(server, 600, start=1)  # a later process has its pid
    read_back(redis.url)
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    note_owner(server, 600, pid=child.pid)
    read_back(redis.url)


def test_a_zombie_is_dead(redis: Redis, server: Any) -> None:
    program = (
        "from streamlstm.serving.stores.owner import Owner\n"
        "print(Owner.of_this_process(1).encode().decode(), flush=True)\n"
        "input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        owner = Owner.decode(child.stdout.readline().encode(), "here")
        assert owner.is_visible
        assert not owner.has_ended
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still listed
        server.set(OWNER, owner.encode(), px=600_000)
        read_back(redis.url)


def test_that_of_another_machine_is_waited_for(
    redis: Redis, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    note_owner(server, 1.0, space="elsewhere", host="far", pid=7)
    read_back(redis.url)
    assert "belongs to process 7 on far; waiting up to" in caplog.text


@pytest.mark.parametrize("renewed", [True, False])
def test_one_of_another_machine_that_goes_on_is_refused(
    redis: Redis, server: Any, renewed: bool
) -> None:
    note_owner(server, 600, space="elsewhere", host="far", pid=7)
    if not renewed:
        server.persist(OWNER)
    stopped = threading.Event()

    def renew() -> None:
        while not stopped.is_set():
            server.pexpire(OWNER, 600_000)

    thread = threading.Thread(target=renew)
    if renewed:
        thread.start()
    try:
        with pytest.raises(StoreError, match="in use by another worker, process 7 on far"):
            opened(Engine(MODEL, threads=1), redis.url)
    finally:
        stopped.set()
        if renewed:
            thread.join()
    with taken_over(Engine(MODEL, threads=1), redis.url):
        pass


def test_a_lease_that_ran_out_is_taken_again(
    redis: Redis, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_thread, "CHECK_SECONDS", 60.0)
    monkeypatch.setattr(redis_namespace, "LEASE_SECONDS", 0.01)
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        step(engine, checkpointer)
        while server.exists(OWNER):
            pass
        step(engine, checkpointer)
        assert checkpointer.losses == 0
    assert read_back(redis.url) == exports(engine)


def test_a_redis_that_hangs_for_longer_than_a_lease(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_namespace, "LEASE_SECONDS", 0.01)
    monkeypatch.setattr(redis_namespace, "WRITE_SECONDS", 0.05)
    monkeypatch.setattr("streamlstm.serving.stores.outage.RETRY_SECONDS", 0.01)
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        step(engine, checkpointer)
        redis._process.send_signal(signal.SIGSTOP)
        engine.step_many(IDS, np.ones((len(IDS), 2)))
        ticket = checkpointer.ticket()
        while checkpointer.status()["failing"] is None:
            checkpointer.turn()
            checkpointer.wait(0.001)
        redis._process.send_signal(signal.SIGCONT)  # and does what was given up long ago
        while checkpointer.committed < ticket:
            checkpointer.turn()
            checkpointer.wait(0.001)
        step(engine, checkpointer)
        assert checkpointer.losses == 0
    assert read_back(redis.url) == exports(engine)


def test_an_owner_of_an_older_file_is_no_owner(redis: Redis, server: Any) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        note_owner(server, 600, token="before", pid=1)
        step(engine, checkpointer)
        assert Owner.decode(server.get(OWNER), "here").token != "before"
    assert read_back(redis.url) == exports(engine)


def test_whoever_starts_on_an_emptied_redis_has_it(redis: Redis, server: Any) -> None:
    with opened(Engine(MODEL, threads=1), redis.url, 60.0) as before:
        server.flushall()
        with taken_over(Engine(MODEL, threads=1), redis.url) as after:
            while not before.fenced:
                before.wait(0.001)
            assert not after.fenced


def test_one_that_finds_the_store_of_another_there_leaves_it_alone(
    redis: Redis, server: Any
) -> None:
    other = Engine(MODEL, threads=1)
    with opened(other, f"{redis.url}?prefix=other", 0.0) as theirs:
        step(other, theirs)
        with opened(Engine(MODEL, threads=1), redis.url, 0.0) as checkpointer:
            with server.pipeline(transaction=True) as pipe:  # as if all of Redis were another
                for key in ("streamlstm", "streamlstm:streams", "streamlstm:order", OWNER):
                    pipe.copy(f"other:{key}", key, replace=True)
                pipe.execute()
            while checkpointer.status()["error"] is None:
                checkpointer.wait(0.001)
            assert "is in use by another worker" in checkpointer.status()["error"]
            assert not checkpointer.settled
        server.delete(OWNER)
        assert read_back(redis.url) == exports(other)


def test_what_was_given_up_changes_nothing_when_it_is_executed_late(
    redis: Redis, server: Any
) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url, 0.0) as checkpointer:
        step(engine, checkpointer)
        store = checkpointer._store
        assert isinstance(store, RedisStore)
        seen = store._state.encode(), store._me.encode()
        step(engine, checkpointer)
        late = store.space.write(
            seen, store._state, store._me, store.header, [b"a"], [(b"b", b"old")]
        )
        assert late is not None
    assert read_back(redis.url) == exports(engine)


@pytest.mark.parametrize("key", ["streamlstm:owner", "streamlstm"])
def test_keys_of_something_else_are_refused(redis: Redis, server: Any, key: str) -> None:
    server.set(key, "mine")
    with pytest.raises(StoreError, match="choose another place"):
        opened(Engine(MODEL, threads=1), redis.url)
    server.delete(key)
    server.hset(key, "a", "mine")
    with pytest.raises(StoreError, match="cannot be opened"):
        opened(Engine(MODEL, threads=1), redis.url)
    server.delete(key)
    server.hset("streamlstm:streams", "a", "mine")  # without a header
    with pytest.raises(StoreError, match="expected a store of streamlstm"):
        opened(Engine(MODEL, threads=1), redis.url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:9/x", "expected the number of a database"),
        ("redis://127.0.0.1:9/0?prefix=", "expected a name after prefix="),
        ("redis://127.0.0.1:9/0?prefx=a", "cannot be opened: .*prefx"),
    ],
)
def test_urls_that_are_not_understood_are_refused(url: str, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        opened(Engine(MODEL, threads=1), url)
