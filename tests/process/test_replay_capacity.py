"""A worker with few slots: a block that names too many streams is divided and sent again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine, ReplayingPublisher, wire
from streamlstm.client.replay import protocol as session
from streamlstm.errors import StreamLSTMError

from .conftest import WorkerProcess, assert_same_state

SLOTS, ROUNDS = 20, 6
STREAMS = [f"s{n}" for n in range(150)]
X = np.random.default_rng(4).standard_normal((ROUNDS, len(STREAMS), 2)).astype(np.float32)


@pytest.fixture
def few(
    request: pytest.FixtureRequest, model_file: Path, tmp_path: Path
) -> Iterator[WorkerProcess]:
    evict = ("--store", f"lmdb:{tmp_path / 'store'}", "--when-full", "evict-idle")
    worker = WorkerProcess(model_file, "--capacity", str(SLOTS), *(evict if request.param else ()))
    yield worker
    worker.stop()


def refusals(worker: WorkerProcess) -> int:
    with worker.client() as client:
        return int(client.info()["counters"]["errors"]["capacity"])


@pytest.mark.parametrize("few", [True], indirect=True)
@pytest.mark.parametrize(("answered", "larger"), [(True, False), (False, False), (False, True)])
def test_more_streams_than_slots(
    few: WorkerProcess,
    engine: Engine,
    answered: bool,
    larger: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if larger:  # it tries larger messages again, often
        monkeypatch.setattr(session, "_LARGER_AFTER", 3)
    delivered: dict[tuple[wire.StreamId, int], bytes] = {}
    order: dict[wire.StreamId, list[int]] = {}

    def deliver(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        delivered[stream, seq] = y.tobytes()
        order.setdefault(stream, []).append(seq)

    with ReplayingPublisher(
        few.endpoints["router"], on_prediction=deliver if answered else None, timeout=60, linger=60
    ) as publisher:
        for n in range(ROUNDS):
            assert publisher.send_many(STREAMS, X[n]) == [n + 1] * len(STREAMS)
            if n == 2:
                publisher.flush()
                refused = refusals(few)
    expected = {
        (stream, n + 1): engine.step(stream, X[n, k], seq=n + 1).tobytes()
        for n in range(ROUNDS)
        for k, stream in enumerate(STREAMS)
    }
    if answered:
        assert delivered == expected
        assert all(order[stream] == [*range(1, ROUNDS + 1)] for stream in STREAMS)
    with few.client() as client:
        assert client.info()["counters"]["steps"] == ROUNDS * len(STREAMS)
        # A size that fits is kept for a while: from then on nothing is refused.
        assert refused > 0
        assert (refusals(few) > refused) == larger
        for stream in STREAMS:
            assert_same_state(client, engine, stream)


@pytest.mark.parametrize("few", [False], indirect=True)
def test_an_observation_that_does_not_fit_alone_stops_it_and_is_named(few: WorkerProcess) -> None:
    publisher = ReplayingPublisher(few.endpoints["router"], timeout=60, linger=60)
    publisher.send_many(STREAMS[:SLOTS], X[0, :SLOTS])
    publisher.flush()
    publisher.send_many(STREAMS[: SLOTS + 1], X[1, : SLOTS + 1])
    with pytest.raises(StreamLSTMError, match=r"capacity") as raised:
        publisher.flush()
    with pytest.raises(StreamLSTMError):
        publisher.close()
    found = re.match(r"stream '(s\d+)': .* does not apply observation 1 \(cap", str(raised.value))
    assert found, str(raised.value)
    assert raised.value.code == "capacity"
    assert found[1] == STREAMS[SLOTS]
    assert "None" not in str(raised.value)
    with few.client() as client:  # all that have a slot were applied
        assert client.last_seqs(STREAMS[:SLOTS]) == [2] * SLOTS
