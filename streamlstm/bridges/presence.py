"""Presence: whether there is a worker, before a bridge begins and while it runs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

from ..client.client import Client
from ..errors import EndpointError, StreamLSTMError, WorkerTimeoutError
from .stopping import Stopping

_LOG = logging.getLogger(__name__)
_LOOK = 1.0  # seconds between two looks, and those that a worker has to answer one
_ANSWER = 2.0  # seconds that a worker has to say what its model is


def model_of(worker: dict[str, Any], stopping: Stopping) -> dict[str, Any] | None:
    """Ask the worker what its model is; wait for it, and its file, if it is not there.

    None if the bridge is to end first.
    """
    said = ""
    pause = threading.Event()
    while not stopping.is_set():
        if missing := _missing_file(worker):
            kind = "file"
            reason = f"{missing} is not there; serve or fleet write it (--endpoints {missing})"
            pause.wait(_LOOK / 10)
        else:
            try:
                with Client(**worker, timeout=_ANSWER) as client:
                    model: dict[str, Any] = client.info()["model"]
                    return model
            except WorkerTimeoutError as error:
                kind, reason = "worker", str(error)
            except EndpointError:
                if _missing_file(worker):
                    continue
                raise
        if said != kind:
            _LOG.warning("waiting for the worker: %s", reason)
        said = kind
    return None


def _missing_file(worker: dict[str, Any]) -> Path | None:
    file = worker.get("endpoints")
    return file if isinstance(file, Path) and not file.exists() else None


class Presence:
    """Says once that the worker does not answer any more, and once that it does again.

    Parameters
    ----------
    worker : dict
        Options of a :class:`Client`.
    """

    def __init__(self, worker: dict[str, Any]) -> None:
        self._worker, self.is_there = worker, True
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="bridge-presence", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.is_set():
            try:
                with Client(**self._worker, timeout=_LOOK) as client:
                    while not self._end.is_set():
                        client.ping()
                        if not self.is_there:
                            _LOG.info("the worker answers again: %s", client.endpoint)
                        self.is_there = True
                        self._end.wait(_LOOK)
            except StreamLSTMError as error:
                if self.is_there and not self._end.is_set():
                    _LOG.warning("the worker does not answer; what comes waits for it: %s", error)
                self.is_there = False
                self._end.wait(_LOOK / 10)

    def close(self) -> None:
        """End, at the latest when a worker has had its time to answer."""
        self._end.set()
        self._thread.join()
