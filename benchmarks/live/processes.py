"""Workers and what they are held against: processes that end with the benchmark."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

START_SECONDS = 180.0  # the first start on a machine compiles
STOP_SECONDS = 10.0
TIMEOUT_MS = 20_000  # for which a socket waits at most
_ANYWHERE = [
    part for door in ("router", "pull", "xpub") for part in (f"--{door}", "tcp://127.0.0.1:*")
]


class Process:
    """A Python module as a process, from the moment it is ready until the end of a ``with``.

    Parameters
    ----------
    name : str
        What messages call it.
    *command : str
        Module and arguments; ``--endpoints FILE`` is added.

    Attributes
    ----------
    endpoints : dict of str to str
        Where it is, by door.
    pid : int
    """

    def __init__(self, name: str, *command: str) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory()
        self._said = Path(self._folder.name) / "stderr"
        endpoints = Path(self._folder.name) / "endpoints.json"
        with self._said.open("wb") as said:
            # A session of its own: Ctrl-C is for the benchmark, which ends its processes itself.
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command, "--endpoints", str(endpoints)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
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
        while not endpoints.exists():
            if not self.alive() or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} did not start:\n{self.said()}")
            time.sleep(0.02)
        found: dict[str, str] = json.loads(endpoints.read_text())
        return found

    def alive(self) -> bool:
        """Return whether it still runs."""
        return self._process.poll() is None

    def said(self) -> str:
        """Return the end of what it wrote to stderr."""
        return self._said.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """End it with SIGKILL, now."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def stop(self) -> int:
        """End it, by force if it takes long; return its exit status."""
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def worker(model: Path, *options: str, loop: str = "native", spin: int = 0) -> Process:
    """Start ``streamlstm serve`` on one thread.

    Parameters
    ----------
    model : Path
    *options : str
        Of ``streamlstm serve``.
    loop : {"native", "python"}
        What answers; left to the worker where it does not know the option.
    spin : int
        us for which it looks for the next message before it sleeps.
    """
    chosen = [*_ANYWHERE, "--threads", "1", *options]
    if knows("--loop"):
        chosen += ["--loop", loop]
    if spin:
        chosen += ["--spin", str(spin)]
    return Process(f"worker ({loop})", "streamlstm", "serve", str(model), *chosen)


@cache
def knows(option: str) -> bool:
    """Tell whether ``streamlstm serve`` has an option."""
    shown = subprocess.run(
        [sys.executable, "-m", "streamlstm", "serve", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return f"{option} " in shown.stdout


def echo() -> Process:
    """Start the compiled ROUTER echo."""
    return Process("compiled echo", "benchmarks.live.servers", "echo")


def python_echo() -> Process:
    """Start the ROUTER echo in plain pyzmq."""
    return Process("Python echo", "benchmarks.live.servers", "python-echo")


def plain_worker(model: Path) -> Process | None:
    """Start the worker of pyzmq, msgpack and PyTorch; None if PyTorch is not installed."""
    if find_spec("torch") is None:
        return None
    return Process("PyTorch worker", "benchmarks.live.plain_worker", str(model))


class Sockets:
    """Sockets of one context, closed together without waiting."""

    def __init__(self) -> None:
        self._context = zmq.Context[Any]()

    def connect(self, kind: int, endpoint: str, **options: Any) -> Any:
        """Return a connected socket that waits 20 s at most."""
        socket = self._context.socket(kind)
        socket.rcvtimeo = socket.sndtimeo = TIMEOUT_MS
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        socket.connect(endpoint)
        return socket

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._context.destroy(linger=0)


def ended_by_sigterm() -> None:
    """Let SIGTERM end a benchmark as Ctrl-C does: through every ``with``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
