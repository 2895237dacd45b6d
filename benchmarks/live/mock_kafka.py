"""Runs librdkafka's mock broker until standard input ends: python -m benchmarks.live.mock_kafka.

Topics are made, of four partitions each, when somebody asks for them.
"""

import sys

from confluent_kafka import Producer


def main() -> None:
    """Print the address, and wait."""
    broker = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    (found,) = broker.list_topics(timeout=10).brokers.values()
    print(f"{found.host}:{found.port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
