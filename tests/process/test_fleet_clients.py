"""All clients of one real fleet while its partitions move: nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager

import numpy as np
import pytest

from streamlstm import AsyncClient, Client, Engine, Model
from streamlstm.errors import RemoteError

from .conftest import MODEL
from .fleet_process import FleetProcess

TIMEOUT = 30.0


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


@contextmanager
def moving(fleet: FleetProcess) -> Iterator[Callable[[], bool]]:
    """Add a worker meanwhile, to which a part of the streams moves; tell whether it is over."""
    over = threading.Event()
    wait_ = threading.Event()

    def settled() -> None:
        while (status := fleet.ask("status"))["moving"] or any(
            each["leaves"] or not each["router"] for each in status["workers"]
        ):
            wait_.wait(0.02)

    def change() -> None:
        try:
            fleet.ask("scale", 3)
            settled()
        finally:
            over.set()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield over.is_set
    finally:
        thread.join()


def test_submitted_requests_are_applied_in_order_while_their_streams_move(
    fleet: FleetProcess,
) -> None:
    engine, streams = reference(fleet), ids("submit")
    chance = np.random.default_rng(1)
    futures: list[tuple[list[int | str], np.ndarray, Future[np.ndarray]]] = []
    with Client(endpoints=fleet.endpoints, timeout=TIMEOUT) as client, moving(fleet) as is_over:
        round_ = 0
        while not is_over() or round_ < 20:
            round_ += 1
            rows = chance.normal(size=(len(streams), 2)).astype(np.float32)
            if round_ % 3:  # neither has numbers: only the order of the calls counts
                for stream, x in zip(streams, rows, strict=True):
                    futures.append(([stream], x[None], client.submit(stream, x)))  # type: ignore[arg-type]
            else:
                futures.append((streams, rows, client.submit_many(streams, rows)))
            if round_ % 50 == 0:
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
