"""Commands as a service manager runs them: configuration, notifications, logs, exit statuses."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from streamlstm.serving.systemd import Notifier

from .conftest import MODEL

SYSTEMD = Path(__file__).resolve().parent.parent.parent / "deploy/systemd"


class Manager:
    """A socket that stands for systemd's, and a folder for files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(400)  # it may have to compile first
        self.heard: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        MODEL.save(folder / "model.safetensors")

    def start_unit(self, name: str, more: str = "", **environment: str) -> subprocess.Popen[str]:
        """Run what a unit of deploy/ starts, as it is installed, but with ports and paths of here.

        Its configuration is the one that is shipped, with more lines at the end.
        """
        unit = (SYSTEMD / name).read_text()
        (command,) = re.findall(r"^ExecStart=/opt/streamlstm/bin/streamlstm (.*)$", unit, re.M)
        given = dict(
            word.split("=") for word in re.findall(r"^Environment=(.*)$", unit, re.M)[0].split()
        )
        assert given.pop("NUMBA_CACHE_DIR").startswith("/var/lib/streamlstm/"), "it may write there"
        (self.folder / "c.toml").write_text((SYSTEMD / "streamlstm.toml").read_text() + more)
        words = command.replace("/etc/streamlstm/streamlstm.toml", "c.toml").split()
        return self.start(*words, **given, **environment)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command that a file in the folder configures."""
        own = {"NOTIFY_SOCKET": self.address, "WATCHDOG_USEC": "200000"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamlstm", *command],
            env={**os.environ, **own, "STREAMLSTM_CONFIG": "c.toml", **environment},
            cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        return self._process

    def wait_for(self, state: str) -> None:
        """Receive what is reported until it is this."""
        while True:
            self.heard += self._socket.recv(4096).decode().split("\n")
            if state in self.heard:
                return

    def stop(self, process: subprocess.Popen[str]) -> tuple[str, list[str]]:
        """Stop a process, and return what it has written to stdout, and its log."""
        self.heard.clear()
        process.send_signal(signal.SIGTERM)
        self.wait_for("STOPPING=1")
        out, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
        return out, log.splitlines()

    def close(self) -> None:
        if self._process is not None and self._process.returncode is None:  # the test has failed
            self._process.terminate()
            print(self._process.communicate(timeout=60)[1])
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:  # a socket's path has to be short
        made = Manager(Path(folder))
        yield made
        made.close()


def test_a_worker_under_a_service_manager(manager):
    """All it is told stands in a file and in the environment; it logs JSON and nothing else."""
    sockets = dict.fromkeys(("router", "pull", "xpub"), "tcp://127.0.0.1:*")
    places = sockets | {"metrics": "127.0.0.1:*", "endpoints": "worker.json"}
    own = {f"STREAMLSTM_SERVE_{name.upper()}": place for name, place in places.items()}
    worker = manager.start_unit("streamlstm.service", **own)
    manager.wait_for("READY=1")
    assert (manager.folder / "store").is_dir()
    assert "metrics" in json.loads((manager.folder / "worker.json").read_text())
    manager.heard.clear()
    manager.wait_for("WATCHDOG=1")
    out, log = manager.stop(worker)
    records = [json.loads(line) for line in log]
    assert out == ""
    assert all(datetime.fromisoformat(each["time"]).tzinfo for each in records)
    assert {each["level"] for each in records} == {"INFO"}
    assert all(each["logger"].startswith("streamlstm.") for each in records)
    (ready,) = [each for each in records if each["message"].startswith("ready; ")]
    assert set(ready["endpoints"]) == {"router", "pull", "xpub", "metrics"}
    assert records[-1]["message"].startswith("stopped: ")


def test_a_fleet_under_a_service_manager(manager):
    """Its workers are told nothing but by the fleet, and their lines stand in its log."""
    fleet = manager.start_unit(
        "streamlstm-fleet.service",
        "commit-ms = 77\npreload = true\n",
        STREAMLSTM_FLEET_WORKERS="1",
        STREAMLSTM_FLEET_METRICS="127.0.0.1:*",
        STREAMLSTM_FLEET_ENDPOINTS="fleet.json",
        STREAMLSTM_SERVE_CAPACITY="not for it",
    )
    manager.wait_for("READY=1")
    status = json.loads((manager.folder / "fleet.json").read_text())
    (worker,) = status["workers"]
    given = Path(f"/proc/{worker['pid']}/cmdline").read_text().split("\0")
    assert {"--commit-ms=77", "--preload"} <= set(given)
    manager.heard.clear()
    manager.wait_for("WATCHDOG=1")
    assert "READY=1" not in manager.heard  # a worker that reported as well
    out, log = manager.stop(fleet)
    said = [json.loads(line) for line in log]
    assert out == ""
    assert {(each.get("process"), each["message"]) for each in said} >= {
        ("w0", "ready; Ctrl-C stops"), (None, "ready; Ctrl-C stops")
    }  # fmt: skip


def test_a_service_that_cannot_start_says_so_in_json(manager):
    (manager.folder / "c.toml").write_text('[serve]\nmodel = "none"\nlog-format = "json"\n')
    worker = manager.start("serve")
    out, log = worker.communicate(timeout=60)
    (record,) = [json.loads(line) for line in log.splitlines()]
    assert (worker.returncode, out, record["level"]) == (1, "", "CRITICAL")
    assert "none" in record["message"]


def test_no_watchdog_is_fed_while_the_service_is_unwell(manager, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    problems = ["the loop hangs"]
    with Notifier() as systemd:
        assert "NOTIFY_SOCKET" not in os.environ  # for processes that are started from here
        systemd.ready(lambda: problems[0] if problems else None, "serves")
        for _ in range(3):
            manager.wait_for("STATUS=the loop hangs")
            assert "WATCHDOG=1" not in manager.heard
            manager.heard.clear()
        problems.clear()
        manager.wait_for("WATCHDOG=1")


def exits(*command: str, folder: Path, number: int | None = None) -> int:
    """Return the status of a command, as a shell shows it, that gets a signal as it reads."""
    fifo = folder / "data.csv"
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlstm", *command], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    if number is not None:
        with fifo.open("wb"):  # opened when the command has opened it
            process.send_signal(number)
            process.wait(60)
    status = process.wait(60)
    return status if status >= 0 else 128 - status


def test_exit_statuses_are_those_of_the_table(tmp_path, root):
    page = (root / "docs/operations.md").read_text().partition("## Exit status")[2]
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    os.mkfifo(tmp_path / "data.csv")
    assert documented == {
        exits("--version", folder=tmp_path),
        exits("serve", "no-such-model.safetensors", folder=tmp_path),
        exits("serve", "--no-such-option", folder=tmp_path),
        exits("detect", "data.csv", folder=tmp_path, number=signal.SIGINT),
        exits("detect", "data.csv", folder=tmp_path, number=signal.SIGTERM),
    }
