"""Every command of the pages for those who run workers works as printed, at the ports they name."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Model
from streamlstm.client.keys import new_key

from .printed import BLOCK, ROOT, Machine, commands

DOCS = ROOT / "docs"
NOT_RUN = {  # how a command begins, and why it is not run
    "pip install": "it is installed here; what it installs is compared with the extras",
    "streamlstm bench": "it takes a core for ten seconds; test_bench_cli.py runs it in short",
    "make release": "test_release.py makes the wheel and tries it",
    "sudo ": "it changes the machine; test_service.py runs what the units start",
    "systemctl ": "there is no systemd",
    "journalctl ": "there is no journal",
    "docker ": "there is no Docker; test_deploy.py checks what it would read",
    "MODEL=$PWD/model.safetensors docker ": "the same",
}
BEFORE = {  # what has to run, besides what the page has started
    "streamlstm web": "streamlstm serve --detector temperature",  # without a page of its own
}
ELSEWHERE = {  # pages whose commands other tests run: as printed, or what they stand for
    "bridges.md": "test_bridges_doc.py",
    "bring-your-model.md": "test_convert_cli.py",
    "cuda.md": "test_cuda_cli.py, where there is a GPU in software",
    "evaluate.md": "test_evaluate_cli.py",
    "fleet.md": "test_fleet_doc.py, as printed",
    "looking-inside.md": "test_gates_cli.py and test_gates_examples.py",
    "online.md": "test_online_doc.py, as printed",
    "training.md": "test_train_cli.py, test_train_continued.py and test_train_refusals.py",
}
FROM_MQTT = "\n## From an MQTT broker to the page\n"
POST = "curl -sd @{}.json -H 'content-type: application/json' http://127.0.0.1:7490/streams/pump-7/observations"
MEANWHILE = {  # what has to happen for a command to show something
    "streamlstm watch --alarms": "streamlstm publish spike.csv --stream pump-$RANDOM",
    "curl -N 'http://127.0.0.1:7490/streams/pump-7/predictions'": POST.format("one"),
    "curl -N 'http://127.0.0.1:7490/predictions?prefix=pump-&alarms=true'": POST.format("spike"),
}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    prepare(tmp_path)
    yield made
    made.close()


def prepare(folder: Path) -> None:
    """Make what the pages take for granted: models, keys, tables, endpoints of the usual ports."""
    installed = folder / "opt/streamlstm/model.safetensors"
    Model.shipped().save(installed)
    (folder / "model.safetensors").symlink_to(installed)
    Model.shipped().save(folder / "trained.safetensors")
    sockets = {"router": 7450, "pull": 7451, "xpub": 7452}
    endpoints = {name: f"tcp://127.0.0.1:{port}" for name, port in sockets.items()}
    for name in ("worker", "run/streamlstm/a", "run/streamlstm/b"):
        (folder / f"{name}.json").write_text(json.dumps(endpoints))
    for place in (folder, folder / "etc/streamlstm"):
        new_key("worker", place)
        (place / "clients").mkdir()
        secret, _ = new_key("pump", place / "clients")
        secret.unlink()
    rows = np.random.default_rng(1).normal(20, 1, (301, 2)).round(2)
    rows[-1] = 90
    np.savetxt(folder / "spike.csv", rows, "%.2f", ",", header="temperature,pressure", comments="")
    (folder / "one.json").write_text('{"x": [21.6]}')
    (folder / "spike.json").write_text(json.dumps([{"x": [x]} for x in rows[:, 0].tolist()]))


def printed(machine: Machine, page: str, **words: str) -> dict[str, str]:
    """Do what a page tells, with words in the place of others; return what each command printed."""
    said = {}
    for command in commands(page):
        if not command.startswith(tuple(NOT_RUN)):
            if command in BEFORE:
                machine.do(BEFORE[command])
            typed = re.sub("|".join(words) or "$^", lambda found: words[found[0]], command)
            said[command] = machine.do(typed, MEANWHILE.get(command, "true"))
    return said


def text_of(name: str) -> str:
    return (DOCS / name).read_text()


def blocks(name: str, language: str) -> list[str]:
    return [text for of, text in BLOCK.findall(text_of(name)) if of == language]


def test_the_live_page(machine: Machine) -> None:
    before, _, after = text_of("web.md").partition(FROM_MQTT)
    said = printed(machine, before + after.partition("\n## ")[2])
    assert len(said) == 7
    assert "http://127.0.0.1:7480" in said["streamlstm serve --detector value --web 7480"]
    assert (machine.folder / "page.token").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(
    shutil.which("mosquitto") is None or shutil.which("mosquitto_pub") is None,
    reason="needs a broker: apt-get install mosquitto mosquitto-clients",
)
def test_from_a_broker_to_the_live_page(machine: Machine) -> None:
    section = text_of("web.md").partition(FROM_MQTT)[2].partition("\n## ")[0]
    machine.do("mosquitto -p 1883")
    said = printed(machine, section)
    assert "http://127.0.0.1:7480" in "".join(said.values())
    publishes = next(command for command in said if command.startswith("mosquitto_pub"))
    assert "pump-7" in machine.do("streamlstm watch", publishes)
    assert machine.do("curl -sf http://127.0.0.1:7480/healthz") == "ok\n"


def test_over_http(machine: Machine) -> None:
    said = printed(machine, text_of("http.md"))
    answer, event, alarm = [text for command, text in said.items() if command.startswith("curl")]
    assert answer == blocks("http.md", "json")[0].strip()
    assert '"stream":"pump-7"' in event
    assert '"alarm":true' in alarm


def test_running_a_worker(machine: Machine) -> None:
    said = printed(machine, text_of("operations.md"))
    assert "ALARM" in said["streamlstm watch --alarms"]
    assert said["streamlstm reload"]
    assert (machine.folder / "backup/pumps-monday").exists()


def test_configuration(machine: Machine) -> None:
    (file,) = blocks("configuration.md", "toml")
    (machine.folder / "streamlstm.toml").write_text(machine.placed(file))
    said = printed(machine, text_of("configuration.md"))
    (shown,) = [text for command, text in said.items() if " config show " in command]
    assert re.search(r"capacity +50000 +(the )?command line", shown)


def test_keys(machine: Machine) -> None:
    for path in (*machine.folder.glob("worker.*"), *machine.folder.glob("clients/*")):
        path.unlink()
    (machine.folder / "clients").rmdir()
    said = printed(machine, text_of("security.md"), HOST="127.0.0.1")
    (shown,) = [text for command, text in said.items() if " info " in command]
    assert "protocol" in shown


def test_what_is_to_be_installed_is_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    known = {re.split(r"[<>=\[; ]", each)[0] for some in extras.values() for each in some}
    for page in DOCS.rglob("*.md"):
        for command in commands(page.read_text()):
            if command.startswith("pip install ") and "*" not in command:
                named = [word for word in command.split()[2:] if not word.startswith(("-", '"'))]
                assert set(named) <= known | {"."}, f"{page.name}: {command}"


def test_what_is_not_run_is_on_a_page() -> None:
    names = ("web.md", "http.md", "operations.md", "configuration.md", "security.md", "deploy.md")
    every = [command for name in names for command in commands(text_of(name))]
    for known in (*NOT_RUN, *BEFORE, *MEANWHILE):
        assert any(command.startswith(known) for command in every), known
    left = commands(text_of("deploy.md"))
    assert [command for command in left if not command.startswith(tuple(NOT_RUN))] == []
    pages = {
        path.relative_to(DOCS).as_posix()
        for path in DOCS.rglob("*.md")
        if commands(path.read_text())
    }
    start = {f"start/{path.name}" for path in (DOCS / "start").glob("*.md")}
    assert pages - start - {*names} == ELSEWHERE.keys()
