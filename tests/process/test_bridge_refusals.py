"""What a bridge to Kafka or NATS says when it cannot go on, and that it ends when it is told to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.live.broker_peers import KafkaPeer
from benchmarks.live.brokers import MockKafka, NatsServer, free_port
from streamlstm.errors import BadValueError, StreamLSTMError

from .bridge_process import TIMEOUT, needs, running_bridge, wait_until
from .conftest import WorkerProcess


class GuardedNats(NatsServer):
    """Lets in who knows the password."""

    def command(self, program: str) -> list[str]:
        """Return how it is started."""
        return [*super().command(program), "--user", "bridge", "--pass", "secret"]


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
def test_a_server_of_nats_refuses_who_does_not_know_the_password(
    worker: WorkerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    with GuardedNats(tmp_path / "broker") as broker:
        for options, said in (
            ({}, "refuses the connection: .*uthorization.*--user"),
            ({"user": "bridge", "password": password}, "no stream of JetStream has the subject"),
            ({"client": ["ping=1"]}, "--client: expected a setting of nats.connect, .* got ping"),
        ):
            with (
                pytest.raises(StreamLSTMError, match=said),
                running_bridge("nats", worker, url=broker.url, **options) as (_, ended),
            ):
                assert ended.wait(TIMEOUT)
    nowhere = f"nats://me:secret@127.0.0.1:{free_port()}"
    with running_bridge("nats", worker, url=nowhere) as (_, ended):  # waits for it, and ends
        wait_until(
            lambda: any("Connect call failed" in m for m in caplog.messages), caplog.messages
        )
    assert ended.is_set()
    assert "secret" not in caplog.text
