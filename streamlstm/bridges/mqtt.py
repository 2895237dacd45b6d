"""MQTT: subscribes with QoS 1, acknowledges behind the worker's commits, publishes predictions."""

from __future__ import annotations

import logging
import socket
import ssl
import sys
import threading
import time as clock
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ..errors import StreamLSTMError
from .address import address_of
from .bridge import Bridge
from .credentials import client_failed, password_of, refused, tls_of, unknown_broker
from .home_assistant import OFFLINE, ONLINE, availability_topic
from .log import OncePerSecond, Trouble
from .messages import Message, Output
from .mqtt_client import Client
from .settings import Settings
from .topics import TopicPattern

SEPARATOR = "/"
NAMES = ()
BARRIER_SECONDS = 0.0
_AT_ONCE, _WAIT = 500, 0.02
_SESSION_SECONDS = 7 * 86_400  # for which the broker keeps what comes while there is no bridge
_RECEIVE_MAXIMUM = 2_000
_ROOM = 50_000  # messages that wait for the worker before those of QoS 0 are left out
_SOON = 5.0  # seconds: a connection that ends sooner, again and again, has a rival
_REFUSALS = (133, 134, 135, 138, 140)  # of a client id, a name, a password: as good as for ever
_LOG = logging.getLogger(__name__)


class _Delivery:
    """A message of QoS 1 or 2 that is not acknowledged, and the connection that it came by."""

    __slots__ = ("connection", "content", "is_done", "mid", "qos")

    def __init__(self, message: Any, connection: int) -> None:
        self.mid, self.qos, self.connection = message.mid, message.qos, connection
        self.content = (message.topic, message.payload)
        self.is_done = False


class Mqtt:
    """A bridge's side of MQTT, version 5: a session that outlives the bridge."""

    def __init__(self, settings: Settings, patterns: Sequence[TopicPattern]) -> None:
        self._settings, self._patterns = settings, patterns
        self._trouble, self._dropped = Trouble(_LOG), OncePerSecond(_LOG)
        self._inbox, self._came = deque[Message](), threading.Event()
        self._connected, self._soon = 0.0, 0  # when; connections that ended soon, in a row
        self._connection, self._settling = 0, dict[int, Callable[[], object] | None]()
        self._arrived: set[int] = set()  # what is published, before `publish` has noted it
        self._deliveries: dict[int, _Delivery] = {}
        self._lock = threading.Lock()
        self._failed: StreamLSTMError | None = None
        self._subscribed, self._has_lost = threading.Event(), False
        url = address_of("mqtt", settings.url or "127.0.0.1")
        tls = tls_of(settings, wanted=url.scheme in ("mqtts", "ssl", "tls"))
        host, port = url.hostname or "127.0.0.1", url.port or (1883 if tls is None else 8883)
        self._where = f"{host}:{port}"
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.name,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        if user := settings.user or url.username:
            self._client.username_pw_set(user, password_of(settings) or url.password)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.max_inflight_messages_set(_RECEIVE_MAXIMUM)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.on_failure = self._on_failure
        self._client.on_socket_open = _without_delay
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._availability = settings.home_assistant and availability_topic(
            settings.home_assistant, settings.name
        )
        if self._availability:
            self._client.will_set(self._availability, OFFLINE, 1, retain=True)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = _SESSION_SECONDS
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        self._client.connect_async(
            host, port, keepalive=30, clean_start=False, properties=properties
        )

    def run(self, bridge: Bridge) -> None:
        """Take messages until the bridge is to stop."""
        self._client.loop_start()
        while not bridge.stopping.is_set():
            if self._failed is not None:
                raise self._failed
            if self._subscribed.is_set():
                bridge.ready()
            bridge.take(self._received())

    def _received(self) -> list[Message]:
        """Return what came; wait a little for it.

        Not by `queue.SimpleQueue.get`: it waits for ever if a signal comes at its deadline.
        """
        if not self._inbox:
            self._came.wait(_WAIT)
            self._came.clear()
        count = min(len(self._inbox), _AT_ONCE)
        return [self._inbox.popleft() for _ in range(count)]

    # --- in the client's thread ---

    def _on_failure(self, error: Exception) -> None:
        self._failed = client_failed("mqtt", self._where, error)

    def _on_connect(self, client: Any, _data: Any, flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            error = refused("mqtt", self._where, reason)
            if reason.value in _REFUSALS:
                self._failed = error
            self._trouble.note(str(error))
            return
        with self._lock:
            self._connection += 1
            self._connected = clock.monotonic()
            if not flags.session_present:
                self._deliveries.clear()
        self._trouble.over(f"mqtt: connected to {self._where}")
        self._has_lost = self._connection > 1 and not flags.session_present
        self._say_available(ONLINE)
        options = SubscribeOptions(qos=1, retainHandling=1)
        client.subscribe([(pattern.filter, options) for pattern in self._patterns])

    def _say_available(self, whether: str) -> None:
        if self._availability:
            self.publish([Output(self._availability, whether.encode(), "", {}, True)])

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        """Say why: the client calls this while it handles the error."""
        error = sys.exc_info()[1]
        if isinstance(error, ssl.SSLCertVerificationError):
            self._failed = unknown_broker("mqtt", self._where, error.verify_message)
        else:
            self._trouble.note(f"mqtt: {self._where}: {error}; connecting again")

    def _on_disconnect(
        self, _client: Any, _data: Any, _flags: Any, reason: Any, _props: Any
    ) -> None:
        if not reason.is_failure or self._failed is not None:
            return
        is_soon = clock.monotonic() - self._connected < _SOON
        self._soon = self._soon + 1 if is_soon else 0
        rival = (
            f". Is another client called {self._settings.name}? Give each its own --name"
            if self._soon > 1
            else ""
        )
        self._trouble.note(
            f"mqtt: {self._where}: the connection ended ({reason}); connecting again{rival}"
        )

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: Sequence[Any], _props: Any
    ) -> None:
        for reason, pattern in zip(reasons, self._patterns, strict=False):
            if reason.is_failure:
                self._failed = StreamLSTMError(
                    f"mqtt: {self._where} refuses to subscribe to {pattern.filter}: {reason}. Let "
                    "its access list allow it"
                )
        self._subscribed.set()
        if self._has_lost:
            self._has_lost = False
            _LOG.warning(
                "mqtt: %s has lost the session: what was published while it was away is lost "
                "there. Let it keep what it has (persistence true, of mosquitto)", self._where,
            )  # fmt: skip

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        if message.qos == 0 and len(self._inbox) >= _ROOM:
            self._dropped.note("left out: a message of QoS 0: the worker does not keep up")
            return
        if message.qos and self._came_again(message):
            return
        delivery = _Delivery(message, self._connection)
        if message.qos:
            with self._lock:
                self._deliveries[message.mid] = delivery
        properties = getattr(message.properties, "UserProperty", None) or ()
        self._inbox.append(
            Message(
                topic=message.topic,
                payload=message.payload,
                origin=delivery,
                properties=dict(properties),
            )
        )
        if not self._came.is_set():
            self._came.set()

    def _came_again(self, message: Any) -> bool:
        """Tell whether a message is one that came by an earlier connection of this session.

        A broker gives no other message that number before it has the acknowledgement.
        """
        with self._lock:
            delivery = self._deliveries.get(message.mid)
            if not message.dup or delivery is None:
                return False
            if delivery.content != (message.topic, message.payload):
                return False
            delivery.connection = self._connection
        if delivery.is_done:
            self.acknowledge([delivery])
        return True

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _props: Any) -> None:
        with self._lock:
            if mid not in self._settling:
                self._arrived.add(mid)
            settle = self._settling.pop(mid, None)
        if reason.is_failure and reason.getName() != "No matching subscribers":
            self._failed = StreamLSTMError(
                f"mqtt: {self._where} refuses what is published ({reason}). Let its access list "
                "allow it. Nothing was acknowledged for it"
            )
        elif settle is not None:
            settle()

    # --- for the bridge ---

    def acknowledge(self, origins: Sequence[_Delivery]) -> None:
        """Acknowledge messages; those of a connection that ended when they come again."""
        for delivery in origins:
            if delivery.qos == 0:
                continue
            with self._lock:
                delivery.is_done = True
                if delivery.connection != self._connection:
                    continue
                self._deliveries.pop(delivery.mid, None)
            self._client.ack(delivery.mid, delivery.qos)

    def publish(self, outputs: Sequence[Output]) -> None:
        """Publish with QoS 1; the client keeps them while there is no connection."""
        for output in outputs:
            properties = Properties(PacketTypes.PUBLISH)
            properties.UserProperty = list(output.headers.items())
            # Not under the lock: the client calls `_on_publish` under a lock of its own.
            sent = self._client.publish(
                output.topic, output.payload, 1, output.is_retained, properties
            )
            with self._lock:
                has_arrived = sent.mid in self._arrived
                self._arrived.discard(sent.mid)
                if not has_arrived:
                    self._settling[sent.mid] = output.settle
            if has_arrived and output.settle is not None:
                output.settle()

    def finish(self, seconds: float) -> None:
        """Wait until the broker has what was published."""
        end = threading.Event()
        for _ in range(round(seconds / 0.01)):
            if not self._settling:
                break
            end.wait(0.01)

    def close(self) -> None:
        """Leave the broker; the session stays."""
        self._say_available(OFFLINE)
        self._client.close()


def _without_delay(_client: Any, _data: Any, sock: Any) -> None:
    """Send acknowledgements at once: a delay of 40 ms holds back the broker's next message."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
