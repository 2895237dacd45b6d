"""Calls of a replaying publisher that cannot succeed: what is said, and what goes on."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from streamlstm import ReplayingPublisher, wire
from streamlstm.errors import (
    BadValueError,
    DataError,
    EndpointError,
    KeyFileError,
    ShapeError,
    StreamLSTMError,
)

from .conftest import SlowWorker, WorkerProcess
from .one_publisher import X, assert_applied, publisher, send


def test_a_stream_that_was_forgotten_is_an_error(worker: WorkerProcess) -> None:
    made = publisher(worker)
    send(made, "forgotten", range(3))
    made.flush()
    with worker.client() as client:
        client.forget("forgotten")
    made.send("forgotten", X[3])
    with pytest.raises(StreamLSTMError, match=r"reached number 0, .* number 4: .* lost state"):
        made.flush()
    with pytest.raises(StreamLSTMError, match="lost state"):
        made.close()


def test_a_worker_of_a_version_without_producers(slow: SlowWorker) -> None:
    made = publisher(slow.endpoint, linger=0)
    sending = threading.Thread(target=pytest.raises, args=(StreamLSTMError, made.send, "s", X[0]))
    sending.start()
    request = slow.request()
    assert wire.decode_request(request[-1]) == wire.Claim(["s"], None)
    assert wire.producer_of(request[-2])
    refused = wire.Error(None, None, "unknown-kind", "kind: expected 1, 2, got 15")
    slow.reply(request, wire.encode(refused))
    sending.join()
    with pytest.raises(StreamLSTMError, match=r"expected a worker that answers CLAIM.* Upgrade"):
        made.close()


def test_arguments_of_the_wrong_kind(worker: WorkerProcess, tmp_path: Path) -> None:
    """Errors of streamlstm, not of Python; and nothing stays open."""
    journal, wrong = tmp_path / "journal", cast(Any, 5)
    with pytest.raises(EndpointError, match="router: expected an endpoint such as"):
        ReplayingPublisher(wrong, journal=journal)
    with pytest.raises(BadValueError, match="on_prediction: expected a function, got 5"):
        publisher(worker, journal=journal, on_prediction=wrong)
    with pytest.raises(KeyFileError, match="key: expected the path of a key file, got 5"):
        publisher(worker, journal=journal, key=5, server=6)
    with pytest.raises(DataError, match="got a folder"):
        publisher(worker, journal=tmp_path)
    with publisher(worker, journal=journal) as made, worker.client() as client:
        for call in (made.send_many, client.step_many, client.submit_many):
            with pytest.raises(ShapeError, match="streams: expected a sequence of ids, got int"):
                call(wrong, X[:1])
        for streams in (wrong, "abc"):
            with pytest.raises(ShapeError, match="streams: expected a sequence of ids, got"):
                client.last_seqs(streams)
        with pytest.raises(ShapeError, match="seqs: expected a sequence of 1 values, got int"):
            client.step_many(["a"], X[:1], seqs=wrong)


def test_calls_that_would_wait_for_themselves(worker: WorkerProcess) -> None:
    """In on_prediction: an error at once, that says what to do; what need not wait works."""
    said: dict[str, str] = {}
    numbers: list[int] = []
    done = threading.Event()

    def deliver(stream: wire.StreamId, seq: int, y: np.ndarray) -> None:
        if stream != "in-callback" or seq > 1:
            return
        for name, call in {
            "send": lambda: made.send("new-in-callback", X[0]),
            "last_seq": lambda: made.last_seq("new-in-callback"),
            "flush": made.flush,
            "close": made.close,
        }.items():
            try:
                call()
            except StreamLSTMError as error:
                said[name] = str(error)
        numbers.append(made.send("in-callback", X[1]))
        numbers.append(made.last_seq("in-callback"))
        done.set()

    with publisher(worker, on_prediction=deliver) as made:
        made.send("in-callback", X[0])
        assert done.wait(30)
        made.flush()
    assert numbers == [2, 2]
    assert all(f"{name}: on_prediction runs where" in said[name] for name in said)
    assert set(said) == {"send", "last_seq", "flush", "close"}
    assert_applied(worker, "in-callback", [0, 1])


def test_a_call_that_waits_while_another_thread_closes(slow: SlowWorker) -> None:
    """It is told at once that the publisher is closed, not after its timeout."""
    made = publisher(slow.endpoint, timeout=120, retry=60, linger=0.1)
    told: list[str] = []

    def ask() -> None:
        with pytest.raises(StreamLSTMError) as error:
            made.last_seq("asked")
        told.append(str(error.value))

    sending = threading.Thread(target=made.send, args=("sent", X[0]))
    sending.start()
    slow.reply(slow.request(), wire.encode(wire.Done(wire.Kind.CLAIM, None, [[0, 0]])))
    sending.join()
    assert isinstance(wire.decode_request(slow.request()[-1]), wire.Step)
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert wire.decode_request(slow.request()[-1]) == wire.Claim(["asked"], None)
    with pytest.raises(StreamLSTMError, match="not confirmed"):
        made.close()
    asking.join(30)
    assert told == ["this publisher is closed; make a new one"]
