"""Streams leave memory while a commit is under way, but only those that the store has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.engine.records import NEVER
from streamlstm.serving import eviction as evictions
from streamlstm.serving.service import Service
from streamlstm.serving.stores import checkpointer as checkpointers
from streamlstm.serving.stores import outage
from streamlstm.serving.stores.checkpointer import Checkpointer

from .small_service import MODEL, ask, code_of, commit, small, step, writing
from .test_store_failures import no_larger_files


def settle(checkpointer: Checkpointer) -> None:
    while not checkpointer.settled:
        checkpointer.wait(1.0)


def test_nobody_waits_for_a_commit_while_others_may_leave(tmp_path: Path) -> None:
    with small(tmp_path, 8) as (engine, checkpointer, eviction, service):
        whole = Service(Engine(MODEL, threads=1))
        first, second = [step(s, 1) for s in range(4)], [step(s, 1) for s in range(4, 8)]
        assert ask(service, *first) == ask(whole, *first)
        commit(checkpointer)
        assert ask(service, *second) == ask(whole, *second)
        with writing(checkpointer):
            checkpointer.commit_early()  # 4 to 7
            assert ask(service, step("new", 1)) == ask(whole, step("new", 1))
            assert checkpointer.writing
            assert sorted(map(str, engine.streams())) == ["1", "2", "3", "4", "5", "6", "7", "new"]
            assert ask(service, step(4, 2), step(1, 2)) == ask(whole, step(4, 2), step(1, 2))
            assert ask(service, step(0, 2)) == ask(whole, step(0, 2))  # it is read meanwhile
            assert checkpointer.writing
        settle(checkpointer)
        assert eviction.evicted == 2


def test_streams_of_the_batch_that_is_written_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evictions, "ROOM_SECONDS", 0.05)
    with small(tmp_path, 8) as (engine, checkpointer, eviction, service):
        ask(service, *(step(s, 1) for s in range(8)))
        commit(checkpointer)
        ask(service, *(step(s, 2) for s in range(8)))
        with writing(checkpointer):
            checkpointer.commit_early()
            assert code_of(ask(service, step("new", 1))[0]) == "busy"
            ask(service, step(3, 3))
            eviction.turn(False)
            assert (len(engine), eviction.evicted) == (8, 0)
        settle(checkpointer)
        eviction._no_waiting_until = 0.0
        assert isinstance(ask(service, step("new", 1))[0], wire.Prediction)
        assert 3 in engine


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_being_written_no_change_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(evictions, "ROOM_SECONDS", 0.002)
    monkeypatch.setattr(checkpointers, "EARLY_RECORDS", 2)
    random, seqs, applied = np.random.default_rng(seed), np.zeros(20, np.int64), 0
    whole = Service(Engine(MODEL, threads=1))
    with small(tmp_path, 6) as (_engine, checkpointer, eviction, service):
        checkpointer._chunk = 1
        eviction.reserve = 2
        while applied < 200:
            with writing(checkpointer):
                for _ in range(random.integers(1, 12)):
                    stream = int(random.integers(20))
                    if random.random() < 0.1 and seqs[stream]:
                        forget = wire.encode(wire.Forget(stream))
                        if isinstance(ask(service, forget)[0], wire.Done):
                            ask(whole, forget)
                            seqs[stream] = 0
                        continue
                    x = wire.to_floats(random.standard_normal(2).astype(np.float32))
                    (said,) = ask(service, step(stream, int(seqs[stream]) + 1, x))
                    if code_of_any(said) != "busy":  # which it may be until the commit ends
                        seqs[stream], applied = seqs[stream] + 1, applied + 1
                        assert [said] == ask(whole, step(stream, int(seqs[stream]), x))
                    eviction.turn(False)
                    checkpointer.turn()
                eviction._no_waiting_until = 0.0
        for stream in np.flatnonzero(seqs).tolist():
            settle_all(checkpointer)
            export = wire.encode(wire.Export(stream))
            assert ask(service, export) == ask(whole, export)


def code_of_any(reply: wire.Reply) -> str | None:
    return reply.code if isinstance(reply, wire.Error) else None


def settle_all(checkpointer: Checkpointer) -> None:
    """Have all that has changed in the store, in as many batches as that takes."""
    while checkpointer.has_changes or not checkpointer.settled:
        checkpointer.commit_early()
        checkpointer.wait(1.0)


def test_a_commit_begins_when_places_run_short(tmp_path: Path) -> None:
    with small(tmp_path, 16) as (engine, checkpointer, eviction, _service):
        engine.step_many(range(15), np.ones((15, 2)))
        eviction.turn(False)
        assert not checkpointer.begun  # there is room for another
        commit(checkpointer)
        engine.step_many([12, 13, 14, 15], np.ones((4, 2)))
        eviction.turn(False)
        assert checkpointer.begun == 1  # most of them could go
        engine.step_many(range(10, 16), np.ones((6, 2)))
        engine.step_many([16], np.ones((1, 2)))
        eviction.turn(False)
        assert checkpointer.begun == 2
        settle(checkpointer)
        assert checkpointer.committed == 2


def test_streams_come_no_faster_than_the_store_takes_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "RETRY_SECONDS", 0.005)
    with small(tmp_path, 32) as (engine, checkpointer, eviction, _service):
        engine.step_many(range(16), np.ones((16, 2)))
        assert eviction._delay(1) == 0.0  # half of all places can still be had
        engine.step_many(range(24), np.ones((24, 2)))
        some = eviction._delay(1)
        assert (
            0.0 < some < eviction._delay(2) <= eviction._delay(10**6) < evictions.MAX_PACE_SECONDS
        )
        with writing(checkpointer):
            checkpointer.commit_early()  # what is under way counts as well
            assert eviction._delay(1) == some
            engine.step_many(range(32), np.ones((32, 2)))
            assert eviction._delay(1) > some
            eviction._no_waiting_until = np.inf  # somebody has waited in vain
            assert eviction._delay(1) == 0.0
        eviction._no_waiting_until = 0.0
        settle_all(checkpointer)
        assert eviction._delay(1) == 0.0
        engine.step_many(range(32), np.ones((32, 2)))
        with no_larger_files((tmp_path / "store" / "data.mdb").stat().st_size // 2):
            checkpointer.commit_early()
            while not checkpointer.failing:
                checkpointer.wait(0.001)
            assert eviction._delay(1) == 0.0  # streams in memory go on


def test_a_commit_in_small_batches_counts_when_all_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpointers, "EARLY_RECORDS", 4)
    with small(tmp_path, 32) as (engine, checkpointer, _eviction, _service):
        engine.step_many(range(10), np.ones((10, 2)))
        ticket = checkpointer.ticket()
        for stored, committed in ((4, 0), (8, 0), (10, ticket)):
            assert checkpointer.safe_before == NEVER
            checkpointer.commit_early()
            settle(checkpointer)
            assert (checkpointer._store.count(), checkpointer.committed) == (stored, committed)
