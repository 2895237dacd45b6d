"""The journal: truncated anywhere, it has its complete records; any other damage is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamlstm import wire
from streamlstm.client.replay.journal import Journal
from streamlstm.errors import BadValueError, DataError

STEPS = [wire.Step("a", n, bytes(8), None if n % 2 else 1.5) for n in range(1, 6)]
STEPS.insert(2, wire.Step(7, 41, b"\1" * 8))


def written(path: Path) -> None:
    journal = Journal(path, sync=True)
    journal.add(STEPS)
    journal.confirm([("a", 2)])
    journal.sync()
    journal.close()


def test_unconfirmed_observations_are_read_again(tmp_path: Path) -> None:
    written(tmp_path / "j")
    journal = Journal(tmp_path / "j")
    assert journal.last_seqs == {"a": 5, 7: 41}
    assert journal.steps == [step for step in STEPS if step.stream == 7 or step.seq > 2]
    journal.confirm([("a", 5), (7, 41)])
    journal.close()
    journal = Journal(tmp_path / "j")
    assert (journal.last_seqs, journal.steps) == ({"a": 5, 7: 41}, [])
    journal.close()


def test_truncated_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    data = path.read_bytes()
    for size in range(len(data)):
        for rest in (b"", bytes(30)):
            path.write_bytes(data[:size] + rest)
            journal = Journal(path)
            assert journal.steps == [s for s in STEPS if s in journal.steps]
            journal.add([wire.Step("b", 1, bytes(8))])
            journal.close()
            journal = Journal(path)
            assert journal.steps[-1] == wire.Step("b", 1, bytes(8))
            journal.close()


def records_of(data: bytes) -> list[int]:
    """Return where each record begins."""
    starts = [0]
    while (at := starts[-1]) < len(data):
        starts.append(at + 12 + int.from_bytes(data[at : at + 4], "little"))
    assert starts.pop() == len(data)
    return starts


def test_damage_anywhere_but_at_the_end_is_an_error(tmp_path: Path) -> None:
    """No bit of a journal may flip so that the records behind it are dropped silently."""
    path = tmp_path / "j"
    written(path)
    whole = path.read_bytes()
    starts = records_of(whole)
    for at in range(starts[-1]):  # the last one may as well be truncated
        for bit in (1, 128):
            data = bytearray(whole)
            data[at] ^= bit
            path.write_bytes(data)
            begin = max(start for start in starts if start <= at)
            said = (
                f"record at byte {begin} of {len(whole)}" if begin else "a journal of a publisher"
            )
            with pytest.raises(DataError, match=f"expected (a )?{said}"):
                Journal(path)
            assert path.read_bytes() == data


def test_the_error_says_how_to_repair_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    data = bytearray(path.read_bytes())
    third = records_of(data)[2]
    data[third : third + 4] = (2**20).to_bytes(4, "little")  # a length that reaches beyond the end
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"the 2 observations before .* truncate --size {third} "):
        Journal(path)
    subprocess.run(["truncate", "--size", str(third), path], check=True)
    journal = Journal(path)
    assert journal.steps == STEPS[:2]
    journal.close()
    path.write_text("time,value\n" * 100)
    with pytest.raises(DataError, match="expected a journal"):
        Journal(path)


def test_a_full_disk_leaves_no_half_record(tmp_path: Path) -> None:
    """The system cuts a write short where a file may not grow; what was written goes again."""
    program = f"""
import resource, signal
from streamlstm import wire
from streamlstm.errors import BadValueError, DataError
from streamlstm.client.replay.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal({str(tmp_path / "j")!r})
steps = [wire.Step("a", n, bytes(8)) for n in range(1, 9)]
journal.add(steps[:3])
full = journal._size + 10, resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, full)
for act in (lambda: journal.add(steps[3:]), lambda: journal.compact({{"a": 8}}, steps)):
    try:
        act()
    except DataError as error:
        print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
journal.add(steps[3:5])
journal.close()
print([step.seq for step in Journal({str(tmp_path / "j")!r}).steps])
"""
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    lines = shown.stdout.splitlines()
    assert len(lines) == 3
    assert all("the journal cannot be written (File too large)" in line for line in lines[:2])
    assert lines[2] == "[1, 2, 3, 4, 5]"


def test_compaction_keeps_numbers_and_unconfirmed_observations(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    large = [wire.Step("a", n, bytes(4_000)) for n in range(1, 401)]
    journal.add(large)
    journal.confirm([("a", 399)])
    assert journal.needs_compaction
    journal.compact({"a": 400, "b": 3}, large[399:])
    assert not journal.needs_compaction
    assert path.stat().st_size < 5_000
    journal.add([wire.Step("b", 4, bytes(8))])
    with pytest.raises(DataError, match="another process has it open"):
        Journal(path)
    journal.close()
    journal = Journal(path)
    assert journal.last_seqs == {"a": 400, "b": 4}
    assert [step.seq for step in journal.steps] == [400, 4]
    journal.close()


def test_it_knows_who_had_it_before(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)  # by a version without producers
    journal = Journal(path)
    assert journal.producers == [0]
    journal.begin(2**64 - 1)
    journal.add([wire.Step("b", 1, bytes(8))])
    journal.close()
    journal = Journal(path)
    assert journal.producers == [0, 2**64 - 1]
    journal.begin(7)
    journal.compact(journal.last_seqs, journal.steps)
    journal.close()
    journal = Journal(path)
    assert journal.producers == [0, 2**64 - 1, 7]
    assert (journal.last_seqs, len(journal.steps)) == ({"a": 5, 7: 41, "b": 1}, 5)
    for producer in range(100, 200):
        journal.begin(producer)
    journal.compact(journal.last_seqs, journal.steps)
    journal.close()
    journal = Journal(path)
    assert journal.producers == list(range(184, 200))
    journal.close()
    fresh = Journal(tmp_path / "fresh")
    assert fresh.producers == []
    fresh.begin(3)
    fresh.close()
    fresh = Journal(tmp_path / "fresh")
    assert (fresh.producers, fresh.steps) == ([3], [])
    fresh.close()


def test_a_path_that_cannot_be_a_journal(tmp_path: Path) -> None:
    """An error that names the path and says what to do, and nothing is left open or made."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    (tmp_path / "folder").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for path, said in {
        tmp_path / "folder": "expected a file for a journal, got a folder",
        tmp_path / "pipe": "expected a file for a journal",
        Path("/dev/null"): "expected a file for a journal",
        tmp_path / "missing" / "j": r"cannot be opened \(No such file .*; make its folder first",
        tmp_path / "file" / "j": r"cannot be opened \(Not a directory\); make its folder first",
        tmp_path / "loop": r"cannot be opened \(Too many levels of symbolic links\); choose",
        tmp_path / ("n" * 300): r"cannot be opened \(File name too long\); choose",
    }.items():
        with pytest.raises(DataError, match=said) as raised:
            Journal(path)
        assert str(path) in str(raised.value)
    for wrong in (5, None, "", "a\0b", []):
        with pytest.raises(BadValueError, match="journal: expected the path of a file, got"):
            Journal(wrong)  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) == before
    assert not (tmp_path / "missing").exists()


def test_a_folder_that_may_not_be_written_when_it_is_compacted(tmp_path: Path) -> None:
    (tmp_path / "j.new").mkdir()
    journal = Journal(os.fsencode(tmp_path / "j"))  # type: ignore[arg-type]
    journal.begin(1)
    journal.add(STEPS)
    with pytest.raises(DataError, match=r"j\.new: expected a file for a journal, got a folder"):
        journal.compact(journal.last_seqs, STEPS)
    journal.add([wire.Step("b", 1, bytes(8))])
    journal.close()
    journal = Journal(tmp_path / "j")
    assert len(journal.steps) == len(STEPS) + 1
    journal.close()
