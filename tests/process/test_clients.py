"""Clients against real workers, and against workers that reply late, wrongly or not at all."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.aio.publisher import AsyncPublisher
from streamlstm.client.aio.subscriber import AsyncSubscriber
from streamlstm.client.client import Client
from streamlstm.client.publisher import Publisher
from streamlstm.client.subscriber import Subscriber
from streamlstm.errors import (
    BadValueError,
    EndpointError,
    ProtocolError,
    RemoteError,
    ShapeError,
    StreamIdError,
    StreamLSTMError,
    WorkerTimeoutError,
)

from .conftest import MODEL, NOBODY, SlowWorker, WorkerProcess, listen


def ponged(nonce: int) -> bytes:
    return wire.encode(wire.Done(wire.Kind.PING, None, nonce))


def exported(blob: bytes) -> bytes:
    return wire.encode(wire.Done(wire.Kind.EXPORT, "a", blob))


def test_a_late_reply_is_never_taken_for_another(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=0.2) as client:
        slow.greet(client)
        with pytest.raises(WorkerTimeoutError, match="no reply within"):
            client.export_stream("a")
        first = slow.request()
        with pytest.raises(WorkerTimeoutError, match="no reply within"):
            client.export_stream("a")
        second = slow.request()
        slow.reply(first, exported(b"first"))
        slow.reply(second, exported(b"second"))
        with pytest.raises(WorkerTimeoutError):
            client.export_stream("a")
        slow.reply(slow.request(), exported(b"third"))
    assert first[-1] == second[-1]
    assert first[:-1] != second[:-1]


async def test_async_replies_find_their_requests_in_any_order(slow: SlowWorker) -> None:
    async with AsyncClient(slow.endpoint, timeout=10) as client:
        sent = [asyncio.create_task(client.export_stream("a")) for _ in range(3)]
        requests = [await asyncio.to_thread(slow.request) for _ in sent]
        for n in (2, 0, 1):
            slow.reply(requests[n], exported(bytes([n])))
        assert await asyncio.gather(*sent) == [b"\0", b"\1", b"\2"]
        client.timeout = 0.2
        with pytest.raises(WorkerTimeoutError, match="no reply within"):
            await client.export_stream("a")
        late = await asyncio.to_thread(slow.request)
        client.timeout = 10
        sending = asyncio.create_task(client.export_stream("a"))
        request = await asyncio.to_thread(slow.request)
        slow.reply(late, exported(b"late"))
        slow.reply(request, exported(b"in time"))
        assert await sending == b"in time"


@pytest.mark.parametrize("frame", [b"\xc1", ponged(1), wire.encode(wire.Info())])
async def test_what_is_no_reply_is_an_error(slow: SlowWorker, frame: bytes) -> None:
    def send() -> None:
        slow.reply(slow.request(), frame)

    with Client(slow.endpoint) as client:
        replying = asyncio.create_task(asyncio.to_thread(send))
        with pytest.raises(ProtocolError):
            await asyncio.to_thread(client.step, "a", [1, 2])
        await replying
    async with AsyncClient(slow.endpoint) as client:
        replying = asyncio.create_task(asyncio.to_thread(send))
        with pytest.raises(ProtocolError):
            await client.step("a", [1, 2])
        await replying


def test_without_a_worker_nothing_is_sent_and_the_error_says_how_to_check() -> None:
    with Client(NOBODY, timeout=0.05) as client, pytest.raises(WorkerTimeoutError) as caught:
        client.step("a", [1, 2])
    assert "it was not sent" in str(caught.value)
    assert f"streamlstm info --router {NOBODY}" in str(caught.value)
    with Publisher(NOBODY, timeout=0.05) as publisher, pytest.raises(WorkerTimeoutError):
        publisher.send("a", [1, 2])
    with Subscriber(NOBODY, timeout=0.05) as subscriber, pytest.raises(TimeoutError):
        subscriber.receive()


async def test_the_same_for_asyncio() -> None:
    async with AsyncClient(NOBODY, timeout=0.05) as client:
        with pytest.raises(WorkerTimeoutError, match="it was not sent"):
            await client.step("a", [1, 2])
    async with AsyncPublisher(NOBODY, timeout=0.05) as publisher:
        with pytest.raises(WorkerTimeoutError, match="it was not sent"):
            await publisher.send("a", [1, 2])
    async with AsyncSubscriber(NOBODY, timeout=0.05) as subscriber:
        with pytest.raises(WorkerTimeoutError, match="no prediction"):
            await subscriber.receive()


USES = [
    (Client, lambda client: client.ping()),
    (Publisher, lambda publisher: publisher.send("a", [1])),
    (Subscriber, lambda subscriber: subscriber.receive()),
]
ASYNC_USES = [
    (AsyncClient, lambda client: client.ping()),
    (AsyncPublisher, lambda publisher: publisher.send("a", [1])),
    (AsyncSubscriber, lambda subscriber: subscriber.receive()),
]


@pytest.mark.parametrize(("make", "use"), USES)
def test_a_closed_client_says_so(make, use) -> None:
    with pytest.raises(EndpointError, match="not an endpoint"):
        make("not an endpoint")
    closed = make(NOBODY)
    closed.close()
    closed.close()
    with pytest.raises(StreamLSTMError, match="closed"):
        use(closed)


@pytest.mark.parametrize(("make", "use"), ASYNC_USES)
async def test_a_closed_async_client_says_so(make, use) -> None:
    with pytest.raises(EndpointError, match="not an endpoint"):
        make("not an endpoint")
    closed = make(NOBODY)
    await closed.close()
    await closed.close()
    with pytest.raises(StreamLSTMError, match="closed"):
        await use(closed)


EVERY_CLIENT = [make for make, _ in (*USES, *ASYNC_USES)]


@pytest.mark.parametrize("make", EVERY_CLIENT)
@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        (None, "expected an endpoint such as .*, got None"),
        (7450, "expected an endpoint such as .*, got 7450"),
        ("tcp://127.0.0.1:99999", "port must be 1 to 65535"),
        ("tcp://127.0.0.1:-5", "port must be 1 to 65535"),
        ("tcp://127.0.0.1:0", "port must be 1 to 65535"),
        ("tcp://127.0.0.1:*", "port must be 1 to 65535"),
    ],
)
async def test_what_is_no_endpoint_is_refused_at_once(make, endpoint: object, message: str) -> None:
    with pytest.raises(EndpointError, match=message):
        make(endpoint)


@pytest.mark.parametrize("make", EVERY_CLIENT)
@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5", True, [1], 1e300])
async def test_a_timeout_is_a_number_of_seconds(make, timeout: object) -> None:
    with pytest.raises(BadValueError, match="timeout: expected a number of seconds"):
        make(NOBODY, timeout=timeout)


@pytest.mark.parametrize("make", [Publisher, AsyncPublisher])
async def test_a_linger_is_a_number_of_seconds(make) -> None:
    with pytest.raises(BadValueError, match="linger: expected a number of seconds"):
        make(NOBODY, linger=-1)


@pytest.mark.parametrize("make", [Client, Publisher, AsyncClient, AsyncPublisher])
async def test_only_a_subscriber_waits_for_ever(make) -> None:
    with pytest.raises(BadValueError, match="got None"):
        make(NOBODY, timeout=None)


async def test_closing_ends_requests_in_flight(slow: SlowWorker) -> None:
    client = AsyncClient(slow.endpoint)
    sent = asyncio.create_task(client.ping())
    await asyncio.to_thread(slow.request)
    await client.close()
    with pytest.raises(StreamLSTMError, match="closed"):
        await sent


@pytest.mark.parametrize(
    ("stream", "x", "error", "message"),
    [
        ("", [1, 2], StreamIdError, "stream"),
        ("a" * 256, [1, 2], StreamIdError, "stream"),
        (1.5, [1, 2], StreamIdError, "stream"),
        ("a", [[1, 2]], ShapeError, "x: expected one observation"),
        ("a", 1.0, ShapeError, "x: expected one observation"),
        ("a", [[1], [1, 2]], ShapeError, "x: expected rows of equal length"),
        ("a", ["x"], BadValueError, "x: expected numbers, got 'x' .str."),
        ("a", [True, 1j], BadValueError, "x: expected numbers, got "),
        ("a", [1.5, True], BadValueError, "x: expected numbers, got True .bool."),
        ("a", (1, np.False_), BadValueError, r"x: expected numbers, got (np\.)?False"),
    ],
)
def test_what_is_no_observation_is_not_sent(
    stream: wire.StreamId, x: object, error: type[Exception], message: str
) -> None:
    with Client(NOBODY) as client, pytest.raises(error, match=message):
        client.step(stream, x)
    with Publisher(NOBODY) as publisher, pytest.raises(error, match=message):
        publisher.send(stream, x)


def test_rows_must_fit_the_streams() -> None:
    with Client(NOBODY) as client:
        for X in ([[1, 2]], [1, 2], [[1, 2]] * 3):
            with pytest.raises(ShapeError, match="2 streams"):
                client.step_many(["a", "b"], X)
        with pytest.raises(ProtocolError, match="at least one"):
            client.step_many([], np.zeros((0, 2)))


def test_numpy_integers_are_ids_and_numbers(client: Client) -> None:
    y = client.step(np.int64(5000), np.array([1, 2]), seq=np.uint8(1))
    np.testing.assert_array_equal(client.step(5001, [1, 2]), y)
    with pytest.raises(RemoteError, match="5000"):
        client.step(5000, [1, 2], seq=1)


async def test_many_coroutines_share_a_client(worker: WorkerProcess, engine: Engine) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(20, 12, 2)).astype(np.float32)

    async def live(n: int) -> list[np.ndarray]:
        return [await client.step(f"co-{n}", x) for x in X[n]]

    async with AsyncClient(worker.endpoints["router"], timeout=20) as client:
        got = await asyncio.gather(*map(live, range(len(X))))
        assert await client.ping() > 0
        assert (await client.info())["pid"] == worker.process.pid
        blob = await client.export_stream("co-0")
        await client.import_stream("co-copy", blob)
        await client.reset("co-0")
        many = await client.step_many(["co-copy", "co-0"], [[1, 2], [1, 2]])
        with pytest.raises(RemoteError) as caught:
            await client.step("co-0", [1])
        assert caught.value.code == "bad-shape"
    for n, rows in enumerate(X):
        for x, y in zip(rows, got[n], strict=True):
            np.testing.assert_array_equal(y, engine.step(f"co-{n}", x))
    np.testing.assert_array_equal(many[0], engine.step("co-0", [1, 2]))
    np.testing.assert_array_equal(many[1], Engine(MODEL, threads=1).step("co-0", [1, 2]))


async def test_async_publisher_and_subscriber(worker: WorkerProcess, engine: Engine) -> None:
    router, pull, xpub = (worker.endpoints[name] for name in ("router", "pull", "xpub"))
    async with (
        AsyncClient(router, timeout=20) as client,
        AsyncPublisher(pull, timeout=20) as publisher,
        AsyncSubscriber(xpub, ["aio-"], timeout=0.05) as subscriber,
    ):
        heard = False
        while not heard:  # until the subscription has arrived
            await client.step("aio-known", [0, 0])
            try:
                heard = (await subscriber.receive()).stream == "aio-known"
            except WorkerTimeoutError:
                continue
        subscriber.timeout = 20
        await publisher.send("aio-x", [1, 2], seq=1)
        await publisher.send_many(["aio-x", "other"], [[3, 4], [3, 4]], seqs=[2, 1])
        got = {}
        async for prediction in subscriber:
            got[prediction.stream, prediction.seq] = prediction.values
            if prediction.seq == 2:
                break
    np.testing.assert_array_equal(got["aio-x", 1], engine.step("aio-x", [1, 2]))
    np.testing.assert_array_equal(got["aio-x", 2], engine.step("aio-x", [3, 4]))


def test_a_subscriber_is_an_iterator(worker: WorkerProcess, client: Client) -> None:
    with listen(worker, ["it-"], known="it-known") as subscriber:
        client.step_many(["it-a", "it-b", "it-c"], [[1, 2]] * 3)
        streams = [prediction.stream for prediction in islice(subscriber, 3)]
    assert streams == ["it-a", "it-b", "it-c"]


@pytest.mark.parametrize("streams", ["pump-", 5, b"x", []])
def test_a_subscriber_says_what_it_takes(streams: Any) -> None:
    with pytest.raises(BadValueError, match="streams: expected"):
        Subscriber("tcp://127.0.0.1:1", streams)


@pytest.mark.parametrize("seq", [True, 1.0, "1", None])
def test_a_number_that_is_none_is_refused_before_it_is_sent(client: Client, seq: Any) -> None:
    with pytest.raises(BadValueError, match="seq: expected an integer"):
        client.step("unnumbered", [1, 2], seq=seq)
    with pytest.raises(BadValueError, match="event time"):
        client.step("untimed", [1, 2], time=10**400)
    with pytest.raises(ShapeError, match="sequence of ids"):
        client.step_many("ab", [[1, 2], [1, 2]])
