"""Who connects again gains nothing: limits per client where clients have no keys.

Over TCP and local sockets, since a connection within a process comes from no address.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from streamlstm import Engine
from streamlstm.serving.access.client_accounts import Account, connection_name
from streamlstm.serving.access.limits import Limits
from streamlstm.serving.access.stream_quota import StreamQuota
from streamlstm.serving.service import Service
from streamlstm.serving.worker import Worker

from .test_limits import LOOPS, MODEL, codes, step, steps
from .worker_harness import received

PLACES = pytest.mark.parametrize("scheme", ["tcp", "ipc"])
RUN_UP = steps(*["a"] * 100)  # 100 s of its client's time at a rate of 1


class Served:
    """A worker whose loop runs in the thread of the test, and connections to it."""

    def __init__(self, router: str, loop: str, limits: Limits) -> None:
        self.service = Service(Engine(MODEL, threads=1), limits=limits)
        others = ("tcp://127.0.0.1:*", "tcp://127.0.0.1:*")
        self.worker = Worker(self.service, router, *others, loop=loop)
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._open: list[zmq.Socket[bytes]] = []

    def connect(self, origin: str = "") -> zmq.Socket[bytes]:
        """Return a connection, perhaps from another address of loopback."""
        socket = self._context.socket(zmq.DEALER)
        source = f"{origin}:0;" if origin else ""
        socket.connect(self.worker.endpoints["router"].replace("tcp://", f"tcp://{source}"))
        self._open.append(socket)
        return socket

    def close(self, socket: zmq.Socket[bytes]) -> None:
        """Close a connection, and wait until the worker has noticed."""
        connections = self.service.connections
        assert connections is not None
        connections.open_from("")  # whatever was accepted before is counted now
        before = connections.open
        socket.close(linger=0)
        while connections.open >= before:
            self.worker._turn(0.002)

    def ask(self, socket: zmq.Socket[bytes], *messages: bytes) -> list[Any]:
        """Send messages one by one, and return their replies."""
        found = []
        for message in messages:
            socket.send(message)
            while not (came := received(socket)):
                self.worker._turn(0.002)
            found.append(msgpack.unpackb(came[0][-1]))
        return found

    def codes(self, socket: zmq.Socket[bytes], *messages: bytes) -> Sequence[object]:
        return codes(self.ask(socket, *messages))

    def end(self) -> None:
        for socket in self._open:
            socket.close(linger=0)
        self._context.term()
        self.worker.close()


@contextmanager
def served(router: str, loop: str, limits: Limits) -> Iterator[Served]:
    made = Served(router, loop, limits)
    try:
        yield made
    finally:
        made.end()


def router_of(scheme: str, tmp_path: Path) -> str:
    return "tcp://127.0.0.1:*" if scheme == "tcp" else f"ipc://{tmp_path}/router"


@PLACES
@LOOPS
def test_a_debt_outlives_its_connection(scheme: str, loop: str, tmp_path: Path) -> None:
    with served(router_of(scheme, tmp_path), loop, Limits(rate=1)) as worker:
        bystander = worker.connect()
        assert worker.codes(bystander, step("b")) == [129]
        greedy = worker.connect()
        assert worker.codes(greedy, RUN_UP, step("a")) == [130, "busy"]
        worker.close(greedy)
        for _ in range(3):
            again = worker.connect()
            (reply,) = worker.ask(again, step("a"))
            assert reply[3] == "busy"
            assert 50_000 < reply[5] <= 100_000  # ms
            worker.close(again)
        # one that was there before is not charged for it
        assert worker.codes(bystander, step("b")) == [129]


@LOOPS
def test_other_addresses_are_not_charged(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    with served("tcp://127.0.0.1:*", loop, Limits(rate=1)) as worker:
        assert worker.codes(worker.connect(), RUN_UP) == [130]
        assert worker.codes(worker.connect("127.0.0.2"), step("b")) == [129]
        assert worker.codes(worker.connect("127.0.0.1"), step("a")) == ["busy"]
        assert "from 127.0.0.1: more observations than --max-rate allows" in caplog.text


@PLACES
@LOOPS
def test_streams_of_closed_connections_count(scheme: str, loop: str, tmp_path: Path) -> None:
    with served(router_of(scheme, tmp_path), loop, Limits(streams=2)) as worker:
        first = worker.connect()
        assert worker.codes(first, step("a"), step("b"), step("c")) == [129, 129, "capacity"]
        worker.close(first)
        again = worker.connect()
        (refusal,) = worker.ask(again, step("c"))
        assert refusal[3] == "capacity"
        assert "closed ones included" in refusal[4]
        assert worker.codes(again, step("a")) == [129]  # whoever brought it
        # two that are open may have twice as many, together
        other = worker.connect()
        assert worker.codes(other, step("c"), step("d"), step("e")) == [129, 129, "capacity"]
        assert worker.codes(again, step("e")) == ["capacity"]
        worker.service.engine.forget("a")
        assert worker.codes(again, step("e"), step("f")) == [129, "capacity"]


def test_closed_connections_without_streams_are_not_remembered() -> None:
    engine = Engine(MODEL, threads=1)
    quota = StreamQuota(engine.stream_owners(), 2)
    for number in range(1, 51):
        account = Account(number, connection_name("10.0.0.1", b"%d" % number), authenticated=False)
        assert quota.admit(account, [number]) == [True]
        engine.step(number, [1, 2])
        quota.assign()
        engine.forget(number)
    assert len(quota._usage["10.0.0.1"].owners) < 5


def test_names_of_connections() -> None:
    account = Account(1, connection_name("::1", b"\0\1\2\3\4"), authenticated=False)
    assert (account.address, str(account)) == ("::1", "connection 0001020304 from ::1")
    local = Account(1, connection_name("localhost:0:0:77", b"x" * 255), authenticated=False)
    assert local.address == "localhost:0:0"
    assert Account(1, connection_name("", b"\0\1\2\3\4"), False).address == ""
