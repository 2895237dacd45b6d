"""The metrics port: slow and many connections, few descriptors, and what its paths answer."""

from __future__ import annotations

import gzip
import http.client
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest

from streamlstm.errors import RemoteError
from streamlstm.serving import http_port

from ..redis_server import Redis, needs_redis
from .conftest import WorkerProcess, normal

X = normal(2)


@pytest.fixture(scope="module")
def scraped(model_file: Path) -> Iterator[WorkerProcess]:
    """A worker with a metrics port, and 256 descriptors for everything."""
    worker = WorkerProcess(model_file, "--metrics", "127.0.0.1:*", files=256)
    yield worker
    worker.stop()


def place(worker: WorkerProcess) -> tuple[str, int]:
    url = urlsplit(worker.endpoints["metrics"])
    assert url.hostname is not None
    assert url.port is not None
    return url.hostname, url.port


def ask(
    worker: WorkerProcess, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(*place(worker), timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def test_slow_connections_take_no_threads_and_keep_nobody_out(scraped: WorkerProcess) -> None:
    process = psutil.Process(scraped.process.pid)
    with ExitStack() as stack, scraped.client() as client:
        client.step("good", X)
        assert ask(scraped, "/metrics")[0] == 200
        threads, files = process.num_threads(), process.num_fds()
        for n in range(900):
            slow = stack.enter_context(socket.create_connection(place(scraped), 20))
            with suppress(OSError):  # of one that was closed meanwhile
                slow.send(b"GET /met")
            if n % 100 == 0:
                client.step("good", X)
                assert ask(scraped, "/metrics")[0] == 200
        assert process.num_threads() == threads
        assert process.num_fds() <= files + http_port.MAX_CONNECTIONS
        with scraped.client() as newcomer:
            newcomer.step("good", X)
        status, _, body = ask(scraped, "/metrics")
        assert status == 200
        assert b"streamlstm_steps_total" in body


def test_a_slow_connection_has_a_deadline(scraped: WorkerProcess) -> None:
    with socket.create_connection(place(scraped), 4 * http_port.DEADLINE_SECONDS) as slow:
        slow.send(b"GET /metrics HTTP/1.1\r\n")
        assert slow.recv(1) == b""


def test_an_idle_worker_is_idle_whatever_stays_connected(scraped: WorkerProcess) -> None:
    """All places of the metrics port and of the sockets taken, and more who wait for one."""
    process = psutil.Process(scraped.process.pid)
    host, _, port = scraped.endpoints["router"].removeprefix("tcp://").rpartition(":")
    with ExitStack() as stack, scraped.client() as client:
        client.step("good", X)
        for where in (place(scraped), (host, int(port))):
            for _ in range(240):
                stack.enter_context(socket.create_connection(where, 20))
        while client.info()["connections"] > 128:
            pass
        begun, used = time.monotonic(), sum(process.cpu_times()[:2])
        stopped = begun + 1.0
        while time.monotonic() < stopped:
            client.step("good", X)
            time.sleep(0.05)  # it is idle
        assert sum(process.cpu_times()[:2]) - used < 0.5 * (time.monotonic() - begun)
        assert ask(scraped, "/healthz")[0] == 200


def test_a_worker_that_can_open_no_file_any_more_serves_on(
    model_file: Path, tmp_path: Path
) -> None:
    """Connections took all descriptors: nothing is opened later that it could need."""
    store = ("--store", f"lmdb:{tmp_path}", "--idle-ttl", "1", "--metrics", "127.0.0.1:*")
    worker = WorkerProcess(model_file, *store)
    with ExitStack() as stack, worker.client() as client:
        stack.callback(worker.stop)
        client.step("a", X, seq=1)  # to be connected, by what is compiled
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (10, 1024))
        client.import_stream("b", client.export_stream("a"))
        client.step_many(["a", "b"], np.stack([X, X]))
        for refused, said in (
            (lambda: client.step("a", X, seq=9), "expected observation 2"),
            (lambda: client.step("a", normal(7)), "expected 2 features"),
            (lambda: client.import_stream("b", b"?"), "got other bytes"),
            (client.reload, "Too many open files. The model that runs continues"),
        ):
            with pytest.raises(RemoteError, match=said):
                refused()
        assert [name for name, _ in sorted(client.list_streams())] == ["a", "b"]
        client.reset("a")
        client.forget("b")
        while client.info()["streams"]:  # until idle ones are in the store
            pass
        assert client.last_seqs(["a", "b"]) == [0, 0]
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (256, 1024))
        client.reload()
        assert ask(worker, "/healthz")[0] == 200
    assert worker.process.returncode == 0


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/metrics", "GET", 200),
        ("/metrics?name[]=streamlstm_steps_total", "GET", 200),
        ("/healthz", "GET", 200),
        ("/ready", "GET", 200),
        ("/", "GET", 404),
        ("/favicon.ico", "GET", 404),
        ("/metrics/", "GET", 404),
        ("/healthz/x", "GET", 404),
        ("/metrics", "POST", 405),
        ("/metrics", "HEAD", 200),
        ("/nothing", "HEAD", 404),
        ("/ready", "DELETE", 405),
    ],
)
def test_paths_and_methods(scraped: WorkerProcess, path: str, method: str, status: int) -> None:
    found, headers, body = ask(scraped, path, method)
    assert found == status
    assert (body == b"") == (method == "HEAD")
    assert int(headers["Content-Length"]) > 0
    if status == 405:
        assert headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"\xff\0\0\0\0\0\0\0\1\x7f\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 9_000, b"431"),
        (b"GET /metrics HTTP/1.1\r\nno header\r\n\r\n and a body", b"200"),
    ],
)
def test_requests_by_hand(scraped: WorkerProcess, request_bytes: bytes, status: bytes) -> None:
    with socket.create_connection(place(scraped), 20) as peer:
        peer.sendall(request_bytes)
        received = b""
        while more := peer.recv(65536):
            received += more
    assert received.startswith(b"HTTP/1.1 " + status)


def test_formats_and_encodings_are_negotiated(scraped: WorkerProcess) -> None:
    plain, text = ask(scraped, "/metrics")[1:]
    assert plain["Content-Type"].startswith("text/plain")
    assert "Content-Encoding" not in plain
    accept = "application/openmetrics-text; version=1.0.0"
    headers, body = ask(scraped, "/metrics", Accept=accept, **{"Accept-Encoding": "gzip"})[1:]
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body).endswith(b"# EOF\n")
    assert text.startswith(b"# HELP")


@needs_redis
def test_readiness_follows_the_store_and_health_does_not(model_file: Path, tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    worker = WorkerProcess(
        model_file, "--metrics", "127.0.0.1:*", "--store", redis.url, "--commit-ms", "20"
    )
    try:
        assert ask(worker, "/ready")[0] == 200
        with worker.client() as client:
            client.step("kept", X)
            redis.kill()
            while ask(worker, "/ready")[0] == 200:
                client.step("kept", X)
        status, _, body = ask(worker, "/ready")
        assert (status, body[:20]) == (503, b"the store has failed")
        assert ask(worker, "/healthz")[0] == 200
    finally:
        if redis.alive():
            redis.kill()
        worker.stop()
