"""Ids that someone chose to collide: they take no longer than others, in the index or in a dict.

What is counted is the longest run of occupied places in an index: as many probes as an id takes at
most. Where the keys of an index are known it takes new ones, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zmq

from benchmarks import colliding
from streamlstm import LSTM, Dense, Engine, wire
from streamlstm.engine.id_index import IdIndex
from streamlstm.engine.ids import StreamId, unique
from streamlstm.errors import StreamLSTMError
from streamlstm.kernels import id_index, keyed_hash
from streamlstm.serving.access.limits import Limits
from streamlstm.serving.compiled_loop import CompiledLoop
from streamlstm.serving.queue_limits import QueueLimits

from ..contract.models import random_model
from .id_tables import check, keys_of, longest_run, pack, set_keys, table_without_secret
from .small_service import small
from .worker_harness import Harness, harness, received

MODEL = random_model([LSTM(1, 4), Dense(4, 1)])
STREAMS, BLOCK = 60_000, 5_000
LIMIT = id_index.PROBES
CHOSEN = {"integers": colliding.integers, "texts": colliding.texts}


def table_of(engine: Engine) -> IdIndex:
    return engine._table


@pytest.mark.parametrize("kind", CHOSEN)
def test_an_engine_steps_ids_that_were_chosen_to_collide(kind: str) -> None:
    streams = CHOSEN[kind](STREAMS)
    engine = Engine(MODEL, STREAMS, threads=1)
    X = np.zeros((BLOCK, 1), np.float32)
    for n in range(0, STREAMS, BLOCK):
        engine.step_many(streams[n : n + BLOCK], X)
    assert len(engine) == STREAMS
    assert longest_run(table_of(engine)) < LIMIT


def steps(streams: Sequence[StreamId]) -> bytes:
    return wire.encode(wire.Steps(list(streams), None, bytes(4 * len(streams))))


@pytest.mark.parametrize("kind", CHOSEN)
def test_a_worker_steps_ids_that_were_chosen_to_collide(kind: str) -> None:
    streams = CHOSEN[kind](STREAMS)
    with harness(Engine(MODEL, STREAMS, threads=1)) as worker:
        worker.listener.unsubscribe(b"")
        worker.turn()
        for n in range(0, STREAMS, BLOCK):
            ((reply,),) = worker.ask([steps(streams[n : n + BLOCK])])
            assert isinstance(wire.decode_reply(reply), wire.Predictions)
        assert len(worker.service.engine) == STREAMS
        assert longest_run(table_of(worker.service.engine)) < LIMIT


# --- known keys ---


@pytest.mark.parametrize("in_a_block", [False, True])
def test_an_index_whose_ids_collide_gets_other_keys(in_a_block: bool) -> None:
    table = table_without_secret(3_000)
    streams = [n << 40 for n in range(3_000)]
    before = keys_of(table)
    for n in range(0, 500, 100):
        assert table.claim_block(pack(streams[n : n + 100]), 100) is not None
    assert keys_of(table) == before
    if in_a_block:
        assert table.claim_block(pack(streams), 3_000) is not None
    else:
        for stream in streams:
            table.claim(stream)
    assert keys_of(table) != before
    assert longest_run(table) < LIMIT
    slots = table.claim_block(pack(streams), 3_000)
    assert slots is not None
    check(table, dict(zip(streams, slots.tolist(), strict=True)))
    assert table.streams() == streams


def test_a_long_run_that_a_deletion_meets_calls_for_other_keys() -> None:
    """Ids side by side make a run though each is at its own place; a deletion hashes all behind."""
    table = table_without_secret(2_000)
    streams: list[StreamId] = list(range(1, 1_000))
    expected = {stream: table.claim(stream) for stream in streams}
    before = keys_of(table)
    assert longest_run(table) == 999
    table.free(1)
    del expected[1]
    check(table, expected)
    assert keys_of(table) == before
    expected[5_000] = table.claim(5_000)
    assert keys_of(table) != before
    assert longest_run(table) < LIMIT
    check(table, expected)


def test_no_number_of_bad_keys_costs_more_than_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time the limit doubles, so the index is rebuilt a few times at most."""
    table = table_without_secret(3_000)
    drawn: list[int] = []

    def same_keys() -> np.ndarray:
        drawn.append(len(table))
        return table.head[id_index.HASH_KEYS :].copy()

    monkeypatch.setattr(table, "_new_keys", same_keys)
    streams: list[StreamId] = [n << 40 for n in range(3_000)]
    expected = {stream: table.claim(stream) for stream in streams}
    assert drawn == [LIMIT + 1, 2 * LIMIT + 1, 4 * LIMIT + 1]
    check(table, expected)


def test_a_worker_whose_keys_are_known_takes_others() -> None:
    engine = Engine(MODEL, STREAMS, threads=1)
    table = table_of(engine)
    table.reserve(20_000, 0)  # room enough that the index does not grow
    set_keys(table, {keyed_hash.TIMES_HIGH: 1, keyed_hash.MIX_HIGH: 1})
    before = keys_of(table)
    streams = [n << 40 for n in range(2_000)]
    twin = Engine(MODEL, STREAMS, threads=1)
    with harness(engine) as worker, harness(twin) as other:
        for part in (streams[:400], streams, streams[::-1]):
            assert worker.ask([steps(part)]) == other.ask([steps(part)])
        assert keys_of(table) != before
        assert longest_run(table) < LIMIT
        assert engine.streams() == twin.streams() == streams


def test_a_table_of_clients_whose_ids_collide_gets_other_keys() -> None:
    """Routing ids come from outside too; their table never grows, and gets new keys in place."""
    queue_limits = QueueLimits(messages=256)
    with harness(Engine(MODEL, threads=1), queue_limits=queue_limits) as worker:
        assert isinstance(worker.worker._loop, CompiledLoop)
        table = worker.worker._loop.table.clients
        before = table.streams()
        set_keys(table, {})  # so all ids of three bytes have one hash
        table.head[id_index.PROBE_LIMIT] = 20
        names = [f"{n:03}" for n in range(100)]
        for name in names[:20]:
            _ask_as(worker, name)
        assert longest_run(table) >= 20
        assert not any(keys_of(table))
        for name in names:
            _ask_as(worker, name)
        assert len(set(keys_of(table))) == keyed_hash.KEYS
        assert longest_run(table) <= 40
        assert table.streams() == before + names
        assert worker.service.counters.refused() == 0


def _ask_as(worker: Harness, name: str) -> None:
    client = worker.context.socket(zmq.DEALER)
    try:
        client.set(zmq.IDENTITY, name.encode())
        client.connect("inproc://router")
        client.send(wire.encode(wire.Step("a", 0, bytes(4))))
        replies = received(client)
        for _ in range(1_000):
            if replies:
                break
            worker.turn()
            replies = received(client)
        assert len(replies) == 1
    finally:
        client.close(linger=0)


# --- dicts ---


class Unhashable(int):
    """An integer that no dict or set takes."""

    def __hash__(self) -> int:
        raise AssertionError("an integer from outside went into a dict or a set")


def test_no_dict_hashes_an_integer_from_outside(tmp_path: Path) -> None:
    """Python hashes an integer by its value, so anyone can choose a thousand that collide."""
    streams: list[StreamId] = [Unhashable(n % 6) for n in range(9)]
    assert unique(streams) == [0, 1, 2, 3, 4, 5]
    with small(tmp_path, 4) as (engine, checkpointer, _eviction, service):
        owners, tracker = engine.stream_owners(), engine.dirty_tracker()
        assert owners.absent(streams) == tracker.absent(streams) == unique(streams)
        assert engine.idle_evictor().missing_slots(streams)[0] == 2
        assert checkpointer.stored.last_seqs(streams) == {}
        for stream in range(4):
            engine.step(stream, [1.0, 1.0])
        with pytest.raises(StreamLSTMError):
            engine.step_many(streams, np.ones((9, 2), np.float32))
        for stream in range(4):
            engine.forget(stream)
        assert not any(isinstance(key, int) for key in engine._table.deleted)
        assert tracker.absent(streams) == [4, 5]
        assert service.engine is engine


@pytest.mark.parametrize("loop", ["native", "python"])
def test_integers_that_collide_in_a_dict_are_as_good_as_others(loop: str) -> None:
    """With a quota of streams every new one passes through Python."""
    streams = colliding.integers_in_a_dict(4_000)
    assert len(set(streams)) == 4_000
    limits = Limits(streams=3_000)
    with harness(Engine(MODEL, 10_000, threads=1), loop=loop, limits=limits) as worker:
        worker.listener.unsubscribe(b"")
        for part, kind in (
            (streams[:2_000], wire.Predictions),
            (streams, wire.Error),
            (streams[1_000:3_000], wire.Predictions),
        ):
            ((reply,),) = worker.ask([steps(part)])
            assert isinstance(wire.decode_reply(reply), kind)
        assert worker.service.engine.streams() == streams[:3_000]
