"""Runs a function in a child that is forked from the test's own process."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable

SECONDS = 20  # after which a child that hangs is killed


def in_child(action: Callable[[], object]) -> str:
    """Return what an action in a forked child returns, its error, or the signal that ended it."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on it warns of forks where there are threads, which is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(SECONDS)
        try:
            said = str(action())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return said
