"""A worker with keys: who comes in, what each role may do, and what the others are told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from streamlstm import wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.client import Client, Publisher, Subscriber
from streamlstm.client.keys import Role, load_key, new_key
from streamlstm.errors import HandshakeError, RemoteError, WorkerTimeoutError

from .conftest import Sockets, WorkerProcess

X = [0.5, -0.5]
PATIENCE = 20.0


class Ring:
    """The keys of a worker and its clients, in a folder, and what a client is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.allowed = folder / "clients"
        self.allowed.mkdir()
        new_key("worker", folder)
        new_key("stranger", folder)
        for role in Role:
            new_key(role, folder, role)
            (folder / f"{role}.pub").rename(self.allowed / f"{role}.pub")
        self.options = ("--key", str(folder / "worker.key"), "--allow", str(self.allowed))

    def of(self, name: str, server: str = "worker") -> dict[str, Any]:
        return {"key": self.folder / f"{name}.key", "server": self.folder / f"{server}.pub"}


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    return Ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module", params=["native", "python"])
def locked(
    request: pytest.FixtureRequest, ring: Ring, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WorkerProcess]:
    from .conftest import MODEL

    path = tmp_path_factory.mktemp("worker") / "model.safetensors"
    MODEL.save(path)
    process = WorkerProcess(path, *ring.options, "--loop", request.param)
    yield process
    assert process.stop() == 0


def client_of(
    worker: WorkerProcess, ring: Ring, name: str, timeout: float = PATIENCE, server: str = "worker"
) -> Client:
    return Client(worker.endpoints["router"], timeout=timeout, **ring.of(name, server))


def code_of(ask: Any) -> str:
    with pytest.raises(RemoteError) as caught:
        ask()
    return caught.value.code


def refusal_of(ask: Any) -> RemoteError | None:
    try:
        ask()
    except RemoteError as error:
        return error
    return None


def test_who_may_do_all(locked: WorkerProcess, ring: Ring) -> None:
    with client_of(locked, ring, "all") as client:
        first = client.step("a", X)
        blob = client.export_stream("a")
        client.reset("a")
        assert client.step("a", X).tobytes() == first.tobytes()
        client.import_stream("a", blob)
        futures = [client.submit(f"b{n}", X) for n in range(500)]
        assert {future.result().tobytes() for future in futures} == {first.tobytes()}


def test_who_may_only_read_changes_nothing(locked: WorkerProcess, ring: Ring) -> None:
    with client_of(locked, ring, "all") as owner, client_of(locked, ring, "read-only") as client:
        owner.step("r", X)
        blob = owner.export_stream("r")
        steps = owner.info()["counters"]["steps"]
        for ask in (
            lambda: client.step("r", X),
            lambda: client.step_many(["r", "s"], [X, X]),
            lambda: client.submit("r", X).result(),
            lambda: client.reset("r"),
            lambda: client.import_stream("r", blob),
        ):
            assert code_of(ask) == "forbidden"
        assert client.export_stream("r") == blob == owner.export_stream("r")
        assert client.info()["counters"]["steps"] == steps
    with (
        Publisher(
            locked.endpoints["pull"], timeout=1, linger=0, **ring.of("read-only")
        ) as publisher,
        pytest.raises(HandshakeError, match="may not use this door"),
    ):
        publisher.send("r", X)


def test_who_may_only_publish_learns_nothing_of_others(locked: WorkerProcess, ring: Ring) -> None:
    with client_of(locked, ring, "all") as owner, client_of(locked, ring, "publish-only") as client:
        blob = owner.step("p", X) is not None and owner.export_stream("p")
        for ask in (
            lambda: client.export_stream("p"),
            lambda: client.reset("p"),
            lambda: client.import_stream("p", blob),
        ):
            assert code_of(ask) == "forbidden"
        assert owner.export_stream("p") == blob
        assert client.step("q", X).tobytes() == client.step_many(["q2"], [X])[0].tobytes()
        with (
            Subscriber(
                locked.endpoints["xpub"], timeout=1, **ring.of("publish-only")
            ) as subscriber,
            pytest.raises(HandshakeError, match="may not use this door"),
        ):
            subscriber.receive()
        assert client.info()["subscriptions"] == 0


def test_what_is_fed_is_heard_by_who_may_listen(locked: WorkerProcess, ring: Ring) -> None:
    with (
        Publisher(locked.endpoints["pull"], **ring.of("publish-only")) as publisher,
        Subscriber(
            locked.endpoints["xpub"], ["f"], timeout=0.05, **ring.of("read-only")
        ) as subscriber,
    ):
        for _ in range(400):
            publisher.send("f", X)
            try:
                assert subscriber.receive().stream == "f"
                break
            except WorkerTimeoutError:
                continue
        else:
            raise AssertionError("nothing was heard")


def test_a_sender_cannot_say_that_it_is_another(
    locked: WorkerProcess, ring: Ring, sockets: Sockets
) -> None:
    mine, server = load_key(ring.folder / "read-only.key"), load_key(ring.folder / "worker.pub")
    assert mine.secret is not None
    options: dict[str, Any] = {
        "CURVE_PUBLICKEY": mine.public.encode(),
        "CURVE_SECRETKEY": mine.secret.encode(),
        "CURVE_SERVERKEY": server.public.encode(),
        "METADATA": b"X-User-Id:Aall",
        "ROUTING_ID": b"Aall",
    }
    socket = sockets.connect(zmq.DEALER, locked.endpoints["router"], **options)
    for message in (wire.Step("z", 0, wire.to_floats([X]), None), wire.Reset("z")):
        socket.send_multipart([b"Aall", wire.encode(message)])
        reply = wire.decode_reply(socket.recv_multipart()[-1])
        assert isinstance(reply, wire.Error)
        assert reply.code == "forbidden"


@pytest.mark.parametrize(
    ("name", "server", "said"),
    [
        ("stranger", "worker", "refused this key"),
        ("all", "stranger", "Perhaps the worker there has no key, or another one than"),
    ],
)
def test_the_wrong_key(
    locked: WorkerProcess, ring: Ring, name: str, server: str, said: str
) -> None:
    with client_of(locked, ring, name, 1, server) as client:
        with pytest.raises(WorkerTimeoutError, match=said):
            client.step("a", X)
        with pytest.raises(WorkerTimeoutError, match=said):
            client.submit("a", X).result()


def test_no_key(locked: WorkerProcess) -> None:
    router, xpub = locked.endpoints["router"], locked.endpoints["xpub"]
    with (
        Client(router, timeout=1) as client,
        pytest.raises(WorkerTimeoutError, match="speaks with keys only"),
    ):
        client.ping()
    with (
        Subscriber(xpub, timeout=1) as subscriber,
        pytest.raises(WorkerTimeoutError, match="speaks with keys only"),
    ):
        subscriber.receive()


def test_who_has_no_key_or_knows_another_is_counted_and_logged(
    model_file: Path, tmp_path: Path, sockets: Sockets
) -> None:
    ring = Ring(tmp_path)
    worker = WorkerProcess(model_file, *ring.options)
    with client_of(worker, ring, "all") as client:

        def refused() -> int:
            return int(client.info()["counters"]["refused_connections"])

        assert refused() == 0
        sockets.connect(zmq.DEALER, worker.endpoints["router"])
        while (keyless := refused()) == 0:
            pass
        with client_of(worker, ring, "all", 1, "stranger") as other:
            with pytest.raises(WorkerTimeoutError):
                other.ping()
            assert refused() > keyless
    assert worker.stop() == 0
    keyless = ("it comes without a key", "it left in the handshake")
    assert any(f"router: refused a connection: {why}" in worker.said for why in keyless)
    assert "router: refused a connection: it takes another key for this worker's" in worker.said


async def test_the_twins_on_asyncio(locked: WorkerProcess, ring: Ring) -> None:
    router = locked.endpoints["router"]
    async with AsyncClient(router, timeout=PATIENCE, **ring.of("all")) as client:
        assert (await client.step("twin", X)).shape == (3,)
    async with AsyncClient(router, timeout=1, **ring.of("stranger")) as client:
        with pytest.raises(HandshakeError, match="refused this key"):
            await client.ping()


def test_a_key_where_none_is_wanted(worker: WorkerProcess, ring: Ring) -> None:
    with (
        client_of(worker, ring, "all", 1) as client,
        pytest.raises(WorkerTimeoutError, match="has no key"),
    ):
        client.ping()


def test_a_key_that_is_taken_away_and_given(model_file: Path, tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    worker = WorkerProcess(model_file, *ring.options)
    try:
        with client_of(worker, ring, "all") as stays:
            stays.step("a", X)
            (ring.allowed / "all.pub").unlink()
            (ring.folder / "stranger.pub").rename(ring.allowed / "stranger.pub")
            for _ in range(100):  # the files are looked at once a second
                with client_of(worker, ring, "stranger", 0.5) as given:
                    try:
                        given.ping()
                        break
                    except HandshakeError:
                        continue
            else:
                raise AssertionError("the new key was never allowed")
            deadline = time.monotonic() + 1.5  # the log has a line a second
            while time.monotonic() < deadline:
                with client_of(worker, ring, "all", 1) as gone, pytest.raises(HandshakeError):
                    gone.ping()
            stays.ping()  # what is open stays open
            assert stays.info()["counters"]["refused_connections"] >= 1
    finally:
        assert worker.stop() == 0
    refused = load_key(ring.folder / "all.key")
    assert f"router: refused a connection from 127.0.0.1: the key {refused.public}" in worker.said
    assert refused.secret is not None
    assert refused.secret not in worker.said


def test_the_commands(locked: WorkerProcess, ring: Ring) -> None:
    given = ["--key", str(ring.folder / "all.key"), "--server", str(ring.folder / "worker.pub")]
    router = ["--router", locked.endpoints["router"]]
    command = [sys.executable, "-m", "streamlstm"]
    shown = subprocess.run(
        [*command, "info", *router, *given], capture_output=True, text=True, check=True, timeout=60
    )
    assert "refused connections" in shown.stdout
    subprocess.run(
        [*command, "top", "--once", "--every", "0.1", *router, *given],
        capture_output=True,
        check=True,
        timeout=60,
    )
    failed = subprocess.run(
        [*command, "info", *router], capture_output=True, text=True, check=False, timeout=60
    )
    assert failed.returncode == 1
    assert "speaks with keys only" in failed.stderr


def test_keys_are_made_and_shown_on_the_shell(tmp_path: Path) -> None:
    def keys(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streamlstm", "keys", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert keys("new", "pump", "--role", "read-only").returncode == 0
    key = load_key(tmp_path / "pump.pub")
    shown = keys("show", "pump.pub").stdout
    assert shown == f"name    pump\npublic  {key.public}\nrole    read-only\n"
    secret = load_key(tmp_path / "pump.key").secret
    assert secret is not None
    assert secret not in keys("show", "pump.key").stdout
    again = keys("new", "pump")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert keys("burn", "pump").returncode == keys("new", "x", "--role", "king").returncode == 2


@pytest.mark.parametrize("loop", ["native", "python"])
def test_limits_are_of_a_key_over_all_its_connections(
    model_file: Path, tmp_path: Path, loop: str
) -> None:
    ring = Ring(tmp_path)
    options = ("--max-rate", "5", "--max-streams-per-client", "3", "--loop", loop)
    worker = WorkerProcess(model_file, *ring.options, *options)
    with client_of(worker, ring, "all") as client:
        client.step_many(["a", "b"], [X, X])
        with client_of(worker, ring, "all") as again:
            again.step("c", X)
            assert code_of(lambda: again.step("d", X)) == "capacity"
        with client_of(worker, ring, "publish-only") as other:
            other.step("d", X)
            assert other.info()["limits"]["streams_per_client"] == 3
        refusal = None
        while refusal is None:  # until the second's allowance is used
            with client_of(worker, ring, "all") as again:
                refusal = refusal_of(lambda again=again: again.step("a", X))
        assert refusal.code == "busy"
        assert refusal.retry_after is not None
        assert 0 < refusal.retry_after <= 1
        with client_of(worker, ring, "publish-only") as other:
            other.step("d", X)
            assert other.info()["counters"]["throttled"] == 1
    assert worker.stop() == 0
    assert "router: refused, capacity: stream 'd': all has the 3 streams in memory" in worker.said
    assert "all: more observations than --max-rate allows" in worker.said
