"""`streamlstm gateway http`: one gateway, asked by clients that repeat, err, listen and intrude."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgpack
import numpy as np
import pytest
from websockets.sync.client import connect

from streamlstm import Engine, detector

from .conftest import WorkerProcess
from .test_alarms import wait_for_subscriptions
from .web_process import WebProcess, ask

INPUTS = ["temperature", "pressure"]
JSON = {"content_type": "application/json"}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    path = tmp_path_factory.mktemp("gateway") / "worker"
    process = WorkerProcess(path, "--detector", serves=",".join(INPUTS))
    yield process
    process.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def gateway(worker: WorkerProcess) -> Iterator[WebProcess]:
    file = str(worker._file)
    process = WebProcess("gateway", "http", "--endpoints", file, "--max-body", "20000")
    yield process
    assert process.stop() == 0


def post(gateway: WebProcess, stream: str, body: Any, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    stream, mark, query = stream.partition("?")
    url = f"{gateway.url}/streams/{stream}/observations{mark}{query}"
    status, answer, _ = ask(url, data, **(JSON | headers))
    return status, json.loads(answer)


def test_a_repeated_request_is_applied_once(gateway: WebProcess) -> None:
    engine = Engine(detector(INPUTS))
    X = np.random.default_rng(1).normal(size=(8, 2)).round(3).tolist()
    expected = [engine.observe("s", x).y.tolist() for x in X]
    first = {"x": X[0], "seq": 1, "time": 1.7e9}
    status, answer = post(gateway, "pump%2F7", first)
    assert (status, answer["stream"], answer["seq"]) == (200, "pump/7", 1)
    assert answer["prediction"] == expected[0]
    assert "duplicate" not in answer
    status, again = post(gateway, "pump%2F7", first)
    assert (status, again.pop("duplicate")) == (200, True)
    assert again == answer
    # A list of which a part was applied: the rest is, and what is known of the last is told.
    status, answer = post(
        gateway, "pump%2F7", [{"x": x, "seq": n + 1} for n, x in enumerate(X[:4])]
    )
    assert status == 200
    assert [each.get("duplicate", False) for each in answer["predictions"]] == [True] + 3 * [False]
    assert [each["prediction"] for each in answer["predictions"]] == expected[:4]
    body = {"observations": [{"x": dict(zip(INPUTS, X[4], strict=True)), "seq": 5}]}
    packed = msgpack.packb(body)
    kinds = {"content_type": "application/msgpack", "accept": "application/msgpack"}
    _, raw, headers = ask(f"{gateway.url}/streams/pump%2F7/observations", packed, **kinds)
    assert headers["content-type"] == "application/msgpack"
    assert msgpack.unpackb(raw)["predictions"][0]["prediction"] == expected[4]
    status, answer = post(gateway, "pump%2F7", {"x": X[0], "seq": 3})
    assert (status, answer["code"], answer["last"]) == (409, "duplicate", 5)
    _, raw, _ = ask(f"{gateway.url}/streams/pump%2F7")
    assert json.loads(raw)["seq"] == 5
    assert json.loads(raw)["last"]["prediction"] == expected[4]
    _, raw, _ = ask(f"{gateway.url}/streams?prefix=pump")
    assert json.loads(raw) == {"streams": [{"stream": "pump/7", "seq": 5}], "more": False}
    assert post(gateway, "18446744073709551615?id=integer", {"x": [1, None]})[0] == 200
    assert ask(f"{gateway.url}/streams/18446744073709551615?id=integer")[0] == 200
    assert ask(f"{gateway.url}/streams/pump%2F7", method="DELETE")[0] == 204
    assert ask(f"{gateway.url}/streams/pump%2F7", method="DELETE")[0] == 404


def test_what_is_refused_says_why_and_changes_nothing(gateway: WebProcess) -> None:
    post(gateway, "b", {"x": [1, 2], "seq": 1})
    long = {"observations": [{"x": [1, 2]}] * 1001}
    for body, status, code, said in (
        (b"{", 400, "bad-frame", "expected a body of JSON"),
        ([], 400, "bad-frame", "a list of 1 to 1,000"),
        (json.dumps(long).replace(" ", "").encode(), 413, "too-large", "1 to 1,000"),
        (b" " * 20_001, 413, "too-large", "at most 20000 bytes"),
        ({"x": [1]}, 422, "bad-shape", "expected 2 values (temperature, pressure), got 1"),
        ({"x": {"temperature": 1, "speed": 2}}, 422, "bad-shape", "see speed"),
        ({"x": ["a", 1]}, 422, "bad-value", "x[0]: expected a number or null, got 'a'"),
        ({"x": [1, 2], "seq": -1}, 400, "bad-frame", "seq: expected an integer"),
        ({"x": [1, 2], "seq": True}, 400, "bad-frame", "seq: expected an integer"),
        ({"x": [1, 2], "time": "now"}, 400, "bad-frame", "time: expected seconds"),
        ({"x": [1, 2], "more": 1}, 400, "bad-frame", "perhaps with"),
        ([{"x": [1, 2], "seq": 2}, {"x": [1, 2]}], 400, "bad-frame", "in each observation"),
        ([{"x": [1, 2], "seq": 2}, {"x": [3], "seq": 3}], 422, "bad-shape", "observations[1].x"),
        ([{"x": [1, 2], "seq": 2}, {"x": [3, 4], "seq": 2}], 400, "bad-frame", "[1].seq: expected"),
        ([{"x": [1, 2], "seq": 3}, {"x": [3, 4], "seq": 1}], 400, "bad-frame", "[1].seq: expected"),
        ([[1, 2]], 400, "bad-frame", "observations[0]: expected"),
        ({"x": {"\ud800": 1}}, 422, "bad-shape", "see \\ud800"),
        ({"x": [1, 2], "seq": 9}, 409, "gap", "2"),
        ({"x": [1e39, 2], "seq": 2}, 422, "bad-value", ""),
    ):
        found, answer = post(gateway, "b", body)
        assert (found, answer["status"], answer["code"]) == (status, status, code), answer
        assert answer["type"] == f"urn:streamlstm:{code}"
        assert said in answer["detail"]
    assert json.loads(ask(f"{gateway.url}/streams/b")[1])["seq"] == 1
    status, answer = post(gateway, "b", {"x": [1, 2]}, content_type="text/plain")
    assert (status, answer["code"]) == (415, "media-type")
    status, answer = post(gateway, "b", {"x": [1, 2]}, content_encoding="gzip")
    assert (status, answer["code"]) == (415, "media-type")
    for wrong in ("x" * 256, "%ff", "5?id=number"):
        status, answer = post(gateway, wrong, {"x": [1, 2]})
        assert (status, answer["code"]) == (400, "bad-frame")
    gap = [{"x": [1, 2], "seq": n} for n in (1, 2, 3, 5)]  # of which the first was applied
    status, answer = post(gateway, "b", gap)
    assert (status, answer["code"], answer["last"]) == (409, "gap", 1)
    for host in ("[::1", "evil.example"):
        assert ask(f"{gateway.url}/info", host=host)[0] == 403
    for path, method, status in (
        ("/streams/none", "GET", 404),
        ("/elsewhere", "GET", 404),
        ("/streams/b/observations", "PUT", 405),
    ):
        found, raw, headers = ask(gateway.url + path, method=method)
        assert (found, headers["content-type"]) == (status, "application/problem+json")
        assert json.loads(raw)["detail"]


def test_listeners_get_predictions_as_they_are_made(
    gateway: WebProcess, worker: WorkerProcess
) -> None:
    url = urlsplit(gateway.url)
    events = http.client.HTTPConnection(url.netloc, timeout=20)
    address = f"ws://{url.netloc}/predictions?prefix=tell&values=true"
    with connect(address) as socket, worker.client() as client:
        events.request("GET", "/streams/tell-1/predictions")
        response = events.getresponse()
        assert response.headers["content-type"].startswith("text/event-stream")
        wait_for_subscriptions(client, 2)
        expected = client.observe("tell-1", [1.5, 2.5], seq=1, time=5.0).y.tolist()
        client.observe("tell-2", [1.5, np.nan])
        client.reset("tell-1")
        heard = [json.loads(socket.recv(timeout=20)) for _ in range(2)]
        assert [each["stream"] for each in heard] == ["tell-1", "tell-2"]
        assert heard[0]["prediction"] == expected
        assert (heard[0]["x"], heard[0]["time"], heard[1]["x"]) == ([1.5, 2.5], 5.0, [1.5, None])
        lines = [response.readline().decode().strip() for _ in range(8)]
        assert lines[:4] == ["retry: 1000", "", "event: prediction", "id: 1"]
        assert json.loads(lines[4].removeprefix("data: "))["prediction"] == expected
        assert lines[5:7] == ["", "event: reset"]
        events.close()
    with worker.client() as client:
        wait_for_subscriptions(client, 0)


def test_other_sites_are_refused_and_the_page_needs_nothing_from_elsewhere(
    gateway: WebProcess,
) -> None:
    url, body = f"{gateway.url}/streams/c/observations", b'{"x": [1, 2]}'
    assert ask(url, body, host="evil.example")[0] == 403
    assert ask(url, body, origin="http://evil.example")[0] == 403
    assert ask(url, body, origin=gateway.url, **JSON)[0] == 200
    _, page, headers = ask(gateway.url)
    assert b"//" not in page
    assert b"http" not in page.replace(b"HTTP", b"")
    assert "default-src 'none'" in headers["content-security-policy"]
    described = json.loads(ask(f"{gateway.url}/openapi.json")[1])
    assert described["openapi"] == "3.1.0"
    names = set(described["components"]["schemas"])
    used = {part.split('"')[0] for part in json.dumps(described).split("#/components/schemas/")[1:]}
    assert used <= names
    for path, item in described["paths"].items():
        for parameter in item.get("parameters", []):
            assert parameter["in"] == "query" or f"{{{parameter['name']}}}" in path


def test_a_token_and_a_worker_that_comes_later(tmp_path: Path) -> None:
    file, secret = tmp_path / "worker.endpoints.json", tmp_path / "secret"
    where = ("--endpoints", str(file), "--token", str(secret), "--public", "https://a.example/b")
    gateway = WebProcess("gateway", "http", *where)
    try:
        assert f"waiting for the worker: {file} is not there" in gateway.said
        token = secret.read_text().strip()
        assert secret.stat().st_mode & 0o777 == 0o600
        known = {"authorization": f"Bearer {token}"}
        assert ask(f"{gateway.url}/info")[0] == 401
        assert ask(f"{gateway.url}/info", authorization="Bearer wrong-wrong-wrong")[0] == 401
        status, raw, headers = ask(f"{gateway.url}/info", **known)
        assert (status, json.loads(raw)["code"]) == (503, "no-worker")
        assert headers["retry-after"] == "1"
        assert b"password" in ask(gateway.url, accept="text/html")[1]
        for given, expected in ((b"token=wrong", 401), (f"token={token}".encode(), 303)):
            status, headers = sign_in(gateway.url, given)
            assert status == expected
        cookie = headers["set-cookie"]
        assert {"httponly", "samesite=strict", "secure"} <= set(cookie.lower().split("; "))
        for _ in range(2):  # the second at other ports
            worker = WorkerProcess(tmp_path / "worker", "--detector", serves="temperature")
            try:
                for _ in range(200):  # it looks once a second
                    status, raw, _ = ask(f"{gateway.url}/info", cookie=cookie.split(";")[0])
                    if status == 200:
                        break
                assert json.loads(raw)["model"]["inputs"] == ["temperature"]
            finally:
                worker.stop()
        body = json.dumps({"x": [1], "seq": 1}).encode()
        known |= {"content-type": "application/json"}
        status, raw, headers = ask(f"{gateway.url}/streams/a/observations", body, **known)
        assert (status, json.loads(raw)["code"]) == (503, "no-worker"), raw
        assert b"it was not sent" in raw
        assert headers["retry-after"] == "1"
    finally:
        assert gateway.stop(signal.SIGINT) == 0


def sign_in(url: str, form: bytes) -> tuple[int, Any]:
    """Send the form; a redirection is not followed."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/sign-in", form, kind)
        response = connection.getresponse()
        response.read()
        return response.status, response.headers
    finally:
        connection.close()
