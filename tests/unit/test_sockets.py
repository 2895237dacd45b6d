"""Endpoints: where a socket may be bound, why not elsewhere, and the endpoints file."""

import json
import os
import socket as posix
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq

from streamlstm.errors import EndpointError
from streamlstm.serving.addresses import is_loopback
from streamlstm.serving.endpoints import check_endpoint
from streamlstm.serving.endpoints_file import read_endpoints, write_endpoints
from streamlstm.serving.sockets import bind_socket


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    context = zmq.Context[zmq.Socket[bytes]]()
    yield context
    context.destroy(linger=0)


def bind(context: zmq.Context[zmq.Socket[bytes]], endpoint: str, insecure: bool = False) -> str:
    socket = bind_socket(context, zmq.PULL, "pull", endpoint, max_bytes=1000, insecure=insecure)
    try:
        return socket.get_string(zmq.LAST_ENDPOINT)
    finally:
        socket.close()


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("tcp://0.0.0.0:*", "--insecure"),
        ("tcp://*:*", "--insecure"),
        ("tcp://192.0.2.1:7450", "--insecure"),
        ("tcp://[::]:7450", "--insecure"),
        ("tcp://[2001:db8::1]:7450", "--insecure"),
        ("tcp://no-such-host.invalid:7450", "neither an address nor a network interface"),
        ("TCP://127.0.0.1:7450", "expected tcp://"),
        ("127.0.0.1:7450", "expected tcp://"),
        ("udp://127.0.0.1:7450", "expected tcp://"),
        ("tcp://", "expected tcp://"),
        ("", "expected tcp://"),
        ("tcp://127.0.0.1:port", "port must be 1 to 65535 or *, got port"),
        ("tcp://127.0.0.1:99999", "port must be 1 to 65535 or *, got 99999"),
        ("tcp://127.0.0.1:65536", "port must be"),
        ("tcp://127.0.0.1:-5", "port must be"),
        ("tcp://127.0.0.1:0", "port must be"),
        ("tcp://127.0.0.1:80x", "port must be"),
        ("tcp://127.0.0.1:²", "port must be"),
        ("tcp://127.0.0.1:" + "9" * 5000, "port must be"),
        ("tcp://127.0.0.1", "expected tcp://"),
        ("ipc:///no/such/folder/socket", "folder"),
        ("ipc:///tmp/" + "x" * 200, "too long"),
    ],
)
def test_bad_endpoints_are_refused(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, said: str
) -> None:
    with pytest.raises(EndpointError) as caught:
        bind(context, endpoint)
    assert str(caught.value).startswith(f"--pull {endpoint}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "bound"),
    [
        ("tcp://127.0.0.1:*", "tcp://127.0.0.1:"),
        ("tcp://127.0.0.2:*", "tcp://127.0.0.2:"),
        ("tcp://127.1:*", "tcp://127.0.0.1:"),
        ("tcp://localhost:*", "tcp://127.0.0.1:"),
        ("tcp://LOCALHOST:*", "tcp://127.0.0.1:"),
        ("tcp://lo:*", "tcp://127.0.0.1:"),
        ("tcp://[::1]:*", "tcp://[::1]:"),
        ("tcp://::1:*", "tcp://[::1]:"),
        ("tcp://[::ffff:127.0.0.1]:*", "tcp://[::ffff:127.0.0.1]:"),
        ("inproc://socket", "inproc://socket"),
    ],
)
def test_loopback_is_allowed(
    context: zmq.Context[zmq.Socket[bytes]], endpoint: str, bound: str
) -> None:
    assert bind(context, endpoint).startswith(bound)


def outside() -> list[str]:
    """Return the network interfaces of this machine that others may reach."""
    addresses = psutil.net_if_addrs().items()
    return [
        name
        for name, found in addresses
        if any(a.family == posix.AF_INET and not is_loopback(a.address) for a in found)
    ]


@pytest.mark.skipif(not outside(), reason="this machine has no network; any interface runs it")
def test_an_interface_is_what_its_address_is(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    with pytest.raises(EndpointError, match="other machines could reach this address"):
        bind(context, f"tcp://{outside()[0]}:*")


def test_beyond_loopback_only_when_insecure(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    assert bind(context, "tcp://0.0.0.0:*", insecure=True).startswith("tcp://0.0.0.0:")
    with pytest.raises(EndpointError, match="not an address of this machine"):
        bind(context, "tcp://192.0.2.1:7450", insecure=True)


def test_a_port_that_is_taken(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    with posix.create_server(("127.0.0.1", 0)) as owner:
        endpoint = f"tcp://127.0.0.1:{owner.getsockname()[1]}"
        with pytest.raises(EndpointError, match=f"{endpoint}: is taken"):
            bind(context, endpoint)


def test_a_path_that_is_taken_stays_with_its_owner(
    context: zmq.Context[zmq.Socket[bytes]], tmp_path: Path
) -> None:
    endpoint = f"ipc://{tmp_path}/socket"
    with posix.socket(posix.AF_UNIX) as owner:
        owner.bind(str(tmp_path / "socket"))
        owner.listen()
        with pytest.raises(EndpointError, match="is taken"):
            bind(context, endpoint)
        with posix.socket(posix.AF_UNIX) as client:
            client.connect(str(tmp_path / "socket"))
    assert bind(context, endpoint) == endpoint  # what a dead worker left behind is no obstacle


def test_endpoints_are_written_whole_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    path.write_text("from before")
    endpoints = {"router": "tcp://127.0.0.1:1", "pull": "ipc:///p", "xpub": "inproc://x"}
    write_endpoints(path, endpoints)
    assert json.loads(path.read_text()) == {**endpoints, "pid": os.getpid()}
    assert read_endpoints(path) == endpoints
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(EndpointError, match="cannot be written"):
        write_endpoints(tmp_path / "none" / "endpoints.json", endpoints)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"router": 1}', "\xff"])
def test_files_that_are_no_endpoints(tmp_path: Path, content: str) -> None:
    path = tmp_path / "endpoints.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(EndpointError, match="expected the JSON"):
        read_endpoints(path)
    with pytest.raises(EndpointError, match="cannot be read"):
        read_endpoints(tmp_path / "none")


def test_a_file_in_the_place_of_a_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("precious")
    with pytest.raises(EndpointError, match="exists and is not a socket"):
        check_endpoint("router", f"ipc://{path}", False)
    assert path.read_text() == "precious"
