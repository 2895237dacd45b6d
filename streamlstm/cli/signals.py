"""What Ctrl-C and SIGTERM do to a command, beyond Python's KeyboardInterrupt."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Exit with status 130 on Ctrl-C, without unwinding: for imports, which may be anyone's code.

    A KeyboardInterrupt in the middle of an import comes out as a traceback from another package, is
    swallowed by it, or leaves a module half made. Nothing is lost by leaving there.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or current_thread() is not main_thread():
        yield  # somebody else's business: an application that imports us, or `nohup`
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + signal.SIGINT)


class Interruption:
    """Which signal came: Ctrl-C's unless it was SIGTERM."""

    def __init__(self) -> None:
        self._number = signal.SIGINT

    @property
    def status(self) -> int:
        """The exit status that tells it, 130 or 143."""
        return 128 + self._number

    @property
    def name(self) -> str:
        """What a person calls it."""
        return "SIGTERM" if self._number == signal.SIGTERM else "Ctrl-C"

    def on_sigterm(self, _number: int, _frame: FrameType | None) -> NoReturn:
        """Remember SIGTERM and go on as on Ctrl-C."""
        self._number = signal.SIGTERM
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Let SIGTERM raise KeyboardInterrupt too; yields what tells the two apart."""
    interruption = Interruption()
    if current_thread() is not main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGTERM, interruption.on_sigterm)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
