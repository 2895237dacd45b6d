"""Streams of a Redis in the order of their keys, as LMDB has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.engine.records import store_key
from streamlstm.serving.service import Service
from streamlstm.serving.stores.header import HEADER_KEY, Header
from streamlstm.serving.stores.lmdb import LmdbStore
from streamlstm.serving.stores.redis import RedisStore

from ..redis_server import Redis, needs_redis
from .test_redis_losses import HASH, ORDER
from .test_store import MODEL, exports, opened, read_back

pytestmark = needs_redis
COUNT = 2500  # more than the script takes at once
HEADER = Header("m", 8)


def test_pages_are_those_of_lmdb(redis: Redis, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    texts = ["".join(random.choice([*"ab\x7fé\U0010ffff"], 4)) for _ in range(300)]
    streams = (*dict.fromkeys(texts), *range(0, 2**20, 2**13), 2**64 - 1)
    keys = [store_key(stream) for stream in streams]
    stores = [RedisStore(redis.url, HEADER), LmdbStore(str(tmp_path / "lmdb"), HEADER)]
    for store in stores:
        store.commit([], [(key, b"r" + key) for key in keys])
        store.commit(keys[::7], [(keys[0], b"again")])
    for prefix in (b"", b"a", b"ab", "é".encode(), b"none"):
        for after in (b"", b"\0", b"a", b"ab", *keys[::40], b"\xff"):
            for count in (1, 7, 1000):
                pages = [store.page(prefix, after, count) for store in stores]
                assert pages[0] == pages[1]
    for store in stores:
        store.close()


def test_thousands_in_one_commit(redis: Redis, server: Any) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url) as checkpointer:
        engine.step_many(range(COUNT), np.ones((COUNT, 2)))
        engine.step_many([f"s{n}" for n in range(COUNT)], np.ones((COUNT, 2)))
        checkpointer.finish()
        for n in range(COUNT - 5):
            engine.forget(n)
        checkpointer._thread._finishing.clear()
        checkpointer.finish()
        assert server.zcard(ORDER) == server.hlen(HASH) - 1 == COUNT + 5
        assert checkpointer._store.count() == COUNT + 5
    assert read_back(redis.url) == exports(engine)


def test_listing_reads_no_more_of_the_store_than_it_lists(redis: Redis, server: Any) -> None:
    first = Engine(MODEL, threads=1)
    with opened(first, redis.url) as checkpointer:
        first.step_many(range(COUNT + 1), np.ones((COUNT + 1, 2)))
        checkpointer.finish()
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url) as checkpointer:
        checkpointer.stored.restore(range(COUNT))  # all but the last
        service = Service(engine, checkpointer=checkpointer)
        server.config_resetstat()
        listed, after = [], None
        while page := listing(service, after):
            listed += page
            after = page[-1]
        assert listed == list(range(COUNT + 1))
        # One for each reply that is full, and two for the others.
        assert server.info("commandstats")["cmdstat_zrangebylex"]["calls"] <= 6


def listing(service: Service, after: wire.StreamId | None) -> list[wire.StreamId]:
    [response] = service.handle([wire.encode(wire.List(None, after, 1000))])
    reply = wire.decode_reply(response.reply)
    assert isinstance(reply, wire.Done)
    return [stream for stream, _ in reply.value]


def test_it_is_made_again_if_it_is_not_complete(redis: Redis, server: Any) -> None:
    engine = Engine(MODEL, threads=1)
    store_of_all = [b"\0" + n.to_bytes(8, "big") for n in range(100)]
    with opened(engine, redis.url) as checkpointer:
        engine.step_many(range(100), np.ones((100, 2)))
        checkpointer.finish()
        for damage in (
            lambda: server.zrem(ORDER, *store_of_all[:7]),
            lambda: server.zadd(ORDER, {"stale": 0}),
            lambda: server.delete(ORDER),
        ):
            damage()
            checkpointer._store.check()
            assert server.zrange(ORDER, 0, -1) == store_of_all


def test_a_store_written_before_there_was_an_order(
    redis: Redis, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, redis.url) as checkpointer:
        engine.step_many([f"é{n}" for n in range(COUNT)], np.ones((COUNT, 2)))
        checkpointer.finish()
    server.hdel(HASH, HEADER_KEY)
    server.delete(ORDER)
    again = Engine(MODEL, threads=1)
    with opened(again, redis.url) as checkpointer:
        listed = checkpointer.stored.list_page("é", None, 2 * COUNT)
        assert listed == sorted((stream, 0) for stream in exports(engine))
        assert f"sorting the keys of its {COUNT} streams" in caplog.text
        assert checkpointer.losses == 0
    assert read_back(redis.url) == exports(engine)
