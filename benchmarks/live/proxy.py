"""A TCP proxy that cuts connections, at random times or on request."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress


class Proxy:
    """Forwards bytes between clients and a worker; `cuts` counts the cuts of all connections.

    Parameters
    ----------
    target : str
        The worker's endpoint; :attr:`target` may change, for later connections. None closes them
        at once, as if nothing listened there.
    every : int
        Mean number of bytes between two cuts; 0 for no cuts.
    """

    def __init__(self, target: str | None, every: int = 0, seed: int = 0) -> None:
        self.target = target
        self.cuts = 0
        self.every = every
        self._random = random.Random(seed)
        self._left = self._next()
        self._open: set[socket.socket] = set()
        self._dead: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _next(self) -> int:
        return self._random.randrange(1, 2 * self.every) if self.every else 2**62

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                self._listener.close()
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            try:
                worker = self._reach()
            except OSError:
                client.close()
                continue
            for end in (client, worker):  # as ZeroMQ does; otherwise small messages take 40 ms
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, worker}
            for pair in ((client, worker), (worker, client)):
                thread = threading.Thread(target=self._pass, args=pair, daemon=True)
                thread.start()
                self._threads.append(thread)

    def _reach(self) -> socket.socket:
        if self.target is None:
            raise ConnectionRefusedError
        host, port = self.target.removeprefix("tcp://").split(":")
        return socket.create_connection((host, int(port)))

    def _pass(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                with self._lock:
                    if source in self._dead:
                        continue
                    due = self._left < len(data)
                    part = data[: max(self._left, 0)]
                    self._left -= len(data)
                to.sendall(part)
                if due:
                    # Forward nothing more: another thread may still have to close this
                    # connection, and later bytes would be taken for the ones left out.
                    self.cut()
                    break
        for end in (source, to):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open.discard(source)
            self._dead.discard(source)
        source.close()

    def swallow(self) -> None:
        """Keep all connections open but forward nothing, as behind a network router that died."""
        with self._lock:
            self.cuts += 1
            self._dead |= self._open

    def cut_after(self, size: int) -> None:
        """Close all connections after `size` more bytes, perhaps in the middle of a message."""
        with self._lock:
            self._left = size

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            self.cuts += 1
            self._left = self._next()
            ends, self._open = self._open, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the proxy and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self.cut()
        for thread in self._threads:
            thread.join()
