"""Options from the command line, the environment, a file: which holds, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from typer.testing import CliRunner

from streamlstm.cli import app
from streamlstm.cli.configuration.names import options_of, services, variable_of
from streamlstm.errors import ConfigurationError

SERVICES = services()


def shown(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["config", "show", "--json", *arguments])
    if done.exception is not None:
        raise done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "streamlstm.toml"


def test_the_command_line_is_before_the_environment_the_file_and_the_default(file, monkeypatch):
    file.write_text(
        '[serve]\nmodel = "a"\nrouter = "tcp://lo:1"\ncommit_ms = 9\nidle-ttl = 2.5\n'
        "[fleet]\nworkers = 3\nidle-ttl = 4\npreload = true\n"
    )
    monkeypatch.setenv("STREAMLSTM_CONFIG", str(file))
    monkeypatch.setenv("STREAMLSTM_SERVE_COMMIT_MS", "8")
    monkeypatch.setenv("STREAMLSTM_SERVE_IDLE_TTL", "1.5")
    monkeypatch.setenv("STREAMLSTM_SERVE_PULL", "")  # as if it were not set
    monkeypatch.setenv("STREAMLSTM_SOMETHING_ELSE", "is not ours")
    found = shown("serve", "--idle-ttl", "0.5")["serve"]
    holds = {name: (each["value"], each["from"]) for name, each in found.items()}
    assert holds["idle-ttl"] == (0.5, "command line")
    assert holds["commit-ms"] == (8, "STREAMLSTM_SERVE_COMMIT_MS")
    assert holds["router"] == ("tcp://lo:1", f"{file}: [serve] router")
    assert holds["pull"] == ("tcp://127.0.0.1:7451", "default")
    everything = shown()
    assert {name: each["value"] for name, each in everything["fleet"].items()} == {
        "workers": 3,
        "idle-ttl": 4.0,
        "preload": True,
    }
    assert set(everything["serve"]) == {"model", "router", "commit-ms", "idle-ttl"}
    assert {name: each["value"] for name, each in shown("fleet", "--workers", "5")["fleet"].items()
            if each["from"] == "command line"} == {"workers": 5}  # fmt: skip


def test_a_person_gets_a_table(file):
    file.write_text("[serve]\npreload = true\n")
    done = CliRunner().invoke(app, ["config", "show", "--config", str(file)])
    heading, row = done.stdout.splitlines()
    assert heading.split() == ["command", "option", "value", "from"]
    assert row.split() == ["serve", "preload", "true", f"{file}:", "[serve]", "preload"]
    assert row.index("preload") == heading.index("option")
    assert "nothing is set" in CliRunner().invoke(app, ["config", "show"]).stdout


def test_a_table_says_names_and_values(file):
    file.write_text(
        '[bridge.kafka]\nin = "a"\n[bridge.kafka.client]\nssl.ca.location = "/a=b"\n'
        '"ssl.key.location" = "k"\nretries = 3\nenable.x = true\n'
    )
    said = shown("bridge", "kafka", "--config", str(file))["bridge kafka"]["client"]
    assert said["value"] == [
        "ssl.ca.location=/a=b", "ssl.key.location=k", "retries=3", "enable.x=true"
    ]  # fmt: skip
    assert said["from"] == f"{file}: [bridge.kafka] client"


@pytest.mark.parametrize("path", SERVICES)
def test_every_option_may_stand_in_the_file_and_in_the_environment(path, file, monkeypatch):
    options = options_of(SERVICES[path])
    values = {key: _some_value(parameter) for key, parameter in options.items()}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    file.write_text(f"[{'.'.join(path)}]\n" + "\n".join(lines))
    (found,) = shown(*path, "--config", str(file)).values()
    assert {name: each["from"].removeprefix(f"{file}: ") for name, each in found.items()} == {
        key: f"[{'.'.join(path)}] {key}" for key in options
    }
    for key, value in values.items():
        words = value if isinstance(value, list) else [value]
        monkeypatch.setenv(variable_of(path, key), " ".join(map(str, words)))
    (again,) = shown(*path).values()
    assert {name: each["from"] for name, each in again.items()} == {
        key: variable_of(path, key) for key in options
    }
    assert {name: each["value"] for name, each in again.items()} == {
        name: each["value"] for name, each in found.items()
    }


def _some_value(parameter: Any) -> Any:
    if getattr(parameter, "is_flag", False):
        return True
    if get_origin(parameter.type_descriptor.annotation) is Literal:
        return get_args(parameter.type_descriptor.annotation)[-1]
    value = max(getattr(parameter, "min", None) or 0, 1)
    several = getattr(parameter, "multiple", False) or parameter.nargs != 1
    return [value] if several else value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[serve]\nrooter = "x"', "[serve] has no option rooter; did you mean router?"),
        ('[sevre]\nrouter = "x"', "there is no command for [sevre]; did you mean [serve]?"),
        ("[fleet.status]\nx = 1", "there is no command for [fleet.status]; did you mean [fleet]?"),
        ("[serve]\nfleet-name = 1", "[serve] has no option fleet-name"),
        ('[serve]\nconfig = "x"', "[serve] has no option config"),
        ("[fleet]\npull = 1", "[fleet] has no option pull"),
        (
            "[bridge]\nin = 1",
            "[bridge] has no option in; expected one of [bridge.kaf",
        ),
        ("capacity = 1", "capacity stands in no table: expected it below the name of its command"),
        ("[serve]\ncapacity = 0", "[serve] capacity: "),
        ('[serve]\ncapacity = "many"', "got 'many'"),
        ("[serve]\npreload = 1", "[serve] preload: expected true or false, got 1"),
        ("[serve]\nrouter = true", "[serve] router: expected a text or a number, got true"),
        ("[serve]\nstore = 2026-01-01", "[serve] store: expected a text or a number, got "),
        ('[serve]\nrouter = ["a", "b"]', "[serve] router: expected one value, got a list of 2"),
        ("[serve\n", "expected TOML: "),
        ('[bridge.mqtt]\nfeature = "x"', "[bridge.mqtt] has no option feature; did you mean feat"),
        ("[bridge.mqtt.client]\na = 1", "there is no command for [bridge.mqtt.client]"),
        ("[bridge.nats.client]\na.b = [1]", "[bridge.nats] client: a.b: expected a text, a num"),
    ],
)
def test_what_a_file_may_not_say(file, text, said):
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        shown("serve", "--config", str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STREAMLSTM_SERVE_CAPACITY", "x", "STREAMLSTM_SERVE_CAPACITY: "),
        ("STREAMLSTM_SERVE_ROOTER", "x", "did you mean STREAMLSTM_SERVE_ROUTER?"),
        ("STREAMLSTM_SERV_ROUTER", "x", "did you mean STREAMLSTM_SERVE_ROUTER?"),
        ("STREAMLSTM_ROUTER", "x", "did you mean STREAMLSTM_SERVE_ROUTER?"),
        ("STREAMLSTM_CONFIG", "/no/such/file", "/no/such/file: No such file or directory"),
    ],
)
def test_what_the_environment_may_not_say(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=said.replace("?", r"\?")):
        shown("serve")


def test_only_commands_that_run_until_they_are_stopped_are_shown():
    done = CliRunner().invoke(app, ["config", "show", "train"])
    assert done.exit_code == 2
    assert "serve, " in done.output
