"""What a bridge to Kafka or NATS says when it cannot go on, and that it ends when it is told to."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.live.broker_peers import KafkaPeer
from benchmarks.live.brokers import MockKafka, NatsServer, free_port
from streamlstm.errors import BadValueError, StreamLSTMError

from .bridge_process import TIMEOUT, make_certificate, needs, running_bridge, wait_until
from .conftest import WorkerProcess


class GuardedNats(NatsServer):
    """Lets in who knows the password, with TLS."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        make_certificate(folder)
        super().__init__(folder)

    def command(self, program: str) -> list[str]:
        """Return how it is started."""
        tls = ("--tls", "--tlscert", f"{self.folder}/broker.pem")
        guard = ("--user", "bridge", "--pass", "secret", "--tlskey", f"{self.folder}/broker.key")
        return [*super().command(program), *tls, *guard]


LEFT_OUT = {  # by the bridge, and by its worker; and why
    b"[1]": "expected 2 values",
    b"[" * 5000 + b"]" * 5000: "RecursionError",
    b"[1, null]": "the worker refused an observation",
    b"[2, 1e300]": "the worker refused an observation",
}


@needs(MockKafka)
def test_a_dead_letter_of_kafka_has_its_reason_beside_it(
    worker: WorkerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from confluent_kafka import Consumer, Producer, TopicPartition

    with MockKafka(tmp_path) as broker, closing(KafkaPeer(broker.url)) as peer:
        peer.make_topic("dead", 1)
        producer = Producer({"bootstrap.servers": broker.url, "message.max.bytes": 2_000_000})
        for payload in (b"x" * 1_000_000, *LEFT_OUT):  # the first is too large to be a letter
            producer.produce("in", payload, key="m")
        producer.flush(TIMEOUT)
        consumer = Consumer({"bootstrap.servers": broker.url, "group.id": "people"})
        topics = consumer.list_topics("dead", timeout=TIMEOUT).topics["dead"].partitions
        consumer.assign([TopicPartition("dead", n, 0) for n in topics])
        options = {"in_": ["in"], "stream": "{key}", "dead_letter": "dead"}
        with running_bridge("kafka", worker, url=broker.url, **options):
            letters = consumer.consume(len(LEFT_OUT), TIMEOUT)
        consumer.close()
    assert "dead: expected a message that the broker takes, got one of 1,000,000" in caplog.text
    assert {letter.value() for letter in letters} == set(LEFT_OUT)
    for letter in letters:
        headers = dict(letter.headers())
        assert headers["topic"] == b"in"
        assert LEFT_OUT[letter.value()] in headers["reason"].decode()


@needs(MockKafka)
def test_a_topic_of_kafka_that_was_made_anew_is_refused(
    worker: WorkerProcess, tmp_path: Path
) -> None:
    from confluent_kafka import Consumer, TopicPartition

    with MockKafka(tmp_path) as broker, closing(KafkaPeer(broker.url)):
        consumer = Consumer({"bootstrap.servers": broker.url, "group.id": "streamlstm"})
        consumer.commit(offsets=[TopicPartition("in", 0, 100)], asynchronous=False)
        consumer.close()
        options = {"url": broker.url, "in_": ["in"], "stream": "{key}", "out": "out"}
        said = r"in \[0\]: .*What was committed last is not there any more: the topic was made anew"
        with (
            pytest.raises(StreamLSTMError, match=said),
            running_bridge("kafka", worker, **options) as (_, ended),
        ):
            assert ended.wait(TIMEOUT)
        with (
            pytest.raises(BadValueError, match=r'--client: No such .*"linger"'),
            running_bridge("kafka", worker, **options, client=["linger=1"]) as (_, ended),
        ):
            assert ended.wait(TIMEOUT)


@needs(NatsServer)
@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl: apt-get install openssl")
def test_a_server_of_nats_refuses_who_does_not_know_the_password(
    worker: WorkerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    known = {"user": "bridge", "password": password}
    with GuardedNats(tmp_path / "broker") as broker:
        url, pem = broker.url.replace("nats:", "tls:"), broker.folder / "broker.pem"
        for options, said in (
            ({"ca": None, **known}, "the certificate of the broker was not accepted .self-signed"),
            ({}, "refuses the connection: .*uthorization.*--user"),
            (known, "no stream of JetStream has the subject"),
            ({"client": ["ping=1"]}, "--client: expected a setting of nats.connect, .* got ping"),
        ):
            with (
                pytest.raises(StreamLSTMError, match=said),
                running_bridge("nats", worker, url=url, **{"ca": pem, **options}) as (_, ended),
            ):
                assert ended.wait(TIMEOUT)
    nowhere = f"nats://me:secret@127.0.0.1:{free_port()}"
    with running_bridge("nats", worker, url=nowhere) as (_, ended):  # waits for it, and ends
        wait_until(
            lambda: any("Connect call failed" in m for m in caplog.messages), caplog.messages
        )
    assert ended.is_set()
    assert "secret" not in caplog.text


@needs(NatsServer)
def test_a_dead_letter_too_large_for_nats_is_left_out_and_the_next_one_comes(
    worker: WorkerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def letter_of(url: str) -> Any:
        client = await nats.connect(url)
        log = client.jetstream()
        await log.add_stream(name="IN", subjects=["in.*"])
        dead = await client.subscribe("dead")
        for payload in (b"x" * client.max_payload, b"[1]"):
            await log.publish("in.m", payload)
        options = {"in_": ["in.{machine}"], "dead_letter": "dead"}
        with running_bridge("nats", worker, url=url, **options):
            letter = await dead.next_msg(TIMEOUT)
        await client.close()
        return letter

    import nats

    with NatsServer(tmp_path) as broker:
        letter = asyncio.run(letter_of(broker.url))
    assert (letter.data, letter.headers["topic"]) == (b"[1]", "in.m")
    assert "dead: expected a message that the broker takes, got one of 1,048,576" in caplog.text
