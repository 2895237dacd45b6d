"""Tells systemd that a service is ready, is well, or stops (sd_notify(3))."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

_LOG = logging.getLogger(__name__)

SEND_SECONDS = 0.5  # for one report, where nobody reads the ones before


class Notifier:
    """Sends the state of this process to the socket that systemd has named, if it has.

    The names are taken out of the environment: processes that are started from here are not meant.
    With ``WatchdogSec=`` in the unit a thread reports, twice in that time, that all is well; while
    it is not, it stays silent, until systemd ends the process and starts it again.
    """

    def __init__(self) -> None:
        self._address = os.environ.pop("NOTIFY_SOCKET", "")
        self._seconds = _watchdog_seconds()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def ready(self, health: Callable[[], str | None], status: str) -> None:
        """Report that the service serves.

        Parameters
        ----------
        health : callable
            Returns why the process should be restarted, None if it need not be; as ``/healthz``.
        status : str
            For people, in ``systemctl status``.
        """
        self._send("READY=1", f"STATUS={status}")
        if self._address and self._seconds is not None:
            self._thread = threading.Thread(
                target=self._watch, args=(health, self._seconds / 2), daemon=True
            )
            self._thread.start()

    def _watch(self, health: Callable[[], str | None], seconds: float) -> None:
        while True:
            if (problem := health()) is None:
                self._send("WATCHDOG=1")
            else:
                _LOG.error("systemd will restart this process: %s", problem)
                self._send(f"STATUS={problem}")
            if self._ended.wait(seconds):
                return

    def stopping(self) -> None:
        """Report that the service has begun to stop."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # of Linux's namespace that is no part of the file system
            address = f"\0{address[1:]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
                sending.settimeout(SEND_SECONDS)
                sending.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            _LOG.warning("cannot tell systemd %s: %s", lines[0], error.strerror or error)

    def __enter__(self) -> Notifier:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _watchdog_seconds() -> float | None:
    """Return how long systemd waits for a report, if it does for this process."""
    microseconds = os.environ.pop("WATCHDOG_USEC", "")
    process = os.environ.pop("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or process not in ("", str(os.getpid())):
        return None
    return int(microseconds) * 1e-6
