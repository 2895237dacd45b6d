"""Runs the commands of a page of documentation as they are printed, at the ports that they name.

They run in a network of their own, where every port is free, and in a folder that stands for the
machine: ``/etc``, ``/opt``, ``/run``, ``/var/lib`` and ``/backup`` of a page are folders in it.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACES = re.compile(r"(?<![\w.])/(etc|opt|run|var/lib|backup)/")
READY = "ready; Ctrl-C stops"
SERVICES = {  # that go on until they are stopped, and what they say when they are ready
    "streamlstm serve": READY,
    "streamlstm web": READY,
    "streamlstm gateway http": READY,
    "streamlstm bridge": READY,
    "mosquitto": " running",
}
ENDLESS = re.compile(r"^(streamlstm (watch|top)|curl -N)\b|--rate ")  # that print, and go on
UNSHARE = ["unshare", "-n" if os.geteuid() == 0 else "-rn"]
LOOPBACK = """import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up
print("up", flush=True)
input()"""


def commands(page: str) -> list[str]:
    """Return what a page tells to type, a line each."""
    found = []
    for language, text in BLOCK.findall(page):
        lines = [line.partition(" # ")[0].strip() for line in text.replace("\\\n", " ").split("\n")]
        if language == "sh" or (not language and lines[0].startswith(("streamlstm ", "mv "))):
            found += [re.sub(r" +", " ", line) for line in lines if line]
    return found


class Machine:
    """A network and a folder of their own.

    Parameters
    ----------
    folder : Path
        Where commands run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("etc", "opt", "run", "var/lib", "backup"):
            (folder / name / "streamlstm").mkdir(parents=True)
        for name in ("streamlstm", "examples"):
            (folder / name).symlink_to(ROOT / name)
        if shutil.which("unshare") is None or shutil.which("nsenter") is None:
            pytest.skip("needs unshare and nsenter: apt-get install util-linux")
        self._network = subprocess.Popen(
            [*UNSHARE, sys.executable, "-c", LOOPBACK],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._services: dict[str, subprocess.Popen[str]] = {}
        self._started: list[subprocess.Popen[str]] = []
        assert self._network.stdout is not None
        if self._network.stdout.readline() != "up\n":
            self.close()
            pytest.skip("needs the right to a network of its own (unshare --net)")

    def placed(self, text: str) -> str:
        """Return a text with the folders that stand for the machine's."""
        return PLACES.sub(lambda found: f"{self.folder}{found[0]}", text)

    def _start(self, command: str) -> subprocess.Popen[str]:
        enter = ["nsenter", "-t", str(self._network.pid), "-n"]
        enter += [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        # PYTHONSAFEPATH: the package of this tree, and not the link to it in the folder.
        own = {
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }
        process = subprocess.Popen(
            [*enter, "bash", "-c", self.placed(command)],
            cwd=self.folder, env={**os.environ, **own}, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._started.append(process)
        return process

    def do(self, command: str, meanwhile: str = "true") -> str:
        """Do what a person does who types a command; return what it prints.

        Of one that goes on until it is stopped that is what comes first; ``meanwhile`` runs until
        there is something. A service ends when the page starts another one of its kind.
        """
        command = command.removesuffix(" &")
        kind = next((kind for kind in SERVICES if f"{command} ".startswith(f"{kind} ")), None)
        if kind is not None:
            return self._serve(kind, command)
        process = self._start(command)
        if ENDLESS.search(command) is None:
            said, complained = process.communicate(timeout=120)
            assert process.returncode == 0, f"{command}\n{said}\n{complained}"
            assert "Traceback" not in complained
            return said
        assert process.stdout is not None
        said, wanted = "", "data: " if command.startswith("curl") else "\n"
        while wanted not in said:
            if not select.select([process.stdout], [], [], 0.2)[0]:
                self.do(meanwhile)
            elif new := os.read(process.stdout.fileno(), 65536).decode():
                said += new
            else:
                raise AssertionError(f"{command}\n{said}\n{process.communicate(timeout=30)[1]}")
        os.killpg(process.pid, signal.SIGINT)
        complained = process.communicate(timeout=30)[1]
        assert process.returncode in (0, 130, -signal.SIGINT), complained
        return said

    def _serve(self, kind: str, command: str) -> str:
        self.stop(kind)
        said, last = "", SERVICES[kind]
        if "--web" in command:
            self.stop("streamlstm web")  # which would be at the same port
            last = " page "
        process = self._services[kind] = self._start(command)
        assert process.stderr is not None
        while last not in said:
            line = process.stderr.readline()
            assert line, f"{command}\n{said}"
            said += line
        return said

    def stop(self, kind: str) -> None:
        """Stop a service as Ctrl-C does, if it runs."""
        process = self._services.pop(kind, None)
        if process is None:
            return
        is_ours = kind.startswith("streamlstm")
        os.killpg(process.pid, signal.SIGINT if is_ours else signal.SIGKILL)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0 or not is_ours, f"{kind}: {process.returncode}: {said}"

    def close(self) -> None:
        """Stop all services, and give the network back."""
        try:
            for kind in list(self._services):
                self.stop(kind)
        finally:
            for process in self._started:
                if process.returncode is None:  # the test has failed
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
            self._network.communicate("\n", timeout=30)
