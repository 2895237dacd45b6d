"""Places that a person names wrongly: stores, folders and endpoints, and what is said of them."""

from __future__ import annotations

import ast
import builtins
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlstm import Engine, cli
from streamlstm.client.client import Client
from streamlstm.errors import EndpointError, StoreError, StreamLSTMError, WorkerTimeoutError
from streamlstm.serving.endpoints import check_endpoint
from streamlstm.serving.endpoints_file import write_endpoints
from streamlstm.serving.stores.lmdb.snapshot import Snapshot

from ..redis_server import needs_redis
from .test_store import MODEL, opened

ROOT = Path(__file__).resolve().parent.parent.parent


def refusal(where: str) -> str:
    """What is said of a store that is not opened."""
    with pytest.raises(StoreError) as raised, opened(Engine(MODEL, threads=1), where):
        pass
    return str(raised.value)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("where", ["redis://localhost:1/0", "rediss://h", "unix:///run/redis"])
def test_only_lmdb_stores_are_checked_and_copied(where: str) -> None:
    with pytest.raises(StoreError, match="expected the folder of an LMDB store") as raised:
        Snapshot(where)
    assert str(raised.value).startswith(f"{where}: ")


def test_a_url_is_no_folder_at_the_root(here: Path) -> None:
    for said in (refusal("lmdb://streamlstm-pumps"), _unread("lmdb://streamlstm-pumps")):
        assert "write lmdb:streamlstm-pumps" in said
        assert "lmdb:/streamlstm-pumps" in said
    assert not Path("/streamlstm-pumps").exists()
    assert list(here.iterdir()) == []
    with opened(Engine(MODEL, threads=1), f"lmdb://{here}/store"):  # three slashes, in all
        assert (here / "store").is_dir()


def _unread(where: str) -> str:
    with pytest.raises(StoreError) as raised:
        Snapshot(where)
    return str(raised.value)


@pytest.mark.parametrize("below", ["", "/below/it"])
def test_a_file_is_no_folder_of_a_store(here: Path, below: str) -> None:
    (here / "file").touch()
    path = f"{here}/file{below}"
    expected = f"{path}: expected a folder, and {here}/file is a file"
    assert expected in refusal(f"lmdb:{path}")
    assert expected in _unread(path)


def test_a_backup_is_not_made_inside_its_store_or_a_file(here: Path) -> None:
    with opened(Engine(MODEL, threads=1), "lmdb:store"):
        pass
    (here / "file").touch()
    before = sorted((here / "store").iterdir())
    for out, said in (("store/copy", "inside the store"), ("file/copy", "file is a file")):
        with Snapshot("store") as snapshot, pytest.raises(StoreError, match=said):
            snapshot.copy(Path(out))
    assert sorted((here / "store").iterdir()) == before


@needs_redis
def test_what_redis_says_ends_with_one_full_stop(tmp_path: Path) -> None:
    said = refusal(f"unix://{tmp_path}/none")
    assert said.endswith(".")
    assert not said.endswith("..")


@pytest.mark.parametrize(("cache", "got"), [("", "nothing"), ("file", "the file file")])
def test_compile_wants_a_folder(here: Path, cache: str, got: str) -> None:
    (here / "file").touch()
    error = CliRunner().invoke(cli.app, ["compile", "--cache", cache]).exception
    assert isinstance(error, StreamLSTMError)
    assert str(error) == f"--cache: expected a folder for the kernels, got {got}"
    assert [path.name for path in here.iterdir()] == ["file"]


def test_take_over_needs_a_store_to_take() -> None:
    shown = CliRunner().invoke(cli.app, ["serve", "none.safetensors", "--take-over"])
    assert shown.exit_code == 2
    words = re.sub(r"\x1b\[[0-9;]*m|│", " ", shown.output).split()
    assert "expected --store redis://" in " ".join(words)


def test_a_local_socket_needs_a_path() -> None:
    with pytest.raises(EndpointError, match="expected ipc://PATH"):
        check_endpoint("router", "ipc://*", False)


def test_paths_in_the_endpoints_file_hold_in_every_folder(here: Path) -> None:
    write_endpoints(
        here / "file", {"router": "ipc://run/r", "pull": "ipc:///run/p", "xpub": "ipc://@x"}
    )
    found = json.loads((here / "file").read_text())
    assert found["router"] == f"ipc://{here}/run/r"
    assert (found["pull"], found["xpub"]) == ("ipc:///run/p", "ipc://@x")


def test_a_client_without_an_answer_hears_of_the_limit_of_connections() -> None:
    with (
        Client("tcp://127.0.0.1:9", timeout=0.05) as client,  # the discard port: nothing listens
        pytest.raises(WorkerTimeoutError, match="--max-connections"),
    ):
        client.info()


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name
)
def test_examples_import_the_errors_that_they_catch(page: Path) -> None:
    known = set(dir(builtins))
    for block in re.findall(r"^ *```python\n(.*?)^ *```$", page.read_text(), re.M | re.S):
        tree = ast.parse(_dedented(block))
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        caught = {
            node.type.id
            for node in ast.walk(tree)
            if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Name)
        }
        assert caught - known <= imported


def _dedented(block: str) -> str:
    indent = len(block) - len(block.lstrip(" "))
    return "\n".join(line[indent:] for line in block.split("\n"))
