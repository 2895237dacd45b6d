"""A publisher's journal: cut off anywhere it holds what was complete; anything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlstm import wire
from streamlstm.errors import DataError
from streamlstm.replay.journal import Journal

STEPS = [wire.Step("a", n, bytes(8), None if n % 2 else 1.5) for n in range(1, 6)]
STEPS.insert(2, wire.Step(7, 41, b"\1" * 8))


def written(path: Path) -> None:
    journal = Journal(path, sync=True)
    for step in STEPS:
        journal.add(step)
    journal.confirm([("a", 2)])
    journal.sync()
    journal.close()


def test_what_is_not_confirmed_is_there_again(tmp_path: Path) -> None:
    written(tmp_path / "j")
    journal = Journal(tmp_path / "j")
    assert journal.given == {"a": 5, 7: 41}
    assert journal.steps == [step for step in STEPS if step.stream == 7 or step.seq > 2]
    journal.confirm([("a", 5), (7, 41)])
    journal.close()
    journal = Journal(tmp_path / "j")
    assert (journal.given, journal.steps) == ({"a": 5, 7: 41}, [])
    journal.close()


def test_cut_off_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    data = path.read_bytes()
    for size in range(len(data)):
        for rest in (b"", bytes(30)):
            path.write_bytes(data[:size] + rest)
            journal = Journal(path)
            assert journal.steps == [s for s in STEPS if s in journal.steps]
            journal.add(wire.Step("b", 1, bytes(8)))
            journal.close()
            journal = Journal(path)
            assert journal.steps[-1] == wire.Step("b", 1, bytes(8))
            journal.close()


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "j"
    written(path)
    data = bytearray(path.read_bytes())
    data[12] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="expected a journal, got other bytes at 0"):
        Journal(path)
    assert path.read_bytes() == data
    path.write_text("time,value\n" * 100)
    with pytest.raises(DataError, match="expected a journal"):
        Journal(path)


def test_written_anew_it_says_the_same_in_less(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    large = [wire.Step("a", n, bytes(4_000)) for n in range(1, 401)]
    for step in large:
        journal.add(step)
    journal.confirm([("a", 399)])
    assert journal.is_large
    journal.rewrite({"a": 400, "b": 3}, large[399:])
    assert not journal.is_large
    assert path.stat().st_size < 5_000
    journal.add(wire.Step("b", 4, bytes(8)))
    with pytest.raises(DataError, match="another process has it open"):
        Journal(path)
    journal.close()
    journal = Journal(path)
    assert journal.given == {"a": 400, "b": 4}
    assert [step.seq for step in journal.steps] == [400, 4]
    journal.close()
