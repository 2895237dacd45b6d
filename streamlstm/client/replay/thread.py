"""The thread of a replaying publisher."""

from __future__ import annotations

import logging
import os
import threading
import time as clock
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TypeVar

from ...errors import RemoteError
from ..descriptors import WAIT_SECONDS, NoDescriptorError, opening
from .protocol import ReplayProtocol

_LOG = logging.getLogger(__name__)

ConnectionType = TypeVar("ConnectionType")


class SendingThread(ABC):
    """A thread that sends what the publisher has accepted, until it is closed.

    Parameters
    ----------
    changed : threading.Condition
        Its lock guards every method but :meth:`close`.

    Attributes
    ----------
    endpoint : str
        For errors.
    """

    endpoint: str

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._error: BaseException | None = None
        self._closing = False
        with opening():
            self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="streamlstm-replay", daemon=True)
        self._thread.start()

    # --- for the threads of the callers, with the lock held ---

    @abstractmethod
    def _protocols(self) -> Iterable[ReplayProtocol]:
        """Return the protocol of each connection."""

    @property
    @abstractmethod
    def left_out(self) -> list[RemoteError]:
        """Errors of observations that were left out, not yet raised."""

    def check(self) -> None:
        """Raise the error that stopped the thread, or that of observations that were left out."""
        if self._error is not None:
            raise self._error
        if errors := self.left_out:
            first, more = errors[0], len(errors) - 1
            errors.clear()
            if more:
                first.args = (f"{first} ({more} more were left out too)",)
            raise first

    def wake(self) -> None:
        """Let the thread look for something to do."""
        os.eventfd_write(self._wakeup, 1)

    def hurry(self) -> None:
        """Request confirmation as soon as there is anything to confirm."""
        for protocol in self._protocols():
            protocol.hurry = True
        self.wake()

    def close(self) -> None:
        """End the thread; without the lock."""
        self._closing = True
        self.wake()
        self._thread.join()
        with self._changed:  # a call of another thread may be about to wake this one
            os.close(self._wakeup)
            self._changed.notify_all()  # those that wait find that it is closed

    @property
    def is_own_thread(self) -> bool:
        """True in the thread itself, where predictions are delivered."""
        return threading.current_thread() is self._thread

    # --- the thread ---

    def _connected(self, connect: Callable[[], ConnectionType]) -> ConnectionType:
        """Return a connection, as soon as there is a descriptor for it."""
        while True:
            try:
                return connect()
            except NoDescriptorError as error:
                if self._closing:
                    raise
                _LOG.warning("%s", error)
                clock.sleep(WAIT_SECONDS)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._work()
        except BaseException as error:  # raised by the next call of the publisher
            with self._changed:
                self._error = error
                self._changed.notify_all()
        finally:
            self._disconnect()

    @abstractmethod
    def _work(self) -> None:
        """Send and receive until it is closed, or a connection breaks."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Close all connections, at the end."""
