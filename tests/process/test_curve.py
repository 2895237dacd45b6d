"""A worker with CURVE: which clients may connect, what each role may do, what the others get."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import zmq

from streamlstm import wire
from streamlstm.client.aio.client import AsyncClient
from streamlstm.client.client import Client
from streamlstm.client.keys import Role, load_key, new_key
from streamlstm.client.publisher import Publisher
from streamlstm.client.replay.publisher import ReplayingPublisher
from streamlstm.client.subscriber import Subscriber
from streamlstm.errors import HandshakeError, RemoteError, WorkerTimeoutError

from .conftest import Sockets, WorkerProcess, fails_saying

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
def secured(
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


def test_role_all(secured: WorkerProcess, ring: Ring) -> None:
    with client_of(secured, ring, "all") as client:
        first = client.step("a", X)
        blob = client.export_stream("a")
        client.reset("a")
        assert client.step("a", X).tobytes() == first.tobytes()
        client.import_stream("a", blob)
        futures = [client.submit(f"b{n}", X) for n in range(500)]
        assert {future.result().tobytes() for future in futures} == {first.tobytes()}


def test_role_read_only_changes_nothing(secured: WorkerProcess, ring: Ring) -> None:
    with client_of(secured, ring, "all") as owner, client_of(secured, ring, "read-only") as client:
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

    def send(timeout: float) -> None:
        keys = ring.of("read-only")
        with Publisher(secured.endpoints["pull"], timeout=timeout, linger=0, **keys) as publisher:
            publisher.send("r", X)

    assert isinstance(fails_saying("may not use this socket", send), HandshakeError)


def test_role_publish_only_learns_nothing_of_others(secured: WorkerProcess, ring: Ring) -> None:
    with (
        client_of(secured, ring, "all") as owner,
        client_of(secured, ring, "publish-only") as client,
    ):
        blob = owner.step("p", X) is not None and owner.export_stream("p")
        for ask in (
            lambda: client.export_stream("p"),
            lambda: client.reset("p"),
            lambda: client.import_stream("p", blob),
        ):
            assert code_of(ask) == "forbidden"
        assert owner.export_stream("p") == blob
        assert client.step("q", X).tobytes() == client.step_many(["q2"], [X])[0].tobytes()
        with Subscriber(secured.endpoints["xpub"], **ring.of("publish-only")) as subscriber:

            def receive(timeout: float) -> None:
                subscriber.timeout = timeout
                subscriber.receive()

            assert isinstance(fails_saying("may not use this socket", receive), HandshakeError)
        assert client.info()["subscriptions"] == 0


def test_subscribers_with_a_role_receive_what_is_published(
    secured: WorkerProcess, ring: Ring
) -> None:
    with (
        Publisher(secured.endpoints["pull"], **ring.of("publish-only")) as publisher,
        Subscriber(
            secured.endpoints["xpub"], ["f"], timeout=0.05, **ring.of("read-only")
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


def test_a_client_cannot_claim_another_user_id(
    secured: WorkerProcess, ring: Ring, sockets: Sockets
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
    socket = sockets.connect(zmq.DEALER, secured.endpoints["router"], **options)
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
    secured: WorkerProcess, ring: Ring, name: str, server: str, said: str
) -> None:
    with client_of(secured, ring, name, server=server) as client:

        def step(timeout: float) -> None:
            client.timeout = timeout
            client.step("a", X)

        fails_saying(said, step)
        with pytest.raises(WorkerTimeoutError, match=said):
            client.submit("a", X).result()


def test_no_key(secured: WorkerProcess) -> None:
    router, xpub = secured.endpoints["router"], secured.endpoints["xpub"]
    with (
        Client(router, timeout=0.1) as client,
        pytest.raises(WorkerTimeoutError, match="requires keys"),
    ):
        client.ping()
    with (
        Subscriber(xpub, timeout=0.1) as subscriber,
        pytest.raises(WorkerTimeoutError, match="requires keys"),
    ):
        subscriber.receive()


def test_failed_handshakes_are_counted_and_logged(
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
        with client_of(worker, ring, "all", 0.1, "stranger") as other:
            with pytest.raises(WorkerTimeoutError):
                other.ping()
            while refused() == keyless:
                pass
    assert worker.stop() == 0
    keyless = ("it comes without a key", "it left in the handshake")
    assert any(f"router: refused a connection: {why}" in worker.said for why in keyless)
    assert "router: refused a connection: it takes another key for this worker's" in worker.said


async def test_the_asyncio_clients(secured: WorkerProcess, ring: Ring) -> None:
    router = secured.endpoints["router"]
    async with AsyncClient(router, timeout=PATIENCE, **ring.of("all")) as client:
        assert (await client.step("twin", X)).shape == (3,)
    async with AsyncClient(router, timeout=0.1, **ring.of("stranger")) as client:
        while True:
            with pytest.raises(WorkerTimeoutError) as caught:
                await client.ping()
            if isinstance(caught.value, HandshakeError):
                break
        assert "refused this key" in str(caught.value)


def test_a_key_for_a_worker_without_keys(worker: WorkerProcess, ring: Ring) -> None:
    with (
        client_of(worker, ring, "all", 0.1) as client,
        pytest.raises(WorkerTimeoutError, match="has no key"),
    ):
        client.ping()


def test_a_key_that_is_revoked_and_authorized_again(model_file: Path, tmp_path: Path) -> None:
    ring = Ring(tmp_path)
    worker = WorkerProcess(model_file, *ring.options)

    def comes_anew(timeout: float) -> None:
        with client_of(worker, ring, "all", timeout) as client:
            client.ping()

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
                    except WorkerTimeoutError:
                        continue
            else:
                raise AssertionError("the new key was never allowed")
            deadline = time.monotonic() + 1.5  # the log has a line a second
            while time.monotonic() < deadline:
                fails_saying("refused this key", comes_anew)
            stays.ping()  # what is open stays open
            assert stays.info()["counters"]["refused_connections"] >= 1
    finally:
        assert worker.stop() == 0
    refused = load_key(ring.folder / "all.key")
    assert f"router: refused a connection from 127.0.0.1: the key {refused.public}" in worker.said
    assert refused.secret is not None
    assert refused.secret not in worker.said


def test_the_commands(secured: WorkerProcess, ring: Ring) -> None:
    given = ["--key", str(ring.folder / "all.key"), "--server", str(ring.folder / "worker.pub")]
    router = ["--router", secured.endpoints["router"]]
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
    for _ in range(5):  # which end notices first is chance, of the machine's load too
        failed = subprocess.run(
            [*command, "info", *router], capture_output=True, text=True, check=False, timeout=60
        )
        assert failed.returncode == 1
        if "requires keys (CURVE)" in failed.stderr:
            break
        assert "if it requires keys, give --key and --server" in failed.stderr
    else:
        raise AssertionError("the worker was never found to require keys")


def test_the_keys_command(tmp_path: Path) -> None:
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
    assert "exists already" in again.stderr
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


@pytest.mark.exhaustive
def test_a_fleet_and_its_gateway_know_keys_and_roles(ring: Ring, tmp_path: Path) -> None:
    from .conftest import MODEL
    from .fleet_process import FleetProcess

    MODEL.save(tmp_path / "model.safetensors")
    options = ("--gateway", "tcp://127.0.0.1:*", *ring.options)
    fleet = FleetProcess(tmp_path / "model.safetensors", tmp_path, *options, workers=2)
    where = fleet.gateway()
    try:
        with (
            Client(where["router"], timeout=PATIENCE, **ring.of("all")) as client,
            Client(where["router"], timeout=PATIENCE, **ring.of("read-only")) as reader,
            Client(where["router"], timeout=PATIENCE, **ring.of("publish-only")) as sender,
            Publisher(where["pull"], **ring.of("publish-only")) as publisher,
            Client(where["router"], timeout=PATIENCE, **ring.of("stranger")) as stranger,
        ):
            assert client.step_many(["a", "b", "c", "d"], [X] * 4).shape == (4, 3)
            assert sender.step("a", X).shape == (3,)
            publisher.send("a", X)
            assert reader.last_seqs(["a", "b"]) == [0, 0]
            with pytest.raises(RemoteError, match="this key is read-only"):
                reader.step("a", X)
            with pytest.raises(RemoteError, match="this key is publish-only"):
                sender.forget("a")
            with pytest.raises(HandshakeError):
                stranger.ping()
        file = fleet.endpoints
        journal = tmp_path / "journal"
        with (
            Client(endpoints=file, timeout=PATIENCE, **ring.of("all")) as client,
            Client(endpoints=file, timeout=PATIENCE, **ring.of("read-only")) as reader,
            Client(endpoints=file, timeout=PATIENCE, **ring.of("publish-only")) as sender,
            Subscriber(endpoints=file, timeout=PATIENCE, **ring.of("read-only")) as subscriber,
            ReplayingPublisher(
                endpoints=file, journal=journal, timeout=PATIENCE, **ring.of("publish-only")
            ) as publisher,
        ):
            names = [f"direct-{n}" for n in range(20)]
            assert client.step_many(names, [X] * 20, seqs=[1] * 20).shape == (20, 3)
            assert publisher.send_many(names, [X] * 20) == [2] * 20
            publisher.flush(PATIENCE)
            assert reader.last_seqs(names) == [2] * 20
            assert reader.info()["streams"] >= 20
            assert sender.step("direct-0", X, seq=3).shape == (3,)
            with pytest.raises(RemoteError, match="this key is read-only"):
                reader.step("direct-0", X)
            with pytest.raises(RemoteError, match="this key is publish-only"):
                sender.forget("direct-0")
            subscriber.timeout, heard = 0.1, None
            while heard != "heard":  # it is connected to its worker by then
                sender.step("heard", X)
                with suppress(WorkerTimeoutError):
                    heard = subscriber.receive().stream
    finally:
        assert fleet.stop() == 0
