"""`streamlstm bridge` in a process of its own, for tests."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from streamlstm.bridges.start import start
from streamlstm.bridges.stopping import Stopping
from streamlstm.cli.bridge.options import as_settings

from .conftest import WorkerProcess

TIMEOUT = 60.0
pause = threading.Event()


def needs(broker: Any) -> pytest.MarkDecorator:
    """Skip where a broker is not installed."""
    return pytest.mark.skipif(broker.program() is None, reason=f"needs {broker.needs}")


def make_certificate(folder: Path) -> None:
    """Make broker.pem, which nobody vouches for, and broker.key."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=broker"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "broker.key", "-out", folder / "broker.pem"),
        ],
        check=True,
        capture_output=True,
    )


class BridgeProcess:
    """`streamlstm bridge` in a process of its own, ready, or as far as it has said a text."""

    def __init__(self, broker: str, *options: str, until: str = "ready; Ctrl-C stops") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamlstm", "bridge", broker, *options],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._heard = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.wait_for(until)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.said.append(line)
                self._heard.notify_all()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait for so many lines that have a text."""

        def found() -> int:
            return sum(text in line for line in self.said)

        with self._heard:
            assert self._heard.wait_for(
                lambda: found() >= count or self.process.poll() is not None, TIMEOUT
            ), self.said
        assert found() >= count, self.said

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


def wait_until(is_so: Callable[[], bool], what: object) -> None:
    """Wait for what no event tells."""
    for _ in range(round(TIMEOUT / 0.05)):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError(what() if callable(what) else what)


@contextmanager
def running_bridge(
    broker: str, worker: WorkerProcess, **options: Any
) -> Iterator[tuple[list[Any], threading.Event]]:
    """Run a bridge in this process; yields what it made, last of all the bridge, and its end."""
    plain = {"in_": ["in/{machine}"], "format_": "json", "features": None, "join": ""}
    settings = as_settings(broker, **{**plain, **options})
    made: list[Any] = []
    stopping = Stopping()
    failed: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            start(settings, {"router": worker.endpoints["router"]}, stopping, made)
        except BaseException as error:
            failed.append(error)
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield made, ended
    finally:
        stopping.set()
        thread.join()
    if failed:
        raise failed[0]
