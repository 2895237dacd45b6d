"""What a coordinator does when workers die, as far as no random schedule shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamlstm import wire
from streamlstm.errors import StoreError
from streamlstm.fleet import folders as of_folders
from streamlstm.fleet.actions import Action, Remove, Say, Spawn, Tell, Wait
from streamlstm.fleet.coordinator import Coordinator
from streamlstm.fleet.folders import Folders
from streamlstm.fleet.members import Stores
from streamlstm.fleet.record import Record
from streamlstm.serving.stores.lmdb.folder import Folder


def where(name: str) -> wire.FleetWorker:
    return wire.FleetWorker(name, f"tcp://{name}", "", "")


def serving(workers: int, stores: Stores = Stores.OWN) -> Coordinator:
    """Return a coordinator whose workers have the partitions."""
    coordinator = Coordinator(stores)
    coordinator.scale(workers)
    for name in list(coordinator.members):
        coordinator.serves(where(name), 1)
    return coordinator


def told(actions: list[Action], name: str) -> list[tuple[str, tuple[object, ...]]]:
    return [
        (each.worker, each.fields)
        for each in actions
        if isinstance(each, Tell) and each.name == name
    ]


def test_survivors_get_as_many_partitions_each_and_the_folder() -> None:
    coordinator = serving(4)
    actions = coordinator.died("w1", 20.0)
    assert Spawn("w1", "worker-w1.1", coordinator.former["w1"]) in actions
    adopted = dict(told(actions, "adopt"))
    assert sorted(adopted) == ["w0", "w2", "w3"]
    assert {fields[2] == ["worker-w1.0"] for fields in adopted.values()} == {True}
    counts = coordinator.owned.counts(coordinator.members)
    assert sorted(counts.values()) == [0, 341, 341, 342]
    done: list[Action] = []
    for name, fields in adopted.items():
        assert not any(isinstance(each, Remove) for each in done)
        done = coordinator.said(wire.Control("copied", [fields[0]]))
        assert (name, (fields[0],)) in told(done, "settled")
    assert Remove("worker-w1.0") in done


def test_a_worker_that_ends_again_and_again_waits_longer_each_time() -> None:
    coordinator = serving(2)
    waits = []
    for _ in range(9):
        actions = coordinator.died("w1", 0.0)
        waits += [each.seconds for each in actions if isinstance(each, Wait)]
        if waits:
            said = [each.text for each in actions if isinstance(each, Say)][-1]
            assert f"it is started again in {waits[-1]:g} s" in said
            assert isinstance(coordinator.waited("w1")[0], Spawn)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert len(coordinator.owned.of("w0")) == wire.PARTITIONS
    coordinator.serves(where("w1"), 1)
    assert not any(isinstance(each, Wait) for each in coordinator.died("w1", 60.0))


def test_without_a_store_it_is_said_what_is_lost() -> None:
    coordinator = serving(2, Stores.MEMORY)
    actions = coordinator.died("w0", 60.0)
    assert [name for name, _ in told(actions, "own")] == ["w1"]
    said = "w0: has ended; its 512 partitions are at w1 now, and their streams begin anew"
    assert any(isinstance(each, Say) and each.text.startswith(said) for each in actions)


def test_a_record_is_read_as_it_was_written() -> None:
    coordinator = serving(3)
    coordinator.died("w2", 60.0)
    record = coordinator.owned.record
    coordinator.owned.depart([1, 2], "w0", "w1")
    coordinator.owned.arrive([3], "w0")
    record = coordinator.owned.record
    again = Record.from_value(record.to_value())
    assert again[1:] == record[1:]
    assert again.table.to_value() == record.table.to_value()


def test_a_worker_ends_whose_parent_has_ended_before() -> None:
    code = "from streamlstm.serving.parent import end_with; end_with(1 << 22)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 1
    assert "the supervisor 4194304 has ended; so does this worker" in found.stderr


def test_what_a_fleet_needs_is_looked_for_before_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coordinator = serving(2)
    coordinator.died("w1", 60.0)
    coordinator.serves(where("w1"), 1)
    record, folders = coordinator.owned.record, Folders(tmp_path)
    for name in ("worker-w0.0", "worker-w1.0"):
        with pytest.raises(StoreError, match="is missing, though streams of this fleet are in it"):
            folders.check(record)
        (tmp_path / name).mkdir()
    folders.check(record)
    monkeypatch.setattr(of_folders, "FREE_SECONDS", 0.1)
    used = Folder(tmp_path / "worker-w0.0", "lmdb:")
    with pytest.raises(StoreError, match=r"worker-w0.0: a worker of this fleet still uses it"):
        folders.check(record)
    used.close()
    folders.check(record)


def test_folders_that_are_copied_are_deleted_at_the_next_start_if_not_before(
    tmp_path: Path,
) -> None:
    coordinator = serving(2)
    actions = coordinator.died("w1", 60.0)
    for _, fields in told(actions, "adopt"):
        coordinator.said(wire.Control("copied", [fields[0]]))
    for name in ("worker-w0.0", "worker-w1.0", "worker-w1.1", "worker-w7.0", "other"):
        (tmp_path / name).mkdir()
    Folders(tmp_path).check(coordinator.owned.record)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["other", "worker-w0.0", "worker-w1.1", "worker-w7.0"]
