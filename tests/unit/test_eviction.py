"""Which streams are evicted and when, over a store that works, fails, or is not there."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.engine.records import NEVER
from streamlstm.errors import BadValueError
from streamlstm.serving import eviction as evictions
from streamlstm.serving.eviction import Eviction, check_eviction, make_eviction
from streamlstm.serving.service import Service
from streamlstm.serving.stores import outage
from streamlstm.serving.stores.checkpointer import Checkpointer

from .small_service import MODEL, ONES, ask, code_of, commit, small, step, writing
from .test_store_failures import no_larger_files

# --- who leaves ----------------------------------------------------------------------------------


def test_the_longest_idle_are_evicted(tmp_path: Path) -> None:
    with small(tmp_path, 8) as (engine, checkpointer, eviction, service):
        for stream in range(8):
            ask(service, step(stream))
        ask(service, step(0), wire.encode(wire.Reset(2)))  # a question is a use as well
        commit(checkpointer)
        ask(service, step(8))
        assert 1 not in engine
        ask(service, step(9), step("text"))
        assert sorted(map(str, engine.streams())) == sorted(map(str, [0, 2, 5, 6, 7, 8, 9, "text"]))
        assert (eviction.evicted, checkpointer.stored.count) == (3, 3)


def test_a_reserve_is_freed_between_turns(tmp_path: Path) -> None:
    with small(tmp_path, 320) as (engine, checkpointer, eviction, _service):
        engine.step_many(range(320), np.ones((320, 2)))
        with writing(checkpointer):
            assert eviction.turn(False) > 1  # nothing is in the store yet, but under way to it
            assert len(engine) == 320
        commit(checkpointer)
        while eviction.turn(False) < 1:
            pass
        assert len(engine) == 320 - eviction.reserve == 300
        assert engine.streams()[0] == 20 or 0 not in engine


@pytest.mark.parametrize("change", ["step", "slow step", "reset", "import"])
def test_streams_that_changed_since_their_commit_stay(tmp_path: Path, change: str) -> None:
    with small(tmp_path, 4) as (engine, checkpointer, eviction, _service):
        engine.step_many(range(4), np.ones((4, 2)))
        commit(checkpointer)
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
        eviction._before, eviction._goal, eviction._slots = eviction._idle.advance_clock(), 4, 4
        eviction._sweep(False, NEVER)
        assert engine.streams() == [0]
        assert engine.export_stream(0) == before


def test_room_is_made_at_once_even_when_all_have_changed(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (_engine, checkpointer, _eviction, service):
        whole = Service(Engine(MODEL, threads=1))
        for turn in range(1, 4):
            for stream in range(40):
                x = wire.to_floats([stream, turn])
                assert ask(service, step(stream, turn, x)) == ask(whole, step(stream, turn, x))
        assert checkpointer.written > 1
        assert checkpointer.stored.count == 36


def test_messages_that_name_more_streams_than_fit_are_answered_one_after_the_other(
    tmp_path: Path,
) -> None:
    with small(tmp_path, 4) as (_engine, _checkpointer, _eviction, service):
        whole = Service(Engine(MODEL, threads=1))
        steps = wire.Steps([1, 2, 3, 1], [2, 2, 2, 3], ONES * 4)
        messages = [*(step(s, 1) for s in range(30)), wire.encode(steps), step(4, 2), step(1, 9)]
        assert ask(service, *messages) == ask(whole, *messages)


def test_streams_of_a_message_are_not_evicted_for_it(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (engine, checkpointer, _, service):
        whole = Service(Engine(MODEL, threads=1))
        for stream in range(4):
            assert ask(service, step(stream, 1)) == ask(whole, step(stream, 1))
        commit(checkpointer)
        steps = wire.encode(wire.Steps(["new", 0, 1, "newer"], [1, 2, 2, 1], ONES * 4))
        assert ask(service, steps) == ask(whole, steps)
        assert sorted(map(str, engine.streams())) == ["0", "1", "new", "newer"]


def test_one_message_with_more_streams_than_fit_is_refused(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (engine, _checkpointer, _eviction, service):
        ask(service, *(step(s, 1) for s in range(4)))
        blobs = {stream: engine.export_stream(stream) for stream in range(4)}
        (reply,) = ask(service, wire.encode(wire.Steps(list(range(5)), None, ONES * 5)))
        assert code_of(reply) == "capacity"
        for stream, blob in blobs.items():
            ask(service, step(f"another {stream}"))
            (done,) = ask(service, wire.encode(wire.Export(stream)))
            assert isinstance(done, wire.Done)
            assert done.value == blob


def test_pulled_rows_of_more_streams_than_fit_are_applied(tmp_path: Path) -> None:
    with small(tmp_path, 4) as (_engine, _checkpointer, _eviction, service):
        whole = Service(Engine(MODEL, threads=1))
        streams = [s % 13 for s in range(40)]
        seqs = [1 + n // 13 for n in range(40)]
        seqs[20] = 99  # refused by itself
        message = wire.encode(wire.Steps(streams, seqs, ONES * 40))
        (here,), (there,) = (
            service.handle([message], pulled={0}),
            whole.handle([message], pulled={0}),
        )
        published = [
            p for p in here.publications if not isinstance(wire.decode_reply(p.frame), wire.Done)
        ]
        assert published == there.publications
        assert here.error == there.error is not None
        seqs = list(range(13))
        (last,) = ask(service, wire.encode(wire.Last(seqs)))
        assert [last] == ask(whole, wire.encode(wire.Last(seqs)))


# --- stores that fail ----------------------------------------------------------------------------


def test_nothing_is_evicted_while_the_store_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "RETRY_SECONDS", 0.005)
    with small(tmp_path, 400, seconds=0.0) as (engine, checkpointer, eviction, service):
        ask(service, *(step(s, 1) for s in range(400)))
        with no_larger_files((tmp_path / "store" / "data.mdb").stat().st_size):
            checkpointer.commit_early()
            while not checkpointer.failing:
                checkpointer.wait(0.01)
            (new, known) = ask(service, step("new", 1), step(5, 2))
            assert code_of(new) == "busy"  # it passes
            assert isinstance(known, wire.Prediction)
            assert eviction.turn(False) >= evictions.POLL_SECONDS
            assert (len(engine), eviction.evicted) == (400, 0)
        while not checkpointer.settled:
            checkpointer.turn()
            checkpointer.wait(0.01)
        (new,) = ask(service, step("new", 1))
        assert isinstance(new, wire.Prediction)
        assert isinstance(ask(service, step(5, 3))[0], wire.Prediction)


def test_a_store_that_takes_long_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evictions, "ROOM_SECONDS", 0.05)
    with small(tmp_path, 2) as (_engine, checkpointer, eviction, service):
        ask(service, step(0), step(1))
        hold = checkpointer._store._env.begin(write=True)  # type: ignore[attr-defined]
        try:
            assert code_of(ask(service, step(2))[0]) == "busy"
            eviction._no_waiting_until = math.inf
            begun = time.monotonic()
            assert code_of(ask(service, step(2))[0]) == "busy"
            assert time.monotonic() - begun < 10  # it was not waited for at all
            assert isinstance(ask(service, step(0))[0], wire.Prediction)
        finally:
            hold.abort()
        while not checkpointer.settled:
            checkpointer.wait(0.01)
        assert isinstance(ask(service, step(2))[0], wire.Prediction)


# --- idle too long -------------------------------------------------------------------------------


def turn_until_gone(eviction: Eviction, checkpointer: Checkpointer | None, engine: Engine) -> None:
    deadline = time.monotonic() + 20
    while len(engine) and time.monotonic() < deadline:
        eviction.turn(False)
        if checkpointer is not None:
            checkpointer.turn()
            checkpointer.wait(0.001)


def test_idle_streams_are_evicted_and_restored(tmp_path: Path) -> None:
    with small(tmp_path, 100, ttl=0.05, seconds=0.0) as (engine, checkpointer, eviction, service):
        ask(service, *(step(s, 1) for s in range(50)))
        blob = engine.export_stream(7)
        turn_until_gone(eviction, checkpointer, engine)
        assert (len(engine), eviction.evicted, checkpointer.stored.count) == (0, 50, 50)
        assert ask(service, wire.encode(wire.Export(7)))[0] == wire.Done(4, 7, blob)
        assert isinstance(ask(service, step(8, 2))[0], wire.Prediction)


def test_without_a_store_an_idle_stream_ends() -> None:
    engine = Engine(MODEL, 100, threads=1)
    eviction = make_eviction(engine, None, "refuse", 0.05)
    assert eviction is not None
    service = Service(engine, eviction=eviction)
    ask(service, step("a", 1), wire.encode(wire.Steps(["b", 7], [1, 1], ONES * 2)))
    turn_until_gone(eviction, None, engine)
    assert len(engine) == 0
    assert isinstance(ask(service, step("a", 1))[0], wire.Prediction)


def test_a_stream_with_observations_is_not_evicted() -> None:
    """Whichever way its observations come: as a block, or one by one since one of them is bad."""
    engine = Engine(MODEL, 100, threads=1)
    eviction = Eviction(engine.idle_evictor(), ttl=0.4)
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
def test_bad_options_are_refused(given: tuple[str, float | None, str], said: str) -> None:
    with pytest.raises(BadValueError, match=said):
        check_eviction(*given)
