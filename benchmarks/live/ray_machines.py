"""A Ray cluster whose machines are sessions of processes here, each at a loopback address."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

from .redis_server import RedisServer

START_SECONDS = 120.0
_RAY = "from ray.scripts.scripts import main; main()"
OBJECT_STORE = 78_643_200  # bytes, the least that Ray takes: no object of a fleet is large
RECOMMENDED = {  # by docs/fleet-ray.md
    "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
}


class RayMachine:
    """``ray start`` in a session of its own: the raylet, and all that runs on this machine.

    Parameters
    ----------
    address : str
        Of loopback, not 127.0.0.1, in whose place Ray would take one that others can reach.
    command : sequence of str
        Further arguments.
    folder : Path
        Of Ray's files.
    settings : mapping of str to str
        Environment.
    """

    def __init__(
        self, address: str, command: list[str], folder: Path, settings: Mapping[str, str]
    ) -> None:
        self.address = address
        self._log = Path(tempfile.mkdtemp(dir=folder)) / "log"
        options = ["--block", "--disable-usage-stats", "--include-log-monitor=false"]
        options += [f"--node-ip-address={address}", f"--object-store-memory={OBJECT_STORE}"]
        self._command = [
            *(sys.executable, "-c", _RAY, "start"),
            *(*options, f"--temp-dir={self._log.parent}", *command),
        ]
        self._environment = {**os.environ, **settings}
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def wait(self) -> str:
        """Wait until Ray runs here; return what it has said.

        Raises
        ------
        RuntimeError
            If it does not start.
        """
        deadline = time.monotonic() + START_SECONDS
        while "will now block forever" not in (said := self._log.read_text()):
            if "timed out during startup" in said and time.monotonic() < deadline:
                self.kill()  # after 30 s, which it can take where others use the processor
                self._process = self._start()
            elif self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Ray did not start at {self.address}:\n{said[-2000:]}")
            time.sleep(0.05)
        return said

    def log(self) -> str:
        """Return the ends of the logs of the actors that were here."""
        logs = sorted(self._log.parent.glob("session_*/logs/worker-*.err"))
        return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in logs)

    def processes(self) -> list[int]:
        """Return the pids of all that runs on this machine."""
        found = []
        for pid in psutil.pids():
            with suppress(ProcessLookupError):
                if os.getsid(pid) == self._process.pid:
                    found.append(pid)
        return found

    def signal(self, number: int) -> None:
        """Send a signal to all that runs on this machine."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Kill everything, as when the power fails."""
        while living := [pid for pid in self.processes() if _runs(pid)]:
            for pid in living:  # some have started others meanwhile
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            time.sleep(0.01)
        self._process.wait()

    def stop(self) -> None:
        """Stop everything with SIGSTOP, as a machine that hangs."""
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let everything go on."""
        self.signal(signal.SIGCONT)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


class RayMachines:
    """A Ray cluster: a head, on which nothing is placed, and machines.

    Parameters
    ----------
    cpus : int
        That each machine says it has.
    settings : mapping of str to str
        Of Ray, as environment.
    outlives : bool
        Whether the head keeps its lists in a Redis, and has them when it is started again.

    Attributes
    ----------
    environment : dict of str to str
        What a program needs to reach it.
    machines : dict of str to RayMachine
        By address.
    """

    def __init__(
        self, cpus: int, settings: Mapping[str, str] = RECOMMENDED, outlives: bool = False
    ) -> None:
        self._cpus = cpus
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # for paths of sockets
        self._settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
        self._settings |= {"RAY_USAGE_STATS_ENABLED": "0"}
        self._settings |= {"TMPDIR": str(self._folder), **settings}
        self.machines: dict[str, RayMachine] = {}
        self._added = 0
        self._redis = RedisServer(self._folder, listens=True) if outlives else None
        if self._redis is not None:
            self._settings["RAY_REDIS_ADDRESS"] = f"127.0.0.1:{self._redis.port}"
        self.head = self._start_head(0)
        self.address = self._waited(self.head).partition("--address='")[2].partition("'")[0]
        self._port = int(self.address.rpartition(":")[2])
        self.environment = {**self._settings, "RAY_ADDRESS": self.address}

    def _start_head(self, port: int) -> RayMachine:
        command = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"]
        return RayMachine("127.0.0.2", command, self._folder, self._settings)

    def _waited(self, machine: RayMachine) -> str:
        try:
            return machine.wait()
        except BaseException:
            self.close()
            raise

    def add(self, machines: int = 1) -> list[str]:
        """Add machines at addresses that none had before; return these."""
        addresses = [f"127.0.1.{self._added + n + 1}" for n in range(machines)]
        self._added += machines
        for address in addresses:
            self._start(address)
        for address in addresses:
            self._waited(self.machines[address])
        return addresses

    def _start(self, address: str) -> None:
        command = [f"--address={self.address}", f"--num-cpus={self._cpus}"]
        self.machines[address] = RayMachine(address, command, self._folder, self._settings)

    def kill(self, address: str) -> None:
        """Kill a machine."""
        self.machines.pop(address).kill()

    def restart(self, address: str) -> None:
        """Start a machine that was killed again."""
        self._start(address)
        self._waited(self.machines[address])

    def restart_head(self, away: float = 0.0) -> None:
        """Kill the head, and start it again after so many seconds."""
        self.head.kill()
        time.sleep(away)
        self.head = self._start_head(self._port)
        self._waited(self.head)

    def close(self) -> None:
        """Kill everything."""
        for machine in [*self.machines.values(), *([self.head] if hasattr(self, "head") else [])]:
            machine.kill()
        self.machines.clear()
        if self._redis is not None:
            self._redis.kill()
            self._redis = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
