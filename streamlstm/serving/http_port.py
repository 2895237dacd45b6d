"""A small HTTP server for a few readers: one thread, few connections, a deadline for each.

A client that is slow, or says nothing, takes a place until its deadline, or until others come.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

from .line_limit import LineLimit

_LOG = logging.getLogger(__name__)

MAX_CONNECTIONS = 16  # when all are taken, the oldest gives its place to the next one
MAX_REQUEST_BYTES = 8_192
DEADLINE_SECONDS = 5.0  # from a connection's first moment to its last
_PAUSE_SECONDS = 0.5  # after which a connection is accepted again that there was no descriptor for
_END = b"\r\n\r\n"
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Request(NamedTuple):
    """A GET or HEAD: path, query and headers, whose names are in lower case."""

    path: str
    query: str
    headers: dict[str, str]


class Response(NamedTuple):
    """Status, headers and body of the answer to a GET."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


def text(status: int, sentence: str) -> Response:
    """Return a response of one sentence."""
    return Response(status, [("Content-Type", "text/plain; charset=utf-8")], sentence.encode())


class _Connection:
    """One connection: what was received of a request, and what is left of the response."""

    def __init__(self, peer: socket.socket) -> None:
        self.peer, self.deadline = peer, time.monotonic() + DEADLINE_SECONDS
        self.request, self.response = b"", b""
        self.answered = False


class HttpPort:
    """Answers GET and HEAD in a thread, until it is closed.

    Parameters
    ----------
    listening : socket.socket
        Bound and listening; closed with this.
    respond : callable
        Returns the Response to a Request; called in the thread.
    """

    def __init__(self, listening: socket.socket, respond: Callable[[Request], Response]) -> None:
        self._listening, self._respond = listening, respond
        self._connections: dict[socket.socket, _Connection] = {}  # the oldest first
        self._paused_until, self._lines = 0.0, LineLimit()
        listening.setblocking(False)
        self._stop, self._stopped = socket.socketpair()  # to close one end makes the other ready
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, _READ)
        self._selector.register(self._stopped, _READ)
        self._thread = threading.Thread(target=self._run, name="streamlstm-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close all connections and the port."""
        self._stop.close()
        self._thread.join()
        for peer in list(self._connections):
            self._drop(peer)
        self._selector.close()
        self._stopped.close()
        self._listening.close()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(self._timeout()):
                if key.fileobj is self._stopped:
                    return
                if key.fileobj is self._listening:
                    self._accept()
                elif key.fileobj in self._connections:
                    self._advance(self._connections[key.fileobj])
            self._look_at_the_clock()

    def _timeout(self) -> float | None:
        """Return the seconds until something is due; None if nothing is."""
        due = [connection.deadline for connection in self._connections.values()]
        due += [self._paused_until] if self._paused_until else []
        return max(min(due) - time.monotonic(), 0) if due else None

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        for peer, connection in list(self._connections.items()):
            if connection.deadline <= now:
                self._drop(peer)
        if self._paused_until and self._paused_until <= now:
            self._paused_until = 0.0
            self._selector.register(self._listening, _READ)

    def _accept(self) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            self._drop(next(iter(self._connections)))
        try:
            peer, _ = self._listening.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:  # no descriptor is free: the same connection waits to be accepted
            self._lines.warn(_LOG, f"metrics: cannot accept a connection: {error.strerror}")
            self._selector.unregister(self._listening)
            self._paused_until = time.monotonic() + _PAUSE_SECONDS
            return
        peer.setblocking(False)
        self._connections[peer] = connection = _Connection(peer)
        self._selector.register(peer, _READ)
        self._advance(connection)

    def _drop(self, peer: socket.socket) -> None:
        del self._connections[peer]
        self._selector.unregister(peer)
        peer.close()

    def _advance(self, connection: _Connection) -> None:
        """Receive or send what can be received or sent at once."""
        try:
            if connection.response:
                self._send(connection)
            else:
                self._receive(connection)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(connection.peer)

    def _receive(self, connection: _Connection) -> None:
        received = connection.peer.recv(MAX_REQUEST_BYTES)
        if not received:
            self._drop(connection.peer)
            return
        if connection.answered:
            return  # it gets no second answer, and has until its deadline to close
        connection.request += received
        if _END in connection.request or len(connection.request) > MAX_REQUEST_BYTES:
            connection.response = self._answer(connection.request)
            connection.answered = True
            self._send(connection)

    def _send(self, connection: _Connection) -> None:
        with suppress(BlockingIOError):
            sent = connection.peer.send(connection.response)
            connection.response = connection.response[sent:]
        self._selector.modify(connection.peer, _WRITE if connection.response else _READ)
        if not connection.response:
            # Not closed yet: if unread bytes had come, that would take back what was sent.
            connection.peer.shutdown(socket.SHUT_WR)

    def _answer(self, received: bytes) -> bytes:
        """Return the bytes of the response to the bytes of a request."""
        head, end, _ = received.partition(_END)
        line, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = line.partition(" ")
        target, _, version = rest.partition(" ")
        if not end:
            response = text(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request is too long\n")
        elif not target.startswith("/") or not version.startswith("HTTP/1."):
            response = text(HTTPStatus.BAD_REQUEST, "expected GET /metrics HTTP/1.1\n")
        elif method not in ("GET", "HEAD"):
            response = text(HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or HEAD\n")
            response.headers.append(("Allow", "GET, HEAD"))
        else:
            fields = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in fields}
            path, _, query = target.partition("?")
            response = self._respond_safely(Request(path, query, headers))
        return _encoded(response, with_body=method != "HEAD")

    def _respond_safely(self, request: Request) -> Response:
        try:
            return self._respond(request)
        except Exception:
            _LOG.exception("metrics: cannot answer %s", request.path)
            return text(HTTPStatus.INTERNAL_SERVER_ERROR, "the worker's log says why\n")


def _encoded(response: Response, *, with_body: bool) -> bytes:
    reason = HTTPStatus(response.status).phrase
    fields = [
        *response.headers,
        ("Content-Length", str(len(response.body))),
        ("Connection", "close"),
    ]
    lines = [f"HTTP/1.1 {int(response.status)} {reason}", *(f"{n}: {v}" for n, v in fields)]
    head = "\r\n".join(lines).encode("latin-1") + _END
    return head + response.body if with_body else head
