"""The asyncio replaying publisher: the same guarantees, and it never blocks the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from benchmarks.live.proxy import Proxy
from streamlstm import AsyncReplayingPublisher, Engine, wire
from streamlstm.errors import BadValueError, StreamLSTMError, WorkerTimeoutError

from .conftest import WorkerProcess, assert_same_state

X = np.random.default_rng(7).standard_normal((1_000, 2)).astype(np.float32)
Deliveries = dict[tuple[wire.StreamId, int], set[bytes]]


def assert_same(worker: WorkerProcess, engine: Engine, streams: list[str]) -> None:
    with worker.client() as client:
        for stream in streams:
            assert_same_state(client, engine, stream)


@pytest.mark.parametrize("how", ["awaited", "called", "without"])
def test_connections_that_break_at_any_moment(
    worker: WorkerProcess, engine: Engine, tmp_path: Path, how: str
) -> None:
    streams = [f"async-{how}-{n}" for n in range(5)]
    delivered: Deliveries = {}
    expected: Deliveries = {}

    def note(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        delivered.setdefault((stream, seq), set()).add(y.tobytes())

    async def note_later(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        await asyncio.sleep(0)
        note(stream, seq, y)

    callback = {"awaited": note_later, "called": note, "without": None}[how]

    async def feed(publisher: AsyncReplayingPublisher, stream: str, at: int) -> None:
        for n in range(at, len(X), 5):
            assert await publisher.send(stream, X[n]) == n // 5 + 1

    async def run() -> None:
        proxy = Proxy(worker.endpoints["router"], every=1_500, seed=5)
        async with AsyncReplayingPublisher(
            proxy.endpoint,
            on_prediction=callback,
            journal=tmp_path / "journal",
            timeout=120,
            linger=120,
            retry=0.3,
            max_rows=20,
        ) as publisher:
            async with asyncio.TaskGroup() as feeding:
                for at, stream in enumerate(streams):
                    feeding.create_task(feed(publisher, stream, at))
            proxy.every = 0
            await publisher.flush()
            assert publisher.unconfirmed == 0
            assert publisher.replayed > 0
        await asyncio.to_thread(proxy.close)
        assert proxy.cuts > 5

    asyncio.run(run(), debug=True)
    for n, x in enumerate(X):
        y = engine.step(streams[n % 5], x, seq=n // 5 + 1)
        expected[streams[n % 5], n // 5 + 1] = {y.tobytes()}
    assert delivered == ({} if callback is None else expected)
    assert_same(worker, engine, streams)


def test_waiting_calls_keep_their_order_and_may_be_cancelled(
    worker: WorkerProcess, engine: Engine
) -> None:
    async def run() -> None:
        proxy = Proxy(None)
        publisher = AsyncReplayingPublisher(proxy.endpoint, timeout=60, linger=60, max_rows=3)
        calls = [asyncio.ensure_future(publisher.send("waits", X[n])) for n in range(40)]
        await asyncio.sleep(0)
        assert not any(call.done() for call in calls)
        for n in (0, 7):
            calls[n].cancel()
        proxy.target = worker.endpoints["router"]
        numbers = await asyncio.gather(*calls, return_exceptions=True)
        assert [n for n in numbers if isinstance(n, int)] == list(range(1, 39))
        await publisher.close()
        await asyncio.to_thread(proxy.close)

    asyncio.run(run())
    for seq, n in enumerate((n for n in range(40) if n not in (0, 7)), 1):
        engine.step("waits", X[n], seq=seq)
    assert_same(worker, engine, ["waits"])


def test_limits_timeouts_and_closing_are_reported(worker: WorkerProcess, tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def run() -> None:
        proxy = Proxy(worker.endpoints["router"])
        publisher = AsyncReplayingPublisher(
            proxy.endpoint, journal=journal, timeout=30, linger=0.1, max_rows=5
        )
        assert await publisher.last_seq("bounded") == 0
        proxy.target = None
        proxy.cut()
        publisher.timeout = 0.2
        assert await publisher.send_many(["bounded"] * 5, X[:5]) == [1, 2, 3, 4, 5]
        assert await publisher.send_many([], np.empty((0, 2))) == []
        with pytest.raises(WorkerTimeoutError, match="5 observations are not confirmed"):
            await publisher.send("bounded", X[5])
        with pytest.raises(WorkerTimeoutError, match=r"did not say within 0\.2 s"):
            await publisher.last_seq("another")
        with pytest.raises(BadValueError, match="at most 5 observations"):
            await publisher.send_many(["bounded"] * 6, X[:6])
        publisher.timeout = 60
        waiting = asyncio.ensure_future(publisher.send("bounded", X[5]))
        await asyncio.sleep(0)
        with pytest.raises(WorkerTimeoutError, match="still in the journal"):
            await publisher.close()
        with pytest.raises(StreamLSTMError, match="closed"):
            await waiting
        for call in (publisher.send("bounded", X[5]), publisher.flush(), publisher.last_seq("s")):
            with pytest.raises(StreamLSTMError, match="this publisher is closed"):
                await call
        await publisher.close()
        proxy.target = worker.endpoints["router"]
        async with AsyncReplayingPublisher(proxy.endpoint, journal=journal, linger=30) as again:
            assert await again.last_seq("bounded") == 5
        await asyncio.to_thread(proxy.close)

    asyncio.run(run())
    with worker.client() as client:
        assert client.last_seqs(["bounded"]) == [5]


def test_a_callback_that_fails_or_hangs(worker: WorkerProcess) -> None:
    async def fails(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        raise ValueError("no room on the wall")

    async def hangs(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        router = worker.endpoints["router"]
        publisher = AsyncReplayingPublisher(router, on_prediction=fails, linger=30)
        await publisher.send("fails", X[0])
        with pytest.raises(ValueError, match="no room on the wall"):
            await publisher.flush(30)
        with pytest.raises(ValueError, match="no room"):
            await publisher.close()
        publisher = AsyncReplayingPublisher(router, on_prediction=hangs, linger=0.3)
        await publisher.send("hangs", X[0])
        with pytest.raises(WorkerTimeoutError, match="1 observations were not confirmed"):
            await publisher.close()

    asyncio.run(run())


def test_calls_in_a_callback_that_would_wait_for_themselves(worker: WorkerProcess) -> None:
    said: dict[str, str] = {}

    async def run() -> None:
        done = asyncio.Event()

        async def deliver(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
            if seq > 1:
                return
            for name, call in {
                "send": publisher.send("new-in-coroutine", X[0]),
                "last_seq": publisher.last_seq("new-in-coroutine"),
                "flush": publisher.flush(),
                "close": publisher.close(),
            }.items():
                try:
                    await call
                except StreamLSTMError as error:
                    said[name] = str(error)
            assert await publisher.send("in-coroutine", X[1]) == 2
            others.append(asyncio.ensure_future(publisher.flush()))  # another task may wait
            done.set()

        others: list[asyncio.Future[None]] = []
        async with AsyncReplayingPublisher(
            worker.endpoints["router"], on_prediction=deliver, timeout=60, linger=60
        ) as publisher:
            await publisher.send("in-coroutine", X[0])
            await asyncio.wait_for(done.wait(), 30)
            await others[0]

    asyncio.run(run(), debug=True)
    assert set(said) == {"send", "last_seq", "flush", "close"}
    assert all(f"{name}: on_prediction runs where" in said[name] for name in said)
    with worker.client() as client:
        assert client.last_seqs(["in-coroutine", "new-in-coroutine"]) == [2, 0]


def test_an_error_is_not_hidden_behind_what_could_not_be_confirmed(worker: WorkerProcess) -> None:
    async def hangs(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        router = worker.endpoints["router"]
        async with AsyncReplayingPublisher(router, on_prediction=hangs, linger=0.1) as publisher:
            await publisher.send("hidden", X[0])
            print(1 / 0)

    with pytest.raises(ZeroDivisionError) as raised:
        asyncio.run(run())
    assert "1 observations were not confirmed in time" in raised.value.__notes__[0]


def test_one_event_loop(worker: WorkerProcess) -> None:
    with pytest.raises(StreamLSTMError, match="made in a coroutine"):
        AsyncReplayingPublisher(worker.endpoints["router"])

    async def make() -> AsyncReplayingPublisher:
        return AsyncReplayingPublisher(worker.endpoints["router"])

    first = asyncio.new_event_loop()
    publisher = first.run_until_complete(make())

    async def use() -> None:
        with pytest.raises(StreamLSTMError, match="another event loop"):
            await publisher.send("s", X[0])

    asyncio.run(use())
    first.run_until_complete(publisher.close())
    first.run_until_complete(first.shutdown_default_executor())
    first.close()
