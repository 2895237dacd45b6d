"""The end of requests in flight: cancelled, called back, closed, or without their worker."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

import numpy as np
import pytest
import zmq

from streamlstm import wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.client import Client
from streamlstm.errors import StreamLSTMError, WorkerTimeoutError

from .conftest import SlowWorker, Sockets, WorkerProcess, normal, predicted


def ended(futures: list[Future[np.ndarray]]) -> list[str]:
    """Wait until all are done; return in a word how."""
    assert not wait(futures, timeout=60).not_done
    return [
        "cancelled" if future.cancelled() else type(future.exception()).__name__
        for future in futures
    ]


def threads_of_clients() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "streamlstm-client"]


# --- cancelling, callbacks ---


def test_what_could_be_cancelled_is_not_sent(sockets: Sockets, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/late"  # nobody is there yet, so that requests wait
    with Client(endpoint, timeout=20) as client:
        sent = [client.submit(f"cancel-{n}", [1]) for n in range(50)]
        left_out = [future.cancel() for future in sent[::2]]
        router = sockets.bind(zmq.ROUTER, endpoint)
        for n, future in enumerate(sent):
            if future.cancelled():
                continue
            identity, number, frame = router.recv_multipart()
            assert wire.decode_request(frame).stream == f"cancel-{n}"
            assert not future.cancel()
            router.send_multipart([identity, number, predicted(n)])
            assert future.result().tolist() == [n]
    assert sum(left_out) >= 24  # the first may be on its way already


async def test_what_is_cancelled_before_it_was_sent_is_left_out(slow: SlowWorker) -> None:
    async with AsyncClient(slow.endpoint, timeout=20, window=1) as client:
        sent = [client.submit(f"cancel-{n}", [1]) for n in range(4)]
        request = await asyncio.to_thread(slow.request)
        sent[0].cancel()  # too late, and nobody wants its reply
        sent[2].cancel()
        for n in (0, 1, 3):
            assert wire.decode_request(request[-1]).stream == f"cancel-{n}"
            slow.reply(request, predicted(n))
            if n < 3:
                request = await asyncio.to_thread(slow.request)
        assert (await sent[1]).tolist() == [1]
        assert (await sent[3]).tolist() == [3]


def test_a_callback_that_fails_harms_nothing(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: BaseException) -> Callable[[Future[np.ndarray]], None]:
        def callback(_: Future[np.ndarray]) -> None:
            raise error

        return callback

    with caplog.at_level(logging.ERROR):
        errors = (ValueError("mine"), SystemExit(1), KeyboardInterrupt())
        for error in errors:
            future = client.submit("callback", [1, 2])
            future.add_done_callback(fail(error))
            future.result()
            assert client.submit("callback", [1, 2]).result().shape == (3,)
    assert "mine" in caplog.text


def test_a_callback_may_ask_but_not_wait(client: Client) -> None:
    refused: list[str] = []
    rest: list[Future[np.ndarray]] = []
    done = threading.Event()

    def callback(_: Future[np.ndarray]) -> None:
        for use in (
            lambda: client.step("in-callback", [1, 2]),
            lambda: client.submit("in-callback", [1, 2]).result(),
            client.close,
        ):
            try:
                use()
            except StreamLSTMError as error:
                refused.append(str(error))
        if len(rest) < 2_000:  # far beyond the window: never waits
            rest.extend(client.submit("in-callback", [1, 2]) for _ in range(500))
            rest[-1].add_done_callback(callback)
        else:
            done.set()

    client.submit("in-callback", [1, 2]).add_done_callback(callback)
    assert done.wait(60)
    assert set(ended(rest)) == {"NoneType"}
    assert len(refused) == 15
    assert "would wait for itself" in refused[0]
    assert "wait for another reply" in refused[1]
    assert "close the client" in refused[2]


# --- the end ---


def test_closing_fails_what_is_in_flight_and_ends_the_thread(slow: SlowWorker) -> None:
    client = Client(slow.endpoint, timeout=60, window=4)
    sent = [client.submit("a", [1]) for _ in range(4)]
    slow.request()
    refused: list[str] = []

    def ask() -> None:
        try:
            client.submit("a", [1])
        except StreamLSTMError as error:
            refused.append(str(error))

    waiting = threading.Thread(target=ask)
    waiting.start()
    client.close()
    client.close()
    waiting.join()
    assert threads_of_clients() == []
    for future in sent:
        with pytest.raises(StreamLSTMError, match="this client is closed"):
            future.result()
    assert len(refused) == 1
    assert "this client is closed" in refused[0]
    with pytest.raises(StreamLSTMError, match="this client is closed"):
        client.submit("a", [1])
    with pytest.raises(StreamLSTMError, match="this client is closed"):
        client.ping()


def test_a_callback_may_use_the_client_while_it_is_closed(slow: SlowWorker) -> None:
    client = Client(slow.endpoint, timeout=60)
    messages: list[str] = []

    def again(_: Future[np.ndarray]) -> None:
        try:
            client.submit("a", [1])
        except StreamLSTMError as error:
            messages.append(str(error))

    client.submit("a", [1]).add_done_callback(again)
    client.close()
    assert messages == ["this client is closed; make a new one"]


@pytest.mark.parametrize("close_after", [1, 200])
def test_threads_that_race_with_close_get_a_reply_or_an_error(
    worker: WorkerProcess, close_after: int
) -> None:
    for attempt in range(8):
        client = worker.client()
        futures: list[Future[np.ndarray]] = []
        enough = threading.Event()
        closed: list[str] = []

        def run(stream: str) -> None:
            try:
                while True:
                    futures.append(client.submit(stream, [1, 2]))  # noqa: B023 - joined below
                    client.step(stream, [1, 2])  # noqa: B023
                    if len(futures) >= close_after:  # noqa: B023
                        enough.set()  # noqa: B023
            except StreamLSTMError as error:
                closed.append(str(error))  # noqa: B023

        threads = [threading.Thread(target=run, args=(f"race-{attempt}-{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        client.close()
        for thread in threads:
            thread.join()
        assert closed == ["this client is closed; make a new one"] * 4
        assert set(ended(futures)) <= {"NoneType", "StreamLSTMError"}
        assert threads_of_clients() == []


async def test_closing_an_async_client_fails_what_is_in_flight(slow: SlowWorker) -> None:
    client = AsyncClient(slow.endpoint, window=1)
    sent = [client.submit("a", [1]) for _ in range(3)]
    await asyncio.to_thread(slow.request)
    await client.close()
    for future in sent:
        with pytest.raises(StreamLSTMError, match="this client is closed"):
            await future
    with pytest.raises(StreamLSTMError, match="this client is closed"):
        client.submit("a", [1])


def test_an_async_client_belongs_to_one_loop(worker: WorkerProcess) -> None:
    client = AsyncClient(worker.endpoints["router"], timeout=20)

    async def ask() -> None:
        await client.step("loops", [1, 2])

    with asyncio.Runner() as first:
        first.run(ask())
        with pytest.raises(StreamLSTMError, match="used by another event loop"):
            asyncio.run(ask())
        first.run(client.close())


@pytest.mark.parametrize("how", ["thread", "loop"])
def test_when_its_worker_is_killed_every_request_comes_to_an_end(
    model_file: Path, how: str
) -> None:
    worker = WorkerProcess(model_file)
    X = normal(2_000, 2)

    async def ask() -> list[BaseException | np.ndarray]:
        async with AsyncClient(worker.endpoints["router"], timeout=20) as client:
            sent = [client.submit("killed", x, seq=n) for n, x in enumerate(X[:21], start=1)]
            client.timeout = 1
            sent += [client.submit("killed", x, seq=n) for n, x in enumerate(X[21:], start=22)]
            await sent[20]
            worker.process.send_signal(signal.SIGKILL)
            return await asyncio.gather(*sent, return_exceptions=True)

    try:
        if how == "loop":
            ends = asyncio.run(ask())
        else:
            with Client(worker.endpoints["router"], timeout=20) as client:
                sent = [client.submit("killed", x, seq=n) for n, x in enumerate(X[:21], start=1)]
                client.timeout, more = 1, X[21:400]
                sent += [client.submit("killed", x, seq=n) for n, x in enumerate(more, start=22)]
                sent[20].result()
                worker.process.send_signal(signal.SIGKILL)
                assert not wait(sent, timeout=60).not_done
                ends = [future.exception() or future.result() for future in sent]
    finally:
        worker.stop(signal.SIGKILL)
    # replies first, then none: nothing is answered after something that was not
    answered = [isinstance(end, np.ndarray) for end in ends]
    assert answered == sorted(answered, reverse=True)
    assert answered[20]
    assert all(isinstance(end, WorkerTimeoutError) for end in ends[sum(answered) :])
