"""Authenticates connections: the ZAP handler that libzmq asks about each of them.

libzmq asks one such handler in a context, at every connection, before a message passes
(https://rfc.zeromq.org/spec/27/). A connection that exists is not asked about again.
"""

from __future__ import annotations

import logging
import socket as posix
import threading
from collections.abc import Callable
from typing import Any

import zmq
from zmq.utils import z85

from ...errors import EndpointError
from ..line_limit import LineLimit
from .curve_server import CurveServer
from .roles import SOCKETS, user_id

_LOG = logging.getLogger(__name__)
_ADDRESS = "inproc://zeromq.zap.01"

# Why clients fail before the handler is asked. Which end notices first that only one of them uses
# keys is chance: if it is the other, it leaves.
_LEFT = "it left in the handshake, as one without a key may"
_FAILED: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "it comes without a key",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "it takes another key for this worker's",
}


class Authenticator:
    """Answers libzmq's ZAP requests in a thread, until it is closed.

    A client that connects before :meth:`start` waits.

    Parameters
    ----------
    context : zmq.Context
        The context of the sockets.
    curve : CurveServer
    on_refusal : callable
        Called for every connection that is refused, from several threads.

    Raises
    ------
    EndpointError
        If the context has another such handler.
    """

    def __init__(
        self, context: zmq.Context[Any], curve: CurveServer, on_refusal: Callable[[], object]
    ) -> None:
        self._keys, self._on_refusal = curve.authorized_keys, on_refusal
        self._own = curve.key
        self._refusals, self._failures = LineLimit(), LineLimit()  # one for each thread
        self._socket: zmq.Socket[bytes] = context.socket(zmq.REP, socket_class=zmq.Socket)
        self._socket.set(zmq.LINGER, 0)
        try:
            self._socket.bind(_ADDRESS)
        except zmq.ZMQError:
            self._socket.close()
            raise EndpointError(
                "this ZeroMQ context has another handler of keys (ZAP) already; give the worker a "
                "context of its own"
            ) from None
        self._stop, self._stopped = posix.socketpair()  # to close one end makes the other ready
        self._thread = threading.Thread(
            target=self._run, name="streamlstm-authenticator", daemon=True
        )

    def note_failure(self, name: str, event: dict[str, Any]) -> None:
        """Count and log a client of a socket that failed before the handler was asked.

        From one thread only, that of :class:`..connections.Connections`.
        """
        self._on_refusal()
        reason = _LEFT
        if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            reason = _FAILED.get(int(event["value"]), "it does not keep to ZeroMQ's handshake")
        sentence = f"{name}: refused a connection: {reason}"
        self._failures.warn(_LOG, sentence, kind=sentence)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering; clients that connect later are refused."""
        self._stop.close()
        if self._thread.is_alive():
            self._thread.join()
        else:
            self._socket.close()
        self._stopped.close()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._stopped.fileno(), zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self._stopped.fileno() in ready:
                    break
                if self._socket in ready:
                    self._answer(self._socket.recv_multipart())
        except zmq.ZMQError as error:  # the context was terminated
            _LOG.debug("the authenticator stops", exc_info=error)
        finally:
            self._socket.close()

    def _answer(self, request: list[bytes]) -> None:
        version, number, domain, address, _, mechanism, *credentials = request
        name = domain.decode()
        user, reason = "", "it shows no key"
        if (version, mechanism) == (b"1.0", b"CURVE") and list(map(len, credentials)) == [32]:
            user, reason = self._authenticate(z85.encode(credentials[0]).decode(), name)
        if not user:
            self._on_refusal()
            self._refusals.warn(
                _LOG, f"{name}: refused a connection from {address.decode()}: {reason}"
            )
        status, text = (b"200", b"OK") if user else (b"400", b"refused")
        self._socket.send_multipart([b"1.0", number, status, text, user.encode(), b""])

    def _authenticate(self, public: str, name: str) -> tuple[str, str]:
        """Return the user id of a key that may use a socket; or "", and why it may not."""
        if self._keys.refresh():
            _LOG.info("keys were read again; %d are authorized", len(self._keys))
            for problem in self._keys.problems:
                _LOG.error("keys: %s", problem)
        # Who has this worker's secret key is no less than it: gateways, other machines of a fleet.
        if public == self._own.public:
            return user_id(self._own), ""
        key = self._keys.find(public)
        if key is None:
            return "", f"the key {public} is not authorized"
        if name not in SOCKETS[key.role]:
            return "", f"{key.name} is {key.role} and may not use this socket"
        return user_id(key), ""
