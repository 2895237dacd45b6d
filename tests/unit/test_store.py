"""Checkpoints: every change reaches the store, bit for bit, and is restored from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.engine.records import store_key, stream_from_key
from streamlstm.errors import CapacityError, StoreError
from streamlstm.serving.metrics import WorkerCollector
from streamlstm.serving.service import Service
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.stores.header import Header
from streamlstm.serving.stores.lmdb import LmdbStore
from streamlstm.serving.stores.open import open_checkpointer

from ..contract.models import random_model
from .worker_harness import harness

MODEL = random_model([LSTM(2, 5), Dense(5, 3)])
IDS: list[str | int] = ["a", "12345678", "123456789", "é∂𐍈", "x" * 255, 0, 7, 2**64 - 1]
Open = Callable[[Engine], Checkpointer]


@pytest.fixture
def where(tmp_path: Path) -> str:
    return f"lmdb:{tmp_path / 'store'}"


def opened(engine: Engine, where: str, seconds: float = 60.0) -> Checkpointer:
    checkpointer = open_checkpointer(engine, where, seconds)
    assert checkpointer is not None
    return checkpointer


def exports(engine: Engine) -> dict[str | int, bytes]:
    return {stream: engine.export_stream(stream) for stream in engine.streams()}


def read_back(where: str) -> dict[str | int, bytes]:
    """What an engine has that brings all streams back."""
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        checkpointer.stored.preload(lambda done, total: None)
        assert checkpointer.ticket() == 0  # what came back has not changed
        assert checkpointer.stored.count == 0
    return exports(engine)


def change(engine: Engine, random: np.random.Generator, checkpointer: Checkpointer) -> None:
    """Do one of all that changes a stream or several."""
    stream = IDS[random.integers(len(IDS))]
    some = [IDS[n] for n in random.integers(0, len(IDS), 5)]
    texts = [s for s in some if isinstance(s, str)]
    x, X = random.standard_normal(2), random.standard_normal((5, 2))
    match random.integers(12):
        case 0:
            engine.step(stream, x)
        case 1:
            engine.step(stream, x.astype(np.float32), time=float(random.random()))
        case 2:
            engine.stream(stream).step(x)
        case 3:
            engine.step_many(some, X)
        case 4:
            engine.step_many(texts, X[: len(texts)], times=[1.5] * len(texts))
        case 5:
            X[2] = np.nan
            engine.step_each(some, X)
        case 6:
            engine.step_each(some, X, seqs=[1] * 5)
        case 7 if stream in engine:
            engine.reset(stream)
        case 8 if stream in engine:
            engine.forget(stream)
        case 9 if len(engine):
            engine.import_stream(stream, engine.export_stream(engine.streams()[0]))
        case 10 if stream in engine:
            slots = np.array([engine._table.slot(stream)])
            engine._table.mark_dirty(slots)
            engine._table.producers[slots] = random.integers(2**64, dtype=np.uint64)
        case _:
            checkpointer.turn()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), piece=st.sampled_from([1, 2, 1000]))
def test_whatever_changes_a_stream_reaches_the_store(
    tmp_path_factory: pytest.TempPathFactory, seed: int, piece: int
) -> None:
    where = f"lmdb:{tmp_path_factory.mktemp('any') / 'store'}"
    random = np.random.default_rng(seed)
    engine = Engine(MODEL, len(IDS), threads=1)
    with opened(engine, where, 0.0) as checkpointer:
        checkpointer._chunk = piece
        for _ in range(int(random.integers(1, 80))):
            change(engine, random, checkpointer)
        checkpointer.finish()
        assert checkpointer.ticket() == checkpointer.committed
    assert read_back(where) == exports(engine)


@pytest.mark.parametrize("loop", ["native", "python"])
def test_what_a_worker_steps_reaches_the_store_and_comes_back(where: str, loop: str) -> None:
    here = Engine(MODEL, threads=1)
    alone = Service(Engine(MODEL, threads=1))
    frames = [
        wire.encode(wire.Steps(IDS, None, b"\0" * 8 * len(IDS))),
        *(wire.encode(wire.Step(s, 1, wire.to_floats([n, 1.0]))) for n, s in enumerate(IDS)),
        wire.encode(wire.Reset(IDS[1])),
        wire.encode(wire.Steps([IDS[2]] * 3, [2, 3, 4], b"\0" * 24)),
        wire.encode(wire.Steps(["none", IDS[2]], [1, 9], b"\0" * 16)),  # refused
    ]
    replies = [alone.handle([frame])[0].reply for frame in frames]
    half = len(frames) // 2
    for part in (slice(0, half), slice(half, None)):
        here = Engine(MODEL, threads=1)
        with (
            opened(here, where) as checkpointer,
            harness(here, loop=loop, checkpointer=checkpointer) as worker,
        ):
            assert [parts[-1] for parts in worker.ask(frames[part])] == replies[part]
            checkpointer.finish()
    assert read_back(where) == exports(alone.engine)


def test_a_stream_comes_back_when_it_is_asked_for(where: str) -> None:
    first = Engine(MODEL, threads=1)
    with opened(first, where) as checkpointer:
        for seq in (1, 2):
            first.step_many(IDS, np.ones((len(IDS), 2)), seqs=[seq] * len(IDS))
        checkpointer.finish()
    engine = Engine(MODEL, 3, threads=1)
    with opened(engine, where) as checkpointer:
        checkpointer.stored.restore(["a", 7, "new", "a"])
        assert engine.streams() == ["a", 7]
        with pytest.raises(CapacityError, match="larger capacity"):
            checkpointer.stored.restore(IDS)
        assert engine.streams() == ["a", 7]
        engine.forget("a")
        checkpointer.stored.restore(["a"])  # forgotten, though the store still has it
        assert engine.streams() == [7]
        checkpointer.finish()
        checkpointer.stored.restore(["a"])
        assert engine.streams() == [7]
        engine.step("a", [0.0, 0.0], seq=1)
        checkpointer.finish()
    assert read_back(where) == exports(first) | exports(engine)


def test_what_a_barrier_waits_for_comes_without_further_changes(where: str) -> None:
    """A barrier that arrives while a commit is copied waits for the next one."""
    engine = Engine(MODEL, threads=1)
    with opened(engine, where, 0.0) as checkpointer:
        checkpointer._chunk = 1
        engine.step_many(IDS, np.ones((len(IDS), 2)))
        checkpointer.turn()
        ticket = checkpointer.ticket()
        assert ticket == checkpointer.begun + 1
        for _ in range(10 * len(IDS)):
            checkpointer.turn()
            checkpointer.wait(20)
        assert checkpointer.committed == ticket == checkpointer.ticket()


def test_ids_and_keys_are_the_same() -> None:
    for stream in IDS:
        assert stream_from_key(store_key(stream)) == stream
    assert store_key(7) == wire.topic(7)
    assert store_key("é") == wire.topic("é")


def test_a_record_is_as_described(where: str) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        engine.step("a", [1.0, 2.0], seq=1, time=2.5)
        engine._table.producers[engine._table.slot("a")] = 2**64 - 3
        checkpointer.finish()
    with lmdb.open(where[5:]) as env, env.begin() as read:
        record = read.get(b"a")
    assert record[:8] == (1).to_bytes(8, "little")
    assert np.frombuffer(record[8:16], "<f8") == 2.5
    assert int.from_bytes(record[16:24], "little") == 2**64 - 3
    blob = engine.export_stream("a")
    assert record[24:-8] == blob[-4 - len(record[24:-8]) : -4]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (Header("ab" * 16, 1, 1), "holds streams of the model abababab, this worker runs"),
        (Header(MODEL.fingerprint, 1, 9), "is of format 9, this streamlstm reads 1 to 3"),
        (
            Header(MODEL.fingerprint, 8, 1),
            "holds rows of .* this streamlstm has rows of 192 for the same model",
        ),
    ],
)
def test_a_store_of_something_else_is_refused(where: str, header: Header, said: str) -> None:
    store = LmdbStore(where[5:], header)
    store.commit((), [(b"a", b"a record")])
    store.close()
    with pytest.raises(StoreError, match=said):
        open_checkpointer(Engine(MODEL, threads=1), where, 1.0)


def test_a_store_without_streams_is_of_any_model(where: str) -> None:
    """Whoever opened it before: a start with the wrong file, which something else has refused."""
    for record_size in (1, 8):  # of another model, then of this one in a former version
        model = "ab" * 16 if record_size == 1 else MODEL.fingerprint
        store = LmdbStore(where[5:], Header(model, record_size, 1, epoch=2))
        store.commit((), [(b"a", b"a record")])
        store.commit((b"a",), ())
        store.close()
        opened(Engine(MODEL, threads=1), where).close()


def test_other_peoples_files_are_refused(where: str) -> None:
    with lmdb.open(where[5:]) as env, env.begin(write=True) as write:
        write.put(b"key", b"value")
    with pytest.raises(StoreError, match="expected a store of streamlstm"):
        open_checkpointer(Engine(MODEL, threads=1), where, 1.0)
    for wrong in ("lmdb:", "sqlite:x", "", "/tmp/x", "lmdb:/dev/null"):
        with pytest.raises(StoreError, match=r"expected lmdb:PATH|expected a folder"):
            open_checkpointer(Engine(MODEL, threads=1), wrong, 1.0)


def test_a_damaged_record_is_not_taken(where: str) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        engine.step_many(["good", "bad"], np.ones((2, 2)))
        checkpointer.finish()
    with lmdb.open(where[5:]) as env, env.begin(write=True) as write:
        record = bytearray(write.get(b"bad"))
        record[20] ^= 1
        write.put(b"bad", bytes(record))
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        with pytest.raises(StoreError, match="'bad' is damaged"):
            checkpointer.stored.restore(["good", "bad"])
        assert engine.streams() == []
        checkpointer.stored.restore(["good"])
        assert engine.streams() == ["good"]


def test_a_stream_whose_record_is_damaged_is_listed_and_can_be_forgotten(where: str) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        engine.step_many(["a", "bad", "c", "d"], np.ones((4, 2)), seqs=[1] * 4)
        checkpointer.finish()
    with lmdb.open(where[5:]) as env, env.begin(write=True) as write:
        record = bytearray(write.get(b"bad"))
        record[20] ^= 1
        write.put(b"bad", bytes(record))

    def listed(service: Service) -> object:
        [response] = service.handle([wire.encode(wire.List(None, None, 10))])
        reply = wire.decode_reply(response.reply)
        assert isinstance(reply, wire.Done)
        return reply.value

    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        service = Service(engine, checkpointer=checkpointer)
        assert listed(service) == [["a", 1], ["bad", 0], ["c", 1], ["d", 1]]
        [refused] = service.handle([wire.encode(wire.Step("bad", 0, b"\0" * 8))])
        assert refused.error is not None
        assert "streamlstm forget" in refused.error.message
        [response] = service.handle([wire.encode(wire.Forget("bad"))])
        assert response.error is None
        assert listed(service) == [["a", 1], ["c", 1], ["d", 1]]
        checkpointer.finish()
    assert sorted(read_back(where)) == ["a", "c", "d"]


def test_one_worker_has_it_at_a_time(where: str) -> None:
    with (
        opened(Engine(MODEL, threads=1), where),
        pytest.raises(StoreError, match="in use by another worker"),
    ):
        open_checkpointer(Engine(MODEL, threads=1), where, 1.0)


def test_the_map_grows(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlstm.serving.stores.lmdb.environment.FIRST_SIZE", 2**16)
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        for n in range(5):
            engine.step_many(np.arange(1000 * n, 1000 * n + 1000), np.ones((1000, 2)))
            checkpointer.finish()
        assert checkpointer.status()["error"] is None
    assert read_back(where) == exports(engine)


def test_prometheus_and_info_show_the_store(where: str) -> None:
    engine = Engine(MODEL, threads=1)
    assert Service(engine).info()["store"] is None
    with opened(engine, where) as checkpointer:
        service = Service(engine, checkpointer=checkpointer)
        engine.step_many(IDS, np.ones((len(IDS), 2)))
        found = {
            m.name: m.samples[0].value for m in WorkerCollector(service).collect() if m.samples
        }
        assert found["streamlstm_store_pending"] == len(IDS)
        assert found["streamlstm_store_commits"] == found["streamlstm_store_failing_seconds"] == 0
        checkpointer.finish()
        assert service.info()["store"] == {
            "kind": "lmdb",
            "place": where,
            "committed": 1,
            "pending": 0,
            "absent": 0,
            "losses": 0,
            "failing": None,
            "error": None,
        }


def test_last_and_claim_name_the_stream_whose_record_is_damaged(where: str) -> None:
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        engine.step_many(["a", "bad", "c"], np.ones((3, 2)), seqs=[1] * 3)
        checkpointer.finish()
    with lmdb.open(where[5:]) as env, env.begin(write=True) as write:
        record = bytearray(write.get(b"bad"))
        record[20] ^= 1
        write.put(b"bad", bytes(record))
    engine = Engine(MODEL, threads=1)
    with opened(engine, where) as checkpointer:
        service = Service(engine, checkpointer=checkpointer)
        for ask in (wire.Last, lambda streams: wire.Claim(streams, None)):
            refused, answered = (
                service.handle([wire.encode(ask(streams))], producers={0: 77})[0]
                for streams in (["a", "bad", "c"], ["a", "c"])
            )
            assert refused.error is not None
            assert (refused.error.code, refused.error.stream) == ("busy", "bad")
            assert answered.error is None
