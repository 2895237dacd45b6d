"""Handles Ctrl-C and SIGTERM in commands, beyond Python's KeyboardInterrupt."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

from . import interrupts


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """Exit with status 130 on Ctrl-C, without unwinding: where there is nothing to lose.

    The compiler swallows some interrupts, and so do imports in programs that are not the command.
    """
    before = interrupts.handle(interrupts.exit_now)
    try:
        yield
    finally:
        if before is not None:
            interrupts.handle(before)


class Interruption:
    """The signal that stopped a command: SIGINT unless SIGTERM was received."""

    def __init__(self) -> None:
        self._number = signal.SIGINT

    @property
    def status(self) -> int:
        """The exit status, 130 or 143."""
        return 128 + self._number

    @property
    def name(self) -> str:
        """The name for messages."""
        return "SIGTERM" if self._number == signal.SIGTERM else "Ctrl-C"

    def on_sigterm(self, _number: int, _frame: FrameType | None) -> NoReturn:
        """Remember SIGTERM and raise KeyboardInterrupt, as Ctrl-C does."""
        self._number = signal.SIGTERM
        raise KeyboardInterrupt


@contextmanager
def sigterm_as_interrupt() -> Iterator[Interruption]:
    """Let SIGTERM raise KeyboardInterrupt too; yields which of the two was received."""
    interruption = Interruption()
    if current_thread() is not main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGTERM, interruption.on_sigterm)
    try:
        with interrupts.Working():
            yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
