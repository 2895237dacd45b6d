"""Publishers: what piles up goes out together, in order, and nothing is lost without a word."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamlstm import Engine, wire
from streamlstm.client.aio.client import AsyncPublisher
from streamlstm.client.client import Client, Publisher
from streamlstm.errors import (
    BadValueError,
    ProtocolError,
    RemoteError,
    StreamLSTMError,
    WorkerTimeoutError,
)

from .conftest import Sockets, WorkerProcess, listen

NOBODY = "tcp://127.0.0.1:9"  # the discard port: nothing listens there
HOURS = 9_000.0
Row = tuple[wire.StreamId, int, float]  # of an observation: stream, number, first feature


class Door:
    """A PULL that tells what came, observation by observation and message by message."""

    def __init__(self, sockets: Sockets, folder: Path) -> None:
        self._sockets = sockets
        self.endpoint = f"ipc://{folder}/door"  # where a publisher waits until it is opened
        self.messages: list[wire.Step | wire.Steps] = []

    def open(self) -> None:
        # not over ipc, where ZeroMQ 4.3.5 itself now and then loses what lingers
        self._bind("tcp://127.0.0.1:*")

    def open_late(self) -> None:
        self._bind(self.endpoint)

    def _bind(self, endpoint: str) -> None:
        self._socket = self._sockets.bind(zmq.PULL, endpoint)
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")

    def take(self, observations: int) -> list[Row]:
        """Return stream, number and first feature of as many observations, and not one more."""
        rows = self.take_at_least(observations)
        assert len(rows) == observations
        return rows

    def take_at_least(self, observations: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < observations:
            message = wire.decode_request(self._socket.recv())
            assert isinstance(message, wire.Step | wire.Steps)
            self.messages.append(message)
            if isinstance(message, wire.Step):
                rows.append((message.stream, message.seq, wire.from_floats(message.x)[0]))
            else:
                X = wire.from_floats(message.X).reshape(len(message.streams), -1)
                seqs = message.seqs or [0] * len(X)
                rows += zip(message.streams, seqs, X[:, 0].tolist(), strict=True)
        return rows

    def nothing_more(self) -> bool:
        return not self._socket.poll(100)


@pytest.fixture
def door(sockets: Sockets, tmp_path: Path) -> Iterator[Door]:
    return Door(sockets, tmp_path)


def wait_until_applied(client: Client, stream: str, seq: int) -> None:
    while True:
        try:
            client.step(stream, [0, 0], seq=seq + 1)
            return
        except RemoteError as error:
            assert error.code == "gap"  # noqa: PT017 - it waits for earlier ones


def test_one_thread_holds_nothing_back(door: Door) -> None:
    door.open()
    with Publisher(door.endpoint, timeout=20) as publisher:
        for n in range(1, 51):
            publisher.send("a", [n], seq=n)
            assert door.take(1) == [("a", n, n)]
        publisher.send_many(["a", "b"], [[51], [1]], seqs=[51, 1])
        assert door.take(2) == [("a", 51, 51), ("b", 1, 1)]
    assert {type(message) for message in door.messages[:-1]} == {wire.Step}


def test_what_piles_up_while_the_socket_is_busy_goes_out_together(door: Door) -> None:
    """Nobody is there: the first thread waits in the socket, the others behind it."""
    with Publisher(door.endpoint, timeout=20) as publisher:
        threads = [
            threading.Thread(target=publisher.send, args=(f"pile-{n}", [n]), kwargs={"seq": n})
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        while publisher._backlog._rows < 19:  # the first was taken by its own thread
            threads[0].join(0.01)
        door.open_late()
        for thread in threads:
            thread.join()
        rows = door.take(20)
    assert sorted(rows) == sorted((f"pile-{n}", n, n) for n in range(20))
    assert len(door.messages) == 2


async def test_the_same_for_asyncio(door: Door) -> None:
    async with AsyncPublisher(door.endpoint, timeout=20) as publisher:
        sending = [asyncio.create_task(publisher.send("a", [n], seq=n)) for n in range(1, 30)]
        done, _ = await asyncio.wait(sending, timeout=0.05)
        assert not done
        sending[4].cancel()
        door.open_late()
        ends = await asyncio.gather(*sending, return_exceptions=True)
        rows = await asyncio.to_thread(door.take, 28)
    assert [type(end).__name__ for end in ends].count("CancelledError") == 1
    assert rows == [("a", n, n) for n in range(1, 30) if n != 5]
    assert len(door.messages) == 2


@pytest.mark.parametrize("first", [True, False])
async def test_one_that_is_cancelled_takes_no_other_with_it(door: Door, first: bool) -> None:
    async with AsyncPublisher(door.endpoint, timeout=20) as publisher:
        sending = [asyncio.create_task(publisher.send("a", [n], seq=n)) for n in range(3)]
        await asyncio.wait(sending, timeout=0.05)
        sending[0 if first else 2].cancel()
        door.open_late()
        await asyncio.gather(*sending, return_exceptions=True)
        rows = await asyncio.to_thread(door.take, 2)
        assert rows == [("a", n, n) for n in ((1, 2) if first else (0, 1))]
        assert door.nothing_more()


async def test_one_that_is_cancelled_leaves_those_that_it_took_along_in_order(door: Door) -> None:
    async with AsyncPublisher(door.endpoint, timeout=20) as publisher:
        sending = [asyncio.create_task(publisher.send("a", [n], seq=n)) for n in range(5)]
        for n in (0, 1):  # the next one takes all others along
            await asyncio.wait(sending[n:], timeout=0.05)
            sending[n].cancel()
        await asyncio.wait(sending[2:], timeout=0.05)
        door.open_late()
        await asyncio.gather(*sending, return_exceptions=True)
        assert await asyncio.to_thread(door.take, 3) == [("a", n, n) for n in (2, 3, 4)]
        assert door.nothing_more()


def test_with_a_delay_observations_go_out_together(door: Door) -> None:
    door.open()
    with Publisher(door.endpoint, timeout=20, delay=HOURS) as publisher:
        for n in range(1, 101):
            publisher.send("a", [n, n], seq=n)
        publisher.send_many(["a", 7], [[101, 0], [1, 0]], seqs=[101, 0])
        assert door.nothing_more()
        publisher.flush()
        rows = door.take(102)
        publisher.send("a", [102, 0], seq=102)
    rows += door.take(1)  # closing sends what waits
    assert rows == [*(("a", n, n) for n in range(1, 102)), (7, 0, 1), ("a", 102, 102)]
    assert [type(message) for message in door.messages] == [wire.Steps, wire.Step]


async def test_with_a_delay_so_does_asyncio(door: Door) -> None:
    door.open()
    async with AsyncPublisher(door.endpoint, timeout=20, delay=HOURS) as publisher:
        for n in range(1, 101):
            await publisher.send("a", [n, n], seq=n)
        assert door.nothing_more()
        await publisher.flush()
        rows = await asyncio.to_thread(door.take, 100)
        await publisher.send("a", [101, 0], seq=101)
    rows += door.take(1)
    assert rows == [("a", n, n) for n in range(1, 102)]
    assert [type(message) for message in door.messages] == [wire.Steps, wire.Step]


async def test_no_observation_waits_longer_than_the_delay(door: Door) -> None:
    door.open()
    with Publisher(door.endpoint, delay=0.01) as publisher:
        for n in range(3):
            publisher.send("a", [n])
            publisher.send("b", [n])
            assert door.take(2) == [("a", 0, n), ("b", 0, n)]  # without a flush
    async with AsyncPublisher(door.endpoint, delay=0.01) as publisher:
        for n in range(3):
            await publisher.send("a", [n])
            await publisher.send("b", [n])
            assert await asyncio.to_thread(door.take, 2) == [("a", 0, n), ("b", 0, n)]


async def test_a_full_message_does_not_wait(door: Door) -> None:
    door.open()
    many = wire.MAX_STREAMS + 5
    with Publisher(door.endpoint, delay=HOURS) as publisher:
        for n in range(many):
            publisher.send("a", [n], seq=n)
        rows = door.take(wire.MAX_STREAMS)
        assert rows[-1] == ("a", wire.MAX_STREAMS - 1, wire.MAX_STREAMS - 1)
        assert door.nothing_more()
    assert len(door.take(5)) == 5
    async with AsyncPublisher(door.endpoint, delay=HOURS, max_message_bytes=2_000) as publisher:
        for n in range(100):
            await publisher.send("a", np.full(100, n))
        rows = await asyncio.to_thread(door.take, 100)
    assert [row[2] for row in rows] == list(range(100))
    messages = door.messages[-25:]  # of four rows each: five would be too long
    assert [len(message.streams) for message in messages] == [4] * 25
    assert max(len(wire.encode(message)) for message in messages) <= 2_000


def test_what_cannot_share_a_message_keeps_its_place(door: Door) -> None:
    door.open()
    with Publisher(door.endpoint, delay=HOURS) as publisher:
        publisher.send("a", [1])
        publisher.send("a", [2])
        publisher.send("a", [3], time=5.0)
        publisher.send("a", [4], time=6.0)
        publisher.send("a", [5])
        publisher.send("a", [6, 6])
        publisher.send("a", [7, 7])
        with pytest.raises(ProtocolError):
            publisher.send("a", [7], seq=-1)  # refused at once: spoils nothing
        with pytest.raises(BadValueError, match="event time"):
            publisher.send("a", [7], time=float("inf"))
    assert [row[2] for row in door.take(7)] == [1, 2, 3, 4, 5, 6, 7]
    assert [type(message).__name__ for message in door.messages] == [
        "Steps", "Step", "Step", "Step", "Steps",
    ]  # fmt: skip
    assert [message.time for message in door.messages[1:3]] == [5.0, 6.0]


# --- failures ---


@pytest.mark.parametrize("make", [Publisher, AsyncPublisher])
async def test_a_delay_is_a_number_of_seconds(make) -> None:
    with pytest.raises(BadValueError, match="delay: expected a number of seconds"):
        make(NOBODY, delay=-1)


def test_with_a_delay_what_was_not_sent_is_told_by_the_next_call() -> None:
    publisher = Publisher(NOBODY, timeout=0.05, delay=HOURS)
    for n in range(3):
        publisher.send("a", [n])
    publisher.send_many(["a", "b"], [[1], [2]])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 5\. Check"):
        publisher.flush()
    publisher.flush()  # told once
    publisher.send("a", [1])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 1\. Check"):
        publisher.close()
    publisher.close()
    with pytest.raises(StreamLSTMError, match="this publisher is closed"):
        publisher.send("a", [1])
    # others may wait when the error comes, of which the end tells
    with suppress(WorkerTimeoutError), Publisher(NOBODY, timeout=0, delay=0.001) as publisher:
        error = None
        while error is None:  # until the thread has failed
            try:
                publisher.send("a", [1])
            except WorkerTimeoutError as told:
                error = told
    assert "neither is the one of this call" in str(error)


async def test_with_a_delay_asyncio_tells_it_too() -> None:
    publisher = AsyncPublisher(NOBODY, timeout=0.05, delay=HOURS)
    for n in range(3):
        await publisher.send("a", [n])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 3\. Check"):
        await publisher.flush()
    await publisher.flush()
    await publisher.send("a", [1])
    with pytest.raises(WorkerTimeoutError, match=r"not sent: 1\. Check"):
        await publisher.close()
    await publisher.close()
    with pytest.raises(StreamLSTMError, match="this publisher is closed"):
        await publisher.send("a", [1])
    with suppress(WorkerTimeoutError):
        async with AsyncPublisher(NOBODY, timeout=0.0, delay=0.001) as publisher:
            error = None
            while error is None:  # until the alarm has rung in vain
                try:
                    await publisher.send("a", [1])
                    await asyncio.to_thread(bool)
                except WorkerTimeoutError as told:
                    error = told
    assert "neither is the one of this call" in str(error)


def test_without_a_delay_each_call_tells_of_its_own() -> None:
    told: list[str] = []

    def run() -> None:
        try:
            publisher.send("a", [1])
        except WorkerTimeoutError as error:
            told.append(str(error))

    with Publisher(NOBODY, timeout=0.1) as publisher:
        threads = [threading.Thread(target=run) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(told) == 5
    assert all("it was not sent" in error for error in told)


@pytest.mark.parametrize("delay", [0.0, 0.001, HOURS])
def test_closing_ends_threads_that_send(door: Door, delay: float) -> None:
    door.open()
    publisher = Publisher(door.endpoint, delay=delay, timeout=60, linger=60)
    sent, ends = [0] * 4, []

    def run(n: int) -> None:
        try:
            while True:
                publisher.send(n, [sent[n] + 1], seq=sent[n] + 1)
                sent[n] += 1
        except StreamLSTMError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    rows = door.take_at_least(2_000) if delay < 1 else []
    closing = threading.Thread(target=publisher.close)  # which waits until all is taken
    closing.start()
    for thread in threads:
        thread.join()
    assert ends == ["this publisher is closed; make a new one"] * 4
    while sum(sent) > len(rows):
        rows += door.take_at_least(1)
    closing.join()
    assert door.nothing_more()
    for n in range(4):  # all that was accepted has come, in order and once
        assert [row[1] for row in rows if row[0] == n] == list(range(1, sent[n] + 1))
    names = [thread.name for thread in threading.enumerate()]
    assert "streamlstm-publisher" not in names


async def test_closing_ends_coroutines_that_wait_for_the_socket() -> None:
    publisher = AsyncPublisher(NOBODY, timeout=60)
    sending = [asyncio.create_task(publisher.send("a", [n])) for n in range(3)]
    await asyncio.wait(sending, timeout=0.05)
    await publisher.close()
    for end in await asyncio.gather(*sending, return_exceptions=True):
        assert isinstance(end, StreamLSTMError)
        assert "this publisher is closed" in str(end)


# --- with a real worker ---


@pytest.mark.parametrize("delay", [0.0, 0.002])
async def test_threads_and_coroutines_keep_the_order_of_their_streams(
    worker: WorkerProcess, client: Client, delay: float
) -> None:
    def run(publisher: Publisher, stream: str) -> None:
        for n in range(1, 1_001):
            publisher.send(stream, [n, n], seq=n)

    before = client.info()["counters"]
    pull, count = worker.endpoints["pull"], 4
    with Publisher(pull, timeout=20, delay=delay) as publisher:
        names = [f"threads-{delay}-{n}" for n in range(count)]
        threads = [threading.Thread(target=run, args=(publisher, name)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async def live(publisher: AsyncPublisher, stream: str) -> None:
        for n in range(1, 1_001):
            await publisher.send(stream, [n, n], seq=n)

    async with AsyncPublisher(pull, timeout=20, delay=delay) as publisher:
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
