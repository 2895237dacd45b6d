"""No request ends in the code `error`, which means a bug, nor in a traceback in the log."""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlstm import Engine, wire
from streamlstm.serving import line_limit
from streamlstm.serving.line_limit import LineLimit
from streamlstm.serving.service import Service

from .small_service import MODEL, ask, code_of, small, step
from .worker_harness import harness

IDS = st.sampled_from(["a", "b", 7, 2**64 - 1, "é" * 100]) | st.text(max_size=5)
NUMBERS = st.sampled_from([0, 1, 2, 1_000, 1_001, 2**32, 2**63, 2**64 - 2, 2**64 - 1])
WORDS = st.sampled_from(
    [
        b"\0" * 8,
        b"\xff" * 8,
        struct.pack("<Q", 1),
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 2**64 - 2),
        struct.pack("<d", float("inf")),
        struct.pack("<d", float("nan")),
        struct.pack("<ff", float("nan"), 3e38),
    ]
)


def exported() -> bytes:
    engine = Engine(MODEL, 4, threads=1)
    engine.step("a", [1.0, 2.0], seq=1, time=5.0)
    return engine.export_stream("a")


EXPORTED = exported()


@st.composite
def states(draw: st.DrawFn) -> bytes:
    """An exported state with changes anywhere and a right checksum, mostly."""
    body = bytearray(EXPORTED[:-4])
    for _ in range(draw(st.integers(0, 3))):
        at = 4 * draw(st.integers(0, len(body) // 4 - 1))
        body[at : at + 8] = draw(WORDS)
    size = draw(st.integers(-9, 9))
    body = body[:size] if size < 0 else body + bytes(size)
    crc = zlib.crc32(body) if draw(st.integers(0, 9)) else 1
    return bytes(body) + struct.pack("<I", crc)


VALUES = st.sampled_from([0.0, 1.0, -3e38, float("nan"), float("inf"), 1e300])
ROWS = st.lists(VALUES, min_size=2, max_size=2).map(wire.to_floats) | st.binary(max_size=24)
REQUESTS = st.one_of(
    st.tuples(st.just(1), IDS, NUMBERS, ROWS),
    st.tuples(st.just(1), IDS, NUMBERS, ROWS, VALUES),
    st.tuples(st.just(2), st.lists(IDS, max_size=4), st.none() | st.lists(NUMBERS), ROWS),
    st.tuples(st.just(5), IDS, states()),
    st.tuples(st.just(5), IDS, st.binary(max_size=80)),
    st.tuples(st.sampled_from([3, 4, 11]), IDS),
    st.just((6,)),
    st.tuples(st.just(7), NUMBERS | st.binary(max_size=300)),
    st.tuples(st.just(8), NUMBERS, NUMBERS),
    st.tuples(st.just(9), st.none() | st.text(max_size=3), st.none() | IDS, NUMBERS),
    st.tuples(st.just(10), st.lists(IDS, max_size=4)),
    st.tuples(st.just(13), st.booleans()),
)


class Tracebacks(logging.Handler):
    """Keeps what the log says with a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(logging.Formatter().format(record))


@contextmanager
def no_traceback() -> Iterator[None]:
    handler, log = Tracebacks(), logging.getLogger("streamlstm")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
    assert handler.found == []


def check(service: Service, requests: list[tuple[object, ...]]) -> None:
    frames = [msgpack.packb(request, unicode_errors="surrogatepass") for request in requests]
    with no_traceback():
        for frame in frames:
            for answer in service.handle([frame]):
                if answer.reply:
                    reply = wire.decode_reply(answer.reply)
                    assert not isinstance(reply, wire.Error) or reply.code != "error", reply


@settings(max_examples=300, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=12))
def test_any_request(requests: list[tuple[object, ...]]) -> None:
    check(Service(Engine(MODEL, 3, threads=1)), requests)


@settings(max_examples=20, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=12))
def test_any_request_with_a_store_and_few_slots(
    tmp_path_factory: pytest.TempPathFactory, requests: list[tuple[object, ...]]
) -> None:
    with small(tmp_path_factory.mktemp("store"), 2, seconds=0.0) as (*_, service):
        check(service, requests)


@pytest.mark.parametrize("size", [-1, 1, 2, 4, 5])
def test_a_state_of_another_size_is_refused(size: int) -> None:
    body = EXPORTED[:-4] + bytes(size) if size > 0 else EXPORTED[: -4 + size]
    blob = body + struct.pack("<I", zlib.crc32(body))
    service = Service(Engine(MODEL, 3, threads=1))
    with no_traceback():
        assert code_of(ask(service, wire.encode(wire.Import("a", blob)))[0]) == "bad-value"
    assert service.engine.streams() == []


def test_a_pipe_as_model_file_stops_no_later_reload(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    os.mkfifo(path)
    with (
        harness(Engine(MODEL, 3, threads=1), model_file=path) as made,
        no_traceback(),
    ):
        reload = wire.encode(wire.Reload(False))
        (answer,) = made.ask([reload])
        assert code_of(wire.decode_reply(answer[-1])) == "bad-model"
        assert b"a pipe" in answer[-1]
        MODEL.save(tmp_path / "new")
        (tmp_path / "new").rename(path)
        (answer,) = made.ask([reload])
        assert isinstance(wire.decode_reply(answer[-1]), wire.Done)
        assert len(made.ask([step("a")])) == 1


def test_a_failure_of_the_worker_is_logged_once_a_second(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_limit, "LOG_SECONDS", 1e9)
    service = Service(Engine(MODEL, 3, threads=1))

    def fail(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(service.engine, "reset", fail)
    replies = ask(service, step("a"), *[wire.encode(wire.Reset("a"))] * 500)
    assert [code_of(reply) for reply in replies[1:]] == ["error"] * 500
    lines = [record for record in caplog.records if "could not be answered" in record.message]
    assert len(lines) == 1
    caplog.clear()
    service.lines.write_rest(logging.getLogger("streamlstm"))
    assert [record.message for record in caplog.records] == ["failed 499 more since the last line"]


def test_lines_of_each_kind_are_counted_by_themselves(caplog: pytest.LogCaptureFixture) -> None:
    lines, log = LineLimit(), logging.getLogger("streamlstm.test")
    for _ in range(5):
        lines.warn(log, "one", kind="first")
        lines.warn(log, "two", kind="second")
    assert [record.message for record in caplog.records] == ["one", "two"]
    assert lines.is_silent("first")
    assert not lines.is_silent("third")
    caplog.clear()
    lines.write_rest(log)
    assert [record.message for record in caplog.records] == [
        "first 4 more since the last line",
        "second 4 more since the last line",
    ]
    assert not lines.is_silent("first")


def test_a_refused_reload_is_logged_once_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_limit, "LOG_SECONDS", 1e9)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"no model")
    with harness(Engine(MODEL, 3, threads=1), model_file=path) as made:
        for _ in range(20):
            (answer,) = made.ask([wire.encode(wire.Reload(False))])
            assert code_of(wire.decode_reply(answer[-1])) == "bad-model"
    assert sum("of another kind" in record.message for record in caplog.records) == 1
