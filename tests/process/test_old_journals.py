"""Journals that are behind the worker, or used twice: nothing is lost or overwritten in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streamlstm import wire
from streamlstm.client.replay.journal import Journal
from streamlstm.errors import (
    StreamLSTMError,
)

from .conftest import Sockets, WorkerProcess
from .one_publisher import ELSE, X, assert_applied, publisher, refusal, send, step_as


def test_another_publisher_fed_the_stream_meanwhile(worker: WorkerProcess, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with publisher(worker, journal=journal) as first:
        assert send(first, "behind", range(10)) == list(range(1, 11))
    with publisher(worker) as other:
        assert send(other, "behind", range(10, 15)) == [11, 12, 13, 14, 15]
    with publisher(worker, journal=journal) as again:  # at once, before it hears of the worker
        assert send(again, "behind", range(15, 18)) == [16, 17, 18]
    assert_applied(worker, "behind", list(range(18)))


def test_an_old_copy_of_a_journal(worker: WorkerProcess, tmp_path: Path) -> None:
    journal, copy = tmp_path / "journal", tmp_path / "copy"
    with publisher(worker, journal=journal) as first:
        send(first, "copied", range(5))
    shutil.copy(journal, copy)
    with publisher(worker, journal=journal) as first:
        send(first, "copied", range(5, 10))
    with publisher(worker, journal=copy) as old:
        assert send(old, "copied", range(10, 13)) == [11, 12, 13]
    assert_applied(worker, "copied", list(range(13)))


@pytest.mark.parametrize("lost", [1, 15, 60, 300])
def test_a_journal_whose_tail_was_lost(worker: WorkerProcess, tmp_path: Path, lost: int) -> None:
    journal, stream = tmp_path / "journal", f"tail-{lost}"
    with publisher(worker, journal=journal) as first:
        send(first, stream, range(10))
    journal.write_bytes(journal.read_bytes()[:-lost])
    with publisher(worker, journal=journal) as again:
        assert send(again, stream, range(10, 12)) == [11, 12]
    assert_applied(worker, stream, list(range(12)))


def journal_of(path: Path, producer: int | None, stream: str, rows: range) -> None:
    """Write the journal of a publisher that was killed when it had sent these rows."""
    made = Journal(path)
    if producer is not None:
        made.begin(producer)
    made.add([wire.Step(stream, n + 1, wire.to_floats(X[n])) for n in rows])
    made.close()


@pytest.mark.parametrize("former", [5, None])
def test_what_a_killed_publisher_has_sent_counts_only_if_nobody_came_between(
    worker: WorkerProcess, sockets: Sockets, tmp_path: Path, former: int | None
) -> None:
    """Rows 3 to 7 are in the journal; 3 and 4 arrived, and then perhaps somebody else's 5."""
    for comes_between in (0, 6):
        stream, journal = f"killed-{former}-{comes_between}", tmp_path / f"{comes_between}"
        for n in range(5):
            assert step_as(sockets, worker, former or 0, stream, n) == ""
        journal_of(journal, former, stream, range(3, 8))
        if comes_between:
            assert refusal(sockets, worker, comes_between, wire.Claim([stream], None)) == ""
            other = wire.Step(stream, 6, wire.to_floats(X[100]))
            assert refusal(sockets, worker, comes_between, other) == ""
        if not comes_between:
            with publisher(worker, journal=journal) as again:
                assert send(again, stream, range(8, 10)) == [9, 10]
            assert_applied(worker, stream, list(range(10)))
            continue
        for _ in range(2):  # it stays so until somebody decides
            told = publisher(worker, journal=journal)
            with pytest.raises(StreamLSTMError, match=f"{ELSE}, .* in doubt: 4 to 6 .*: 7 to 8"):
                told.send(stream, X[8])
            with pytest.raises(StreamLSTMError, match=ELSE):
                told.flush()
            with pytest.raises(StreamLSTMError, match=ELSE):
                told.close()
        assert_applied(worker, stream, [*range(5), 100])
        # It has not taken the stream from the other one.
        assert step_as(sockets, worker, comes_between, stream, 6) == ""


def test_a_plain_client_between_two_lives_of_a_publisher(
    worker: WorkerProcess, sockets: Sockets, tmp_path: Path
) -> None:
    """A number that a client without identity has used is not the one in the journal."""
    for n in range(2):
        assert step_as(sockets, worker, 5, "plain", n) == ""
    journal_of(tmp_path / "journal", 5, "plain", range(1, 3))
    assert step_as(sockets, worker, 0, "plain", 2) == ""
    told = publisher(worker, journal=tmp_path / "journal")
    with pytest.raises(StreamLSTMError, match=f"{ELSE}, .* in doubt: 2 to 3"):
        told.last_seq("plain")
    with pytest.raises(StreamLSTMError, match=ELSE):
        told.close()


def test_a_journal_opened_twice_at_the_same_time(worker: WorkerProcess, tmp_path: Path) -> None:
    journal, copy = tmp_path / "journal", tmp_path / "copy"
    with publisher(worker, journal=journal) as first:
        send(first, "twice", range(3))
    shutil.copy(journal, copy)
    first, second = publisher(worker, journal=journal), publisher(worker, journal=copy)
    assert send(first, "twice", range(3, 5)) == [4, 5]
    first.flush()
    assert send(second, "twice", range(5, 7)) == [6, 7]
    second.flush()
    assert first.send("twice", X[100]) == 6
    with pytest.raises(StreamLSTMError, match=ELSE):
        first.flush()
    with pytest.raises(StreamLSTMError, match=ELSE):
        first.close()
    second.close()
    assert_applied(worker, "twice", list(range(7)))
