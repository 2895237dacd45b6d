"""A file descriptor that ends a poll: at a signal, or from another thread."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CALL, _NUDGE = 0, 255  # no signal has these numbers


class Wakeup:
    """A pair of sockets: one is polled, the other written to.

    Python runs signal handlers only between two instructions of its own, so that a signal that
    arrives just before the wait would be noticed only after it. The interpreter therefore writes
    the signal's number into the descriptor at once (``signal.set_wakeup_fd``), and no wait can
    miss it.

    Attributes
    ----------
    on_stop : callable
        Called when a call or a signal to stop is heard for the first time.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self.on_stop: Callable[[], object] = lambda: None
        self._before: tuple[dict[signal.Signals, Any], int] | None = None  # within on_signals

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._reader.fileno()

    def call(self) -> None:
        """End the poll, to stop; from any thread."""
        with suppress(OSError):  # full of bytes that were not read yet, or closed
            self._writer.send(bytes([_CALL]))

    def nudge(self) -> None:
        """End the poll without stopping; from any thread."""
        with suppress(OSError):
            self._writer.send(bytes([_NUDGE]))

    def heard(self) -> bool:
        """Return whether there was a call or a signal to stop, and consume it."""
        try:
            numbers = self._reader.recv(4096)
        except BlockingIOError:
            return False
        if any(number == _CALL or number in STOP_SIGNALS for number in numbers):
            on_stop, self.on_stop = self.on_stop, lambda: None
            on_stop()
            return True
        return False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into calls; only in the main thread of a program."""
        before = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}
        fd_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._before = before, fd_before
        try:
            yield
        finally:
            self._restore_signals()

    def _restore_signals(self) -> None:
        if self._before is not None:
            (before, fd_before), self._before = self._before, None
            signal.set_wakeup_fd(fd_before)
            for number, handler in before.items():
                signal.signal(number, handler)

    def leave_to_parent(self) -> None:
        """Let signals to this process, a forked child, not wake its parent."""
        if current_thread() is main_thread():
            self._restore_signals()

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()
