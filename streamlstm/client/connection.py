"""The connected socket that every client owns, and the one that threads share."""

from __future__ import annotations

import threading
from typing import Any, Generic, Self, TypeVar

import zmq

from .. import wire
from ..engine.forks import tell_in_child
from ..engine.validation import is_number
from ..errors import BadValueError, EndpointError, ForkError, shown
from .curve_handshake import Handshake
from .descriptors import new_context, opening
from .failures import closed, forked
from .keys import Credentials, KeyPath, credentials

SocketType = TypeVar("SocketType", bound=zmq.Socket[Any])

TIMEOUT = 5.0  # seconds
LINGER = 1.0  # seconds
MAX_ENDPOINT = 1_000  # characters
MAX_SECONDS = 2_000_000  # 23 days: as many milliseconds as ZeroMQ can count


def check_seconds(name: str, value: Any) -> float:
    """Return a duration in seconds.

    Raises
    ------
    BadValueError
        If it is no number, negative or not finite.
    """
    if not is_number(value) or not 0 <= value <= MAX_SECONDS:
        raise BadValueError(
            f"{name}: expected a number of seconds from 0 to {MAX_SECONDS}, got {shown(value)}"
        )
    return float(value)


def check_limit(value: Any) -> int:
    """Return a ``max_message_bytes``.

    Raises
    ------
    BadValueError
        If it is no integer of 1 or more.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadValueError(
            f"max_message_bytes: expected an integer of 1 or more, got {shown(value)}"
        )
    return value


def check_context(context: Any) -> None:
    """Raise BadValueError for what is neither None nor a context of ZeroMQ."""
    if context is not None and not isinstance(context, zmq.Context):
        raise BadValueError(f"context: expected a zmq.Context, got {type(context).__name__}")


def milliseconds(seconds: float | None) -> int:
    """Return a timeout as ZeroMQ takes it: -1 for none."""
    return -1 if seconds is None else max(0, round(1000 * seconds))


def connect(
    context: zmq.Context[Any],
    socket: Any,
    endpoint: str,
    keys: Credentials | None,
    connects: bool = True,
    **options: int,
) -> Handshake:
    """Set options of a socket and connect it; close the socket if that fails.

    ``connects``: if not, it only gets its options, since others do its work.

    Returns
    -------
    Handshake
        To be closed before the socket.

    Raises
    ------
    EndpointError
        If the endpoint is malformed.
    """
    try:
        handshake = Handshake(context, socket, keys)
    except EndpointError:
        socket.close(linger=0)
        raise
    try:
        if connects:
            check_endpoint(endpoint)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        if connects:
            socket.set(zmq.IPV6, int("[" in endpoint))
            socket.connect(endpoint)
    except (zmq.ZMQError, EndpointError) as error:
        handshake.close()
        socket.close(linger=0)
        if isinstance(error, EndpointError):
            raise
        raise EndpointError(
            f"{endpoint}: expected an endpoint such as {wire.ROUTER}, "
            f"got one that cannot be used ({error.strerror})"
        ) from None
    return handshake


def check_endpoint(endpoint: object) -> None:
    """Raise EndpointError for what cannot be the endpoint of a socket."""
    if not isinstance(endpoint, str):
        raise EndpointError(
            f"expected an endpoint such as {wire.ROUTER}, got {shown(endpoint)} "
            f"({type(endpoint).__name__})"
        )
    if len(endpoint) > MAX_ENDPOINT or not endpoint.isprintable():
        raise EndpointError(f"expected an endpoint such as {wire.ROUTER}, got {shown(endpoint)}")
    if not wire.is_port(endpoint):
        raise EndpointError(f"{endpoint}: port must be 1 to {wire.MAX_PORT}")


class ConnectedSocket(Generic[SocketType]):
    """A connected socket, its handshake, and its context unless that is the caller's.

    Parameters
    ----------
    endpoint : str
    context : zmq.Context or None
        None: one of its own.
    linger : float
        Seconds for which messages may still go out after the end.
    key, server : path-like or None
        As for :class:`streamlstm.Client`.
    connects : bool
        Whether to connect the socket to the endpoint; it has several sockets otherwise.
    **options : int
        Options of the socket.
    """

    _kind: int
    _name: str  # of the client, in errors
    _socket_class: type[Any] | None = None  # None: the context's
    _forked: ForkError | None = None  # in a child by fork, which cannot use the connection

    def __init__(
        self,
        endpoint: str,
        context: zmq.Context[Any] | None,
        linger: float = 0.0,
        key: KeyPath = None,
        server: KeyPath = None,
        connects: bool = True,
        **options: int,
    ) -> None:
        self.endpoint = endpoint
        self._keys = keys = credentials(key, server)
        check_context(context)
        self._owns_context = context is None
        self._context: zmq.Context[Any] = context or new_context()
        self._socket: SocketType | None = None
        try:
            with opening():
                socket: Any = self._context.socket(self._kind, socket_class=self._socket_class)
            self._handshake = connect(
                self._context,
                socket,
                endpoint,
                keys,
                connects,
                LINGER=milliseconds(linger),
                **options,
            )
        except EndpointError:
            self._end_context()
            raise
        self._socket = socket
        self._setup()
        tell_in_child(self)

    def _setup(self) -> None:
        """Create what a subclass needs besides the socket."""

    def _after_fork(self) -> None:
        """Refuse every use of this copy in the child; what waits here is sent by the parent."""
        self._forked = forked(self._name)

    def _check_process(self) -> None:
        """Raise ForkError in a child by fork, before any lock is taken."""
        if self._forked is not None:
            raise self._forked.with_traceback(None)

    def _open(self) -> SocketType:
        """Return the socket; raise StreamLSTMError if it is closed or another process's."""
        self._check_process()
        if self._socket is None:
            raise closed(self._name)
        return self._socket

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._handshake.close()
            self._socket.close()
            self._socket = None

    def _end_context(self) -> None:
        if self._owns_context:
            self._context.term()


class Connection(ConnectedSocket[SocketType]):
    """A socket that threads share: one at a time, with the lock held."""

    def _setup(self) -> None:
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connection. Closing twice is harmless; so is closing in a child by fork."""
        if self._forked is not None:
            return
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._socket is not None:
            self._close_socket()
            self._end_context()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
