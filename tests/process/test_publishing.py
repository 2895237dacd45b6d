"""Publishers: observations that queue are merged, in order, and none is held back."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.client.aio.publisher import AsyncPublisher
from streamlstm.client.client import Client
from streamlstm.client.publisher import Publisher
from streamlstm.errors import (
    BadValueError,
    RemoteError,
)

from .conftest import WorkerProcess, listen
from .pull_socket import HOURS, PullSocket


def test_one_thread_holds_nothing_back(pull: PullSocket) -> None:
    pull.open()
    with Publisher(pull.endpoint, timeout=20) as publisher:
        for n in range(1, 51):
            publisher.send("a", [n], seq=n)
            assert pull.take(1) == [("a", n, n)]
        publisher.send_many(["a", "b"], [[51], [1]], seqs=[51, 1])
        assert pull.take(2) == [("a", 51, 51), ("b", 1, 1)]
    assert {type(message) for message in pull.messages[:-1]} == {wire.Step}


def test_what_piles_up_while_the_socket_is_busy_goes_out_together(pull: PullSocket) -> None:
    """Nobody is there: the first thread waits in the socket, the others behind it."""
    with Publisher(pull.endpoint, timeout=20) as publisher:
        threads = [
            threading.Thread(target=publisher.send, args=(f"pile-{n}", [n]), kwargs={"seq": n})
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        while publisher._backlog._rows < 19:  # the first was taken by its own thread
            threads[0].join(0.01)
        pull.open_late()
        for thread in threads:
            thread.join()
        rows = pull.take(20)
    assert sorted(rows) == sorted((f"pile-{n}", n, n) for n in range(20))
    assert len(pull.messages) == 2


async def test_the_same_for_asyncio(pull: PullSocket) -> None:
    async with AsyncPublisher(pull.endpoint, timeout=20) as publisher:
        sending = [asyncio.create_task(publisher.send("a", [n], seq=n)) for n in range(1, 30)]
        done, _ = await asyncio.wait(sending, timeout=0.05)
        assert not done
        sending[4].cancel()
        pull.open_late()
        ends = await asyncio.gather(*sending, return_exceptions=True)
        rows = await asyncio.to_thread(pull.take, 28)
    assert [type(end).__name__ for end in ends].count("CancelledError") == 1
    assert rows == [("a", n, n) for n in range(1, 30) if n != 5]
    assert len(pull.messages) == 2


@pytest.mark.parametrize("first", [True, False])
async def test_one_that_is_cancelled_takes_no_other_with_it(pull: PullSocket, first: bool) -> None:
    async with AsyncPublisher(pull.endpoint, timeout=20) as publisher:
        sending = [asyncio.create_task(publisher.send("a", [n], seq=n)) for n in range(3)]
        await asyncio.wait(sending, timeout=0.05)
        sending[0 if first else 2].cancel()
        pull.open_late()
        await asyncio.gather(*sending, return_exceptions=True)
        rows = await asyncio.to_thread(pull.take, 2)
        assert rows == [("a", n, n) for n in ((1, 2) if first else (0, 1))]
        assert pull.nothing_more()


async def test_one_that_is_cancelled_leaves_those_that_it_took_along_in_order(
    pull: PullSocket,
) -> None:
    async with AsyncPublisher(pull.endpoint, timeout=20) as publisher:
        sending = [asyncio.create_task(publisher.send("a", [n], seq=n)) for n in range(5)]
        for n in (0, 1):  # the next one takes all others along
            await asyncio.wait(sending[n:], timeout=0.05)
            sending[n].cancel()
        await asyncio.wait(sending[2:], timeout=0.05)
        pull.open_late()
        await asyncio.gather(*sending, return_exceptions=True)
        assert await asyncio.to_thread(pull.take, 3) == [("a", n, n) for n in (2, 3, 4)]
        assert pull.nothing_more()


def test_with_a_delay_observations_go_out_together(pull: PullSocket) -> None:
    pull.open()
    with Publisher(pull.endpoint, timeout=20, delay=HOURS) as publisher:
        for n in range(1, 101):
            publisher.send("a", [n, n], seq=n)
        publisher.send_many(["a", 7], [[101, 0], [1, 0]], seqs=[101, 0])
        assert pull.nothing_more()
        publisher.flush()
        rows = pull.take(102)
        publisher.send("a", [102, 0], seq=102)
    rows += pull.take(1)  # closing sends what waits
    assert rows == [*(("a", n, n) for n in range(1, 102)), (7, 0, 1), ("a", 102, 102)]
    assert [type(message) for message in pull.messages] == [wire.Steps, wire.Step]


async def test_with_a_delay_so_does_asyncio(pull: PullSocket) -> None:
    pull.open()
    async with AsyncPublisher(pull.endpoint, timeout=20, delay=HOURS) as publisher:
        for n in range(1, 101):
            await publisher.send("a", [n, n], seq=n)
        assert pull.nothing_more()
        await publisher.flush()
        rows = await asyncio.to_thread(pull.take, 100)
        await publisher.send("a", [101, 0], seq=101)
    rows += pull.take(1)
    assert rows == [("a", n, n) for n in range(1, 102)]
    assert [type(message) for message in pull.messages] == [wire.Steps, wire.Step]


async def test_no_observation_waits_longer_than_the_delay(pull: PullSocket) -> None:
    pull.open()
    with Publisher(pull.endpoint, delay=0.01) as publisher:
        for n in range(3):
            publisher.send("a", [n])
            publisher.send("b", [n])
            assert pull.take(2) == [("a", 0, n), ("b", 0, n)]  # without a flush
    async with AsyncPublisher(pull.endpoint, delay=0.01) as publisher:
        for n in range(3):
            await publisher.send("a", [n])
            await publisher.send("b", [n])
            assert await asyncio.to_thread(pull.take, 2) == [("a", 0, n), ("b", 0, n)]


async def test_a_full_message_does_not_wait(pull: PullSocket) -> None:
    pull.open()
    many = wire.MAX_STREAMS + 5
    with Publisher(pull.endpoint, delay=HOURS) as publisher:
        for n in range(many):
            publisher.send("a", [n], seq=n)
        rows = pull.take(wire.MAX_STREAMS)
        assert rows[-1] == ("a", wire.MAX_STREAMS - 1, wire.MAX_STREAMS - 1)
        assert pull.nothing_more()
    assert len(pull.take(5)) == 5
    async with AsyncPublisher(pull.endpoint, delay=HOURS, max_message_bytes=2_000) as publisher:
        for n in range(100):
            await publisher.send("a", np.full(100, n))
        rows = await asyncio.to_thread(pull.take, 100)
    assert [row[2] for row in rows] == list(range(100))
    messages = pull.messages[-25:]  # of four rows each: five would be too long
    assert [len(message.streams) for message in messages] == [4] * 25
    assert max(len(wire.encode(message)) for message in messages) <= 2_000


def test_what_cannot_share_a_message_keeps_its_place(pull: PullSocket) -> None:
    pull.open()
    with Publisher(pull.endpoint, delay=HOURS) as publisher:
        publisher.send("a", [1])
        publisher.send("a", [2])
        publisher.send("a", [3], time=5.0)
        publisher.send("a", [4], time=6.0)
        publisher.send("a", [5])
        publisher.send("a", [6, 6])
        publisher.send("a", [7, 7])
        with pytest.raises(BadValueError, match="seq"):
            publisher.send("a", [7], seq=-1)  # refused at once: spoils nothing
        with pytest.raises(BadValueError, match="event time"):
            publisher.send("a", [7], time=float("inf"))
    assert [row[2] for row in pull.take(7)] == [1, 2, 3, 4, 5, 6, 7]
    assert [type(message).__name__ for message in pull.messages] == [
        "Steps", "Step", "Step", "Step", "Steps",
    ]  # fmt: skip
    assert [message.time for message in pull.messages[1:3]] == [5.0, 6.0]


# --- with a real worker ---


def wait_until_applied(client: Client, stream: str, seq: int) -> None:
    while True:
        try:
            client.step(stream, [0, 0], seq=seq + 1)
            return
        except RemoteError as error:
            assert error.code == "gap"  # noqa: PT017 - it waits for earlier ones


@pytest.mark.parametrize("delay", [0.0, 0.002])
async def test_threads_and_coroutines_keep_the_order_of_their_streams(
    worker: WorkerProcess, client: Client, delay: float
) -> None:
    def run(publisher: Publisher, stream: str) -> None:
        for n in range(1, 1_001):
            publisher.send(stream, [n, n], seq=n)

    before = client.info()["counters"]
    endpoint, count = worker.endpoints["pull"], 4
    with Publisher(endpoint, timeout=20, delay=delay) as publisher:
        names = [f"threads-{delay}-{n}" for n in range(count)]
        threads = [threading.Thread(target=run, args=(publisher, name)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def live(publisher: AsyncPublisher, stream: str) -> None:
        for n in range(1, 1_001):
            await publisher.send(stream, [n, n], seq=n)

    async with AsyncPublisher(endpoint, timeout=20, delay=delay) as publisher:
        coroutines = [f"coroutines-{delay}-{n}" for n in range(count)]
        await asyncio.gather(*(live(publisher, name) for name in coroutines))
    for name in (*names, *coroutines):
        await asyncio.to_thread(wait_until_applied, client, name, 1_000)
    after = client.info()["counters"]
    assert after["steps"] - before["steps"] == 2 * count * 1_001
    assert after["errors"].get("duplicate", 0) == before["errors"].get("duplicate", 0)


def test_a_bad_observation_spoils_no_other_of_its_message(
    worker: WorkerProcess, client: Client, engine: Engine
) -> None:
    before = client.info()["counters"]["errors"].get("bad-value", 0)
    with (
        listen(worker, ["spoil-"], known="spoil-known") as subscriber,
        Publisher(worker.endpoints["pull"], delay=HOURS) as publisher,
    ):
        publisher.send("spoil-a", [1, 2], seq=1)
        publisher.send("spoil-b", [1, float("nan")])
        publisher.send("spoil-c", [3, 4])
        publisher.send("spoil-b", [float("inf"), 1])
        publisher.send("spoil-a", [5, 6], seq=2)
        publisher.flush()
        heard = [subscriber.receive() for _ in range(3)]
    expected = [("spoil-a", [1, 2]), ("spoil-c", [3, 4]), ("spoil-a", [5, 6])]
    for prediction, (stream, x) in zip(heard, expected, strict=True):
        assert prediction.stream == stream
        np.testing.assert_array_equal(prediction.values, engine.step(stream, x))
    assert client.info()["counters"]["errors"]["bad-value"] == before + 2
