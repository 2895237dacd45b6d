"""A full disk for some processes: nothing that they write to a file finds room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

ROOM = 4096  # bytes that a file may have


@contextmanager
def full_disk(pid: int) -> Iterator[None]:
    """Let a process and its children write no file beyond :data:`ROOM` inside a ``with`` block."""
    before = _family(pid)
    for process in before:
        _let_write(process, ROOM)
    yield
    for process in before:
        _let_write(process, None)
    for process in _family(pid):  # those that have begun meanwhile, with the limit of their parent
        _let_write(process, None)


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children()]
    except psutil.NoSuchProcess:
        return []


def _let_write(process: psutil.Process, room: int | None) -> None:
    with suppress(psutil.Error):  # it has ended
        _, most = process.rlimit(psutil.RLIMIT_FSIZE)
        process.rlimit(psutil.RLIMIT_FSIZE, (most if room is None else room, most))
