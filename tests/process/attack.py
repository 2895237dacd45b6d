"""Peers that speak ZMTP by hand, and keep to nothing else; and what a worker holds meanwhile."""

from __future__ import annotations

import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from streamlstm.loadtest.zmtp import GREETING, ready

from .conftest import WorkerProcess

MIB = 2**20
SECONDS = 20.0


def frame(content: bytes) -> bytes:
    """Return the frame of a message of one."""
    if len(content) < 256:
        return bytes([0, len(content)]) + content
    return b"\2" + len(content).to_bytes(8) + content


def topics(count: int, size: int) -> bytes:
    """Return frames that subscribe to as many random topics of one size."""
    data = os.urandom(count * size)
    starts = range(0, count * size, size)
    return b"".join(frame(b"\1" + data[start : start + size]) for start in starts)


class Peer:
    """A connection to a socket of a worker, after the handshake; or one that was closed."""

    def __init__(self, endpoint: str, kind: str) -> None:
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), SECONDS)
        with suppress(ConnectionError):  # of one that the worker does not want
            self.socket.sendall(GREETING + ready(kind))
            self._read_handshake()

    def _read_handshake(self) -> None:
        """Read greeting and READY of the worker: no message may come before them."""
        received, wanted = b"", 66
        while len(received) < wanted and (more := self.socket.recv(wanted - len(received))):
            received += more
            if len(received) == 66:
                wanted += received[65]

    def send(self, data: bytes) -> bool:
        """Send all; return False if the worker has closed the connection."""
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def closed(self) -> bool:
        """Wait until the worker has closed the connection."""
        with suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True


@contextmanager
def peers(endpoint: str, kind: str, count: int) -> Iterator[list[Peer]]:
    found: list[Peer] = []
    with ExitStack() as stack:
        for _ in range(count):
            found.append(Peer(endpoint, kind))
            stack.enter_context(found[-1].socket)
        yield found


@contextmanager
def flooding(found: list[Peer], data: bytes) -> Iterator[None]:
    """Let each peer send the same again and again, until the end of ``with``."""
    stop = threading.Event()

    def flood(peer: Peer) -> None:
        while not stop.is_set() and peer.send(data):
            pass

    threads = [threading.Thread(target=flood, args=(peer,)) for peer in found]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for peer in found:
            with suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


class Memory:
    """The memory that a worker takes beyond what it had at the beginning."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._worker = worker
        self._proc = Path(f"/proc/{worker.process.pid}")
        (self._proc / "clear_refs").write_text("5")  # the peak begins anew
        self._before = self._read("VmRSS")

    def _read(self, name: str) -> int:
        lines = (self._proc / "status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))

    def limit(self, size: int) -> None:
        """Let the worker have so many bytes of address space more than now."""
        most = self._read("VmSize") + size
        resource.prlimit(self._worker.process.pid, resource.RLIMIT_AS, (most, most))

    def peak(self) -> int:
        """Return the most bytes."""
        return self._read("VmHWM") - self._before

    def now(self) -> int:
        """Return the bytes at present."""
        return self._read("VmRSS") - self._before
