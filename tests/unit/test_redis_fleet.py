"""A store in Redis that the workers of a fleet share: who may write what, and for how long."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.engine.partitions import partitions_of
from streamlstm.engine.records import store_key
from streamlstm.errors import ArrivingError, StoreError
from streamlstm.fleet import table_redis
from streamlstm.fleet.table_redis import TableRedis, open_table
from streamlstm.serving import partitions, preloading
from streamlstm.serving.commits import SharedCommits
from streamlstm.serving.native import layout
from streamlstm.serving.partitions import Partitions
from streamlstm.serving.preloading import Preloading
from streamlstm.serving.stores import lease
from streamlstm.serving.stores.header import header_of
from streamlstm.serving.stores.open import Membership, open_checkpointer
from streamlstm.serving.stores.redis_member import RedisMemberStore
from streamlstm.serving.stores.store import FencedError

from ..redis_server import Redis, needs_redis
from .test_store import MODEL, exports, opened

pytestmark = needs_redis
SIZE = Engine(MODEL, threads=1).dirty_tracker().record_size
HEADER = header_of(MODEL, SIZE)
STREAMS: list[int | str] = [*range(50), *(f"pump-{n}" for n in range(50))]
KEYS = [store_key(stream) for stream in STREAMS]
PARTITIONS = partitions_of(STREAMS).tolist()


@pytest.fixture(autouse=True)
def no_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test say when the supervisor looks, and when a worker renews its lease."""
    monkeypatch.setattr(table_redis, "LOOK_SECONDS", 1e6)
    monkeypatch.setattr(table_redis, "LEASE_SECONDS", 60.0)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 1e6)


@pytest.fixture
def table(redis: Redis) -> Iterator[TableRedis]:
    table = open_table(redis.url)
    yield table
    table.close()


def member(redis: Redis, table: TableRedis, name: str = "w0") -> RedisMemberStore:
    return RedisMemberStore(redis.url, HEADER, name, table.epoch)


def owned(table: TableRedis, *owners: int) -> wire.FleetTable:
    """Write a table in which worker ``n`` has every partition p with ``p % len(owners) == n``."""
    record = table.read()
    before = record.table
    workers = tuple(wire.FleetWorker(f"w{n}", f"r{n}", f"p{n}", f"x{n}") for n in range(3))
    mine = np.array(owners, np.uint16)[np.arange(wire.PARTITIONS) % len(owners)]
    epochs = before.epochs + (mine != before.owners)
    after = wire.FleetTable(before.version + 1, workers, mine, epochs.astype(np.uint32))
    table.write(record._replace(table=after))
    return after


def records(value: int) -> list[tuple[bytes, bytes]]:
    return [(key, bytes([value]) * SIZE) for key in KEYS]


def test_a_worker_writes_only_what_is_its_own(redis: Redis, table: TableRedis) -> None:
    first, second = member(redis, table), member(redis, table, "w1")
    now = owned(table, 0, 1)
    first.hold(range(0, wire.PARTITIONS, 2), now)
    second.hold(range(1, wire.PARTITIONS, 2), now)
    first.commit([], records(1))
    second.commit([], records(2))
    assert not first.refused  # what is not held is not even sent
    assert not second.refused
    assert first.get(KEYS) == [bytes([1 + p % 2]) * SIZE for p in PARTITIONS]
    now = owned(table, 1)  # and `first` has not heard of it
    first.commit(KEYS[:9], records(3)[9:])
    assert set(first.refused) == {p for p in PARTITIONS if p % 2 == 0}
    assert first.get(KEYS) == [bytes([1 + p % 2]) * SIZE for p in PARTITIONS]
    second.hold(range(wire.PARTITIONS), now)
    second.commit(KEYS[:9], records(4)[9:])
    assert second.get(KEYS) == [None] * 9 + [bytes([4]) * SIZE] * (len(KEYS) - 9)
    first.commit([], [])  # it is a member still
    for store in (first, second):
        store.close()
    assert not table._fleet.members()


def test_a_store_without_streams_is_of_any_model_until_a_worker_has_joined(
    redis: Redis, table: TableRedis
) -> None:
    other = HEADER._replace(model="b" * 64)
    RedisMemberStore(redis.url, other, "w0", table.epoch).close()
    table.ended("w0")
    with closing(member(redis, table, "w1")), pytest.raises(StoreError, match="holds streams of"):
        RedisMemberStore(redis.url, other, "w0", table.epoch)


def test_a_worker_whose_lease_has_ended_writes_nothing(redis: Redis, table: TableRedis) -> None:
    store = member(redis, table)
    store.hold(range(wire.PARTITIONS), owned(table, 0))
    store.commit([], records(1))
    table._look()
    assert table.lost() == []
    with redis.client() as server:
        server.delete("streamlstm:lease:w0")  # as its time to live would
    store.commit([], records(2))  # nobody has taken notice yet: so it has one again
    table._look()
    assert table.lost() == []
    with redis.client() as server:
        server.delete("streamlstm:lease:w0")
    table._look()
    assert table.lost() == ["w0"]
    with pytest.raises(FencedError, match="lease of worker w0 had ended"):
        store.commit([], records(3))
    with pytest.raises(FencedError):
        store.check()
    assert not store._renew()
    assert set(store.get(KEYS)) == {bytes([2]) * SIZE}
    again = member(redis, table)  # its next process
    assert not store._renew()
    again.hold(range(wire.PARTITIONS), owned(table, 0))
    again.commit([], records(4))
    store.close()
    again.check()
    again.close()


def test_workers_renew_their_leases_first_after_a_redis_that_did_not_answer(
    redis: Redis, table: TableRedis
) -> None:
    store = member(redis, table)
    with redis.client() as server:
        server.delete("streamlstm:lease:w0")
    table._looked -= 60.0  # as if it had answered then for the last time
    table._look()
    assert table.lost() == []
    store.check()
    table._grace_until = 0.0
    table._look()
    assert table.lost() == []
    store.close()


def test_a_process_that_has_ended_need_not_be_waited_for(redis: Redis, table: TableRedis) -> None:
    store = member(redis, table)
    table.ended("w0")
    with pytest.raises(FencedError):
        store.check()
    store.close()


def test_a_second_fleet_or_worker_is_refused(redis: Redis, table: TableRedis) -> None:
    store = member(redis, table)
    store.hold(range(wire.PARTITIONS), owned(table, 0))
    where = f"in use by a fleet, process {os.getpid()} on"
    with pytest.raises(StoreError, match=where):
        open_table(redis.url)
    with pytest.raises(StoreError, match=where):
        opened(Engine(MODEL, threads=1), redis.url)
    second = open_table(redis.url, take_over=True)
    assert second.epoch > table.epoch
    assert (second.read().table.owners == table.read().table.owners).all()
    with pytest.raises(FencedError, match="somebody else"):
        store.commit([], records(1))
    with pytest.raises(FencedError, match="somebody else"):
        member(redis, table)
    with pytest.raises(FencedError, match="has taken over; this fleet ends"):
        table._look()
    with pytest.raises(FencedError, match="has taken over"):
        owned(table, 1)
    second.close()
    store.close()
    opened(Engine(MODEL, threads=1), redis.url).close()  # one worker may go on with it


def test_a_table_that_somebody_else_has_changed_is_not_replaced(
    redis: Redis, table: TableRedis
) -> None:
    owned(table, 0)
    with redis.client() as server:
        server.hset("streamlstm:fleet", mapping={"version": 7, "table": b"x"})
    with pytest.raises(FencedError, match="of version 7, expected 1"):
        owned(table, 1)


@pytest.mark.parametrize("lost", ["all", "streams", "table"])
def test_what_redis_has_lost_is_written_again(redis: Redis, table: TableRedis, lost: str) -> None:
    store = member(redis, table)
    now = owned(table, 0)
    store.hold(range(wire.PARTITIONS), now)
    store.commit([], records(1))
    table._look()
    with redis.client() as server:
        server.delete(
            *(
                server.keys()
                if lost == "all"
                else ["streamlstm:streams" if lost == "streams" else "streamlstm:fleet"]
            )
        )
    with pytest.raises(StoreError, match="has lost what the fleet notes") as caught:
        store.commit([], records(2))
    assert not isinstance(caught.value, FencedError)
    table._look()
    store.commit([], records(2))
    assert store.loss is not None
    assert "is back at commit 0 of worker w0, after 1" in store.loss.reason
    assert set(store.get(KEYS)) == {bytes([2]) * SIZE}
    assert table.read().table.version == now.version
    store.close()


def test_a_table_of_an_older_file_is_replaced(redis: Redis, table: TableRedis) -> None:
    store = member(redis, table)
    now = owned(table, 1)
    with redis.client() as server:
        older = server.hgetall("streamlstm:fleet")
        now = owned(table, 0)
        store.hold(range(wire.PARTITIONS), now)
        server.hset("streamlstm:fleet", mapping=older)
    with pytest.raises(StoreError, match="has lost what the fleet notes"):
        store.commit([], records(1))
    table._look()
    store.commit([], records(1))
    assert not store.refused
    store.close()


def test_workers_change_the_model_one_after_the_other(redis: Redis, table: TableRedis) -> None:
    first, second = member(redis, table), member(redis, table, "w1")
    now = owned(table, 0, 1)
    first.hold(range(0, wire.PARTITIONS, 2), now)
    second.hold(range(1, wire.PARTITIONS, 2), now)
    first.set_header(HEADER._replace(model="another").continued_from(HEADER))
    second.commit([], records(2))
    first.commit([], records(1))
    first.set_header(HEADER._replace(model="third").restarted_from(first.header))
    second.commit([], records(4))  # of the epoch before, so these streams restart
    first.set_header(HEADER._replace(model="fourth"))
    with pytest.raises(StoreError, match="another worker of the fleet runs the model fourth now"):
        second.commit([], records(3))
    assert second.get(KEYS) == [bytes([1 + 3 * (p % 2)]) * SIZE for p in PARTITIONS]
    for store in (first, second):
        store.close()


class Worker:
    """A worker of the fleet without its sockets."""

    def __init__(self, redis: Redis, table: TableRedis) -> None:
        self.engine = Engine(MODEL, threads=1)
        where = Membership("w0", table.epoch)
        found = open_checkpointer(self.engine, redis.url, 0.0, member=where)
        assert found is not None
        assert found.shared is not None
        self.checkpointer, self.shared = found, found.shared
        self.commits, self.partitions = SharedCommits(found), Partitions(self.shared)

    def step(self) -> int:
        """Step all streams; return the commit after which that is safe."""
        self.engine.step_many(STREAMS, np.ones((len(STREAMS), 2)))
        return self.commits.ticket()

    def commit(self, ticket: int) -> None:
        while self.checkpointer.committed < ticket:
            self.checkpointer.turn()
            self.checkpointer.wait(0.001)


@pytest.fixture
def worker(redis: Redis, table: TableRedis) -> Iterator[Worker]:
    worker = Worker(redis, table)
    worker.partitions.follow(owned(table, 0))
    worker.partitions.set(range(wire.PARTITIONS), layout.HERE)
    yield worker
    worker.checkpointer.close()


def test_barriers_wait_until_whoever_has_got_a_partition_has_committed_it(
    table: TableRedis, worker: Worker
) -> None:
    worker.commit(first := worker.step())
    assert worker.commits.committed == first
    second = worker.step()
    after = owned(table, 1, 0)  # of which the worker has not heard
    worker.commit(second)
    assert worker.commits.committed == first
    leaving = [p for p in range(wire.PARTITIONS) if p % 2 == 0]
    worker.partitions.look()  # and it notices that others have them
    assert worker.partitions.are_here(STREAMS) == [p % 2 == 1 for p in PARTITIONS]
    worker.partitions.follow(after)
    worker.partitions.set(leaving, layout.ELSEWHERE)
    worker.commit(third := worker.step())
    assert worker.commits.committed == first
    worker.partitions.left(leaving)
    assert worker.commits.committed == third


def test_partitions_that_come_back_are_written_again(
    table: TableRedis, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.commit(first := worker.step())
    second = worker.step()
    worker.partitions.follow(owned(table, 1))
    worker.partitions.set(range(wire.PARTITIONS), layout.ELSEWHERE)
    worker.commit(second)
    assert worker.commits.committed == first
    everything, hand_over = np.ones(wire.PARTITIONS, np.uint8), worker.engine.hand_over()

    def write_again(partitions: Sequence[int]) -> None:
        hand_over.mark_changed(everything)
        worker.shared.return_with(partitions, worker.commits.ticket())

    monkeypatch.setattr(worker.partitions, "on_return", write_again)
    worker.partitions.follow(owned(table, 0))
    worker.partitions.set(range(wire.PARTITIONS), layout.HERE)
    assert worker.commits.committed == first
    worker.commit(third := worker.commits.ticket())
    assert worker.commits.committed == third
    again = Engine(MODEL, threads=1)
    records = worker.checkpointer._store.get(KEYS)
    again.dirty_tracker().restore(STREAMS, [record for record in records if record is not None])
    assert exports(again) == exports(worker.engine)


def test_streams_of_own_partitions_are_preloaded_as_far_as_there_is_room(
    redis: Redis, table: TableRedis, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.commit(worker.step())
    worker.checkpointer.close()
    monkeypatch.setattr(preloading, "LOOKED_AT", 7)
    again = Worker(redis, table)
    stored, streams = again.checkpointer.stored, again.engine.hand_over()
    stored.are_own = again.partitions.are_here
    loading = Preloading(streams, stored)
    assert not loading.advance()  # nobody has given it anything
    again.partitions.follow(owned(table, 0, 1))
    again.partitions.set(range(0, wire.PARTITIONS, 2), layout.HERE)

    def load() -> list[int | str]:
        loading.begin()
        while loading.advance():
            pass
        return again.engine.streams()

    mine = {s for s, p in zip(STREAMS, PARTITIONS, strict=True) if p % 2 == 0}
    first = min(mine & set(range(50)))
    for engine in (again.engine, worker.engine):
        stored.restore([first] if engine is again.engine else [])  # as for a message
        engine.step(first, [2.0, 1.0])
    streams.set_limit(5)
    assert len(load()) == 5
    streams.set_limit(100)
    redis.kill()
    assert len(load()) == 5
    assert not loading.advance()  # nor is it asked again at once
    redis.start()
    stored.outage.end()
    while loading.advance():  # from where it was
        pass
    assert set(again.engine.streams()) == mine
    assert exports(again.engine) == {s: worker.engine.export_stream(s) for s in mine}
    assert stored.list_page(None, None, 1000) == []
    again.checkpointer.close()


def test_a_worker_without_a_lease_by_its_own_clock_answers_busy(worker: Worker) -> None:
    assert worker.partitions.error(STREAMS) is None
    until, worker.shared.lease.until = worker.shared.lease.until, 0.0
    error = worker.partitions.error(STREAMS)
    assert isinstance(error, ArrivingError)
    assert "cannot reach the store" in str(error)
    worker.shared.lease.until = until
    assert worker.partitions.error(STREAMS) is None


def test_a_worker_that_nobody_tells_why_others_have_its_streams_ends(
    table: TableRedis, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = worker.step()
    owned(table, 1)
    worker.commit(ticket)
    monkeypatch.setattr(partitions, "LEASE_SECONDS", -1.0)
    with pytest.raises(FencedError, match="others have streams of this worker"):
        worker.partitions.look()
