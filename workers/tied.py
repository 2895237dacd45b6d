"""Run a `streamlstm` command that ends when the program that started it does, even by SIGKILL.

    python workers/tied.py PARENT COMMAND...

PARENT is the process id of the program that starts this one. The kernel is asked to send SIGTERM
to this process when the parent's ends, and then the command takes this process over, in which that
order stays. Elsewhere than on Linux the command runs untied.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):  # it ended before we were tied to it
        sys.exit(128 + signal.SIGTERM)
    os.execv(sys.executable, [sys.executable, "-m", "streamlstm", *arguments])


if __name__ == "__main__":
    main()
