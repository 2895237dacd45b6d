"""Streams of partitions that leave a worker, come to one, or are read from one that has died."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.engine.partitions import partitions_of
from streamlstm.engine.records import store_key
from streamlstm.serving.adoptions import Adoptions
from streamlstm.serving.arrivals import Arrivals
from streamlstm.serving.commits import HeldCommits
from streamlstm.serving.departure import Departure
from streamlstm.serving.native import layout
from streamlstm.serving.partitions import Partitions
from streamlstm.serving.service import Service
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.stores.lmdb.arrived import read_arrived

from .small_service import MODEL, ask, code_of, commit, small, step

ALL = list(range(wire.PARTITIONS))
STREAMS: list[wire.StreamId] = [*range(20), *(f"pump-{n}" for n in range(20))]


def stepped(service: Service, rounds: int = 2) -> dict[wire.StreamId, bytes]:
    """Step all streams; return their states as an engine has them that nothing happens to."""
    whole = Engine(MODEL, threads=1)
    for turn in range(1, rounds + 1):
        for n, stream in enumerate(STREAMS):
            x = np.float32([n, turn])
            whole.step(stream, x, seq=turn)
            assert isinstance(ask(service, step(stream, turn, x.tobytes()))[0], wire.Prediction)
    return {stream: whole.export_stream(stream) for stream in STREAMS}


def exported(service: Service) -> dict[wire.StreamId, bytes]:
    """Return the states that a worker answers."""
    found = {}
    for stream in STREAMS:
        reply = ask(service, wire.encode(wire.Export(stream)))[0]
        found[stream] = reply.value if isinstance(reply, wire.Done) else b""
    return found


def sent(departure: Departure) -> Iterator[tuple[list[bytes], bytes]]:
    last = False
    while not last:
        parcel, last = departure.take()
        yield parcel.keys, parcel.records


def test_evicted_streams_move_too_and_need_no_room_in_memory(tmp_path: Path) -> None:
    with small(tmp_path / "a", 8) as a, small(tmp_path / "b", 8) as b:
        states = stepped(a[3])
        commit(a[1])
        departure = Departure(a[0].hand_over(), a[1].stored, ALL)
        while not departure.look():
            pass
        assert len(a[0]) <= 8
        arrivals = Arrivals(Partitions(), b[0].hand_over(), b[1], None, tmp_path / "b", int)
        arrivals.expect(1, ALL)
        departure.release()
        for keys, records in sent(departure):
            arrivals.put(keys, records)
        arrivals.end(1)
        assert departure.sent == len(STREAMS)
        assert exported(b[3]) == states
        commit(b[1])
        assert exported(b[3]) == states
        departure.delete()
        while not departure.delete_piece():
            pass
        commit(a[1])
        assert (len(a[0]), a[1].stored.count, a[1]._store.count()) == (0, 0, 0)


def test_nothing_that_changes_is_lost_while_the_limit_of_streams_changes(tmp_path: Path) -> None:
    with small(tmp_path, 64) as (engine, checkpointer, _, service):
        streams, keys = engine.hand_over(), [store_key(stream) for stream in range(16)]
        for turn in range(1, 25):
            for stream in range(16):
                ask(service, step(stream, turn))
                streams.set_limit(20 + (7 * turn + stream) % 40)
            commit(checkpointer)
            records = checkpointer._store.get(keys)
            assert [int.from_bytes(each[:8], "little") for each in records if each] == [turn] * 16


def test_streams_that_are_about_to_leave_are_not_evicted(tmp_path: Path) -> None:
    with small(tmp_path, 8) as (engine, checkpointer, eviction, service):
        for stream in range(8):
            ask(service, step(stream))
        commit(checkpointer)
        leaves = int(partitions_of([3])[0])
        eviction.keep(np.isin(np.arange(wire.PARTITIONS), [leaves]).astype(np.uint8))
        for stream in range(8, 15):
            ask(service, step(stream))
            commit(checkpointer)
        assert 3 in engine
        eviction.keep(np.zeros(0, np.uint8))
        for stream in range(20, 28):
            ask(service, step(stream))
            commit(checkpointer)
        assert 3 not in engine


def test_barriers_wait_until_what_has_come_is_noted(tmp_path: Path) -> None:
    with small(tmp_path, 8) as (engine, checkpointer, _, _):
        partitions, commits = Partitions(), HeldCommits(checkpointer)
        partitions.table = wire.FleetTable.new()._replace(epochs=np.full(1024, 7, np.uint32))
        arrivals = Arrivals(partitions, engine.hand_over(), checkpointer, commits, tmp_path, int)
        arrivals.expect(5, [1, 2])
        assert partitions.states[1] == layout.ARRIVING
        arrivals.end(5)
        assert partitions.states[1] == layout.HERE
        assert partitions.unsettled[[1, 2]].all()
        ticket = commits.ticket()
        commit(checkpointer)
        assert checkpointer.committed >= ticket > commits.committed
        while not (kept := arrivals.advance()):
            pass
        assert kept == [5]
        assert commits.committed >= ticket
        assert read_arrived(tmp_path) == {1: 7, 2: 7}
        assert not partitions.unsettled.any()


@pytest.mark.parametrize("capacity", [8, 100])
def test_what_is_in_folders_of_the_dead_is_served_at_once_and_copied(
    tmp_path: Path, capacity: int
) -> None:
    """The own store counts first, then the folders in their order."""
    with small(tmp_path / "old", 100) as old:
        stepped(old[3], 1)
        commit(old[1])
    with small(tmp_path / "dead", 100) as dead:
        states = stepped(dead[3], 3)
        for stream in STREAMS[::2]:  # these are in the older folder only
            dead[0].forget(stream)
        commit(dead[1])
    with small(tmp_path / "old", 100) as old:
        for stream in STREAMS[::2]:
            old[0].import_stream(stream, states[stream])
        commit(old[1])
    with small(tmp_path / "own", capacity) as (engine, checkpointer, _, service):
        service.partitions = partitions = Partitions()
        ask(service, step(5, 1))
        own = engine.export_stream(5)
        commit(checkpointer)
        adoptions = _adoptions(engine, partitions, checkpointer, tmp_path)
        partitions.set(ALL, layout.ELSEWHERE)
        adoptions.begin(1, ALL, ["../dead/store", "../old/store"])
        assert exported(service) == states | {5: own}
        listed = ask(service, wire.encode(wire.List(None, None, 100)))[0]
        assert isinstance(listed, wire.Done)
        assert len(listed.value) == len(STREAMS)
        assert code_of(ask(service, wire.encode(wire.Forget("pump-1")))[0]) == "busy"
        assert isinstance(ask(service, wire.encode(wire.Reset("pump-1")))[0], wire.Done)
        reset = engine.export_stream("pump-1")
        while not (copied := adoptions.advance()):
            commit(checkpointer)
        adoptions.settle(copied[0])
        assert not checkpointer.stored.adopted
        states |= {5: own, "pump-1": reset}
        assert exported(service) == states
        assert isinstance(ask(service, wire.encode(wire.Forget("pump-1")))[0], wire.Done)
        commit(checkpointer)
        assert sorted(checkpointer._store.keys(b"", b"", 100)) == sorted(
            store_key(stream) for stream in STREAMS if stream != "pump-1"
        )


def _adoptions(
    engine: Engine, partitions: Partitions, checkpointer: Checkpointer, place: Path
) -> Adoptions:
    streams, folder = engine.hand_over(), place / "own" / "store"
    return Adoptions(partitions, streams, checkpointer, folder, lambda: engine.model)


def test_partitions_wait_for_a_folder_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small(tmp_path / "own", 8) as (engine, checkpointer, _, _):
        partitions = Partitions()
        adoptions = _adoptions(engine, partitions, checkpointer, tmp_path)
        adoptions.begin(1, [4], ["../lost"])
        assert adoptions.advance() == []
        assert partitions.states[4] == layout.ARRIVING
        assert "lost: there is no store" in caplog.text
