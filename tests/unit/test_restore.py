"""Evicted streams are restored from the store as they were, by every request that needs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.errors import CapacityError

from .small_service import MODEL, ask, code_of, commit, small, step
from .test_store import opened

# --- coming back ---------------------------------------------------------------------------------


def test_every_request_restores_an_evicted_stream(tmp_path: Path) -> None:
    with small(tmp_path, 2) as (engine, checkpointer, _eviction, service):
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
        commit(checkpointer)
        assert checkpointer.stored.count + len(engine) == checkpointer._store.count() == 2


def test_an_import_over_a_stored_stream_is_counted_once(tmp_path: Path) -> None:
    with small(tmp_path, 2) as (engine, checkpointer, _eviction, service):
        ask(service, step("a", 1), step("b", 1))
        blob = engine.export_stream("b")
        ask(service, step("c", 1))
        assert checkpointer.stored.count == 1
        gone = next(s for s in "ab" if s not in engine)
        ask(service, wire.encode(wire.Import(gone, blob)))
        assert checkpointer.stored.count + len(engine) == 3
        while len(engine) > 0:
            ask(service, wire.encode(wire.Forget(engine.streams()[0])))
        ask(service, *(wire.encode(wire.Forget(s)) for s in "abc"))
        assert checkpointer.stored.count == 0
        assert checkpointer.stored.count == 0


def test_forgotten_then_new_then_evicted(tmp_path: Path) -> None:
    """The deletion that is still to be written must not hit the new stream of the same id."""
    with small(tmp_path, 4) as (engine, checkpointer, eviction, service):
        checkpointer._chunk = 1  # a batch is filled in many turns
        ask(service, *(step(s, 1) for s in range(4)))
        checkpointer._due = 0.0
        checkpointer.turn()  # the batch has taken its list of the forgotten, and one record
        ask(service, wire.encode(wire.Forget(3)))
        ask(service, step(3, 1), step(3, 2))  # which goes into this very batch
        blob = engine.export_stream(3)
        while not checkpointer.settled:
            checkpointer.turn()
            checkpointer.wait(0.01)
        assert 3 in engine._table.deleted.values()
        eviction._before, eviction._goal, eviction._slots = eviction._idle.advance_clock(), 4, 4
        eviction._sweep(False, eviction._safe_before())
        assert 3 not in engine
        commit(checkpointer)
        (export,) = ask(service, wire.encode(wire.Export(3)))
        assert export == wire.Done(4, 3, blob)


def test_a_list_has_those_in_the_store_too(tmp_path: Path) -> None:
    with small(tmp_path, 3) as (_engine, _checkpointer, _eviction, service):
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


def test_as_many_are_preloaded_as_fit(tmp_path: Path) -> None:
    engine = Engine(MODEL, 10, threads=1)
    where = f"lmdb:{tmp_path / 'store'}"
    with opened(engine, where) as checkpointer:
        engine.step_many(range(10), np.ones((10, 2)))
        checkpointer.finish()
    engine = Engine(MODEL, 4, threads=1)
    with opened(engine, where) as checkpointer:
        assert checkpointer.stored.preload(lambda done, total: None, True) == 4
        assert checkpointer.stored.count == 6
    engine = Engine(MODEL, 4, threads=1)
    with opened(engine, where) as checkpointer, pytest.raises(CapacityError):
        checkpointer.stored.preload(lambda done, total: None)
