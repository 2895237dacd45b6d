"""A real Redis of a test's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.live.redis_server import RedisServer, redis_server

needs_redis = pytest.mark.skipif(redis_server() is None, reason="needs redis-server: make test")


class Redis(RedisServer):
    """A Redis at a socket in a folder, whose file can be brought back to an earlier time."""

    def client(self) -> Any:
        """Return a plain client of it; to be closed."""
        import redis

        return redis.Redis.from_url(self.url)

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
