"""Subscribers, INFO and metrics show which streams were evicted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from streamlstm import Engine, wire
from streamlstm.serving.eviction import Eviction

from .small_service import MODEL, ONES, ask, small, step
from .test_store import opened
from .worker_harness import Harness, harness

# --- what subscribers hear -----------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["native", "python"])
def test_subscribers_receive_what_is_done_to_streams(tmp_path: Path, loop: str) -> None:
    engine = Engine(MODEL, 2, threads=1)
    with opened(engine, f"lmdb:{tmp_path / 'store'}") as checkpointer:
        eviction = Eviction(engine.idle_evictor(), checkpointer, when_full=True)
        with harness(engine, loop=loop, checkpointer=checkpointer, eviction=eviction) as worker:
            worker.ask([step("a", 1)])
            blob = engine.export_stream("a")
            worker.ask([wire.encode(wire.Reset("a")), wire.encode(wire.Import("a", blob))])
            worker.ask([step(7, 1), step("c", 1)])
            worker.ask([wire.encode(wire.Forget("c")), wire.encode(wire.Forget("none"))])
            heard = hear(worker)
    assert [frame for topic, frame in heard if topic == b"a"][1:] == [
        wire.encode(wire.Done(3, "a")),
        wire.encode(wire.Done(5, "a")),
        wire.encode(wire.Done(wire.EVICTED, "a", True)),
    ]
    kinds = [wire.decode_reply(frame)[0] for _, frame in heard]
    assert [kind for kind in kinds if kind != wire.EVICTED] == ["a", 3, 5, 7, "c", 11]


def hear(worker: Harness) -> list[tuple[bytes, bytes]]:
    worker.turn()
    return [(topic, frame) for topic, frame in worker.heard()]


@pytest.mark.parametrize("loop", ["native", "python"])
def test_a_sweep_publishes_every_eviction(loop: str) -> None:
    engine = Engine(MODEL, 2000, threads=1)
    eviction = Eviction(engine.idle_evictor(), ttl=0.05)
    with harness(engine, loop=loop, eviction=eviction) as worker:
        worker.ask([wire.encode(wire.Steps(list(range(1000)), None, ONES * 1000))])
        heard: list[tuple[bytes, bytes]] = []
        deadline = time.monotonic() + 20
        while len(engine) and time.monotonic() < deadline:
            heard += hear(worker)
        heard += hear(worker)
    left = [topic for topic, frame in heard if frame == wire.encode(_ended(topic))]
    assert sorted(left) == [wire.topic(n) for n in range(1000)]


def _ended(topic: bytes) -> wire.Done:
    return wire.Done(wire.EVICTED, int.from_bytes(topic[1:], "big"), False)


def test_info_and_metrics_count(tmp_path: Path) -> None:
    from streamlstm.serving.metrics import WorkerCollector

    with small(tmp_path, 2) as (_engine, _checkpointer, _eviction, service):
        ask(service, *(step(s) for s in range(5)))
        ask(service, step(0))
        info = service.info()
        assert (info["counters"]["evicted"], info["counters"]["returned"]) == (4, 1)
        assert (info["streams"], info["store"]["absent"]) == (2, 3)
        found = {
            m.name: m.samples[0].value for m in WorkerCollector(service).collect() if m.samples
        }
        assert found["streamlstm_evicted"] == 4
        assert found["streamlstm_returned"] == 1
        assert found["streamlstm_store_absent"] == 3
