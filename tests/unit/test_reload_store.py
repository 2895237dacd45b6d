"""A store follows a change of the model, whenever the worker is killed."""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Dense, Engine, Model
from streamlstm.engine.dirty import FORMAT
from streamlstm.errors import StoreError
from streamlstm.serving.checkpointer import Keeper, open_keeper
from streamlstm.serving.reload import Reloading
from streamlstm.serving.stores.header import HEADER_KEY, MAX_OTHERS, Header, header_of

from ..contract.models import random_model

PLAIN = [LSTM(2, 5), Dense(5, 3)]
MODELS = [
    random_model(PLAIN, 0),
    random_model(PLAIN, 1),
    random_model([LSTM(2, 20), Dense(20, 3)], 2),
    random_model([LSTM(2, 4), Dense(4, 1)], 3),
]
IDS: list[str | int] = ["a", "123456789", 7, 2**64 - 1]


def opened(engine: Engine, where: str, other: str = "refuse") -> Keeper:
    keeper = open_keeper(engine, where, 0.0, other)
    assert keeper is not None
    return keeper


def reload(engine: Engine, keeper: Keeper, model: Model, folder: Path, anew: bool) -> None:
    """Change the model as a worker does; `keeper` goes on with its commits meanwhile."""
    file = folder / "model.safetensors"
    model.save(file)
    reloading = Reloading(engine, file, keeper)
    reloading.begin(anew)
    while (outcome := reloading.turn()) is None:
        keeper.turn()
    assert isinstance(outcome, tuple), outcome


def step(engine: Engine, keeper: Keeper, stream: str | int) -> None:
    """Apply the next observation of a stream that may be in the store."""
    keeper.recall([stream])
    seq = engine.last_seqs([stream])[0] + 1
    engine.step(stream, [0.1 * seq, 1.0], seq=seq)


@settings(max_examples=30, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, len(MODELS) - 1), st.booleans()), min_size=1, max_size=5
    ),
    seed=st.integers(0, 2**32),
)
def test_a_store_gives_back_what_an_engine_that_never_stopped_has(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, bool]], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    where = f"lmdb:{folder / 'store'}"
    random = np.random.default_rng(seed)
    model = MODELS[0]
    truth = Engine(model, threads=1)
    for number, anew in changes:
        engine = Engine(model, threads=1)  # a worker that was started again
        with opened(engine, where) as keeper:
            for n in random.integers(0, len(IDS), 6):
                step(engine, keeper, IDS[n])
                step_alone(truth, IDS[n])
            following = MODELS[number]
            anew = anew or number > 1 or MODELS.index(model) > 1
            reload(engine, keeper, following, folder, anew)
            truth.reload(following, anew)
            model = following
            for n in random.integers(0, len(IDS), 2):
                step(engine, keeper, IDS[n])
                step_alone(truth, IDS[n])
            keeper.recall(IDS)
            for stream in truth.streams():
                seq = truth.last_seq(stream)
                np.testing.assert_array_equal(
                    engine.last_prediction(stream, seq), truth.last_prediction(stream, seq)
                )
                assert engine.export_stream(stream) == truth.export_stream(stream)
            keeper.finish()
    engine = Engine(model, threads=1)
    with opened(engine, where) as keeper:
        assert keeper.preload(lambda done, total: None) == len(truth)
        for stream in truth.streams():
            assert engine.export_stream(stream) == truth.export_stream(stream)


def step_alone(engine: Engine, stream: str | int) -> None:
    seq = engine.last_seqs([stream])[0] + 1
    engine.step(stream, [0.1 * seq, 1.0], seq=seq)


def copied(folder: Path, to: str) -> str:
    """The store as a worker that was killed now would leave it."""
    shutil.copytree(folder / "store", folder / to)
    return f"lmdb:{folder / to}"


def test_killed_around_a_change_both_models_find_every_stream(tmp_path: Path) -> None:
    old, new = MODELS[:2]
    engine = Engine(old, threads=1)
    with opened(engine, f"lmdb:{tmp_path / 'store'}") as keeper:
        for stream in IDS:
            step(engine, keeper, stream)
        keeper.finish()
        before = copied(tmp_path, "before")
        state = engine.export_stream("a")
        keeper.set_header(header_of(new, engine.changes().record_size).follows(keeper.header))
        between = copied(tmp_path, "between")
        engine.follow(engine.prepare(new))
        step(engine, keeper, "a")
        keeper._finishing.clear()
        keeper.finish()
        after = copied(tmp_path, "after")
        last = engine.export_stream("a")
    for place, model, said in ((before, old, state), (between, old, state), (after, new, last)):
        with opened(found := Engine(model, threads=1), place) as keeper:
            keeper.recall(IDS)
            assert len(found) == len(IDS)
            assert found.export_stream("a") == said
    # Opened by one model, it is no other's any more.
    for place, other in ((between, new), (after, old)):
        with pytest.raises(StoreError, match="of the same layout; let them go on"):
            opened(Engine(other, threads=1), place)
    with pytest.raises(StoreError, match="of the same layout; let them go on"):
        opened(Engine(new, threads=1), before)
    with opened(found := Engine(new, threads=1), before, "keep") as keeper:
        keeper.recall(IDS)
        moved = Engine(old, threads=1)
        step_alone(moved, "a")
        moved.reload(new)
        assert found.export_stream("a") == moved.export_stream("a")


def test_killed_around_a_change_that_begins_anew_numbers_stay(tmp_path: Path) -> None:
    old, new = MODELS[0], MODELS[3]
    engine = Engine(old, threads=1)
    with opened(engine, f"lmdb:{tmp_path / 'store'}") as keeper:
        for stream in (*IDS, "a"):
            step(engine, keeper, stream)
        keeper.finish()
        before = copied(tmp_path, "before")
        next = engine.prepare(new, True)
        keeper.set_header(header_of(new, 24 + next.initial.nbytes).begins_anew(keeper.header))
        step(engine, keeper, "a")  # and what was applied by the old model meanwhile
        keeper._finishing.clear()
        keeper.finish()
        between = copied(tmp_path, "between")
    with pytest.raises(StoreError, match="whose layout is another"):
        opened(Engine(new, threads=1), before)
    with pytest.raises(StoreError, match="whose layout is another"):
        opened(Engine(new, threads=1), before, "keep")
    for place, other, last in ((before, "anew", 2), (between, "refuse", 3)):
        with opened(found := Engine(new, threads=1), place, other) as keeper:
            keeper.recall(IDS)
            assert found.last_seqs(IDS) == [last, 1, 1, 1]
            assert found.last_prediction("a", last) is None
            y = found.step("a", [1, 1], seq=last + 1)
            np.testing.assert_array_equal(y, Engine(new, threads=1).step("x", [1, 1]))
            keeper.finish()
        with opened(again := Engine(new, threads=1), place) as keeper:  # by itself, from now on
            keeper.recall(IDS)
            assert again.last_seqs(IDS) == [last + 1, 1, 1, 1]
            for stream in IDS:
                assert again.export_stream(stream) == found.export_stream(stream)


def test_a_damaged_record_is_no_record_of_an_earlier_era(tmp_path: Path) -> None:
    where = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODELS[0], threads=1)
    with opened(engine, where) as keeper:
        for stream in IDS:
            step(engine, keeper, stream)
        reload(engine, keeper, MODELS[1], tmp_path, True)
        step(engine, keeper, 7)
        keeper.finish()
    with lmdb.open(str(tmp_path / "store")) as env, env.begin(write=True) as write:
        for key in (b"a", b"\0" + (7).to_bytes(8, "big")):
            record = bytearray(write.get(key))
            record[3] ^= 1
            write.put(key, bytes(record))
    with opened(found := Engine(MODELS[1], threads=1), where) as keeper:
        for stream in ("a", 7):
            with pytest.raises(StoreError, match="is damaged"):
                keeper.recall([stream])
        keeper.recall(["123456789"])
        assert found.last_seqs(IDS) == [0, 1, 0, 0]


def test_a_store_from_before_headers_told_the_layout_goes_on(tmp_path: Path) -> None:
    where = f"lmdb:{tmp_path / 'store'}"
    engine = Engine(MODELS[0], threads=1)
    with opened(engine, where) as keeper:
        step(engine, keeper, "a")
        keeper.finish()
        size = engine.changes().record_size
    old = f'{{"model": "{MODELS[0].fingerprint}", "record_size": {size}, "format": {FORMAT}}}'
    with lmdb.open(str(tmp_path / "store")) as env, env.begin(write=True) as write:
        write.put(HEADER_KEY, old.encode())
    with pytest.raises(StoreError, match="does not tell its layout"):
        opened(Engine(MODELS[1], threads=1), where, "keep")
    for model, other in ((MODELS[0], "refuse"), (MODELS[1], "keep")):
        with opened(found := Engine(model, threads=1), where, other) as keeper:
            keeper.recall(["a"])
            assert found.last_seqs(["a"]) == [1]


def test_a_header_remembers_a_few_models_that_ran_before() -> None:
    header = Header("0", 8)
    for n in range(1, 30):
        header = Header(str(n), 8).follows(header)
        assert header.others == tuple(str(k) for k in range(n - 1, max(-1, n - 1 - MAX_OTHERS), -1))
    assert Header("29", 8).accept(header.encode(), "here") == header
