"""Lists streams a page at a time: sorted by id, each live stream exactly once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import LSTM, Dense, Engine, wire

from ..contract.models import random_model
from .small_service import ask, commit, small, step

MODEL = random_model([LSTM(2, 4), Dense(4, 1)])
PREFIXES = ["", "a", "pump-", "pump-0000000000000-", "é", "\U0010ffff" * 5]
texts = st.builds(
    lambda begin, end: (begin + end) or "x",
    st.sampled_from(PREFIXES),
    st.text("ab\0\x7f\u0080\uffff\U00010000", max_size=20),
).filter(lambda text: text[0] != "\0")
ids = texts | st.integers(0, 2**64 - 1) | st.integers(0, 5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(ids, max_size=40, unique_by=lambda stream: (type(stream), stream)),
    st.sampled_from([None, *PREFIXES]),
    st.integers(1, 7),
    st.lists(ids, max_size=10),
)
def test_pages_have_every_stream_once_in_order(
    streams: list[wire.StreamId], prefix: str | None, size: int, others: list[wire.StreamId]
) -> None:
    engine = Engine(MODEL, 100, threads=1)
    for n, stream in enumerate(streams):
        engine.step(stream, [1.0, 2.0], seq=1)
        if n % 2:
            engine.step(stream, [1.0, 2.0], seq=2)
    wanted = {
        stream: 1 + n % 2
        for n, stream in enumerate(streams)
        if prefix is None or (isinstance(stream, str) and stream.startswith(prefix))
    }
    found: list[tuple[wire.StreamId, int]] = []
    after: wire.StreamId | None = None
    while page := engine.list_streams(prefix, after, size):
        assert len(page) <= size
        found += page
        after = page[-1][0]
        if others:  # another stream comes and goes meanwhile; its id may be `after`
            other = others.pop()
            if other not in engine:
                engine.step(other, [0.0, 0.0], seq=1)
                engine.forget(other)
    assert found == sorted(wanted.items(), key=lambda item: wire.topic(item[0]))
    last = engine.last_seqs([*streams, "unknown"])
    assert last == [1 + n % 2 for n in range(len(streams))] + [0]


def test_a_page_may_begin_behind_a_forgotten_stream() -> None:
    engine = Engine(MODEL, 100, threads=1)
    engine.step_many([f"s{n}" for n in range(9)], np.zeros((9, 2), np.float32))
    engine.forget("s4")
    assert engine.list_streams(None, "s4", 2) == [("s5", 0), ("s6", 0)]


def test_a_page_of_streams_in_memory_does_not_read_the_whole_store(tmp_path: Path) -> None:
    with small(tmp_path, 100) as (engine, checkpointer, _, service):
        ask(service, *[step(f"s{n:02}") for n in range(60)])
        commit(checkpointer)
        assert len(engine) == 60
        store, read = checkpointer.stored._store, []
        page = store.page

        def counted(*arguments: object) -> object:
            read.append(arguments)
            return page(*arguments)

        store.page = counted  # type: ignore[method-assign]
        checkpointer.stored.note_evicted(1)  # as if one were in the store only
        for after in (None, "s04", "s31"):
            read.clear()
            (reply,) = ask(service, wire.encode(wire.List(None, after, 5)))
            assert isinstance(reply, wire.Done)
            assert len(reply.value) == 5
            assert len(read) <= 2
