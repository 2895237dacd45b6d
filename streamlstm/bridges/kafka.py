"""Kafka: reads partitions, commits offsets behind the worker's commits, writes predictions."""

from __future__ import annotations

import logging
import threading
import time as clock
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)

from ..errors import BadValueError, StreamLSTMError
from .bridge import Bridge
from .credentials import client_failed, password_of, refused, tls_of, unknown_broker
from .log import Trouble
from .messages import Message, Output, too_large
from .offsets import Offsets
from .settings import Settings
from .topics import TopicPattern

SEPARATOR = ""
NAMES = ("partition",)
BARRIER_SECONDS = 0.02
_AT_ONCE, _WAIT = 500, 0.01  # messages of a read, and seconds that it may take
_COMMIT_SECONDS = 0.1
_REFRESH_SECONDS = 30.0  # between looks for new partitions
_TIMEOUT = 10.0
_LOG = logging.getLogger(__name__)

_Place = tuple[str, int]
_Origin = tuple[_Place, int]


class Kafka:
    """A bridge's side of Kafka.

    Partitions are assigned by hand: a bridge that was killed is replaced by another at once, and
    two that read the same partition by mistake are found out, since the worker takes a stream from
    one only.
    """

    def __init__(self, settings: Settings, patterns: Sequence[TopicPattern]) -> None:
        self._settings, self._patterns = settings, patterns
        self._trouble = Trouble(_LOG)
        self._failed: StreamLSTMError | None = None
        self._where = settings.url or "127.0.0.1:9092"
        common = {
            "bootstrap.servers": self._where,
            "client.id": settings.name,
            "error_cb": self._on_error,
            "logger": _LOG,
            **_credentials(settings),
            **settings.client,
        }
        self._consumer = _made(
            Consumer,
            {
                "group.id": settings.name,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 5,
                "fetch.error.backoff.ms": 20,
                **common,
            },
        )
        self._producer = _made(
            Producer,
            {
                "enable.idempotence": True,
                "linger.ms": 1,
                "queue.buffering.max.messages": 1_000_000,
                **common,
            },
        )
        self._offsets: dict[_Place, Offsets] = {}
        self._committed = self._refreshed = 0.0
        self._closed = threading.Event()
        self._polling = threading.Thread(target=self._poll, name="kafka-delivery", daemon=True)
        self._polling.start()

    def run(self, bridge: Bridge) -> None:
        """Take messages until the bridge is to stop."""
        while not bridge.stopping.is_set():
            if self._failed is not None:
                raise self._failed
            now = clock.monotonic()
            if now >= self._refreshed + _REFRESH_SECONDS or not self._offsets:
                self._assign()
                self._refreshed = now
                if self._offsets:
                    bridge.ready()
            first = self._consumer.poll(_WAIT)
            records = [] if first is None else [first, *self._consumer.consume(_AT_ONCE, 0)]
            bridge.take([m for m in map(self._message, records) if m is not None])
            if now >= self._committed + _COMMIT_SECONDS:
                self._commit(asynchronous=True)
                self._committed = now

    def _assign(self) -> None:
        """Read the partitions that match, from where the last bridge has committed."""
        try:
            topics = self._consumer.list_topics(timeout=_TIMEOUT).topics
        except KafkaException as error:
            self._on_error(error.args[0])
            return
        names = [n for n in topics if any(p.match(n) is not None for p in self._patterns)]
        found = [(name, n) for name in names for n in topics[name].partitions]
        new = [TopicPartition(*place) for place in found if place not in self._offsets]
        if not new:
            if not found:
                wanted = ", ".join(self._settings.topics)
                self._trouble.note(f"kafka: {self._where}: waiting for a topic {wanted}")
            return
        try:
            committed = self._consumer.committed(new, timeout=_TIMEOUT)
        except KafkaException as error:
            self._on_error(error.args[0])
            return
        fresh = OFFSET_BEGINNING if self._settings.start == "earliest" else OFFSET_END
        for each in committed:
            each.offset = fresh if each.offset == OFFSET_INVALID else each.offset
            self._offsets[each.topic, each.partition] = Offsets()
        self._consumer.incremental_assign(committed)

    def _message(self, record: Any) -> Message | None:
        error = record.error()
        if error is not None:
            if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise StreamLSTMError(
                    f"kafka: {record.topic()} [{record.partition()}]: {error.str()}. What was "
                    "committed last is not there any more: the topic was made anew, or has "
                    "deleted what was not read yet. Start with another --name and, if it was made "
                    "anew, with a --generation above the last one"
                )
            self._on_error(error)
            return None
        place, offset = (record.topic(), record.partition()), record.offset()
        self._offsets[place].take(offset)
        kind, stamp = record.timestamp()
        return Message(
            topic=place[0],
            payload=record.value() or b"",
            origin=(place, offset),
            number=offset + 1,
            time=None if kind == TIMESTAMP_NOT_AVAILABLE else stamp / 1000,
            key=(record.key() or b"").decode(errors="replace"),
            names={"partition": str(place[1])},
            properties=_texts(record.headers()),
        )

    def acknowledge(self, origins: Sequence[_Origin]) -> None:
        """Note what is done with, for the next commit."""
        for place, offset in origins:
            self._offsets[place].done(offset)

    def publish(self, outputs: Sequence[Output]) -> None:
        """Produce outputs, keyed by their stream: those of a stream keep their order."""
        for output in outputs:
            delivered = _settling(output, self._on_error)
            while True:
                try:
                    self._producer.produce(
                        output.topic,
                        output.payload,
                        key=output.key,
                        headers=[(name, text.encode()) for name, text in output.headers.items()],
                        on_delivery=delivered,
                    )
                    break
                except BufferError:
                    self._producer.poll(0.1)
                except KafkaException as error:
                    if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                        raise
                    delivered(error.args[0], None)
                    break

    def _commit(self, asynchronous: bool) -> None:
        places = [
            TopicPartition(topic, partition, offset)
            for (topic, partition), offsets in self._offsets.items()
            if (offset := offsets.commit()) is not None
        ]
        if places:
            self._consumer.commit(offsets=places, asynchronous=asynchronous)

    def _poll(self) -> None:
        """Settle what has arrived, also while nothing is read: in a thread of its own."""
        try:
            while not self._closed.is_set():
                self._producer.poll(0.05)
        except Exception as error:
            self._failed = client_failed("kafka", self._where, error)

    def finish(self, seconds: float) -> None:
        """Wait until what was published has arrived, and commit."""
        self._producer.flush(seconds)
        try:
            self._commit(asynchronous=False)
        except KafkaException as error:
            _LOG.warning("kafka: the last offsets were not committed (%s); they come again", error)

    def close(self) -> None:
        """Leave the broker."""
        self._producer.flush(1)
        self._closed.set()
        self._polling.join()
        self._consumer.close()

    def _on_error(self, error: Any) -> None:
        text = str(error.str() if hasattr(error, "str") else error)
        code = error.code() if hasattr(error, "code") else None
        if code == KafkaError._AUTHENTICATION:
            self._failed = refused("kafka", self._where, text)
        elif code == KafkaError._SSL and "verify failed" in text:
            self._failed = unknown_broker("kafka", self._where, text)
        else:
            self._trouble.note(f"kafka: {text}")


def _credentials(settings: Settings) -> dict[str, Any]:
    """Return what librdkafka calls the options that all brokers have."""
    found: dict[str, Any] = {}
    tls = tls_of(settings)  # which says what is wrong with the files
    for name, file in (
        ("ssl.ca.location", settings.ca),
        ("ssl.certificate.location", settings.cert),
        ("ssl.key.location", settings.cert_key or settings.cert),
    ):
        if file is not None:
            found[name] = str(file)
    if settings.user:
        found |= {"sasl.mechanisms": "PLAIN", "sasl.username": settings.user}
        found["sasl.password"] = password_of(settings)
    protocol = ("sasl_" if settings.user else "") + ("plaintext" if tls is None else "ssl")
    return {"security.protocol": protocol, **found}


def _made(make: Callable[[dict[str, Any]], Any], options: dict[str, Any]) -> Any:
    try:
        return make(options)
    except KafkaException as error:
        raise BadValueError(f"--client: {error.args[0].str()}") from None


def _settling(output: Output, on_error: Callable[[Any], object]) -> Callable[[Any, Any], None]:
    def delivered(error: Any, _record: Any) -> None:
        is_too_large = error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE
        if is_too_large:
            _LOG.warning("kafka: %s", too_large(output, "--client message.max.bytes=BYTES"))
        elif error is not None:  # its message is not committed, and comes again to the next bridge
            on_error(error)
        if output.settle is not None and (error is None or is_too_large):
            output.settle()

    return delivered


def _texts(headers: Any) -> dict[str, str]:
    return {name: (value or b"").decode(errors="replace") for name, value in headers or ()}
