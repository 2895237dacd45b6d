"""A fleet on Ray without Ray: what agents are started with, and what is refused before anything."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamlstm.cli import app
from streamlstm.fleet.on_ray.plan import here, machine_name, place_of

MODEL = Path(__file__).resolve().parent.parent.parent / "streamlstm/models"
LOCAL = {"fleet": "ipc:///nowhere/control", "pid": 4711, "workers": [{"name": "w0"}]}


@pytest.mark.parametrize(
    ("store", "place"),
    [
        ("redis://:secret@10.0.0.5:6379?prefix=pumps", "10.0.0.5:6379?prefix=pumps"),
        ("rediss://user:secret@store:6380/2", "store:6380/2"),
        ("redis://store:6379/", "store:6379"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
    ],
)
def test_a_fleet_is_named_by_its_store_without_the_password(store: str, place: str) -> None:
    assert place_of(store) == f"streamlstm:{place}"


def test_a_star_stands_for_the_address_of_the_machine() -> None:
    given = ["--router=tcp://*:7500", "--control=tcp://eth1:7400", "--weights=*", "--insecure"]
    assert here(given, "10.0.0.7") == ["--router=tcp://10.0.0.7:7500", *given[1:]]
    assert here(["--gateway=tcp://*:*"], "fd00::7") == ["--gateway=tcp://[fd00::7]:*"]


def test_a_machine_is_named_as_in_ray() -> None:
    assert machine_name("10.0.0.7") == "10.0.0.7"
    assert machine_name("fd00::7 a") == "fd00--7-a"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["MODEL", "--ray", "auto", "--store", "lmdb:streams"], "expected redis://HOST:PORT"),
        (["MODEL", "--ray", "auto", "--store", "redis://h", "--ray-label", "a"], "KEY=VALUE"),
        (["none", "--ray", "auto", "--store", "redis://h"], "none"),
        (["down"], "not started with --ray; it ends with its process 4711"),
        (["scale", "--machines", "2"], "not started with --ray"),
        (["scale"], "expected either N"),
    ],
)
def test_refusals(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("fleet.json").write_text(json.dumps(LOCAL))
    [model] = MODEL.glob("*.safetensors")
    given = [str(model) if argument == "MODEL" else argument for argument in arguments]
    shown = CliRunner().invoke(app, ["fleet", *given], terminal_width=200)
    assert shown.exit_code
    text = f"{shown.output} {shown.exception}".replace("│", " ")
    assert said in " ".join(text.split())
