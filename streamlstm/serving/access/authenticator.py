"""The lock of a worker's doors: its key, and the thread that ZeroMQ asks who may come in (ZAP).

ZeroMQ asks one such handler in a context, at every connection, before a message passes
(https://rfc.zeromq.org/spec/27/). A connection that stands is not asked about again.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from ...client.handshake import listen
from ...client.keys import load_key
from ...errors import EndpointError
from ..native.counters import Counters
from ..native.wakeup import Wakeup
from .authorized_keys import Allowed
from .roles import DOORS, user_id

_LOG = logging.getLogger(__name__)
_ADDRESS = "inproc://zeromq.zap.01"
LOG_SECONDS = 1.0  # between two lines about who was refused for the same reason


class Locks:
    """A worker's key and the keys that it allows.

    Parameters
    ----------
    key : Path
        The worker's ``NAME.key``.
    allow : Path
        A folder of ``.pub`` files, or a file that lists keys and roles.

    Raises
    ------
    KeyFileError
        If a key cannot be read, or there is none that is allowed.
    """

    def __init__(self, key: Path, allow: Path) -> None:
        self.key = load_key(key, secret=True)
        self.allowed = Allowed(allow)

    def put_on(self, door: zmq.Socket[bytes], name: str) -> None:
        """Let a door that is not bound yet take only who has a key that is allowed there."""
        assert self.key.secret is not None
        door.set(zmq.CURVE_SERVER, 1)
        door.set(zmq.CURVE_SECRETKEY, self.key.secret.encode())
        door.set(zmq.ZAP_DOMAIN, name.encode())
        door.set(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without a doorkeeper nobody comes in


# Why clients fail before the lock is asked. Which end notices first that only one of them wants
# keys is chance: if it is the other, it leaves.
_LEFT = "it left in the handshake, as one without a key may"
_FAILED: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "it comes without a key",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "it takes another key for this worker's",
}


class Doorkeeper:
    """Answers ZeroMQ's questions in a thread, until it is closed.

    Whoever connects before :meth:`start` waits.

    Parameters
    ----------
    context : zmq.Context
        Of the doors.
    locks : Locks
    counters : Counters

    Raises
    ------
    EndpointError
        If the context has another such handler.
    """

    def __init__(self, context: zmq.Context[Any], locks: Locks, counters: Counters) -> None:
        self._allowed, self._counters = locks.allowed, counters
        self._silent: dict[str, tuple[float, int]] = {}  # until when, and lines left out
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
        self._context = context
        self._watched: dict[zmq.Socket[bytes], str] = {}  # where each door tells of failures
        self._wakeup = Wakeup()
        self._thread = threading.Thread(target=self._run, name="streamlstm-locks", daemon=True)

    def watch(self, door: zmq.Socket[bytes], name: str) -> None:
        """Hear of clients that fail before the lock is asked, at a door that is not bound yet."""
        events = listen(
            self._context,
            door,
            zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL,
        )
        self._watched[events] = name

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering; who connects later is refused."""
        if self._thread.is_alive():
            self._wakeup.call()
            self._thread.join()
        else:
            self._close_sockets()
        self._wakeup.close()

    def _close_sockets(self) -> None:
        for socket in (self._socket, *self._watched):
            socket.close()

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wakeup.fileno(), zmq.POLLIN)
        for events in self._watched:
            poller.register(events, zmq.POLLIN)
        try:
            while True:
                ready = dict(poller.poll())
                if self._wakeup.fileno() in ready and self._wakeup.heard():
                    break
                if self._socket in ready:
                    self._answer(self._socket.recv_multipart())
                for events in ready.keys() & self._watched.keys():
                    self._note_failure(events)
        except zmq.ZMQError as error:  # the context was ended
            _LOG.debug("the doorkeeper stops", exc_info=error)
        finally:
            self._close_sockets()

    def _note_failure(self, events: zmq.Socket[bytes]) -> None:
        event = recv_monitor_message(events)
        self._counters.refused_connections += 1
        why = _LEFT
        if event["event"] == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            why = _FAILED.get(int(event["value"]), "it does not keep to ZeroMQ's handshake")
        sentence = f"{self._watched[events]}: refused a connection: {why}"
        self._log(sentence, kind=sentence)

    def _answer(self, question: list[bytes]) -> None:
        version, number, door, address, _, mechanism, *shown = question
        user, why = "", "it shows no key"
        if version == b"1.0" and mechanism == b"CURVE" and len(shown) == 1 and len(shown[0]) == 32:
            user, why = self._judge(z85.encode(shown[0]).decode(), door.decode())
        if not user:
            self._counters.refused_connections += 1
            self._log(f"{door.decode()}: refused a connection from {address.decode()}: {why}")
        status, text = (b"200", b"OK") if user else (b"400", b"refused")
        self._socket.send_multipart([b"1.0", number, status, text, user.encode(), b""])

    def _judge(self, public: str, door: str) -> tuple[str, str]:
        """Return the user id of who may come in; or "", and why not."""
        if self._allowed.refresh():
            _LOG.info("keys were read again; %d may come in", len(self._allowed))
            for problem in self._allowed.problems:
                _LOG.error("keys: %s", problem)
        key = self._allowed.find(public)
        if key is None:
            return "", f"the key {public} is not allowed"
        if door not in DOORS[key.role]:
            return "", f"{key.name} is {key.role} and may not use this door"
        return user_id(key), ""

    def _log(self, sentence: str, kind: str = "") -> None:
        """Write at most a line a second of each kind, of which there are few."""
        now = time.monotonic()
        silent_until, unlogged = self._silent.get(kind, (0.0, 0))
        if now < silent_until:
            self._silent[kind] = silent_until, unlogged + 1
            return
        more = f" ({unlogged} more since the last line)" if unlogged else ""
        _LOG.warning("%s%s", sentence, more)
        self._silent[kind] = now + LOG_SECONDS, 0
