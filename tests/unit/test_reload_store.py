"""A store follows a reload, whenever the worker is killed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Dense, Engine, Model
from streamlstm.engine.records import FORMAT, record_size
from streamlstm.errors import StoreError
from streamlstm.serving.line_limit import LineLimit
from streamlstm.serving.reload import Reloader
from streamlstm.serving.stores.checkpointer import Checkpointer
from streamlstm.serving.stores.header import HEADER_KEY, Header, header_of
from streamlstm.serving.stores.open import open_checkpointer

from ..contract.models import random_model
from ..redis_server import Redis, needs_redis

PLAIN = [LSTM(2, 5), Dense(5, 3)]
MODELS = [
    random_model(PLAIN, 0),
    random_model(PLAIN, 1),
    random_model([LSTM(2, 20), Dense(20, 3)], 2),
    random_model([LSTM(2, 4), Dense(4, 1)], 3),
]
IDS: list[str | int] = ["a", "123456789", 7, 2**64 - 1]


class Places:
    """Places for stores, and copies of them as a worker that is killed now would leave them."""

    def __init__(self, folder: Path, redis: Redis | None) -> None:
        self._folder, self._redis, self._numbers = folder, redis, count()

    def new(self) -> str:
        number = next(self._numbers)
        if self._redis is None:
            return f"lmdb:{self._folder / str(number)}"
        return f"{self._redis.url}?prefix={number}"

    def copied(self, where: str) -> str:
        copy = self.new()
        if self._redis is None:
            shutil.copytree(where[5:], copy[5:])
            return copy
        with self._redis.client() as client:
            old, new = (f"{place.partition('prefix=')[2]}:streamlstm" for place in (where, copy))
            for key in ("", ":streams", ":order", ":owner"):
                client.copy(old + key, new + key)
            client.delete(new + ":owner")  # it is gone before another is started
        return copy


@pytest.fixture(scope="module", params=["lmdb", pytest.param("redis", marks=needs_redis)])
def places(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("stores")
    if request.param == "lmdb":
        yield Places(folder, None)
        return
    with Redis(folder) as redis:
        yield Places(folder, redis)


def opened(engine: Engine, where: str, other: str = "refuse") -> Checkpointer:
    checkpointer = open_checkpointer(engine, where, 0.0, other)
    assert checkpointer is not None
    return checkpointer


def reload(
    engine: Engine, checkpointer: Checkpointer, model: Model, folder: Path, anew: bool
) -> None:
    """Change the model as a worker does; `checkpointer` goes on with its commits meanwhile."""
    file = folder / "model.safetensors"
    model.save(file)
    reloader = Reloader(engine, file, checkpointer, LineLimit())
    reloader.begin(anew)
    while (outcome := reloader.turn()) is None:
        checkpointer.turn()
    assert isinstance(outcome, tuple), outcome


def step(engine: Engine, checkpointer: Checkpointer, stream: str | int) -> None:
    """Apply the next observation of a stream that may be in the store."""
    checkpointer.stored.restore([stream])
    step_alone(engine, stream)


@settings(max_examples=30, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(MODELS) - 1), st.booleans()), min_size=1, max_size=5
    ),
    seed=st.integers(0, 2**32),
)
def test_a_store_gives_back_what_an_engine_that_never_stopped_has(
    places: Places,
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[int, bool]],
    seed: int,
) -> None:
    folder, where = tmp_path_factory.mktemp("any"), places.new()
    random = np.random.default_rng(seed)
    model = MODELS[0]
    truth = Engine(model, threads=1)
    for number, anew in changes:
        engine = Engine(model, threads=1)  # a worker that was started again
        with opened(engine, where) as checkpointer:
            for n in random.integers(0, len(IDS), 6):
                step(engine, checkpointer, IDS[n])
                step_alone(truth, IDS[n])
            following = MODELS[number]
            anew = anew or number > 1 or MODELS.index(model) > 1
            reload(engine, checkpointer, following, folder, anew)
            truth.reload(following, anew)
            model = following
            for n in random.integers(0, len(IDS), 2):
                step(engine, checkpointer, IDS[n])
                step_alone(truth, IDS[n])
            checkpointer.stored.restore(IDS)
            for stream in truth.streams():
                seq = truth.last_seq(stream)
                np.testing.assert_array_equal(
                    engine.last_prediction(stream, seq), truth.last_prediction(stream, seq)
                )
                assert engine.export_stream(stream) == truth.export_stream(stream)
            checkpointer.finish()
    engine = Engine(model, threads=1)
    with opened(engine, where) as checkpointer:
        assert checkpointer.stored.preload(lambda done, total: None) == len(truth)
        for stream in truth.streams():
            assert engine.export_stream(stream) == truth.export_stream(stream)


def step_alone(engine: Engine, stream: str | int) -> None:
    seq = engine.last_seqs([stream])[0] + 1
    engine.step(stream, [0.1 * seq, 1.0], seq=seq)
    engine._table.producers[engine._table.slot(stream)] = seq % 3


def test_killed_around_a_change_both_models_find_every_stream(places: Places) -> None:
    where = places.new()
    old, new = MODELS[:2]
    engine = Engine(old, threads=1)
    with opened(engine, where) as checkpointer:
        for stream in IDS:
            step(engine, checkpointer, stream)
        checkpointer.finish()
        before = places.copied(where)
        state = engine.export_stream("a")
        checkpointer.set_header(
            header_of(new, engine.dirty_tracker().record_size).continued_from(checkpointer.header)
        )
        between = places.copied(where)
        engine.commit_reload(engine.prepare_reload(new))
        step(engine, checkpointer, "a")
        checkpointer._thread._finishing.clear()
        checkpointer.finish()
        after = places.copied(where)
        last = engine.export_stream("a")
    for place, model, said in ((before, old, state), (between, old, state), (after, new, last)):
        with opened(found := Engine(model, threads=1), place) as checkpointer:
            checkpointer.stored.restore(IDS)
            assert len(found) == len(IDS)
            assert found.export_stream("a") == said
    # Opened by one model, it is no other's any more.
    for place, other in ((between, new), (after, old)):
        with pytest.raises(StoreError, match="of the same layout; let them continue"):
            opened(Engine(other, threads=1), place)
    with pytest.raises(StoreError, match="of the same layout; let them continue"):
        opened(Engine(new, threads=1), before)
    with opened(found := Engine(new, threads=1), before, "keep") as checkpointer:
        checkpointer.stored.restore(IDS)
        moved = Engine(old, threads=1)
        step_alone(moved, "a")
        moved.reload(new)
        assert found.export_stream("a") == moved.export_stream("a")


def test_killed_around_a_change_that_begins_anew_numbers_stay(places: Places) -> None:
    where = places.new()
    old, new = MODELS[0], MODELS[3]
    engine = Engine(old, threads=1)
    with opened(engine, where) as checkpointer:
        for stream in (*IDS, "a"):
            step(engine, checkpointer, stream)
        checkpointer.finish()
        before = places.copied(where)
        next = engine.prepare_reload(new, True)
        checkpointer.set_header(
            header_of(new, record_size(len(next.initial))).restarted_from(checkpointer.header)
        )
        step(engine, checkpointer, "a")  # and what was applied by the old model meanwhile
        checkpointer._thread._finishing.clear()
        checkpointer.finish()
        between = places.copied(where)
    with pytest.raises(StoreError, match="whose layout differs"):
        opened(Engine(new, threads=1), before)
    with pytest.raises(StoreError, match="whose layout differs"):
        opened(Engine(new, threads=1), before, "keep")
    for place, other, last in ((before, "anew", 2), (between, "refuse", 3)):
        with opened(found := Engine(new, threads=1), place, other) as checkpointer:
            checkpointer.stored.restore(IDS)
            assert found.last_seqs(IDS) == [last, 1, 1, 1]
            assert found.last_prediction("a", last) is None
            y = found.step("a", [1, 1], seq=last + 1)
            np.testing.assert_array_equal(y, Engine(new, threads=1).step("x", [1, 1]))
            checkpointer.finish()
        with opened(
            again := Engine(new, threads=1), place
        ) as checkpointer:  # by itself, from now on
            checkpointer.stored.restore(IDS)
            assert again.last_seqs(IDS) == [last + 1, 1, 1, 1]
            for stream in IDS:
                assert again.export_stream(stream) == found.export_stream(stream)


def test_a_damaged_record_is_not_taken_for_one_of_an_earlier_epoch(tmp_path: Path) -> None:
    where = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODELS[0], threads=1)
    with opened(engine, where) as checkpointer:
        for stream in IDS:
            step(engine, checkpointer, stream)
        reload(engine, checkpointer, MODELS[1], tmp_path, True)
        step(engine, checkpointer, 7)
        checkpointer.finish()
    with lmdb.open(str(tmp_path / "store")) as env, env.begin(write=True) as write:
        for key in (b"a", b"\0" + (7).to_bytes(8, "big")):
            record = bytearray(write.get(key))
            record[3] ^= 1
            write.put(key, bytes(record))
    with opened(found := Engine(MODELS[1], threads=1), where) as checkpointer:
        for stream in ("a", 7):
            with pytest.raises(StoreError, match="is damaged"):
                checkpointer.stored.restore([stream])
        checkpointer.stored.restore(["123456789"])
        assert found.last_seqs(IDS) == [0, 1, 0, 0]


def test_a_store_whose_header_has_no_layout_goes_on(tmp_path: Path) -> None:
    where = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODELS[0], threads=1)
    with opened(engine, where) as checkpointer:
        step(engine, checkpointer, "a")
        checkpointer.finish()
        size = engine.dirty_tracker().record_size
    old = f'{{"model": "{MODELS[0].fingerprint}", "record_size": {size}, "format": {FORMAT}}}'
    with lmdb.open(str(tmp_path / "store")) as env, env.begin(write=True) as write:
        write.put(HEADER_KEY, old.encode())
    with pytest.raises(StoreError, match="does not tell its layout"):
        opened(Engine(MODELS[1], threads=1), where, "keep")
    for model, other in ((MODELS[0], "refuse"), (MODELS[1], "keep")):
        with opened(found := Engine(model, threads=1), where, other) as checkpointer:
            checkpointer.stored.restore(["a"])
            assert found.last_seqs(["a"]) == [1]


def test_a_header_names_the_model_before_during_a_change_only() -> None:
    header = Header("0", 8)
    for n in range(1, 5):
        header = Header(str(n), 8).continued_from(header)
        assert header.others == (str(n - 1),)
        for model in (str(n - 1), str(n)):
            assert Header(model, 8).accept(header.encode(), "here") == Header(model, 8)
    older = header._replace(others=("3", "2", "1"))  # as before stores had one owner
    assert Header("1", 8).accept(older.encode(), "here") == Header("1", 8)
