"""A bridge's place in a stream of JetStream, wherever a bridge was killed that moved it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from benchmarks.live.brokers import NatsServer

nats = pytest.importorskip("nats", reason="needs nats-py: pip install nats-py")
from nats.js import JetStreamContext  # noqa: E402
from nats.js.api import RetentionPolicy  # noqa: E402

from streamlstm.bridges.nats_place import Place  # noqa: E402

from .bridge_process import needs  # noqa: E402

pytestmark = needs(NatsServer)


class KilledError(Exception):
    """The process is gone."""


class Dying(JetStreamContext):  # type: ignore[misc]
    """Of a process that is killed when so many of its requests were answered."""

    left = 0

    async def _api_request(self, *arguments: Any, **options: Any) -> Any:
        answer = await super()._api_request(*arguments, **options)
        self.left -= 1
        if self.left == 0:
            raise KilledError
        return answer


async def came_after_a_kill(client: Any, kept: RetentionPolicy, requests: int) -> list[int] | None:
    """Kill a bridge after so many requests; return what the next one gets, None if it lived."""
    log = client.jetstream()
    await log.add_stream(name="IN", subjects=["in"], retention=kept)
    await Place(log, "IN", "in", "bridge", "earliest").go_back()
    for n in range(5):
        await log.publish("in", b"%d" % n)
    first = await log.pull_subscribe_bind("bridge", "IN")
    for message in await first.fetch(5):
        if message.metadata.sequence.stream in (1, 2, 4):
            await message.ack_sync()
    dying, lived = Dying(client), False
    dying.left = requests
    try:
        await Place(dying, "IN", "in", "bridge", "latest").go_back()
        lived = True
    except KilledError:
        await log.publish("in", b"while there was no bridge")
    await Place(log, "IN", "in", "bridge", "latest").go_back()
    second = await log.pull_subscribe_bind("bridge", "IN")
    found = [each.metadata.sequence.stream for each in await second.fetch(10, timeout=0.1)]
    assert [each.name for each in await log.consumers_info("IN")] == ["bridge"]
    await log.delete_stream("IN")
    return None if lived else found


@pytest.mark.parametrize("kept", list(RetentionPolicy))
def test_a_bridge_killed_at_any_request_misses_nothing(
    kept: RetentionPolicy, tmp_path: Path
) -> None:
    async def kill_everywhere() -> int:
        client = await nats.connect(broker.url)
        requests = 1
        while (found := await came_after_a_kill(client, kept, requests)) is not None:
            again = [4] if kept == RetentionPolicy.LIMITS else []  # it counts once
            assert found == sorted([3, 5, 6, *again]), requests
            requests += 1
        await client.close()
        return requests

    with NatsServer(tmp_path / "broker") as broker:
        assert asyncio.run(kill_everywhere()) > 4
