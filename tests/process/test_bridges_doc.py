"""The commands of docs/bridges.md work as printed, but for where broker and worker are."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import ExitStack, closing
from pathlib import Path

from typer.testing import CliRunner

from benchmarks.live.broker_peers import KafkaPeer, NatsPeer
from benchmarks.live.brokers import MockKafka, Mosquitto, NatsServer
from streamlstm.cli import app

from .bridge_process import BridgeProcess, needs
from .conftest import WorkerProcess
from .test_bridge_mqtt import Listener

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs/bridges.md").read_text()
COMMANDS = [
    shlex.split(command)
    for command in (
        *re.findall(r"`(streamlstm bridge [^`]*)` \|$", PAGE, re.MULTILINE),
        *re.findall(r"^(streamlstm bridge .*)$", PAGE, re.MULTILINE),
    )
]


def test_the_file(tmp_path: Path) -> None:
    """What `config show` prints of the file, by the command of the page."""
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (command,) = re.findall(r"`streamlstm (config show bridge [^`]*)`", PAGE)
    file = tmp_path / "streamlstm.toml"
    file.write_text(text)
    words = [str(file) if word == file.name else word for word in shlex.split(command)]
    done = CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False)
    (found,) = json.loads(done.stdout).values()
    given = {name: each["value"] for name, each in found.items() if each["from"] != "default"}
    assert given["features"] == ["motor.speed", "motor.load"]
    assert set(given) == set(re.findall(r"^([\w-]+) =", text.partition("[bridge.kafka]")[0], re.M))


@needs(Mosquitto)
@needs(NatsServer)
@needs(MockKafka)
def test_the_commands(worker: WorkerProcess, tmp_path: Path) -> None:
    with (
        Mosquitto(tmp_path / "mqtt") as mqtt,
        MockKafka(tmp_path) as kafka,
        NatsServer(tmp_path / "nats") as nats,
        closing(KafkaPeer(kafka.url)) as topics,
        closing(NatsPeer(nats.url)) as streams,
        ExitStack() as running,
    ):
        topics.make_topic("sensors", 1)
        streams.make_stream("PLANT", "plant.*")
        urls = {"mqtt": mqtt.url, "kafka": kafka.url, "nats": nats.url}
        for n, (_, _, name, *options) in enumerate(COMMANDS):
            here = ("--url", urls[name], "--router", worker.endpoints["router"], "--name", f"b{n}")
            running.enter_context(BridgeProcess(name, *options, *here))
        assert {name for _, _, name, *_ in COMMANDS} == set(urls)
        home = Listener(mqtt.port, "predictions/#")
        home.send("plant/pump-7/state", "[0.1, 0.2]")
        assert json.loads(home.wait_for("predictions/pump-7")[0].payload)["stream"] == "pump-7"
        home.close()
