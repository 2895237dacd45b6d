"""Runs a `streamlstm` command that ends when its parent process ends, even by SIGKILL.

    python workers/die_with_parent.py PARENT COMMAND...

PARENT is the process id of the parent. The kernel sends SIGTERM to this process when the parent
ends (PR_SET_PDEATHSIG). The setting survives exec, by which the command replaces this program. On
systems other than Linux the command runs without it.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Request the signal, then execute the command."""
    parent, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before the request
        sys.exit(128 + signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-m", "streamlstm", *arguments])


if __name__ == "__main__":
    main()
