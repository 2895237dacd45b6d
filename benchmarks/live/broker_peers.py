"""Those at the other side of a broker: they send what a bridge reads, and read what it writes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

Came = dict[str, Any]
"""What a bridge has published: a prediction, as JSON has it."""
Rows = Sequence[tuple[str, int, list[float]]]
"""Observations: stream, number, values."""
Times = Sequence[float] | None
"""When each was made; None is now."""


class Peer(Protocol):
    """Speaks to one broker; ``options`` are those of a bridge beside it."""

    options: ClassVar[list[str]]
    came: list[Came]

    def send(self, rows: Rows, times: Times = None) -> None:
        """Send observations. Return when the broker has them."""

    def receive(self) -> None:
        """Take the predictions that come within a moment, with the time of arrival as ``at``."""

    def predictions(self) -> list[Came]:
        """Return all predictions that have come so far."""

    def close(self) -> None:
        """Leave the broker."""


def _without_delay(_client: Any, _data: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _now(rows: Rows) -> list[float]:
    return [time.time()] * len(rows)


class MqttPeer:
    """MQTT: QoS 1 both ways, numbers in the payload."""

    options = (
        "--in",
        "in/{machine}",
        "--out",
        "out/{stream}",
        "--number",
        "n",
        "--features",
        "x,y",
    )

    def __init__(self, url: str, name: str = "peer") -> None:
        import paho.mqtt.client as paho
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        self.came: list[Came] = []
        self._ready = threading.Event()
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=paho.MQTTv5,
        )
        self._client.on_connect = lambda client, *_: client.subscribe("out/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._note
        self._client.on_socket_open = _without_delay
        self._client.max_inflight_messages_set(1000)
        self._client.reconnect_delay_set(1, 1)
        host, port = url.rsplit(":", 1)
        kept = Properties(PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 3600  # what is published while it is away waits for it
        self._client.connect(host, int(port), clean_start=False, properties=kept)
        self._client.loop_start()
        assert self._ready.wait(30)

    def _note(self, _client: Any, _data: Any, message: Any) -> None:
        self.came.append({**json.loads(message.payload), "at": time.time()})

    def send(self, rows: Rows, times: Times = None) -> None:
        """Send observations."""
        for (stream, number, (x, y)), t in zip(rows, times or _now(rows), strict=True):
            payload = json.dumps({"x": x, "y": y, "n": number, "t": t})
            self._client.publish(f"in/{stream}", payload, qos=1)

    def receive(self) -> None:
        """Wait a moment: predictions come in a thread of the client."""
        time.sleep(0.02)

    def predictions(self) -> list[Came]:
        """Return all predictions that have come so far."""
        return list(self.came)

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()


class KafkaPeer:
    """Kafka: streams are keys, numbers are offsets."""

    options: ClassVar[list[str]] = [
        "--in",
        "in",
        "--stream",
        "{key}",
        "--out",
        "out",
        "--features",
        "x,y",
    ]

    def __init__(self, url: str, name: str = "peer") -> None:
        from confluent_kafka import Consumer, Producer, TopicPartition

        self._producer = Producer(
            {"bootstrap.servers": url, "linger.ms": 1, "enable.idempotence": True, "log_level": 0}
        )
        self._url = url
        self.make_topic("in", 4)
        self.make_topic("out", 2)
        self._consumer = Consumer(
            {"bootstrap.servers": url, "group.id": name, "fetch.wait.max.ms": 1, "log_level": 0}
        )
        topics = self._producer.list_topics(timeout=30).topics
        self._consumer.assign(
            [TopicPartition("out", n, 0) for n in range(len(topics["out"].partitions))]
        )
        self.came: list[Came] = []

    def make_topic(self, name: str, partitions: int) -> None:
        """Make a topic, where it is not made when it is asked for."""
        from confluent_kafka.admin import AdminClient, NewTopic

        if not self._producer.list_topics(name, timeout=30).topics[name].partitions:
            admin = AdminClient({"bootstrap.servers": self._url, "log_level": 0})
            (made,) = admin.create_topics([NewTopic(name, partitions, 1)]).values()
            made.exception(30)

    def send(self, rows: Rows, times: Times = None) -> None:
        """Send observations."""
        for (stream, _, (x, y)), t in zip(rows, times or _now(rows), strict=True):
            payload = json.dumps({"x": x, "y": y, "t": t})
            self._producer.produce("in", payload, key=stream)
            self._producer.poll(0)
        assert self._producer.flush(30) == 0

    def receive(self) -> None:
        """Take what comes within a moment."""
        first = self._consumer.poll(0.05)
        records = [] if first is None else [first, *self._consumer.consume(500, 0)]
        at = time.time()
        self.came += [{**json.loads(r.value()), "at": at} for r in records if not r.error()]

    def predictions(self) -> list[Came]:
        """Return all predictions that have come so far."""
        before = -1
        while before != len(self.came):
            before = len(self.came)
            self.receive()
        return list(self.came)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


class NatsPeer:
    """NATS with JetStream: numbers are those of the stream ``IN``; ``OUT`` keeps predictions."""

    options: ClassVar[list[str]] = [
        "--in",
        "in.{machine}",
        "--out",
        "out.{stream}",
        "--features",
        "x,y",
    ]

    def __init__(self, url: str, name: str = "peer") -> None:
        self._loop = asyncio.new_event_loop()
        self.came: list[Came] = []
        self._run(self._connect(url, name))

    def _run(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    async def _connect(self, url: str, name: str) -> None:
        import nats
        from nats.js.api import AckPolicy, ConsumerConfig

        self._client = await nats.connect(
            url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=_ignore
        )
        self._log = self._client.jetstream(timeout=30)
        await self._log.add_stream(name="IN", subjects=["in.*"])
        await self._log.add_stream(name="OUT", subjects=["out.*"])
        every = ConsumerConfig(ack_policy=AckPolicy.ALL)
        self._out = await self._log.pull_subscribe("out.*", name, config=every)

    def make_stream(self, name: str, subject: str) -> None:
        """Let JetStream keep a subject."""
        self._run(self._log.add_stream(name=name, subjects=[subject]))

    def send(self, rows: Rows, times: Times = None) -> None:
        """Send observations; with times only as far as the server's socket."""
        self._run(self._confirmed(rows) if times is None else self._sent(rows, times))

    async def _confirmed(self, rows: Rows) -> None:
        waiting = []
        for stream, number, (x, y) in rows:
            payload = json.dumps({"x": x, "y": y, "t": time.time()}).encode()
            waiting.append(self._publish(f"in.{stream}", payload, f"{stream}:{number}"))
            if len(waiting) >= 200:
                await asyncio.gather(*waiting)
                waiting = []
        await asyncio.gather(*waiting)

    async def _sent(self, rows: Rows, times: Sequence[float]) -> None:
        for (stream, _, (x, y)), t in zip(rows, times, strict=True):
            payload = json.dumps({"x": x, "y": y, "t": t}).encode()
            await self._client.publish(f"in.{stream}", payload)
        await self._client.flush()

    async def _publish(self, subject: str, payload: bytes, identity: str) -> None:
        """Publish until the server has it, which leaves out what came before."""
        while True:
            try:
                await self._log.publish(
                    subject, payload, timeout=2, headers={"Nats-Msg-Id": identity}
                )
                return
            except Exception:
                await asyncio.sleep(0.1)

    def receive(self) -> None:
        """Take what comes within a moment."""
        self._run(self._fetch(0.02))

    def predictions(self) -> list[Came]:
        """Return all predictions that have come so far."""
        while self._run(self._fetch(0.2)):
            pass
        return list(self.came)

    async def _fetch(self, seconds: float) -> int:
        from nats.errors import TimeoutError as NoneCame

        try:
            found = await self._out.fetch(500, timeout=seconds)
        except (NoneCame, TimeoutError):
            found = []
        if not found:
            return 0
        at = time.time()
        self.came += [{**json.loads(each.data), "at": at} for each in found]
        await found[-1].ack()  # and all before it
        return len(found)

    def close(self) -> None:
        """Leave the broker."""
        self._run(self._client.close())
        self._loop.close()


class NatsListener(NatsPeer):
    """Hears what comes while it listens, at once: batches of JetStream wait to be full."""

    async def _connect(self, url: str, name: str) -> None:
        await super()._connect(url, name)
        await self._client.subscribe("out.*", cb=self._note)

    async def _note(self, message: Any) -> None:
        self.came.append({**json.loads(message.data), "at": time.time()})

    def receive(self) -> None:
        """Take what comes within a moment."""
        self._run(asyncio.sleep(0.02))

    def predictions(self) -> list[Came]:
        """Return all predictions that were heard."""
        return list(self.came)


async def _ignore(_error: Exception) -> None:
    """Say nothing of a connection that ended."""
