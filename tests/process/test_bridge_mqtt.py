"""A bridge at mosquitto: what MQTT users expect, over TLS and with passwords; what goes wrong."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.live.brokers import Mosquitto, free_port
from streamlstm.errors import StreamLSTMError

from .bridge_process import (
    TIMEOUT,
    BridgeProcess,
    make_certificate,
    needs,
    running_bridge,
    wait_until,
)
from .conftest import WorkerProcess

paho = pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt: pip install paho-mqtt")
pytestmark = needs(Mosquitto)

INPUTS = "temperature,pressure"
KEYS = {"name", "unique_id", "state_topic", "value_template", "device", "origin"}  # of discovery
KEYS |= {"availability_topic"}


class SecureMosquitto(Mosquitto):
    """At one port anybody, at another TLS with a certificate of its own and a password."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.secure = f"mqtts://127.0.0.1:{free_port()}"
        make_certificate(folder)
        (folder / "passwords").write_text("")
        subprocess.run(
            ["mosquitto_passwd", "-b", folder / "passwords", "bridge", "secret"],
            check=True,
            capture_output=True,
        )
        super().__init__(folder)

    def command(self, program: str) -> list[str]:
        """Return how it is started."""
        command = super().command(program)
        port = self.secure.rpartition(":")[2]
        lines = (
            f"listener {port} 127.0.0.1",
            "allow_anonymous false",
            f"password_file {self.folder / 'passwords'}",
            f"certfile {self.folder / 'broker.pem'}",
            f"keyfile {self.folder / 'broker.key'}",
        )
        file = self.folder / "mosquitto.conf"
        file.write_text("per_listener_settings true\n" + "\n".join((file.read_text(), *lines)))
        return command


@pytest.fixture(scope="module")
def detecting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that finds what is unusual, without a model file."""
    path = tmp_path_factory.mktemp("bridge") / "detector"
    process = WorkerProcess(path, "--detector", serves=INPUTS)
    yield process
    process.stop()


class Listener:
    """A client of mosquitto: publishes with QoS 1, and keeps all that it hears."""

    def __init__(self, port: int, *topics: str) -> None:
        self.heard: list[Any] = []
        ready = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_message = lambda _c, _d, message: self.heard.append(message)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect("127.0.0.1", port)
        self.client.subscribe([(topic, 1) for topic in topics])
        self.client.loop_start()
        assert ready.wait(TIMEOUT)

    def send(self, topic: str, payload: bytes | str) -> None:
        self.client.publish(topic, payload, qos=1)

    def at(self, topic: str) -> list[Any]:
        """Return the messages of a topic, or of all that begin so."""
        return [each for each in list(self.heard) if each.topic.startswith(topic)]

    def wait_for(self, topic: str, count: int = 1) -> list[Any]:
        wait_until(lambda: len(self.at(topic)) >= count, lambda: (topic, len(self.at(topic))))
        return self.at(topic)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def payload(n: int) -> str:
    return json.dumps({"temperature": np.sin(n / 9), "pressure": np.cos(n / 5)})


@pytest.mark.skipif(
    not (shutil.which("openssl") and shutil.which("mosquitto_passwd")),
    reason="needs openssl and mosquitto_passwd: apt-get install openssl mosquitto",
)
# paho does not close a connection whose certificate it has refused.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl:pytest.PytestUnraisableExceptionWarning"
)
def test_a_home_with_tls(
    detecting: WorkerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Predictions, alarms, dead letters and discovery at a broker with TLS and a password."""
    caplog.set_level("INFO")
    with SecureMosquitto(tmp_path / "broker") as broker:
        (tmp_path / "password").write_text("secret\n")
        (tmp_path / "wrong").write_text("guess\n")
        known = {
            "url": broker.secure,
            "ca": broker.folder / "broker.pem",
            "user": "bridge",
            "password": tmp_path / "password",
        }
        for changed, said in (
            ({"ca": None}, "certificate of the broker was not accepted .self"),
            ({"password": tmp_path / "wrong"}, "refuses the connection: .*ot authorized.*--user"),
        ):
            with (
                pytest.raises(StreamLSTMError, match=said),
                running_bridge("mqtt", detecting, **known | changed) as (_, ended),
            ):
                assert ended.wait(TIMEOUT)
        options = {
            "out": "out/{stream}", "alarms": "alarms/{stream}", "dead_letter": "dead",
            "home_assistant": "homeassistant", "name": "a bridge",
        }  # fmt: skip
        home = Listener(broker.port, "out/#", "alarms/#", "dead", "homeassistant/#")
        with running_bridge("mqtt", detecting, **known, **options) as (made, _):
            wait_until(lambda: "ready; Ctrl-C stops" in caplog.messages, lambda: caplog.messages)
            plug = made[-1]._broker._client.socket()
            assert plug.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            home.send("in/pump 1", '{"temperature": "warm"}')
            for n in range(300):
                home.send("in/pump 1", payload(n))
            home.send("in/pump 1", '{"temperature": 30, "pressure": 0}')
            check_predictions(home.wait_for("out/pump 1", 301), home.wait_for("alarms/"))
            (letter,) = home.wait_for("dead")
            late = Listener(broker.port, "out/#", "alarms/#", "homeassistant/#")
            last = late.wait_for("out/pump 1")[0]
            discovered = late.wait_for("homeassistant/", 5)
        assert letter.payload == b'{"temperature": "warm"}'
        about = dict(letter.properties.UserProperty)
        assert about["topic"] == "in/pump 1"
        assert "temperature: expected a finite number, got 'warm'" in about["reason"]
        assert any(m.startswith("left out: in/pump 1: ") for m in caplog.messages)
        assert last.retain
        assert json.loads(last.payload)["alarm"] is True
        assert not late.at("alarms/")
        check_discovery(discovered, last)
        away = [m.payload for m in home.wait_for("homeassistant/a_bridge", 2)]
        assert (away[0], away[-1]) == (b"online", b"offline")
        home.close()
        late.close()


def check_predictions(came: list[Any], alarms: list[Any]) -> None:
    assert all(each.topic == "out/pump 1" for each in came)
    contents = [json.loads(each.payload) for each in came]
    assert [each["seq"] for each in contents] == list(range(1, 302))
    assert contents[-1]["alarm"] is True
    assert json.loads(alarms[-1].payload) == contents[-1]
    assert dict(came[-1].properties.UserProperty) == {"stream": "pump 1", "seq": "301"}


def check_discovery(discovered: list[Any], last: Any) -> None:
    """Check what Home Assistant requires of each entity, and that templates find the values."""
    import jinja2

    shown = {}
    for message in discovered:
        if message.topic.endswith("/availability"):
            continue
        kind, node, own = re.fullmatch(
            r"homeassistant/(sensor|binary_sensor)/([\w-]+)/([\w-]+)/config", message.topic
        ).groups()  # type: ignore[union-attr]
        content = json.loads(message.payload)
        assert message.retain
        assert content.keys() >= KEYS
        assert content["state_topic"] == last.topic
        assert content["device"] == {
            "identifiers": [node], "name": "pump 1", "manufacturer": "streamlstm"
        }  # fmt: skip
        assert content["origin"]["name"] == "streamlstm"
        assert content["unique_id"] == f"{node}_{own}"
        template = jinja2.Template(content["value_template"])
        shown[kind, content["name"]] = template.render(value_json=json.loads(last.payload))
    assert {name for _, name in shown} == {"temperature", "pressure", "score", "alarm"}
    assert shown["binary_sensor", "alarm"] == "ON"
    assert float(shown["sensor", "score"]) > 4


def test_a_broker_that_is_away_doubles_nothing_and_what_it_lost_is_told(
    detecting: WorkerProcess, tmp_path: Path
) -> None:
    """Devices that do not number; the broker is started again with its session, then without."""
    where = ("--router", detecting.endpoints["router"], "--in", "plain/{machine}")
    with (
        Mosquitto(tmp_path / "broker") as broker,
        BridgeProcess("mqtt", *where, "--out", "out/{stream}", "--url", broker.url) as process,
        detecting.client() as client,
    ):
        before = client.info()["counters"]["steps"]

        def applied() -> int:
            return int(client.info()["counters"]["steps"]) - before

        home = Listener(broker.port, "out/#")
        home.send("plain/p", payload(0))
        home.wait_for("out/p", 1)
        with asleep(detecting):  # what comes now is not acknowledged
            for n in range(1, 50):
                home.send("plain/p", payload(n))
            wait_until(lambda: not home.client._out_messages, "the broker has them")
            restart(broker)
            process.wait_for("connected to", 2)
        wait_until(lambda: applied() >= 50, applied)
        home.send("plain/p", payload(50))
        wait_until(lambda: applied() >= 51, applied)
        restart(broker, forget=True)
        process.wait_for("has lost the session")
        home.send("plain/p", payload(51))
        wait_until(lambda: applied() >= 52, applied)
        assert applied() == 52
        for n in range(3):
            rival = paho.Client(
                paho.CallbackAPIVersion.VERSION2, client_id="streamlstm", protocol=paho.MQTTv5
            )
            rival.connect("127.0.0.1", broker.port, clean_start=False)
            process.wait_for("connected to", 4 + n)
            rival.disconnect()
        process.wait_for("Is another client called streamlstm?")
        home.close()


@contextmanager
def asleep(worker: WorkerProcess) -> Iterator[None]:
    worker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.process.send_signal(signal.SIGCONT)


def restart(broker: Mosquitto, forget: bool = False) -> None:
    broker.kill(signal.SIGTERM)
    if forget:
        (broker.folder / "mosquitto.db").unlink()
    broker.start()


def test_a_worker_that_is_not_there_is_told_and_so_is_one_that_is_again(tmp_path: Path) -> None:
    """No message comes: the file of the worker is waited for, its death told, and its return."""
    file = tmp_path / "worker.endpoints.json"
    where = ("--endpoints", str(file), "--in", "plain/{machine}")
    workers: list[WorkerProcess] = []

    def start() -> None:
        workers.append(WorkerProcess(tmp_path / "worker", "--detector", serves=INPUTS))

    with (
        Mosquitto(tmp_path / "broker") as broker,
        BridgeProcess("mqtt", *where, "--url", broker.url, until="is not there") as process,
    ):
        try:
            start()
            process.wait_for("ready; Ctrl-C stops")
            workers[0].stop(signal.SIGKILL)
            process.wait_for("the worker does not answer")
            start()
            process.wait_for("the worker answers again")
        finally:
            for each in workers:
                each.stop()
        assert process.stop(signal.SIGINT) == 0
    said = "".join(process.said)
    assert str(file) in said
    assert said.count("waiting for the worker") == said.count("answers again") == 1
