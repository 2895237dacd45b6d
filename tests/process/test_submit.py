"""Many requests in flight: their order, windows and deadlines."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import numpy as np
import pytest

from streamlstm import Engine, wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.client import Client
from streamlstm.errors import BadValueError, RemoteError, WorkerTimeoutError

from .conftest import MODEL, NOBODY, SlowWorker, WorkerProcess, normal, predicted

# --- order and results ---


def test_thousands_of_requests_give_what_the_engine_gives(client: Client, engine: Engine) -> None:
    streams = [f"many-{n % 7}" for n in range(4_000)]
    X = normal(4_000, 2)
    sent = [
        client.submit(stream, x, seq=n // 7 + 1)
        for n, (stream, x) in enumerate(zip(streams, X, strict=True))
    ]
    for stream, x, future in zip(streams, X, sent, strict=True):
        np.testing.assert_array_equal(future.result(), engine.step(stream, x))


def test_every_method_keeps_the_order_of_the_connection(client: Client, engine: Engine) -> None:
    """Each number is the next one of its stream only if nothing overtakes anything."""
    for round_ in range(40):
        seq = 4 * round_
        first = client.submit("order", [1, 2], seq=seq + 1)
        second = client.submit_many(["order", "order-2"], [[3, 4]] * 2, seqs=[seq + 2, 0])
        y = client.step("order", [5, 6], seq=seq + 3)
        last = client.submit("order", [7, 8], seq=seq + 4)
        np.testing.assert_array_equal(first.result(), engine.step("order", [1, 2]))
        np.testing.assert_array_equal(second.result()[0], engine.step("order", [3, 4]))
        np.testing.assert_array_equal(y, engine.step("order", [5, 6]))
        np.testing.assert_array_equal(last.result(), engine.step("order", [7, 8]))
    client.submit("order", [1, 2])
    state = client.export_stream("order")
    client.submit("order", [9, 9])
    client.import_stream("order", state)
    np.testing.assert_array_equal(client.submit("order", [3, 4]).result(), after(engine))
    client.reset("order")
    assert client.submit("order", [1, 2], seq=1).result().shape == (3,)
    assert client.info()["counters"]["dropped_answers"] == 0


def after(engine: Engine) -> np.ndarray:
    engine.step("order", [1, 2])
    return engine.step("order", [3, 4])


def test_threads_share_a_client_whose_window_is_small(worker: WorkerProcess) -> None:
    X = normal(300, 2)
    wrong: list[str] = []

    def run(stream: str) -> None:
        own = Engine(MODEL, threads=1)
        sent = [client.submit(stream, x, seq=n) for n, x in enumerate(X, start=1)]
        last = client.step(stream, [1, 2], seq=len(X) + 1)
        expected = [own.step(stream, x) for x in X]
        same = [
            np.array_equal(future.result(), y) for future, y in zip(sent, expected, strict=True)
        ]
        if not all(same) or not np.array_equal(last, own.step(stream, [1, 2])):
            wrong.append(stream)

    with Client(worker.endpoints["router"], timeout=20, window=7) as client:
        threads = [threading.Thread(target=run, args=(f"share-{n}",)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


async def test_submitted_to_an_async_client_they_keep_their_order(
    worker: WorkerProcess, engine: Engine
) -> None:
    X = normal(3_000, 2)
    async with AsyncClient(worker.endpoints["router"], timeout=30, window=11) as client:
        sent = [client.submit("aorder", x, seq=n) for n, x in enumerate(X, start=1)]
        blob = await client.export_stream("aorder")
        many = await client.submit_many(["aorder"], [[1, 2]], seqs=[len(X) + 1])
        with pytest.raises(RemoteError, match="expected 2 features"):
            await client.submit("aorder", [1])
    for future, x in zip(sent, X, strict=True):
        np.testing.assert_array_equal(future.result(), engine.step("aorder", x))
    assert np.frombuffer(blob, np.uint8).size == len(engine.export_stream("aorder"))
    np.testing.assert_array_equal(many[0], engine.step("aorder", [1, 2]))


def test_replies_find_their_futures_in_any_order(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=20) as client:
        sent = [client.submit("a", [1]) for _ in range(3)]
        requests = [slow.request() for _ in sent]
        for n in (2, 0, 1):
            slow.reply(requests[n], predicted(n))
        assert [future.result().tolist() for future in sent] == [[0], [1], [2]]


def test_a_late_reply_to_a_step_is_not_that_of_a_submitted_request(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=0.1) as client:
        slow.greet(client)
        with pytest.raises(WorkerTimeoutError, match="no reply within"):
            client.step("a", [1])
        late = slow.request()
        client.timeout = 20
        sent = client.submit("a", [1])
        request = slow.request()
        slow.reply(late, predicted(1))
        slow.reply(request, predicted(2))
        assert sent.result().tolist() == [2]


# --- windows, deadlines, refusals ---


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize("window", [0, 1_000, -1, 1.5, "5", True, None])
async def test_a_window_is_smaller_than_a_workers_queue(make, window: object) -> None:
    with pytest.raises(BadValueError, match="window: expected an integer from 1 to 999"):
        make(NOBODY, window=window)


def test_beyond_its_window_a_client_waits_for_room(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=20, window=3) as client:
        sent = [client.submit("a", [1]) for _ in range(3)]
        client.timeout = 0.1
        with pytest.raises(WorkerTimeoutError, match=r"3 requests were in flight.*was not sent"):
            client.submit("a", [1])
        with pytest.raises(WorkerTimeoutError, match="was not sent"):
            client.ping()
        requests = [slow.request() for _ in sent]
        client.timeout = 20
        more: list[Future[np.ndarray]] = []
        waiting = threading.Thread(target=lambda: more.append(client.submit("a", [1])))
        waiting.start()
        for n, request in enumerate(requests):
            slow.reply(request, predicted(n))
        waiting.join()
        slow.reply(slow.request(), predicted(9))
        assert [future.result().tolist() for future in [*sent, *more]] == [[0], [1], [2], [9]]


async def test_beyond_its_window_an_async_client_keeps_requests_in_order(
    slow: SlowWorker,
) -> None:
    async with AsyncClient(slow.endpoint, timeout=20, window=2) as client:
        sent = [client.submit("a", [n]) for n in range(5)]
        requests = [await asyncio.to_thread(slow.request) for _ in range(2)]
        assert not slow.has_request()  # two are in flight, and no more
        for n in range(5):
            if n >= 2:
                requests.append(await asyncio.to_thread(slow.request))
            request = requests[n]
            assert wire.decode_request(request[-1]).x == wire.to_floats([n])
            slow.reply(request, predicted(n))
        assert [y.tolist() for y in await asyncio.gather(*sent)] == [[n] for n in range(5)]
        first = client.submit("a", [0]), client.submit("a", [1])
        client.timeout = 0.1
        with pytest.raises(WorkerTimeoutError, match=r"2 requests were in flight.*was not sent"):
            await client.submit("a", [2])
        for n, future in enumerate(first):
            slow.reply(await asyncio.to_thread(slow.request), predicted(n))
            assert (await future).tolist() == [n]


def test_each_request_has_its_own_deadline(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=20) as client:
        slow.greet(client)
        patient = client.submit("a", [1])
        client.timeout = 0.3
        hasty = client.submit("a", [1])
        with pytest.raises(WorkerTimeoutError, match=r"no reply within 0\.3 s"):
            hasty.result()
        assert not patient.done()
        slow.reply(slow.request(), predicted(1))
        slow.reply(slow.request(), predicted(2))  # late: thrown away
        assert patient.result().tolist() == [1]


def test_without_a_worker_a_submitted_request_was_not_sent() -> None:
    with Client(NOBODY, timeout=0.1) as client:
        futures = [client.submit("a", [1]) for _ in range(3)]
        for future in futures:
            with pytest.raises(WorkerTimeoutError, match=r"no worker took the message.*not sent"):
                future.result()
        with pytest.raises(WorkerTimeoutError, match="not sent"):
            client.step("a", [1])


def test_what_is_refused_fails_its_own_future_only(client: Client) -> None:
    good, wide, gap, next_ = (
        client.submit("refuse", [1, 2], seq=1),
        client.submit("refuse", [1, 2, 3], seq=2),
        client.submit("refuse", [1, 2], seq=5),
        client.submit("refuse", [1, 2], seq=2),
    )
    assert good.result().shape == next_.result().shape == (3,)
    codes = [future.exception().code for future in (wide, gap)]  # type: ignore[union-attr]
    assert codes == ["bad-shape", "gap"]
    assert gap.exception().seq == 5  # type: ignore[union-attr]


async def test_busy_says_how_long_to_wait(slow: SlowWorker) -> None:
    busy = wire.encode(wire.Error("a", 0, "busy", "later", 30))
    with Client(slow.endpoint, timeout=20) as client:
        sent = client.submit("a", [1])
        slow.reply(slow.request(), busy)
        error = sent.exception()
    assert isinstance(error, RemoteError)
    assert (error.code, error.retry_after) == ("busy", 0.03)
    async with AsyncClient(slow.endpoint, timeout=20) as client:
        sending = asyncio.ensure_future(client.submit("a", [1]))
        slow.reply(
            await asyncio.to_thread(slow.request), wire.encode(wire.Error(None, None, "gap", "no"))
        )
        with pytest.raises(RemoteError) as caught:
            await sending
    assert caught.value.retry_after is None
