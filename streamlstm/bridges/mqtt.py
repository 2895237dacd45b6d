"""MQTT: subscribes with QoS 1, acknowledges behind the worker's commits, publishes predictions."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from ..errors import EndpointError, StreamLSTMError
from .bridge import Bridge
from .messages import Message, Output
from .settings import Settings
from .topics import TopicPattern

SEPARATOR = "/"
NAMES = ()
BARRIER_SECONDS = 0.0
_AT_ONCE, _WAIT = 500, 0.02
_SESSION_SECONDS = 7 * 86_400  # for which the broker keeps what comes while there is no bridge
_RECEIVE_MAXIMUM = 2_000
_ROOM = 20_000  # messages that wait for the worker

_Origin = tuple[int, int, int]  # connection, message, QoS


class Mqtt:
    """A bridge's side of MQTT, version 5: a session that outlives the bridge."""

    def __init__(
        self, settings: Settings, patterns: Sequence[TopicPattern], say: Callable[[str], object]
    ) -> None:
        self._settings, self._patterns, self._say = settings, patterns, say
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._connection, self._settling = 0, dict[int, Callable[[], object] | None]()
        self._arrived: set[int] = set()  # what is published, before `publish` has noted it
        self._lock = threading.Lock()
        self._failed: str | None = None
        self._subscribed = threading.Event()
        url = urlsplit(settings.url if "//" in settings.url else f"mqtt://{settings.url}")
        options = dict(settings.client)
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.name,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        if url.username or "username" in options:
            self._client.username_pw_set(
                options.pop("username", url.username), options.pop("password", url.password)
            )
        if url.scheme in ("mqtts", "ssl"):
            self._client.tls_set(
                options.pop("ca", None), options.pop("cert", None), options.pop("key", None)
            )
        if options:
            raise EndpointError(f"client: {', '.join(options)}: no such setting of MQTT")
        self._client.max_inflight_messages_set(_RECEIVE_MAXIMUM)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(min_delay=1, max_delay=5)
        self._client.on_socket_open = _without_delay
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = _SESSION_SECONDS
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        self._where = f"{url.hostname or '127.0.0.1'}:{url.port or 1883}"
        self._client.connect_async(
            url.hostname or "127.0.0.1",
            url.port or (8883 if url.scheme in ("mqtts", "ssl") else 1883),
            keepalive=30,
            clean_start=False,
            properties=properties,
        )

    def run(self, bridge: Bridge) -> None:
        """Take messages until the bridge is to stop."""
        self._client.loop_start()
        while not bridge.stopping.is_set():
            if self._failed is not None:
                raise StreamLSTMError(self._failed)
            if self._subscribed.is_set():
                bridge.ready()
            bridge.take(self._received())

    def _received(self) -> list[Message]:
        messages: list[Message] = []
        try:
            messages.append(self._inbox.get(timeout=_WAIT))
            while len(messages) < _AT_ONCE:
                messages.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return messages

    # --- in the client's thread ---

    def _on_connect(self, client: Any, _data: Any, flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            self._say(f"mqtt: {self._where} refuses the connection: {reason}")
            return
        self._connection += 1
        lost = self._connection > 1 and not flags.session_present
        self._say(
            f"mqtt: connected to {self._where}"
            + ("; it has lost the session: what came meanwhile is lost there" if lost else "")
        )
        options = SubscribeOptions(qos=1, retainHandling=1)
        client.subscribe([(pattern.filter, options) for pattern in self._patterns])

    def _on_disconnect(
        self, _client: Any, _data: Any, _flags: Any, reason: Any, _props: Any
    ) -> None:
        if reason.is_failure:
            self._say(f"mqtt: {self._where}: the connection ended ({reason}); connecting again")

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: Sequence[Any], _props: Any
    ) -> None:
        for reason, pattern in zip(reasons, self._patterns, strict=False):
            if reason.is_failure:
                self._failed = (
                    f"mqtt: {self._where} refuses to subscribe to {pattern.filter}: {reason}"
                )
        self._subscribed.set()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        properties = getattr(message.properties, "UserProperty", None) or ()
        self._inbox.put(
            Message(
                topic=message.topic,
                payload=message.payload,
                origin=(self._connection, message.mid, message.qos),
                properties=dict(properties),
            )
        )

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _props: Any) -> None:
        with self._lock:
            if mid not in self._settling:
                self._arrived.add(mid)
            settle = self._settling.pop(mid, None)
        if reason.is_failure and reason.getName() != "No matching subscribers":
            self._failed = (
                f"mqtt: {self._where} refuses what is published ({reason}); let its access list "
                "allow it. Nothing was acknowledged for it"
            )
        elif settle is not None:
            settle()

    # --- for the bridge ---

    def acknowledge(self, origins: Sequence[_Origin]) -> None:
        """Acknowledge messages; those of a connection that ended come again."""
        for connection, mid, qos in origins:
            if qos and connection == self._connection:
                self._client.ack(mid, qos)

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
        self._client.disconnect()
        self._client.loop_stop()


def _without_delay(_client: Any, _data: Any, sock: Any) -> None:
    """Send acknowledgements at once: a delay of 40 ms holds back the broker's next message."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
