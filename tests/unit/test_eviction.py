"""Streams leave memory for the store and come back as they were; no slot shows another's past."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.errors import BadValueError, CapacityError
from streamlstm.serving import checkpointer as keeping
from streamlstm.serving import eviction as evictions
from streamlstm.serving.checkpointer import Keeper
from streamlstm.serving.eviction import Eviction, check_eviction, evicting
from streamlstm.serving.service import Service

from ..contract.models import random_model
from .loops import Harness, harness
from .test_store import opened
from .test_store_trouble import no_larger_files

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
ONES = wire.to_floats([1.0, 1.0])


@contextmanager
def small(
    tmp_path: Path, capacity: int, ttl: float | None = None, seconds: float = 60.0
) -> Iterator[tuple[Engine, Keeper, Eviction, Service]]:
    """A worker's inside with few places, over a store that is written when the test says so."""
    engine = Engine(MODEL, capacity, threads=1)
    with opened(engine, f"lmdb:{tmp_path / 'store'}", seconds) as keeper:
        eviction = Eviction(engine.idle(), keeper, when_full=True, ttl=ttl)
        yield engine, keeper, eviction, Service(engine, keeper=keeper, eviction=eviction)


def step(stream: wire.StreamId, seq: int = 0, x: bytes = ONES) -> bytes:
    return wire.encode(wire.Step(stream, seq, x))


def ask(service: Service, *messages: bytes) -> list[wire.Reply]:
    return [wire.decode_reply(answer.reply) for answer in service.handle(messages)]


def commit(keeper: Keeper) -> None:
    """Have all that has changed in the store."""
    keeper.hurry()
    while not keeper.settled:
        keeper.wait(1.0)


def code_of(reply: wire.Reply) -> str:
    assert isinstance(reply, wire.Error), reply
    return reply.code


# --- who leaves ----------------------------------------------------------------------------------


def test_those_that_were_idle_longest_leave(tmp_path: Path) -> None:
    with small(tmp_path, 8) as (engine, keeper, eviction, service):
        for stream in range(8):
            ask(service, step(stream))
        ask(service, step(0), wire.encode(wire.Reset(2)))  # a question is a use as well
        commit(keeper)
        ask(service, step(8))
        assert 1 not in engine
        ask(service, step(9), step("text"))
        assert sorted(map(str, engine.streams())) == sorted(map(str, [0, 2, 5, 6, 7, 8, 9, "text"]))
        assert (eviction.evicted, keeper.absent) == (3, 3)


def test_a_reserve_is_kept_between_turns(tmp_path: Path) -> None:
    with small(tmp_path, 320) as (engine, keeper, eviction, _service):
        engine.step_many(range(320), np.ones((320, 2)))
        assert eviction.turn(False) > 1  # nothing is in the store yet
        commit(keeper)
        while eviction.turn(False) < 1:
            pass
        assert len(engine) == 320 - eviction.reserve == 300
        assert engine.streams()[0] == 20 or 0 not in engine


@pytest.mark.parametrize("change", ["step", "slow step", "reset", "import"])
def test_what_has_changed_since_its_commit_stays(tmp_path: Path, change: str) -> None:
    with small(tmp_path, 4) as (engine, keeper, eviction, _service):
        engine.step_many(range(4), np.ones((4, 2)))
        commit(keeper)
        match change:
            case "step":
                engine.step(0, [1.0, 1.0])
            case "slow step":
                engine.step_each([0, 0], [[1.0, np.nan], [1.0, 1.0]])
            case "reset":
                engine.reset(0)
            case "import":
                engine.import_stream(0, engine.export_stream(1))
        before = engine.export_stream(0)
        eviction._before, eviction._goal, eviction._slots = eviction._idle.stamp(), 4, 4
        eviction._sweep(False)
        assert engine.streams() == [0]
        assert engine.export_stream(0) == before


def test_room_is_made_at_once_even_when_all_have_changed(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (_engine, keeper, _eviction, service):
        whole = Service(Engine(MODEL, threads=1))
        for turn in range(1, 4):
            for stream in range(40):
                x = wire.to_floats([stream, turn])
                assert ask(service, step(stream, turn, x)) == ask(whole, step(stream, turn, x))
        assert keeper.written > 1
        assert keeper.absent == 36


def test_messages_that_name_more_streams_than_fit_are_answered_one_after_the_other(
    tmp_path: Path,
) -> None:
    with small(tmp_path, 4) as (_engine, _keeper, _eviction, service):
        whole = Service(Engine(MODEL, threads=1))
        steps = wire.Steps([1, 2, 3, 1], [2, 2, 2, 3], ONES * 4)
        messages = [*(step(s, 1) for s in range(30)), wire.encode(steps), step(4, 2), step(1, 9)]
        assert ask(service, *messages) == ask(whole, *messages)


def test_what_a_message_names_does_not_leave_for_it(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (engine, keeper, _, service):
        whole = Service(Engine(MODEL, threads=1))
        for stream in range(4):
            assert ask(service, step(stream, 1)) == ask(whole, step(stream, 1))
        commit(keeper)
        steps = wire.encode(wire.Steps(["new", 0, 1, "newer"], [1, 2, 2, 1], ONES * 4))
        assert ask(service, steps) == ask(whole, steps)
        assert sorted(map(str, engine.streams())) == ["0", "1", "new", "newer"]


def test_one_message_with_more_streams_than_fit_is_refused(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (engine, _keeper, _eviction, service):
        ask(service, *(step(s, 1) for s in range(4)))
        blobs = {stream: engine.export_stream(stream) for stream in range(4)}
        (reply,) = ask(service, wire.encode(wire.Steps(list(range(5)), None, ONES * 5)))
        assert code_of(reply) == "capacity"
        for stream, blob in blobs.items():
            ask(service, step(f"another {stream}"))
            (done,) = ask(service, wire.encode(wire.Export(stream)))
            assert isinstance(done, wire.Done)
            assert done.value == blob


def test_fed_rows_of_more_streams_than_fit_are_applied(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (_engine, _keeper, _eviction, service):
        whole = Service(Engine(MODEL, threads=1))
        streams = [s % 13 for s in range(40)]
        seqs = [1 + n // 13 for n in range(40)]
        seqs[20] = 99  # refused by itself
        message = wire.encode(wire.Steps(streams, seqs, ONES * 40))
        (here,), (there,) = service.handle([message], fed={0}), whole.handle([message], fed={0})
        told = [
            p for p in here.publications if not isinstance(wire.decode_reply(p.frame), wire.Done)
        ]
        assert told == there.publications
        assert here.error == there.error is not None
        seqs = list(range(13))
        (last,) = ask(service, wire.encode(wire.Last(seqs)))
        assert [last] == ask(whole, wire.encode(wire.Last(seqs)))


# --- coming back ---------------------------------------------------------------------------------


def test_every_question_finds_a_stream_that_has_left(tmp_path: Path) -> None:
    with small(tmp_path, 2) as (engine, keeper, _eviction, service):
        (first,) = ask(service, step("a", 7 - 6))
        blob = engine.export_stream("a")

        def leave() -> None:
            ask(service, step("b"), step("c"))
            ask(service, step("b"), step("c"))
            assert "a" not in engine

        leave()
        assert ask(service, wire.encode(wire.Last(["a", "none"])))[0] == wire.Done(10, None, [1, 0])
        assert "a" not in engine  # it was told without bringing it back
        (export,) = ask(service, wire.encode(wire.Export("a")))
        assert export == wire.Done(4, "a", blob)
        leave()
        (again,) = ask(service, step("a", 1))
        assert isinstance(again, wire.Error)
        assert isinstance(first, wire.Prediction)
        assert (again.code, again.y) == ("duplicate", first.y)
        leave()
        assert code_of(ask(service, step("a", 3))[0]) == "gap"
        leave()
        assert ask(service, wire.encode(wire.Reset("a")))[0] == wire.Done(3, "a")
        leave()
        assert ask(service, wire.encode(wire.Import("a", blob)))[0] == wire.Done(5, "a")
        leave()
        assert ask(service, wire.encode(wire.Export("a")))[0] == export
        leave()
        assert ask(service, wire.encode(wire.Forget("a")))[0] == wire.Done(11, "a")
        assert code_of(ask(service, wire.encode(wire.Export("a")))[0]) == "unknown-stream"
        commit(keeper)
        assert keeper.absent + len(engine) == keeper._store.count() == 2


def test_an_import_over_a_stored_stream_leaves_no_ghost(tmp_path: Path) -> None:
    with small(tmp_path, 2) as (engine, keeper, _eviction, service):
        ask(service, step("a", 1), step("b", 1))
        blob = engine.export_stream("b")
        ask(service, step("c", 1))
        assert keeper.absent == 1
        gone = next(s for s in "ab" if s not in engine)
        ask(service, wire.encode(wire.Import(gone, blob)))
        assert keeper.absent + len(engine) == 3
        while len(engine) > 0:
            ask(service, wire.encode(wire.Forget(engine.streams()[0])))
        ask(service, *(wire.encode(wire.Forget(s)) for s in "abc"))
        assert keeper.absent == 0
        assert not keeper.has_more


def test_forgotten_then_come_anew_then_left(tmp_path: Path) -> None:
    """The deletion that is still to be written must not hit the new stream of the same id."""
    with small(tmp_path, 4) as (engine, keeper, eviction, service):
        keeper._piece = 1  # a batch is filled in many turns
        ask(service, *(step(s, 1) for s in range(4)))
        keeper._due = 0.0
        keeper.turn()  # the batch has taken its list of the forgotten, and one record
        ask(service, wire.encode(wire.Forget(3)))
        ask(service, step(3, 1), step(3, 2))  # which goes into this very batch
        blob = engine.export_stream(3)
        while not keeper.settled:
            keeper.turn()
            keeper.wait(0.01)
        assert 3 in engine._table.gone
        eviction._before, eviction._goal, eviction._slots = eviction._idle.stamp(), 4, 4
        assert eviction._may_leave()
        eviction._sweep(False)
        assert 3 not in engine
        commit(keeper)
        (export,) = ask(service, wire.encode(wire.Export(3)))
        assert export == wire.Done(4, 3, blob)


def test_a_list_has_those_in_the_store_too(tmp_path: Path) -> None:
    with small(tmp_path, 3) as (_engine, _keeper, _eviction, service):
        ids: list[wire.StreamId] = [0, 9, 2**64 - 1, *"abc", "ab", "b" * 60, "é"]
        for n, stream in enumerate(ids):
            ask(service, *(step(stream, seq) for seq in range(1, n + 2)))
        ask(service, wire.encode(wire.Forget("b")))
        expected = sorted(((s, n + 1) for n, s in enumerate(ids) if s != "b"), key=_order)
        for count in (1, 2, 100):
            found: list[tuple[wire.StreamId, int]] = []
            after = None
            while True:
                (done,) = ask(service, wire.encode(wire.List(None, after, count)))
                assert isinstance(done, wire.Done)
                if not done.value:
                    break
                found += [(s, n) for s, n in done.value]
                after = found[-1][0]
            assert found == expected
        for prefix in ("", "a", "bb", "z"):
            (done,) = ask(service, wire.encode(wire.List(prefix, None, 100)))
            wanted = [[s, n] for s, n in expected if isinstance(s, str) and s.startswith(prefix)]
            assert done == wire.Done(9, None, wanted)


def _order(entry: tuple[wire.StreamId, int]) -> bytes:
    return wire.topic(entry[0])


# --- stores that fail ----------------------------------------------------------------------------


def test_nothing_leaves_for_a_store_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 0.005)
    with small(tmp_path, 400, seconds=0.0) as (engine, keeper, eviction, service):
        ask(service, *(step(s, 1) for s in range(400)))
        with no_larger_files((tmp_path / "store" / "data.mdb").stat().st_size):
            keeper.hurry()
            while not keeper.fails:
                keeper.wait(0.01)
            (new, known) = ask(service, step("new", 1), step(5, 2))
            assert code_of(new) == "busy"  # it passes
            assert isinstance(known, wire.Prediction)
            assert eviction.turn(False) >= evictions.LOOK_SECONDS
            assert (len(engine), eviction.evicted) == (400, 0)
        while not keeper.settled:
            keeper.turn()
            keeper.wait(0.01)
        (new,) = ask(service, step("new", 1))
        assert isinstance(new, wire.Prediction)
        assert isinstance(ask(service, step(5, 3))[0], wire.Prediction)


def test_a_store_that_takes_long_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evictions, "ROOM_SECONDS", 0.05)
    with small(tmp_path, 2) as (_engine, keeper, eviction, service):
        ask(service, step(0), step(1))
        hold = keeper._store._env.begin(write=True)  # type: ignore[attr-defined]
        try:
            assert code_of(ask(service, step(2))[0]) == "busy"
            eviction._no_waiting_until = math.inf
            begun = time.monotonic()
            assert code_of(ask(service, step(2))[0]) == "busy"
            assert time.monotonic() - begun < 10  # it was not waited for at all
            assert isinstance(ask(service, step(0))[0], wire.Prediction)
        finally:
            hold.abort()
        while not keeper.settled:
            keeper.wait(0.01)
        assert isinstance(ask(service, step(2))[0], wire.Prediction)


# --- idle too long -------------------------------------------------------------------------------


def turn_until_gone(eviction: Eviction, keeper: Keeper | None, engine: Engine) -> None:
    deadline = time.monotonic() + 20
    while len(engine) and time.monotonic() < deadline:
        eviction.turn(False)
        if keeper is not None:
            keeper.turn()
            keeper.wait(0.001)


def test_idle_streams_leave_and_come_back(tmp_path: Path) -> None:
    with small(tmp_path, 100, ttl=0.05, seconds=0.0) as (engine, keeper, eviction, service):
        ask(service, *(step(s, 1) for s in range(50)))
        blob = engine.export_stream(7)
        turn_until_gone(eviction, keeper, engine)
        assert (len(engine), eviction.evicted, keeper.absent) == (0, 50, 50)
        assert ask(service, wire.encode(wire.Export(7)))[0] == wire.Done(4, 7, blob)
        assert isinstance(ask(service, step(8, 2))[0], wire.Prediction)


def test_without_a_store_an_idle_stream_ends() -> None:
    engine = Engine(MODEL, 100, threads=1)
    eviction = evicting(engine, None, "refuse", 0.05)
    assert eviction is not None
    service = Service(engine, eviction=eviction)
    ask(service, step("a", 1), wire.encode(wire.Steps(["b", 7], [1, 1], ONES * 2)))
    turn_until_gone(eviction, None, engine)
    assert len(engine) == 0
    assert isinstance(ask(service, step("a", 1))[0], wire.Prediction)


def test_a_stream_that_is_fed_does_not_leave() -> None:
    """Whichever way its observations come: as a block, or one by one since one of them is bad."""
    engine = Engine(MODEL, 100, threads=1)
    eviction = Eviction(engine.idle(), ttl=0.4)
    engine.step_many(["quick", "slow", "idle"], np.ones((3, 2)))
    deadline = time.monotonic() + 20
    while "idle" in engine and time.monotonic() < deadline:
        engine.step_many(["quick"], np.ones((1, 2)))
        engine.step_each(["slow", 3], [[1.0, 1.0], [np.nan, 1.0]])
        eviction.turn(False)
    assert sorted(engine.streams(), key=str) == ["quick", "slow"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("drop", None, "memory"), "expected refuse or evict-idle, got 'drop'"),
        (
            ("evict-idle", None, "memory"),
            "without a store, streams that leave memory would be lost",
        ),
        (("refuse", 0.0, "memory"), "expected seconds above 0, got 0"),
        (("refuse", math.nan, "memory"), "expected seconds above 0, got nan"),
    ],
)
def test_what_cannot_be_is_refused(given: tuple[str, float | None, str], said: str) -> None:
    with pytest.raises(BadValueError, match=said):
        check_eviction(*given)


# --- what subscribers hear -----------------------------------------------------------------------


@pytest.mark.parametrize("loop", ["native", "python"])
def test_subscribers_hear_what_is_done_to_streams(tmp_path: Path, loop: str) -> None:
    engine = Engine(MODEL, 2, threads=1)
    with opened(engine, f"lmdb:{tmp_path / 'store'}") as keeper:
        eviction = Eviction(engine.idle(), keeper, when_full=True)
        with harness(engine, loop=loop, keeper=keeper, eviction=eviction) as worker:
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
def test_a_sweep_of_many_tells_them_all(loop: str) -> None:
    engine = Engine(MODEL, 2000, threads=1)
    eviction = Eviction(engine.idle(), ttl=0.05)
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

    with small(tmp_path, 2) as (_engine, _keeper, _eviction, service):
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


def test_as_many_are_preloaded_as_fit(tmp_path: Path) -> None:
    engine = Engine(MODEL, 10, threads=1)
    where = f"lmdb:{tmp_path / 'store'}"
    with opened(engine, where) as keeper:
        engine.step_many(range(10), np.ones((10, 2)))
        keeper.finish()
    engine = Engine(MODEL, 4, threads=1)
    with opened(engine, where) as keeper:
        assert keeper.preload(lambda done, total: None, True) == 4
        assert keeper.absent == 6
    engine = Engine(MODEL, 4, threads=1)
    with opened(engine, where) as keeper, pytest.raises(CapacityError):
        keeper.preload(lambda done, total: None)
