"""The manifests in deploy/kubernetes fit Kubernetes' own schemas, each other and our commands."""

import socket
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamlstm.cli import app

validator = pytest.importorskip(
    "kubernetes_validate", reason="needs the schemas: pip install kubernetes-validate"
)
yaml = pytest.importorskip("yaml", reason="needs YAML: pip install kubernetes-validate")

FOLDER = Path(__file__).resolve().parent.parent.parent / "deploy/kubernetes"
VERSIONS = ["1.29", validator.latest_version()]


def manifests() -> list[dict[str, Any]]:
    return [
        part
        for path in sorted(FOLDER.glob("*.yaml"))
        for part in yaml.safe_load_all(path.read_text())
    ]


def one(kind: str, name: str = "streamlstm") -> dict[str, Any]:
    found = [m for m in manifests() if m["kind"] == kind and m["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} of them"
    return found[0]


AGENT = one("StatefulSet")["spec"]["template"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas(version: str) -> None:
    for manifest in manifests():
        validator.validate(manifest, version, strict=True)


def test_the_schemas_are_strict() -> None:
    wrong = deepcopy(one("StatefulSet"))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(validator.ValidationError, match="livenesProbe"):
        validator.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", ["streamlstm", "streamlstm-redis"])
def test_selectors_find_the_pods(name: str) -> None:
    workload = one("StatefulSet", name)
    labels = workload["spec"]["template"]["metadata"]["labels"]
    policy = one("NetworkPolicy", name)["spec"]
    service = one("Service", workload["spec"]["serviceName"])["spec"]
    assert workload["spec"]["selector"]["matchLabels"] == labels
    assert policy["podSelector"]["matchLabels"] == service["selector"] == labels
    assert service["clusterIP"] == "None"
    [container] = workload["spec"]["template"]["spec"]["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {each["name"]: each["port"] for each in service["ports"]} == named


def test_a_disruption_takes_one_pod() -> None:
    budget = one("PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"] == AGENT["metadata"]["labels"]
    assert budget["maxUnavailable"] == 1


def test_the_agent_has_what_it_names() -> None:
    spec = AGENT["spec"]
    [container] = spec["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in spec["volumes"]}
    names = {each["name"] for each in container["env"]}
    assert {"POD_NAME", "POD_IP", "REDIS_PASSWORD"} == names
    ports = {port["name"] for port in container["ports"]}
    for probe, path in [("startup", "/healthz"), ("liveness", "/healthz"), ("readiness", "/ready")]:
        request = container[f"{probe}Probe"]["httpGet"]
        assert request["path"] == path
        assert request["port"] in ports
    [keys] = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    given = one("Secret", keys["secretName"])["stringData"]
    assert {item["key"] for item in keys["items"]} < set(given)
    assert set(given.values()) == {"REPLACE-ME"}  # no key of anybody is in the repository


def test_the_command_is_one_of_ours(tmp_path: Path) -> None:
    """It comes as far as to its store, of which there is none."""
    keys = CliRunner().invoke(app, ["keys", "new", "fleet", "--out", str(tmp_path)])
    assert keys.exit_code == 0, keys.output
    model = next((FOLDER.parent.parent / "streamlstm/models").glob("*.safetensors"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    values = {
        "/model/model.safetensors": str(model),
        "/keys": str(tmp_path),
        "/run/streamlstm": str(tmp_path),
        "streamlstm-redis:6379": f"127.0.0.1:{port}",
        ":7400": ":*",
        ":7500": ":*",
        ":9464": ":*",
        "$(POD_IP)": "127.0.0.1",
        "$(POD_NAME)": "streamlstm-0",
        "$(REDIS_PASSWORD)": "secret",
    }
    [container] = AGENT["spec"]["containers"]
    given = "\n".join(container["args"])
    for name, value in values.items():
        assert name in given
        given = given.replace(name, value)
    shown = CliRunner().invoke(app, given.split("\n"))
    assert f"127.0.0.1:{port}" in str(shown.exception), f"{shown.output} {shown.exception!r}"
