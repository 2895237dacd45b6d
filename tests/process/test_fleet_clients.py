"""All clients of one real fleet while its partitions move: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from streamlstm import (
    AsyncClient,
    AsyncPublisher,
    AsyncReplayingPublisher,
    AsyncSubscriber,
    Client,
    Engine,
    Model,
    Publisher,
    ReplayingPublisher,
    Subscriber,
)
from streamlstm.client.observing import Published
from streamlstm.engine.partitions import partitions_of
from streamlstm.errors import RemoteError, WorkerTimeoutError

from .conftest import MODEL
from .fleet_process import FleetProcess, PlainSockets

TIMEOUT = 30.0
PROBES: list[int | str] = [f"probe-{n}" for n in range(64)]  # streams of every worker


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetProcess]:
    folder = tmp_path_factory.mktemp("clients")
    MODEL.save(folder / "model.safetensors")
    fleet = FleetProcess(folder / "model.safetensors", folder)
    yield fleet
    assert fleet.stop() == 0


def reference(fleet: FleetProcess) -> Engine:
    return Engine(Model.load(fleet.endpoints.parent / "model.safetensors"))


def ids(name: str) -> list[int | str]:
    first = zlib.crc32(name.encode())
    return [*range(first, first + 30), *(f"{name}-{n}" for n in range(30))]


def settle(fleet: FleetProcess) -> None:
    """Wait until nothing moves, starts or leaves."""
    pause = threading.Event()
    while not fleet.ask("status")["settled"]:
        pause.wait(0.05)


def submit(fleet: FleetProcess, is_over: Callable[[], bool]) -> None:
    """Submit observations without numbers: only the order of the calls counts."""
    engine, streams = reference(fleet), ids("submit")
    chance = np.random.default_rng(1)
    futures: list[tuple[list[int | str], np.ndarray, Future[np.ndarray]]] = []
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client:
        round_ = 0
        while not is_over() or round_ < 20:
            round_ += 1
            rows = chance.normal(size=(len(streams), 2)).astype(np.float32)
            if round_ % 3:
                for stream, x in zip(streams, rows, strict=True):
                    futures.append(([stream], x[None], client.submit(stream, x)))  # type: ignore[arg-type]
            else:
                futures.append((streams, rows, client.submit_many(streams, rows)))
            if round_ % 10 == 0:
                wait([futures[-1][2]])
        for names, rows, future in futures:
            expected = engine.step_many(names, rows)
            assert (np.atleast_2d(future.result()) == expected).all()
        for stream in streams:
            assert client.export_stream(stream) == engine.export_stream(stream)


def test_an_event_loop_gets_the_answers_of_all_workers(fleet: FleetProcess) -> None:
    engine, streams = reference(fleet), ids("asyncio")
    values = np.random.default_rng(2).normal(size=(9, len(streams), 2)).astype(np.float32)

    async def main() -> None:
        async with AsyncClient(endpoints=str(fleet.endpoints), timeout=TIMEOUT) as client:
            for seq, rows in enumerate(values, start=1):
                calls = [client.submit(s, x, seq=seq) for s, x in zip(streams, rows, strict=True)]
                found = await asyncio.gather(*calls)
                assert (np.array(found) == engine.step_many(streams, rows)).all()
            assert (await client.last_seqs(streams)) == [9] * len(streams)
            listed = {stream: seq async for stream, seq in client.list_streams("asyncio-")}
            assert listed == dict.fromkeys(streams[30:], 9)
            info = await client.info()
            assert info["streams"] == sum(each["streams"] for each in info["workers"].values())

    asyncio.run(main())


def test_a_message_of_many_streams_tells_which_rows_were_refused(fleet: FleetProcess) -> None:
    streams = ids("divided")
    rows = np.ones((len(streams), 2), np.float32)
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client:
        first = client.step_many(streams, rows, seqs=[1] * len(streams))
        assert first.shape[0] == len(streams)
        seqs = [2] * len(streams)
        seqs[41] = 7
        with pytest.raises(RemoteError) as caught:
            client.step_many(streams, rows, seqs=seqs)
        error = caught.value
        assert (error.code, error.stream, error.seq) == ("gap", streams[41], 7)
        assert error.divided is not None
        applied = error.divided.applied
        assert not applied[41]
        assert not error.divided.in_doubt.any()
        assert client.last_seqs(streams) == [2 if was else 1 for was in applied]
        assert error.divided.values is not None
        assert np.isnan(error.divided.values[~applied]).all()
        left = np.flatnonzero(~applied)  # those, and only those, are to be sent again
        client.step_many([streams[n] for n in left], rows[left], seqs=[2] * len(left))
        assert client.last_seqs(streams) == [2] * len(streams)


def test_any_worker_is_asked_for_the_others_and_a_lone_one_has_everything(
    fleet: FleetProcess,
) -> None:
    router = next(iter(fleet.workers().values()))["router"]
    streams = ids("address")
    with Client(endpoints=router, timeout=TIMEOUT) as client:
        client.step_many(streams, np.ones((len(streams), 2)))
        assert client.ping() > 0
        assert len(client.info()["workers"]) == len(fleet.workers())


def replay(
    fleet: FleetProcess, is_over: Callable[[], bool], journal: Path, kills: bool = False
) -> None:
    """Send observations exactly once; kill a worker meanwhile."""
    engine, streams = reference(fleet), ids(f"replayed-{kills}")
    chance = np.random.default_rng(5)
    told: dict[tuple[int | str, int], np.ndarray] = {}

    def note(stream: int | str, seq: int, y: np.ndarray) -> None:
        before = told.setdefault((stream, seq), y)
        assert (before == y).all()

    expected = {}
    with ReplayingPublisher(
        endpoints=fleet.endpoints,
        journal=journal,
        on_prediction=note,
        linger=TIMEOUT,
        timeout=TIMEOUT,
    ) as publisher:
        seq = 0
        while not is_over() or seq < 30:
            seq += 1
            rows = chance.normal(size=(len(streams), 2)).astype(np.float32)
            assert publisher.send_many(streams, rows) == [seq] * len(streams)
            expected[seq] = engine.step_many(streams, rows)
            if seq % 5 == 0:
                publisher.flush(TIMEOUT)
            if kills and seq == 20:
                os.kill(list(fleet.workers().values())[-1]["pid"], signal.SIGKILL)
        publisher.flush(TIMEOUT)
    compare(fleet, engine, streams, told, expected)


def compare(
    fleet: FleetProcess,
    engine: Engine,
    streams: list[int | str],
    told: dict[tuple[int | str, int], np.ndarray],
    expected: dict[int, np.ndarray],
) -> None:
    """Compare all predictions, and the states, with those of an engine."""
    seq = max(expected)
    assert len(told) == seq * len(streams)
    for n, Y in expected.items():
        for stream, y in zip(streams, Y, strict=True):
            assert (told[stream, n] == y).all()
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client:
        for stream in streams:
            blob = client.export_stream(stream)
            engine.import_stream("seen", blob)
            assert engine.last_seq("seen") == seq
            assert (engine.step("seen", [1.0, 2.0]) == engine.step(stream, [1.0, 2.0])).all()


def block(fleet: FleetProcess, is_over: Callable[[], bool]) -> None:
    """Step and ask for streams of all partitions at once, some of which are always on their way."""
    engine, streams = reference(fleet), [f"block-{n}" for n in range(4_000)]
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client:
        seq = 0
        while not is_over() or seq < 3:
            seq += 1
            rows = np.full((len(streams), 2), seq / 10, np.float32)
            found = client.step_many(streams, rows, seqs=[seq] * len(streams))
            assert (found == engine.step_many(streams, rows)).all()
            assert client.last_seqs(streams) == [seq] * len(streams)


def listen_to(fleet: FleetProcess, is_over: Callable[[], bool], begun: threading.Event) -> None:
    """Hear each prediction once, from whatever worker; ``begun`` is set when it can begin."""
    streams = ids("heard")[30:]
    prefixes = ["heard-", "probe-", "the end"]
    last = [0]
    heard: list[list[tuple[int | str, int]]] = [[], []]
    ended = [False, False]

    def note(event: Published, n: int) -> bool:
        """Note what was heard; tell whether it is all: workers are heard in no common order."""
        heard[n].append((event.stream, event.seq))
        ended[n] |= event.stream == "the end"
        return ended[n] and sum(e[0] in streams for e in heard[n]) >= len(streams) * last[0]

    def listen(subscriber: Subscriber) -> None:
        while not note(subscriber.receive(), 0):
            pass

    async def alisten() -> None:
        async with AsyncSubscriber(
            streams=prefixes, endpoints=fleet.endpoints, timeout=TIMEOUT
        ) as subscriber:
            probes: set[int | str] = set()
            while not note(event := await subscriber.receive(), 1):
                probes.add(event.stream)
                if probes.issuperset(PROBES):
                    hears.set()

    hears, pause = threading.Event(), threading.Event()
    with (
        Subscriber(streams=prefixes, endpoints=fleet.endpoints, timeout=TIMEOUT) as subscriber,
        Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client,
        ThreadPoolExecutor() as pool,
    ):
        in_loop = pool.submit(asyncio.run, alisten())
        while not hears.is_set():
            until_heard(client, subscriber)
        begun.set()
        in_thread = pool.submit(listen, subscriber)
        while not is_over() or last[0] < 40:
            seqs = [last[0] + 1] * len(streams)
            client.step_many(streams, np.ones((len(streams), 2)), seqs=seqs)
            last[0] += 1
            pause.wait(0.01)  # who listens keeps up
        pause.wait(0.5)
        client.step("the end", [1.0, 2.0])
        in_thread.result(TIMEOUT)
        in_loop.result(TIMEOUT)
    expected = {(stream, n) for stream in streams for n in range(1, last[0] + 1)}
    for each in heard:
        mine = [event for event in each if event[0] in streams]
        assert len(mine) == len(set(mine))
        assert set(mine) == expected, len(expected.difference(mine))


def until_heard(client: Client, subscriber: Subscriber) -> None:
    """Wait until a subscriber hears all workers."""
    heard: set[int | str] = set()
    subscriber.timeout = 0.1
    while not heard.issuperset(PROBES):
        client.step_many(PROBES, np.ones((len(PROBES), 2)))
        with suppress(WorkerTimeoutError):
            while True:
                heard.add(subscriber.receive().stream)
    subscriber.timeout = TIMEOUT


def publish(fleet: FleetProcess, is_over: Callable[[], bool]) -> None:
    """Send observations that nobody waits for; one of them is refused now and then."""
    engine, streams = reference(fleet), ids("fed")
    chance = np.random.default_rng(7)

    async def feed(values: np.ndarray) -> None:
        async with AsyncPublisher(endpoints=fleet.endpoints, linger=TIMEOUT) as publisher:
            for x in values:
                await publisher.send("fed-aio", x)

    with Publisher(endpoints=fleet.endpoints, timeout=TIMEOUT, linger=TIMEOUT) as publisher:
        round_ = 0
        while not is_over() or round_ < 30:
            round_ += 1
            rows = chance.normal(size=(len(streams), 2)).astype(np.float32)
            rows[3, 0] = np.nan if round_ % 10 == 0 else 0  # refused, and it alone
            publisher.send_many(streams, rows)
            for stream, x in zip(streams, rows, strict=True):
                if not np.isnan(x).any():
                    engine.step(stream, x)
            if round_ % 10 == 0:
                asyncio.run(feed(rows[5:7]))
                engine.step("fed-aio", rows[5])
                engine.step("fed-aio", rows[6])
                publisher.flush()
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client:
        for stream in [*streams, "fed-aio"]:
            assert client.export_stream(stream) == engine.export_stream(stream)


def test_all_clients_lose_nothing_while_streams_move(fleet: FleetProcess, tmp_path: Path) -> None:
    over, begun = threading.Event(), threading.Event()
    with ThreadPoolExecutor() as pool:
        loads = [
            pool.submit(submit, fleet, over.is_set),
            pool.submit(publish, fleet, over.is_set),
            pool.submit(replay, fleet, over.is_set, tmp_path / "journal"),
        ]
        try:
            fleet.ask("scale", 3)
            settle(fleet)
            # Now: what a new worker publishes before it is heard is lost, however short that is.
            loads.append(pool.submit(listen_to, fleet, over.is_set, begun))
            assert begun.wait(TIMEOUT)
            fleet.ask("drain", "w0")
            settle(fleet)
        finally:
            over.set()
        for load in loads:
            load.result()


def test_blocks_of_many_streams_are_answered_while_streams_move(fleet: FleetProcess) -> None:
    over = threading.Event()
    with ThreadPoolExecutor() as pool:
        blocks = pool.submit(block, fleet, over.is_set)
        try:
            fleet.ask("scale", 3)
            settle(fleet)
            fleet.ask("scale", 2)
            settle(fleet)
        finally:
            over.set()
        blocks.result()


def test_a_journal_is_replayed_exactly_once_although_a_worker_is_killed(
    fleet: FleetProcess, tmp_path: Path
) -> None:
    replay(fleet, lambda: True, tmp_path / "journal", kills=True)
    settle(fleet)


def test_an_event_loop_replays_exactly_once_although_a_worker_is_killed(
    fleet: FleetProcess, tmp_path: Path
) -> None:
    engine, streams = reference(fleet), ids("replayed by a loop")
    told: dict[tuple[int | str, int], np.ndarray] = {}
    expected = {}

    async def note(stream: int | str, seq: int, y: np.ndarray) -> None:
        assert (told.setdefault((stream, seq), y) == y).all()

    async def publish() -> None:
        async with AsyncReplayingPublisher(
            endpoints=fleet.endpoints,
            journal=tmp_path / "journal",
            on_prediction=note,
            linger=TIMEOUT,
            timeout=TIMEOUT,
        ) as publisher:
            for seq in range(1, 21):
                rows = np.full((len(streams), 2), seq / 10, np.float32)
                assert await publisher.send_many(streams, rows) == [seq] * len(streams)
                expected[seq] = engine.step_many(streams, rows)
                if seq == 10:
                    await publisher.flush()
                    os.kill(next(iter(fleet.workers().values()))["pid"], signal.SIGKILL)
            await publisher.flush(TIMEOUT)

    asyncio.run(publish())
    compare(fleet, engine, streams, told, expected)
    settle(fleet)


def test_partitions_move_to_whom_has_less_to_do(fleet: FleetProcess) -> None:
    """Streams of one worker are busy, until some of their partitions are at the other one."""
    settle(fleet)
    engine, pause = reference(fleet), threading.Event()
    w0 = next(iter(fleet.workers().values()))["router"]
    sockets = PlainSockets(w0)

    def owners(streams: list[str]) -> set[str | None]:
        return {sockets.routers[n] for n in partitions_of(streams).tolist()}

    streams = [s for s in (f"busy-{n}" for n in range(400)) if owners([s]) == {w0}][:60]
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client:
        seq = 0
        while owners(streams) == {w0}:
            seq += 1
            rows = np.full((len(streams), 2), seq / 100, np.float32)
            found = client.step_many(streams, rows, seqs=[seq] * len(streams))
            assert (found == engine.step_many(streams, rows)).all()
            pause.wait(0.05)
            sockets.learn()
    sockets.close()
    settle(fleet)


def test_publish_and_watch_find_the_fleet_by_its_file(fleet: FleetProcess, tmp_path: Path) -> None:
    rows = "".join(f"{stream},{n}.5,1\n" for n in range(4) for stream in ("a", "b", "c"))
    (tmp_path / "data.csv").write_text(f"stream,x0,x1\n{rows}")
    streamlstm = [sys.executable, "-m", "streamlstm"]
    where = ["--endpoints", str(fleet.endpoints), "--json"]
    watched = subprocess.Popen(
        [*streamlstm, "watch", *where, "--stream", "c"], stdout=subprocess.PIPE, text=True
    )
    assert watched.stdout is not None
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client:
        pause = threading.Event()
        while not select.select([watched.stdout], [], [], 0)[0]:
            client.step("c-probe", [1.0, 2.0])
            pause.wait(0.05)
        command = [
            *streamlstm,
            "publish",
            "data.csv",
            "--replay",
            *where,
            "--stream-column",
            "stream",
        ]
        published = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert published.returncode == 0, published.stderr
        told = [json.loads(line) for line in published.stdout.splitlines()]
        assert sorted((line["stream"], line["seq"]) for line in told) == [
            (stream, n) for stream in "abc" for n in range(1, 5)
        ]
        assert client.last_seqs(["a", "b", "c"]) == [4, 4, 4]
    lines = (json.loads(line) for line in watched.stdout)
    assert [next(line["seq"] for line in lines if line["stream"] == "c") for _ in range(4)] == [
        1, 2, 3, 4,
    ]  # fmt: skip
    watched.terminate()
    watched.wait(TIMEOUT)
    watched.stdout.close()
