"""Takes all descriptors from a process that runs, for tests."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_descriptor_left(pid: int, whatever_is_closed: bool = False) -> Iterator[None]:
    """Let a process open nothing within ``with``: each descriptor below the limit is in use."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    first = next(n for n in range(len(used) + 1) if n not in used)
    limit = 5 if whatever_is_closed else first  # none closes what it opened first of all
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
