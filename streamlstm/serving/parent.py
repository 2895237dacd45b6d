"""Lets a process end with its parent, even if that is killed."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def environment_of_parts() -> dict[str, str]:
    """Return the environment for processes that are a part of this one.

    What is meant for ``streamlstm`` itself is left out: their arguments say all they are told.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("STREAMLSTM_")}


def end_with(parent: int) -> None:
    """Let this process get SIGTERM when its parent ends, however that ends.

    The system sends it when the *thread* of the parent ends that has started this process.

    Parameters
    ----------
    parent : int
        Process id of the parent, which may have ended already.

    Raises
    ------
    SystemExit
        If it has.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it has ended before: nobody would tell
        raise SystemExit(f"the supervisor {parent} has ended; so does this worker of its fleet")
