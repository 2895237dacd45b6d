"""Who leads a fleet on many machines: one at a time, and its workers go on when it changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.engine.records import store_key
from streamlstm.errors import StoreError
from streamlstm.fleet import table_redis
from streamlstm.fleet.record import Record
from streamlstm.fleet.table_redis import TableRedis, open_table, stored
from streamlstm.serving.stores import lease
from streamlstm.serving.stores.header import header_of
from streamlstm.serving.stores.redis_fleet import Registered
from streamlstm.serving.stores.redis_lead import RedisLead
from streamlstm.serving.stores.redis_member import RedisMemberStore
from streamlstm.serving.stores.store import FencedError

from ..redis_server import Redis, needs_redis
from .test_store import MODEL

pytestmark = needs_redis
HEADER = header_of(MODEL, Engine(MODEL, threads=1).dirty_tracker().record_size)
PAIRS = [(store_key("pump"), b"x" * 50)]


@pytest.fixture(autouse=True)
def no_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test say when whoever leads looks, and when a worker renews its lease."""
    monkeypatch.setattr(table_redis, "LOOK_SECONDS", 1e6)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 1e6)


class Machines:
    """Machines that may lead, and workers."""

    def __init__(self, redis: Redis) -> None:
        self._redis, self.leads = redis, list[RedisLead]()
        self.tables: list[TableRedis] = []
        self.members: list[RedisMemberStore] = []

    def machine(self, name: str) -> RedisLead:
        empty = stored(Record.new())
        lead = RedisLead(self._redis.url, empty, name, f"tcp://{name}", "key")
        self.leads.append(lead)
        return lead

    def table(self, lead: RedisLead) -> TableRedis:
        self.tables.append(TableRedis(lead))
        return self.tables[-1]

    def worker(self, name: str, epoch: int) -> RedisMemberStore:
        self.members.append(RedisMemberStore(self._redis.url, HEADER, name, epoch))
        return self.members[-1]

    def end_lease(self, lead: RedisLead) -> None:
        """Let time pass for whoever leads."""
        lead.space.writer.delete(lead.space.owner)

    def close(self) -> None:
        for each in (*self.members, *self.tables):
            each.close()
        for lead in self.leads:
            lead.disconnect()


@pytest.fixture
def machines(redis: Redis) -> Iterator[Machines]:
    made = Machines(redis)
    yield made
    made.close()


def own_all(table: TableRedis, name: str) -> wire.FleetTable:
    """Let a worker have all partitions."""
    record = table.read()
    after = record.table._replace(
        version=record.table.version + 1,
        workers=(wire.FleetWorker(name, "r", "p", "x"),),
        owners=np.zeros(wire.PARTITIONS, np.uint16),
        epochs=record.table.epochs + np.uint32(1),
    )
    table.write(record._replace(table=after))
    return after


def test_a_worker_goes_on_when_another_machine_leads(machines: Machines) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    assert a.leader() is None
    assert a.lead(is_known=False)
    assert not b.lead(is_known=True)
    assert b.leader() == a.leader()
    assert b.leader()[1:] == ("a", "tcp://a", "key")
    first = machines.table(a)
    worker = machines.worker("a.w0", first.epoch)
    worker.hold(range(wire.PARTITIONS), own_all(first, "a.w0"))
    worker.commit([], PAIRS)
    machines.end_lease(a)
    assert not machines.machine("new").lead(is_known=False)  # that has workers of its own
    assert b.lead(is_known=True)
    second = machines.table(b)
    assert (second.epoch, second.alive()) == (first.epoch, ["a.w0"])
    assert second.read().table.version == first.read().table.version
    worker.commit([], [(PAIRS[0][0], b"y" * 50)])  # under its own lease
    assert worker.get([PAIRS[0][0]]) == [b"y" * 50]


@pytest.mark.parametrize("has_gone", [False, True])
def test_whoever_led_before_changes_nothing(machines: Machines, has_gone: bool) -> None:
    """As a machine that was stopped and wakes; also if the next one has gone again."""
    a, b = machines.machine("a"), machines.machine("b")
    assert a.lead(is_known=False)
    first = machines.table(a)
    own_all(first, "a.w0")
    machines.worker("a.w0", first.epoch)
    machines.end_lease(a)
    assert b.lead(is_known=True)
    second = machines.table(b)
    own_all(second, "b.w0")
    before = second.read()
    if has_gone:
        second.close()
        assert b.leader() is None
    first.ended("a.w0")
    assert b.members() == [Registered("a.w0", b.members()[0].token, lives=True)]
    for change in (lambda: own_all(first, "a.w0"), a.renew):
        with pytest.raises(FencedError, match="another machine leads this fleet now"):
            change()
    assert machines.table(a if has_gone and a.lead(True) else b).read().to_value() == (
        before.to_value()
    )


def test_a_lease_that_has_ended_is_renewed_if_nobody_else_leads(machines: Machines) -> None:
    a = machines.machine("a")
    assert a.lead(is_known=False)
    machines.end_lease(a)
    a.renew()
    assert a.leader() is not None


@pytest.mark.parametrize("found_by", ["a look at the members", "a change of the table"])
def test_members_are_members_still_when_redis_has_lost_all(
    machines: Machines, redis: Redis, monkeypatch: pytest.MonkeyPatch, found_by: str
) -> None:
    monkeypatch.setattr(table_redis, "LEASE_SECONDS", 60.0)
    lead = machines.machine("a")
    assert lead.lead(is_known=False)
    table = machines.table(lead)
    worker = machines.worker("a.w0", table.epoch)
    worker.hold(range(wire.PARTITIONS), own_all(table, "a.w0"))
    table._look()
    with redis.client() as server:
        server.flushall()
    with pytest.raises(StoreError, match="lost"):
        table.alive() if found_by == "a look at the members" else own_all(table, "b.w0")
    table._look()
    assert table.lost() == []
    assert table.alive() == ["a.w0"]
    assert worker._renew()
    worker.commit([], PAIRS)


def test_whoever_begins_to_lead_knows_the_members_when_redis_loses_all(
    machines: Machines, redis: Redis
) -> None:
    a, b = machines.machine("a"), machines.machine("b")
    assert a.lead(is_known=False)
    first = machines.table(a)
    worker = machines.worker("a.w0", first.epoch)
    worker.hold(range(wire.PARTITIONS), own_all(first, "a.w0"))
    machines.end_lease(a)
    assert b.lead(is_known=True)
    with redis.client() as server:
        server.flushall()
    machines.table(b)._look()
    assert b.members() == [Registered("a.w0", b.members()[0].token, lives=False)]
    worker.commit([], PAIRS)


def test_a_store_of_something_else_is_left_alone(machines: Machines, redis: Redis) -> None:
    table = open_table(redis.url)
    try:
        with pytest.raises(StoreError, match="is in use by a fleet, process"):
            machines.machine("a").leader()
    finally:
        table.close()
    a = machines.machine("a")
    assert a.lead(is_known=False)  # that fleet has ended
    with pytest.raises(StoreError, match="is in use by a fleet, process"):
        open_table(redis.url)
    assert not a.lead(is_known=True)
