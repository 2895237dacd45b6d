"""What a fleet refuses before or without a worker: each in one sentence, and nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlstm import __version__
from streamlstm.cli import app
from streamlstm.errors import (
    BadValueError,
    EndpointError,
    ModelError,
    StoreError,
    WorkerTimeoutError,
)
from streamlstm.fleet.endpoints import claimed, write_fleet
from streamlstm.fleet.model import FleetModel
from streamlstm.fleet.question import ask
from streamlstm.fleet.sockets import WorkerSockets
from streamlstm.fleet.storage import FolderStorage
from streamlstm.serving.stores.lmdb.folder import OF_A_FLEET

MODEL = Path(__file__).resolve().parent.parent.parent / "streamlstm/models/host.safetensors"


def test_a_folder_has_one_fleet(tmp_path: Path) -> None:
    first = FolderStorage(tmp_path)
    with pytest.raises(StoreError, match="another fleet, or a worker, uses it"):
        FolderStorage(tmp_path)
    first.close()
    FolderStorage(tmp_path).close()


def test_a_table_that_is_newer_damaged_or_missing_begins_no_empty_fleet(tmp_path: Path) -> None:
    storage = FolderStorage(tmp_path)
    storage.write(storage.read())
    table = tmp_path / OF_A_FLEET
    written = json.loads(table.read_text())
    table.write_text(json.dumps({**written, "format": 2}))
    with pytest.raises(StoreError, match="a newer streamlstm has written it"):
        storage.read()
    table.write_text(json.dumps({**written, "owners": "AAAA"}))
    with pytest.raises(StoreError, match="expected the table of a fleet"):
        storage.read()
    table.unlink()
    (tmp_path / "worker-w0.0").mkdir()
    with pytest.raises(StoreError, match=r"table.json, is missing, though there are folders"):
        storage.read()
    assert not table.exists()
    storage.close()


def test_a_former_store_is_moved_though_it_was_interrupted(tmp_path: Path) -> None:
    for name in ("data.mdb", "streamlstm.json"):
        (tmp_path / name).write_text(name)
    storage = FolderStorage(tmp_path)
    (tmp_path / "worker-w0.0").mkdir()
    record = storage.read()
    assert {worker.name for worker in record.table.workers} == {"w0"}
    moved = tmp_path / "worker-w0.0" / "data.mdb"
    assert moved.read_text() == "data.mdb"
    moved.rename(tmp_path / "data.mdb")  # as if only the rest had been moved
    assert storage.read().table.version == record.table.version
    assert moved.read_text() == "data.mdb"
    (tmp_path / "data.mdb").write_text("of a worker that somebody has started here")
    with pytest.raises(StoreError, match="the store of a single worker"):
        storage.read()
    assert moved.read_text() == "data.mdb"
    storage.close()


def test_the_file_of_a_fleet_that_has_ended_is_replaced_and_others_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "fleet.json"
    write_fleet(path, "ipc:///nowhere/at/all", {"workers": [{"name": "w0"}]})
    with pytest.raises(WorkerTimeoutError, match="the fleet that wrote it has ended"):
        ask(path, "status")
    with claimed(path) as file:
        assert file == path
        assert not path.exists()
        with pytest.raises(EndpointError, match="its fleet starts"):
            ask(path, "status")
        with pytest.raises(EndpointError, match="a fleet that starts or ends"), claimed(path):
            pass
    assert not list(tmp_path.iterdir())
    path.write_text('{"router": "tcp://127.0.0.1:1"}')
    with pytest.raises(EndpointError, match="is not the file of a fleet"), claimed(path):
        pass
    assert path.exists()


def test_all_workers_have_one_model_and_one_version() -> None:
    copies: dict[int, bytes] = {}
    model = FleetModel(MODEL, copies.__setitem__)
    assert model.refusal("w0", "a" * 64, __version__) is None
    assert model.refusal("w1", "a" * 64, __version__) is None
    said = model.refusal("w2", "b" * 64, __version__)
    assert said is not None
    assert "w2 has another model (bbbbbbbb) than the fleet (aaaaaaaa)" in said
    said = model.refusal("w3", "a" * 64, "0.0.1")
    assert said is not None
    assert "this is streamlstm 0.0.1" in said
    with pytest.raises(ModelError, match="a detector never changes"):
        FleetModel(None, copies.__setitem__).ask(False, False)
    model.ask(False, False)
    model.ask(False, False)  # joins it
    with pytest.raises(BadValueError, match="another one is under way"):
        model.ask(True, False)
    model.begin(["w0"])
    model.said("w0", 1, "refused", "/tmp/streamlstm-fleet-x/model-1.safetensors: is damaged")
    assert model.reload is not None
    assert model.reload.status()["said"] == f"w0: {MODEL}: is damaged"


def test_ports_are_counted_from_the_first_one() -> None:
    sockets = WorkerSockets("tcp://127.0.0.1:7500")
    assert sockets.of("w2") == {
        "router": "tcp://127.0.0.1:7506",
        "pull": "tcp://127.0.0.1:7507",
        "xpub": "tcp://127.0.0.1:7508",
    }
    assert set(WorkerSockets("tcp://lo:*").of("w9").values()) == {"tcp://lo:*"}
    assert WorkerSockets("ipc:///run/f").of("w1")["pull"] == "ipc:///run/f-w1-pull"
    with pytest.raises(EndpointError, match="no ports are left for w20"):
        WorkerSockets("tcp://127.0.0.1:65500").of("w20")
    with pytest.raises(EndpointError, match="expected tcp://ADDRESS:PORT"):
        WorkerSockets("7500")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--pull", "tcp://127.0.0.1:9"], "a fleet derives it from --router"),
        (["--threds", "2"], "No such option"),
        (["--threads", "0"], "Invalid value"),
        (["--router", "tcp://192.0.2.1:*"], "--insecure"),
        (["--store", "postgres:"], "expected lmdb:FOLDER"),
        (["--idle-ttl", "-1"], "expected seconds above 0"),
        (["--when-full", "evict-idle"], "without a store"),
        (["--key", "fleet.key"], "both --key and --allow"),
        (["--weights", "float8"], "float8"),
        (["--other-model", "foo"], "expected refuse, keep or anew"),
        (["--queue-bytes", "1"], "queue"),
        (["--loop", "python", "--spin", "5"], "for the compiled loop"),
        (["--web", "0"], "streamlstm web"),
        (
            ["--gateway", "tcp://127.0.0.1:7555", "--max-streams-per-client", "5"],
            "all clients of a gateway are one",
        ),
    ],
)
def test_options_are_checked_before_a_worker_starts(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["fleet", str(MODEL), *options], env={"COLUMNS": "200"})
    assert shown.exit_code != 0
    assert said in shown.output + str(shown.exception)


@pytest.mark.parametrize("part", ["serve", "status", "scale", "drain", "move", "reload"])
def test_each_part_has_an_example(part: str) -> None:
    shown = CliRunner().invoke(app, ["fleet", part, "--help"], env={"COLUMNS": "120"})
    assert "Example:" in shown.output
    assert "streamlstm fleet" in shown.output
