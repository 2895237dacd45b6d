"""Many questions under way: order, windows, deadlines, cancelling, closing, and killed workers."""

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

from streamlstm import Engine, wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.client import Client
from streamlstm.errors import BadValueError, RemoteError, StreamLSTMError, WorkerTimeoutError

from .conftest import MODEL, SlowWorker, Sockets, WorkerProcess

NOBODY = "tcp://127.0.0.1:9"  # the discard port: nothing listens there


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def predicted(y: float) -> bytes:
    return wire.encode(wire.Prediction("a", 0, wire.to_floats([y])))


def ended(futures: list[Future[np.ndarray]]) -> list[str]:
    """Wait until all are done; return in a word how."""
    assert not wait(futures, timeout=60).not_done
    return [
        "cancelled" if future.cancelled() else type(future.exception()).__name__
        for future in futures
    ]


def threads_of_clients() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "streamlstm-client"]


# --- order and results ---


def test_thousands_of_questions_give_what_the_engine_gives(client: Client, engine: Engine) -> None:
    streams = [f"many-{n % 7}" for n in range(4_000)]
    X = normal(4_000, 2)
    asked = [
        client.submit(stream, x, seq=n // 7 + 1)
        for n, (stream, x) in enumerate(zip(streams, X, strict=True))
    ]
    for stream, x, future in zip(streams, X, asked, strict=True):
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
        asked = [client.submit(stream, x, seq=n) for n, x in enumerate(X, start=1)]
        last = client.step(stream, [1, 2], seq=len(X) + 1)
        expected = [own.step(stream, x) for x in X]
        same = [
            np.array_equal(future.result(), y) for future, y in zip(asked, expected, strict=True)
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
        asked = [client.submit("aorder", x, seq=n) for n, x in enumerate(X, start=1)]
        blob = await client.export_stream("aorder")
        many = await client.submit_many(["aorder"], [[1, 2]], seqs=[len(X) + 1])
        with pytest.raises(RemoteError, match="expected 2 features"):
            await client.submit("aorder", [1])
    for future, x in zip(asked, X, strict=True):
        np.testing.assert_array_equal(future.result(), engine.step("aorder", x))
    assert np.frombuffer(blob, np.uint8).size == len(engine.export_stream("aorder"))
    np.testing.assert_array_equal(many[0], engine.step("aorder", [1, 2]))


def test_answers_find_their_futures_in_any_order(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=20) as client:
        asked = [client.submit("a", [1]) for _ in range(3)]
        questions = [slow.question() for _ in asked]
        for n in (2, 0, 1):
            slow.answer(questions[n], predicted(n))
        assert [future.result().tolist() for future in asked] == [[0], [1], [2]]


def test_a_late_answer_to_a_step_is_not_that_of_a_submitted_question(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=0.1) as client:
        with pytest.raises(WorkerTimeoutError, match="no answer within"):
            client.step("a", [1])
        late = slow.question()
        client.timeout = 20
        asked = client.submit("a", [1])
        question = slow.question()
        slow.answer(late, predicted(1))
        slow.answer(question, predicted(2))
        assert asked.result().tolist() == [2]


# --- windows, deadlines, refusals ---


@pytest.mark.parametrize("make", [Client, AsyncClient])
@pytest.mark.parametrize("window", [0, 1_000, -1, 1.5, "5", True, None])
async def test_a_window_is_smaller_than_a_workers_queue(make, window: object) -> None:
    with pytest.raises(BadValueError, match="window: expected an integer from 1 to 999"):
        make(NOBODY, window=window)


def test_beyond_its_window_a_client_waits_for_room(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=20, window=3) as client:
        asked = [client.submit("a", [1]) for _ in range(3)]
        client.timeout = 0.1
        with pytest.raises(WorkerTimeoutError, match=r"3 questions were under way.*was not sent"):
            client.submit("a", [1])
        with pytest.raises(WorkerTimeoutError, match="was not sent"):
            client.ping()
        questions = [slow.question() for _ in asked]
        client.timeout = 20
        more: list[Future[np.ndarray]] = []
        waiting = threading.Thread(target=lambda: more.append(client.submit("a", [1])))
        waiting.start()
        for n, question in enumerate(questions):
            slow.answer(question, predicted(n))
        waiting.join()
        slow.answer(slow.question(), predicted(9))
        assert [future.result().tolist() for future in [*asked, *more]] == [[0], [1], [2], [9]]


async def test_beyond_its_window_an_async_client_keeps_questions_in_order(
    slow: SlowWorker,
) -> None:
    async with AsyncClient(slow.endpoint, timeout=20, window=2) as client:
        asked = [client.submit("a", [n]) for n in range(5)]
        questions = [await asyncio.to_thread(slow.question) for _ in range(2)]
        assert not slow.asked()  # two are under way, and no more
        for n in range(5):
            if n >= 2:
                questions.append(await asyncio.to_thread(slow.question))
            question = questions[n]
            assert wire.decode_request(question[-1]).x == wire.to_floats([n])
            slow.answer(question, predicted(n))
        assert [y.tolist() for y in await asyncio.gather(*asked)] == [[n] for n in range(5)]
        first = client.submit("a", [0]), client.submit("a", [1])
        client.timeout = 0.1
        with pytest.raises(WorkerTimeoutError, match=r"2 questions were under way.*was not sent"):
            await client.submit("a", [2])
        for n, future in enumerate(first):
            slow.answer(await asyncio.to_thread(slow.question), predicted(n))
            assert (await future).tolist() == [n]


def test_each_question_has_its_own_deadline(slow: SlowWorker) -> None:
    with Client(slow.endpoint, timeout=20) as client:
        patient = client.submit("a", [1])
        client.timeout = 0.05
        hasty = client.submit("a", [1])
        with pytest.raises(WorkerTimeoutError, match=r"no answer within 0\.05 s"):
            hasty.result()
        assert not patient.done()
        slow.answer(slow.question(), predicted(1))
        slow.answer(slow.question(), predicted(2))  # late: thrown away
        assert patient.result().tolist() == [1]


def test_without_a_worker_a_submitted_question_was_not_sent() -> None:
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
        asked = client.submit("a", [1])
        slow.answer(slow.question(), busy)
        error = asked.exception()
    assert isinstance(error, RemoteError)
    assert (error.code, error.retry_after) == ("busy", 0.03)
    async with AsyncClient(slow.endpoint, timeout=20) as client:
        asking = asyncio.ensure_future(client.submit("a", [1]))
        slow.answer(
            await asyncio.to_thread(slow.question), wire.encode(wire.Error(None, None, "gap", "no"))
        )
        with pytest.raises(RemoteError) as caught:
            await asking
    assert caught.value.retry_after is None


# --- cancelling, callbacks ---


def test_what_could_be_cancelled_is_not_sent(sockets: Sockets, tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/late"  # nobody is there yet, so that questions wait
    with Client(endpoint, timeout=20) as client:
        asked = [client.submit(f"cancel-{n}", [1]) for n in range(50)]
        left_out = [future.cancel() for future in asked[::2]]
        router = sockets.bind(zmq.ROUTER, endpoint)
        for n, future in enumerate(asked):
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
        asked = [client.submit(f"cancel-{n}", [1]) for n in range(4)]
        question = await asyncio.to_thread(slow.question)
        asked[0].cancel()  # too late, and nobody wants its answer
        asked[2].cancel()
        for n in (0, 1, 3):
            assert wire.decode_request(question[-1]).stream == f"cancel-{n}"
            slow.answer(question, predicted(n))
            if n < 3:
                question = await asyncio.to_thread(slow.question)
        assert (await asked[1]).tolist() == [1]
        assert (await asked[3]).tolist() == [3]


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
    assert "wait for another answer" in refused[1]
    assert "close the client" in refused[2]


# --- the end ---


def test_closing_fails_what_is_under_way_and_ends_the_thread(slow: SlowWorker) -> None:
    client = Client(slow.endpoint, timeout=60, window=4)
    asked = [client.submit("a", [1]) for _ in range(4)]
    slow.question()
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
    for future in asked:
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
    said: list[str] = []

    def again(_: Future[np.ndarray]) -> None:
        try:
            client.submit("a", [1])
        except StreamLSTMError as error:
            said.append(str(error))

    client.submit("a", [1]).add_done_callback(again)
    client.close()
    assert said == ["this client is closed; make a new one"]


@pytest.mark.parametrize("close_after", [1, 200])
def test_threads_that_race_with_close_get_an_answer_or_an_error(
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


async def test_closing_an_async_client_fails_what_is_under_way(slow: SlowWorker) -> None:
    client = AsyncClient(slow.endpoint, window=1)
    asked = [client.submit("a", [1]) for _ in range(3)]
    await asyncio.to_thread(slow.question)
    await client.close()
    for future in asked:
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
def test_when_its_worker_is_killed_every_question_comes_to_an_end(
    model_file: Path, how: str
) -> None:
    worker = WorkerProcess(model_file)
    X = normal(2_000, 2)

    async def ask() -> list[BaseException | np.ndarray]:
        async with AsyncClient(worker.endpoints["router"], timeout=1) as client:
            asked = [client.submit("killed", x, seq=n) for n, x in enumerate(X, start=1)]
            await asked[20]
            worker.process.send_signal(signal.SIGKILL)
            return await asyncio.gather(*asked, return_exceptions=True)

    try:
        if how == "loop":
            ends = asyncio.run(ask())
        else:
            with Client(worker.endpoints["router"], timeout=1) as client:
                asked = [client.submit("killed", x, seq=n) for n, x in enumerate(X[:400], start=1)]
                asked[20].result()
                worker.process.send_signal(signal.SIGKILL)
                assert not wait(asked, timeout=60).not_done
                ends = [future.exception() or future.result() for future in asked]
    finally:
        worker.stop(signal.SIGKILL)
    # answers first, then none: nothing is answered after something that was not
    answered = [isinstance(end, np.ndarray) for end in ends]
    assert answered == sorted(answered, reverse=True)
    assert answered[20]
    assert all(isinstance(end, WorkerTimeoutError) for end in ends[sum(answered) :])
