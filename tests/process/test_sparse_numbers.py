"""Sequence numbers that leave some out: what both loops accept, keep, undo and remember."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Client, Engine, sparse_seq
from streamlstm.errors import RemoteError

from .conftest import MODEL, WorkerProcess

STREAMS: list[str | int] = ["a", "b", "é", 7, 8]
STEPS = 60


@pytest.fixture(params=["native", "python"])
def looped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkerProcess]:
    MODEL.save(tmp_path / "model.safetensors")
    process = WorkerProcess(
        tmp_path / "model.safetensors",
        *("--loop", request.param, "--store", f"lmdb:{tmp_path / 'streams'}"),
    )
    yield process
    process.stop()


def numbers_of(
    rows: list[str | int], last: dict[str | int, int], chance: np.random.Generator
) -> tuple[list[int], int | None]:
    """Return numbers for the rows of a message, and the first row that has to be refused."""
    own, numbers, refused = dict(last), [], None
    for n, stream in enumerate(rows):
        before = own.get(stream, 0)
        kind = chance.choice(
            ["next", "jump", "generation", "again", "gap"], p=[0.5, 0.3, 0.05, 0.1, 0.05]
        )
        if kind == "next":
            number = before + 1
        elif kind == "jump":
            number = max(before, sparse_seq(0)) + int(chance.integers(1, 10))
        elif kind == "generation":
            number = sparse_seq(3, max(before - sparse_seq(0), 0) // 2**48 + 1)
        elif kind == "again":
            number = max(before - int(chance.integers(0, 2)), 0)
        else:
            number = before + 2
        numbers.append(number)
        good = number == 0 or number == before + 1 or (number >= 2**63 and number > before)
        if not good and refused is None:
            refused = n
        own[stream] = number or before
    return numbers, refused


def test_a_stream_takes_any_number_above_its_last(looped: WorkerProcess, tmp_path: Path) -> None:
    """Random messages, whole or refused, to a worker that is killed: it remembers every number."""
    chance, engine = np.random.default_rng(2), Engine(MODEL, threads=1)
    last: dict[str | int, int] = {}
    refusals = 0
    with looped.client() as client:
        for _ in range(STEPS):
            count = int(chance.integers(1, 9))
            rows = [STREAMS[n] for n in chance.integers(0, len(STREAMS), count)]
            numbers, refused = numbers_of(rows, last, chance)
            X = chance.normal(size=(count, 2)).astype(np.float32)
            if refused is None:
                Y = client.step_many(rows, X, seqs=numbers)
                assert (engine.step_many(rows, X, seqs=numbers) == Y).all()
                last |= {s: n for s, n in zip(rows, numbers, strict=True) if n}
            else:
                refusals += 1
                with pytest.raises(RemoteError) as caught:
                    client.step_many(rows, X, seqs=numbers)
                assert (caught.value.stream, caught.value.seq) == (rows[refused], numbers[refused])
            assert client.last_seqs(STREAMS) == [last.get(stream, 0) for stream in STREAMS]
        assert STEPS / 5 < refusals < 4 * STEPS / 5
        again = client.export_stream(7)
        assert again == engine.export_stream(7)
        while client.info()["store"]["pending"]:
            pass
    looped.stop(signal.SIGKILL)
    reborn = WorkerProcess(
        tmp_path / "model.safetensors", "--store", f"lmdb:{tmp_path / 'streams'}"
    )
    try:
        with Client(reborn.endpoints["router"]) as client:
            assert client.last_seqs(STREAMS) == [last.get(stream, 0) for stream in STREAMS]
            with pytest.raises(RemoteError, match="applied before") as caught:
                client.step(7, [1, 2], seq=last[7])
            assert caught.value.code == "duplicate"
            number = max(last[7], sparse_seq(0)) + 1_000
            y = client.step(7, [1, 2], seq=number)
            assert (y == engine.step(7, [1, 2], seq=number)).all()
            assert client.export_stream(7) == engine.export_stream(7)
    finally:
        reborn.stop()
