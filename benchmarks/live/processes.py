"""Starts workers and other servers as processes that end with the benchmark."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import zmq

START_SECONDS = 180.0  # the first start on a machine compiles
STOP_SECONDS = 10.0
TIMEOUT_MS = 20_000  # for which a socket waits at most
ANY_PORTS = [
    part for name in ("router", "pull", "xpub") for part in (f"--{name}", "tcp://127.0.0.1:*")
]


class Process:
    """A Python module in a process, ready after construction, until the end of a ``with`` block.

    Parameters
    ----------
    name : str
        Name for messages.
    *command : str
        Module and arguments; ``--endpoints FILE`` is added.
    file : Path or None
        The file for the endpoints; by default a temporary one.

    Attributes
    ----------
    endpoints : dict of str to str
        Its endpoints by socket.
    pid : int
    """

    def __init__(self, name: str, *command: str, file: Path | None = None) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory()
        self._stderr = Path(self._folder.name) / "stderr"
        self.file = endpoints = file or Path(self._folder.name) / "endpoints.json"
        with self._stderr.open("wb") as stderr:
            # A new session: Ctrl-C is for the benchmark, which ends its processes itself.
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, "--endpoints", str(endpoints)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self.endpoints = self._wait(endpoints)
        except BaseException:
            self.stop()
            raise

    def _wait(self, endpoints: Path) -> dict[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_written(endpoints):
            if not self.alive() or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} did not start:\n{self.stderr()}")
            time.sleep(0.02)
        found: dict[str, str] = json.loads(endpoints.read_text())
        return found

    def _is_written(self, endpoints: Path) -> bool:
        """Return whether this process has written its endpoints."""
        return endpoints.exists()

    def alive(self) -> bool:
        """Return whether it still runs."""
        return self._process.poll() is None

    def stderr(self) -> str:
        """Return the end of its stderr."""
        return self._stderr.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def stop(self) -> int:
        """Terminate it, kill it after ``STOP_SECONDS``, and return its exit status."""
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        status = self._process.wait()
        self._folder.cleanup()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def worker(model: Path, *options: str, loop: str = "native", spin: int = 0) -> Process:
    """Start ``streamlstm serve`` on one thread.

    Parameters
    ----------
    model : Path
    *options : str
        Options of ``streamlstm serve``.
    loop : {"native", "python"}
        The loop, if the worker has this option.
    spin : int
        us for which it polls for the next message before it sleeps.
    """
    arguments = [*ANY_PORTS, "--threads", "1", *options]
    if has_option("--loop"):
        arguments += ["--loop", loop]
    if spin:
        arguments += ["--spin", str(spin)]
    return Process(f"worker ({loop})", "streamlstm", "serve", str(model), *arguments)


@cache
def has_option(option: str) -> bool:
    """Return whether ``streamlstm serve`` has an option."""
    shown = subprocess.run(
        [sys.executable, "-m", "streamlstm", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return f"{option} " in shown.stdout


def echo(*options: str) -> Process:
    """Start the compiled ROUTER echo."""
    return Process("compiled echo", "benchmarks.live.echo", "echo", *options)


def python_echo() -> Process:
    """Start the ROUTER echo in plain pyzmq."""
    return Process("Python echo", "benchmarks.live.echo", "python-echo")


def plain_worker(model: Path) -> Process | None:
    """Start the worker of pyzmq, msgpack and PyTorch; None if PyTorch is not installed."""
    if find_spec("torch") is None:
        return None
    return Process("PyTorch worker", "benchmarks.live.plain_worker", str(model))


class Sockets:
    """Sockets of one context, closed together without linger."""

    def __init__(self) -> None:
        self._context = zmq.Context[Any]()

    def connect(self, kind: int, endpoint: str, **options: Any) -> Any:
        """Return a connected socket with timeouts of 20 s."""
        socket = self._context.socket(kind)
        socket.rcvtimeo = socket.sndtimeo = TIMEOUT_MS
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        socket.connect(endpoint)
        return socket

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._context.destroy(linger=0)


def exit_on_sigterm() -> None:
    """Let SIGTERM raise SystemExit, so that every ``with`` block is left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
