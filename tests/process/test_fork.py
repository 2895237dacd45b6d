"""Objects that were made before a fork: in the child an error that says why, at once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import (
    AsyncClient,
    AsyncPublisher,
    AsyncReplayingPublisher,
    AsyncSubscriber,
    Client,
    Engine,
    Publisher,
    ReplayingPublisher,
)
from streamlstm.errors import ForkError, StreamLSTMError
from streamlstm.kernels.compile import can_run_parallel
from streamlstm.serving.service import Service
from streamlstm.serving.worker import Worker

from .conftest import MODEL, WorkerProcess, listen
from .forked import in_child

X = [0.5, 0.25]
NEW_PORTS = ("tcp://127.0.0.1:*",) * 3


def refuses(said: str) -> bool:
    """Tell whether this is the error, with both processes and what to do."""
    return said.startswith("ForkError: this ") and all(
        part in said for part in ("fork", "spawn", f"process {os.getpid()}")
    )


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def pipelined(client: Client) -> Client:
    client.submit("piped", X).result()
    return client


# What a child may call, by the kind of client.
CALLS: dict[str, Callable[[Any], object]] = {
    "step": lambda made: made.step("a", X),
    "step_many": lambda made: made.step_many(["a"], [X]),
    "submit": lambda made: made.submit("a", X).result(),
    "info": lambda made: made.info(),
    "list_streams": lambda made: list(made.list_streams()),
    "send": lambda made: made.send("a", X),
    "send_many": lambda made: made.send_many(["a"], [X]),
    "flush": lambda made: made.flush(),
    "receive": lambda made: made.receive(),
    "receive_event": lambda made: made.receive_event(),
    "last_seq": lambda made: made.last_seq("b"),
}


@pytest.mark.parametrize("call", ["step", "step_many", "submit", "info", "list_streams"])
@pytest.mark.parametrize("is_pipelined", [False, True])
def test_a_client(worker: WorkerProcess, opened: ExitStack, call: str, is_pipelined: bool) -> None:
    client = opened.enter_context(worker.client())
    before = pipelined(client).step("a", X) if is_pipelined else client.step("a", X)
    assert refuses(in_child(lambda: CALLS[call](client)))
    assert in_child(client.close) == "None"
    assert client.step("a", X).shape == before.shape  # the parent goes on


def test_clients_that_follow_a_fleet(worker: WorkerProcess, opened: ExitStack) -> None:
    """They have a connection to each worker, and threads of their own."""
    where = worker.endpoints["router"]
    clients = [
        pipelined(opened.enter_context(Client(endpoints=where, timeout=30.0))) for _ in range(2)
    ]
    publishers: list[Any] = [
        opened.enter_context(kind(endpoints=where, timeout=30.0))
        for kind in (Publisher, ReplayingPublisher)
    ]
    calls = [(clients[0], call) for call in ("step", "step_many", "submit", "info")]
    calls += [(publisher, call) for publisher in publishers for call in ("send", "flush")]
    for publisher in publishers:
        publisher.send("followed", X)
    for made, call in calls:
        assert refuses(in_child(lambda made=made, call=call: CALLS[call](made)))
        assert in_child(made.close) == "None"
    for made in (*clients, *publishers):
        CALLS["step" if isinstance(made, Client) else "send"](made)
        CALLS["step" if isinstance(made, Client) else "flush"](made)


def test_a_future_of_a_client_whose_reply_the_child_cannot_get(
    worker: WorkerProcess, opened: ExitStack
) -> None:
    client = pipelined(opened.enter_context(worker.client()))
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        future: Future[Any] = client.submit("a", X)
        assert refuses(in_child(future.result))
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)
    assert future.result().shape == (3,)


@pytest.mark.parametrize("call", ["send", "send_many", "flush"])
@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_a_publisher(worker: WorkerProcess, opened: ExitStack, call: str, delay: float) -> None:
    known = f"known-{call}-{delay}"
    subscriber = opened.enter_context(listen(worker, [f"p-{call}-{delay}", known], known))
    publisher = opened.enter_context(Publisher(worker.endpoints["pull"], delay=delay))
    publisher.send("other", X)
    assert refuses(in_child(lambda: CALLS[call](publisher)))
    assert in_child(publisher.close) == "None"
    publisher.send(f"p-{call}-{delay}", X)
    publisher.flush()
    assert subscriber.receive().stream == f"p-{call}-{delay}"


@pytest.mark.parametrize("call", ["receive", "receive_event"])
def test_a_subscriber(worker: WorkerProcess, opened: ExitStack, call: str) -> None:
    subscriber = opened.enter_context(listen(worker, ["s", f"known-{call}"], f"known-{call}"))
    client = opened.enter_context(worker.client())
    client.step("s", X)
    assert refuses(in_child(lambda: CALLS[call](subscriber)))
    assert in_child(subscriber.close) == "None"
    assert subscriber.receive().stream == "s"


@pytest.mark.parametrize("call", ["send", "send_many", "flush", "last_seq"])
def test_a_replaying_publisher(
    worker: WorkerProcess, opened: ExitStack, call: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    publisher = ReplayingPublisher(worker.endpoints["router"], journal=journal)
    publisher.send("r" + call, X)
    assert refuses(in_child(lambda: CALLS[call](publisher)))
    assert in_child(publisher.close) == "None"
    assert publisher.send("r" + call, X) == 2
    publisher.close()
    with ReplayingPublisher(worker.endpoints["router"], journal=journal) as again:
        assert again.last_seq("r" + call) == 2


def test_a_child_does_not_keep_the_journal_locked(worker: WorkerProcess, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    publisher = ReplayingPublisher(worker.endpoints["router"], journal=journal)
    publisher.send("j", X)
    read, write = os.pipe()
    is_there, there = os.pipe()

    def stay() -> None:  # a child that lives until the parent has closed its end
        os.close(write)
        os.write(there, b"x")
        os.read(read, 1)

    beside = threading.Thread(target=in_child, args=(stay,))
    beside.start()
    os.read(is_there, 1)
    try:
        publisher.close()
        ReplayingPublisher(worker.endpoints["router"], journal=journal).close()
    finally:
        os.close(write)
        beside.join()
        for end in (read, is_there, there):
            os.close(end)


ASYNC_CALLS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "client": ("step", ("a", X)),
    "publisher": ("send", ("a", X)),
    "publisher, flush": ("flush", ()),
    "subscriber": ("receive", ()),
    "replaying": ("send", ("a", X)),
    "replaying, flush": ("flush", ()),
}


@pytest.mark.parametrize("kind", ASYNC_CALLS)
def test_an_asyncio_client(worker: WorkerProcess, kind: str) -> None:
    router, pull, xpub = (worker.endpoints[name] for name in ("router", "pull", "xpub"))
    makers: dict[str, Callable[[], Any]] = {
        "client": lambda: AsyncClient(router),
        "publisher": lambda: AsyncPublisher(pull),
        "subscriber": lambda: AsyncSubscriber(xpub, ["heard"], timeout=20.0),
        "replaying": lambda: AsyncReplayingPublisher(router),
    }
    method, arguments = ASYNC_CALLS[kind]

    async def call(made: Any) -> object:
        return await getattr(made, method)(*arguments)

    async def both() -> None:
        async with makers[kind.split(",")[0]]() as made:
            if method != "receive":
                await call(made)
            assert refuses(in_child(lambda: asyncio.run(call(made))))
            assert in_child(lambda: asyncio.run(made.close())) == "None"
            if method != "receive":
                await call(made)

    asyncio.run(both())


def test_an_asyncio_subscriber_goes_on_after_a_child_has_dropped_its_copy(
    worker: WorkerProcess,
) -> None:
    """Its end would take the socket out of the epoll that both processes share."""

    async def hear() -> None:
        async with (
            AsyncSubscriber(worker.endpoints["xpub"], ["heard"], timeout=20.0) as subscriber,
            AsyncClient(worker.endpoints["router"]) as client,
        ):
            waiting = asyncio.ensure_future(subscriber.receive())
            while not waiting.done():  # until the subscription has arrived
                await client.step("heard", X)
                await asyncio.wait([waiting], timeout=0.05)
            waiting = asyncio.ensure_future(subscriber.receive())
            await asyncio.wait([waiting], timeout=0.05)

            def drop() -> None:
                subscriber._socket = None

            assert in_child(drop) == "None"
            while not waiting.done():
                await client.step("heard", X)
                await asyncio.wait([waiting], timeout=0.05)
            assert waiting.result().stream == "heard"

    asyncio.run(asyncio.wait_for(hear(), 60))


def test_an_engine_with_one_thread_is_a_copy_in_the_child() -> None:
    engine, twin = Engine(MODEL), Engine(MODEL)
    engine.step("a", X)
    twin.step("a", X)
    expected = twin.step("a", X).tobytes().hex()
    assert in_child(lambda: engine.step("a", X).tobytes().hex()) == expected
    assert in_child(lambda: engine.step_many(["a"], [X]).tobytes().hex()) == expected
    assert engine.step("a", X).tobytes().hex() == expected


@pytest.mark.skipif(not can_run_parallel(), reason="Numba has no OpenMP here: reinstall its wheel")
def test_an_engine_with_several_threads() -> None:
    B = 4_000
    engine = Engine(MODEL, threads=2)
    engine._backend.thread_work = 1  # type: ignore[attr-defined]
    for _ in range(8):
        engine.step_many(range(B), np.ones((B, 2)))
    stream = engine.stream("a")
    stream.step(X)
    for call in (
        lambda: engine.step_many(range(B), np.ones((B, 2))),
        lambda: engine.step_each(["a"], [X]),
        lambda: engine.step("a", X),
        lambda: engine.stream("b").step(X),
        lambda: stream.step(X),
        lambda: engine.export_stream("a"),
    ):
        assert refuses(in_child(call))
    assert "threads: expected 1, got 2" in in_child(lambda: Engine(MODEL, threads=2))
    assert in_child(lambda: Engine(MODEL).step_many(range(B), np.ones((B, 2))).shape) == "(4000, 3)"
    engine.step_many(range(B), np.ones((B, 2)))


def test_an_engine_that_a_thread_was_stepping_is_refused() -> None:
    engine = Engine(MODEL)
    engine.step("a", X)
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with engine._lock, engine._flag:
            holds.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    try:
        for call in (lambda: engine.step("a", X), lambda: engine.step_many(["a"], [X])):
            assert refuses(in_child(call))
    finally:
        done.set()
        thread.join()
    assert in_child(lambda: engine.step("a", X).shape) == "(3,)"


def test_a_worker() -> None:
    with Worker(Service(Engine(MODEL)), *NEW_PORTS) as worker:
        for call in (worker.run, worker.stop):
            assert refuses(in_child(call))
        assert in_child(worker.close) == "None"
        with worker.on_signals():
            # A signal to the child must not stop the parent's worker, which shares the descriptor.
            assert in_child(lambda: os.kill(os.getpid(), signal.SIGTERM)) == "ended by SIGTERM"
        serving = threading.Thread(target=worker.run)
        serving.start()
        try:
            with Client(worker.endpoints["router"], timeout=20.0) as client:
                assert client.step("a", X).shape == (3,)
        finally:
            worker.stop()
            serving.join()


def _use(client: Client, answers: Any) -> None:
    try:
        client.step("a", X)
    except StreamLSTMError as error:
        answers.put(type(error))


def test_a_process_of_multiprocessing(worker: WorkerProcess, opened: ExitStack) -> None:
    client = opened.enter_context(worker.client())
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=_use, args=(client, answers))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    process.join(20)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode == 0
    assert answers.get() is ForkError
    answers.close()


def test_a_child_makes_objects_of_its_own(worker: WorkerProcess, opened: ExitStack) -> None:
    opened.enter_context(worker.client()).step("own", X)

    def use() -> object:
        with worker.client() as client:
            return client.step("own", X).shape

    assert in_child(use) == "(3,)"
