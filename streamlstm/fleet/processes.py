"""The processes of a fleet's workers: started, watched, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

from ..serving.logs import log_again
from ..serving.parent import environment_of_parts


def ended(status: int) -> str:
    """Say how a process ended, from its status: below 0 by a signal."""
    try:
        return f"ended with status {status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"ended with status {status}"


class Process:
    """The process of a worker, whose log becomes part of this one, with its name.

    It gets nothing from the environment that is meant for ``streamlstm`` itself: its arguments say
    all of it.

    It ends with the thread that makes this object (serving/parent.py), so that must be one that
    lives as long as the supervisor.

    Parameters
    ----------
    name : str
        The worker's.
    arguments : sequence of str
        Of the command.
    command : sequence of str
        Of ``streamlstm``.
    log : callable
        Gets the name and each line of its log, which is JSON; called from a thread.

    Attributes
    ----------
    pid : int
    descriptor : int
        Can be read when the process has ended.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        command: Sequence[str] = ("serve",),
        log: Callable[[str, str], None] = log_again,
    ) -> None:
        self._name, self._log = name, log
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "streamlstm", *command, *arguments),
                *("--fleet-parent", str(os.getpid()), "--log-format", "json"),
            ],
            env=environment_of_parts(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,  # Ctrl-C is for the supervisor, which passes it on
        )
        self.pid = self._process.pid
        try:
            self.descriptor = os.pidfd_open(self.pid)
        except OSError:
            self._process.kill()
            self._process.communicate()
            raise
        self._reader = threading.Thread(target=self._pass_on, daemon=True)
        self._reader.start()

    def _pass_on(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log(self._name, line.rstrip())

    def stop(self) -> None:
        """Ask it to end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        if self._process.poll() is None:
            self._process.kill()

    def ended(self, seconds: float | None = None) -> int:
        """Wait for its end, and close what belongs to it; return its status.

        Raises
        ------
        TimeoutError
            If it has not ended within so many seconds.
        """
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"{self._name} does not end") from None
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()
        os.close(self.descriptor)
        return status
