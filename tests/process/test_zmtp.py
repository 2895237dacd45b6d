"""The ZMTP clients of the load generator: the handshake, and fragmented messages."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest

from benchmarks.live.messages import IDS, blocks
from streamlstm.loadtest import load, open_loop, zmtp
from streamlstm.loadtest.messages import echoed

from .test_load import REQUESTS, in_thread


@contextmanager
def peer(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen with a plain socket and talk to the one client that comes, then hang up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(20)
                with suppress(OSError):  # the client has hung up
                    talk(connection)

        with in_thread(run):
            yield "tcp://{}:{}".format(*listening.getsockname())


# As libzmq says it, byte for byte.
GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\1NULL" + bytes(48)
ROUTER = b"\4\x29\5READY\x0bSocket-Type\0\0\0\6ROUTER\x08Identity\0\0\0\0"
PULL = b"\4\x1a\5READY\x0bSocket-Type\0\0\0\4PULL"


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "closed the connection"),
        (GREETING[:20], "closed the connection"),
        (b"HTTP/1.1 400 Bad Request" + bytes(64), "expected the greeting"),
        (GREETING[:10] + b"\1" + GREETING[11:], "expected the greeting"),
        (GREETING.replace(b"NULL\0", b"CURVE"), "expected the mechanism NULL"),
        (GREETING + b"\0\5hello", "expected a command"),
        (GREETING + b"\6" + b"\xff" * 8, "expected a command"),
        (GREETING + b"\4\x0b\5ERROR\4busy", "expected the READY of a ROUTER.*busy"),
        (GREETING + PULL, "expected the READY of a ROUTER.*PULL"),
        (GREETING + ROUTER[:20], "closed the connection"),
    ],
)
def test_a_peer_that_is_no_router_is_an_error(sent: bytes, message: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass

    with peer(talk) as endpoint, pytest.raises(load.LoadError, match=message):
        zmtp.Clients(endpoint, 1)


@pytest.mark.parametrize("sent", [b"", GREETING[:5], GREETING + ROUTER[:9]])
def test_a_silent_peer_times_out(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(zmtp, "CONNECT_SECONDS", 0.2)

    def talk(connection: socket.socket) -> None:
        connection.sendall(sent)
        while connection.recv(1000):
            pass

    with peer(talk) as endpoint, pytest.raises(load.LoadError, match="timed out"):
        zmtp.Clients(endpoint, 1)


def handshake(connection: socket.socket) -> None:
    """Say what a ROUTER says, and read what a DEALER does."""
    connection.sendall(GREETING + ROUTER)
    wanted = 64 + 2 + len("_READY_Socket-Type____DEALER_Identity____")
    while wanted > 0:
        wanted -= len(connection.recv(wanted))


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"", "Connection reset"),
        (b"\0\5hel", "Connection reset"),  # news of both at once, perhaps
        (b"\1\0\0\0", "Protocol error"),  # the first of two frames
        (b"\4\7\4PING\0\0", "Protocol error"),
        (b"\2" + b"\xff" * 8, "Message too long"),
        (b"\2\0\0\0\0\0\3\0\0", "Message too long"),
    ],
)
def test_disconnects_and_protocol_violations_are_errors(sent: bytes, message: str) -> None:
    def talk(connection: socket.socket) -> None:
        handshake(connection)
        connection.recv(1000)
        connection.sendall(sent)
        while message != "Connection reset" and connection.recv(1000):
            pass

    with (
        peer(talk) as endpoint,
        zmtp.Clients(endpoint, 1) as clients,
        pytest.raises(load.LoadError, match=message),
    ):
        open_loop.scheduled(clients, REQUESTS, rate=50, seconds=0.02)  # nothing more is sent


@pytest.mark.parametrize("large", [False, True])
def test_fragmented_replies_are_reassembled(large: bool) -> None:
    messages = echoed(blocks(IDS[:520]) if large else REQUESTS)

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handshake(connection)
        while data := connection.recv(5 if not large else 7_000):
            for n in range(0, len(data), 1 + len(data) // 2):
                connection.sendall(data[n : n + 1 + len(data) // 2])

    with peer(talk) as endpoint, zmtp.Clients(endpoint, 1) as clients:
        assert len(open_loop.scheduled(clients, messages, rate=2_000, seconds=0.1).taken) == 200


def test_a_peer_that_does_not_read_blocks_the_sender() -> None:
    """What does not fit into the buffers of the system is sent in pieces, and every one once."""
    messages = echoed(blocks(IDS[:520]))

    def talk(connection: socket.socket) -> None:
        handshake(connection)
        time.sleep(0.5)
        while data := connection.recv(100_000):
            connection.sendall(data)

    with peer(talk) as endpoint, zmtp.Clients(endpoint, 1) as clients:
        times = open_loop.scheduled(clients, messages, rate=8_000, seconds=0.1)
    assert len(times.taken) == 800
    assert np.max(times.late) > 300_000_000  # not all could be sent before
