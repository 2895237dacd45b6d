"""Where a bridge's consumer of JetStream is in its stream, whenever the bridge was killed.

A consumer cannot be moved back: it is deleted, and another of its name is made. So that no moment
has none, a second consumer, which nobody reads, keeps the place in between.
"""

from __future__ import annotations

from typing import Any

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, RetentionPolicy
from nats.js.errors import NotFoundError

_UNACKNOWLEDGED = 20_000
_ACK_WAIT = 60.0  # seconds after which the server sends again what was not acknowledged


class Place:
    """The place of a durable consumer.

    Parameters
    ----------
    log : nats.js.JetStreamContext
    stream : str
        The stream of JetStream.
    subject : str
        What of it is read.
    durable : str
        The consumer's name.
    start : {"earliest", "latest"}
        Where it begins if there is none.
    """

    def __init__(self, log: Any, stream: str, subject: str, durable: str, start: str) -> None:
        self._log, self._stream, self._subject = log, stream, subject
        self._durable, self._keeper, self._start = durable, f"{durable}-place", start

    async def go_back(self) -> None:
        """Let the consumer begin behind the last message before which all are acknowledged.

        JetStream would send those that a bridge had when it was killed only after a while, and
        behind later ones, whose numbers are higher: they would count as applied.
        """
        info = await self._log.stream_info(self._stream)
        keeper, consumer = await self._info(self._keeper), await self._info(self._durable)
        if info.config.retention == RetentionPolicy.WORK_QUEUE:
            await self._begin_queue(consumer)
            return
        if keeper is not None:  # a bridge was killed while it did this
            place = keeper.config.opt_start_seq or 1
        elif consumer is None:
            await self._add(self._durable, None)
            return
        elif consumer.num_ack_pending:
            place = consumer.ack_floor.stream_seq + 1
        else:
            return
        if keeper is None:
            await self._add(self._keeper, place)
        if consumer is not None:
            await self._log.delete_consumer(self._stream, self._durable)
        await self._add(self._durable, place)
        await self._log.delete_consumer(self._stream, self._keeper)

    async def _begin_queue(self, consumer: Any) -> None:
        """Let the consumer of a work queue begin, which has what is not acknowledged, only that.

        It takes no second consumer, and none that begins elsewhere.
        """
        if consumer is not None and consumer.num_ack_pending:
            await self._log.delete_consumer(self._stream, self._durable)
            consumer = None
        if consumer is None:
            await self._add(self._durable, 1)

    async def _info(self, durable: str) -> Any:
        try:
            return await self._log.consumer_info(self._stream, durable)
        except NotFoundError:
            return None

    async def _add(self, durable: str, place: int | None) -> None:
        """Make a consumer that begins at a place, from 1; None is where new ones begin."""
        config = ConsumerConfig(
            durable_name=durable,
            filter_subject=self._subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_ACK_WAIT,
            max_ack_pending=_UNACKNOWLEDGED,
        )
        if place is None and self._start == "latest":
            config.deliver_policy = DeliverPolicy.NEW
        elif place is not None and place > 1:
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = place
        else:
            config.deliver_policy = DeliverPolicy.ALL
        await self._log.add_consumer(self._stream, config)
