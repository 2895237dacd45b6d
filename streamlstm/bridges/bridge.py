"""Bridge: takes a broker's messages to workers and their predictions to the broker."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from .. import wire
from ..client.replay.feed import Feed, Told, observation_entry
from ..client.replay.outbox import Entry
from ..errors import RemoteError, StreamLSTMError, WorkerTimeoutError
from .join import Join, Joined
from .log import OncePerSecond
from .mapping import Mapping
from .messages import Message, Output, Receipt
from .predictions import Publications, dead_letter
from .presence import Presence
from .settings import Settings
from .stopping import Stopping

_PATIENCE = 1.0  # seconds for which a worker may not take observations before that is told
_AT_ONCE = 1_000  # observations that are fed together
_LARGE = float(2**20)  # beyond this float32 has a number every 0.125, or fewer
_LOG = logging.getLogger(__name__)


class Broker(Protocol):
    """What a bridge needs of a broker's client."""

    def publish(self, outputs: Sequence[Output]) -> None:
        """Publish; each output is settled when the broker has it."""

    def acknowledge(self, origins: Sequence[Any]) -> None:
        """Let the broker forget the messages with these origins."""


class Bridge:
    """The part of a bridge that knows no broker.

    Parameters
    ----------
    settings : Settings
    mapping : Mapping
    publications : Publications
    broker : Broker
    feed : dict
        Options of the :class:`Feed`: ``router`` or ``endpoints``, ``barrier_seconds``, keys.
    stopping : Stopping
        Ends it.
    presence : Presence
        Says whether there is a worker.

    Attributes
    ----------
    counts : dict
        Messages taken, observations applied, predictions told; messages that were bad or late.
    """

    def __init__(
        self,
        settings: Settings,
        mapping: Mapping,
        publications: Publications,
        broker: Broker,
        feed: dict[str, Any],
        stopping: Stopping,
        presence: Presence,
    ) -> None:
        self._settings, self._mapping, self._broker = settings, mapping, broker
        self._publications = publications
        self._bad, self._stalled = OncePerSecond(_LOG), OncePerSecond(_LOG)
        generation = int(settings.generation) if settings.generation.isdigit() else 0
        self._join = Join(settings.join, generation) if settings.join else None
        self.stopping, self._presence = stopping, presence
        self._is_ready = False
        self._messages = self._observations = self._predictions = 0
        self._feed = Feed(
            on_predictions=self._on_predictions,
            on_confirmed=self._on_confirmed,
            on_refused=self._on_refused,
            holds=settings.lossless,
            **feed,
        )

    @property
    def counts(self) -> dict[str, int]:
        """What has passed so far."""
        return {
            "messages": self._messages,
            "observations": self._observations,
            "predictions": self._predictions,
            "bad": self._bad.count,
            "late": 0 if self._join is None else self._join.late,
        }

    @property
    def unconfirmed(self) -> int:
        """Observations that the worker has not confirmed."""
        return self._feed.unconfirmed

    def ready(self) -> None:
        """Say, once, that what is published now will be read."""
        if not self._is_ready:
            self._is_ready = True
            _LOG.info("%-7s %s", "worker", self._feed.endpoint)
            _LOG.info("ready; Ctrl-C stops")

    # --- from the broker ---

    def take(self, messages: Iterable[Message]) -> None:
        """Take messages in their order; waits while the worker takes nothing.

        Raises
        ------
        StreamLSTMError
            If the bridge cannot go on; what is not acknowledged comes again to the next one.
        """
        entries = [] if self._join is None else self._due()
        for message in messages:
            self._messages += 1
            try:
                entries += self._entries(message)
            except StreamLSTMError as error:
                self._leave_out(message, str(error))
        self._send(entries)

    def _due(self) -> list[Entry]:
        assert self._join is not None
        return [self._joined(each) for each in self._join.due()]

    def _entries(self, message: Message) -> list[Entry]:
        part = self._mapping.part(message)
        if self._join is None:
            return [self._entry(part.stream, part.values, part.number, part.time, [part.message])]
        found = self._join.add(part)
        if found is None:
            self._acknowledge([message])
            return []
        return [self._joined(each) for each in found]

    def _joined(self, each: Joined) -> Entry:
        return self._entry(each.stream, each.values, each.number, each.time, each.messages)

    def _entry(
        self,
        stream: str,
        values: list[float],
        seq: int,
        time: float | None,
        messages: list[Message],
    ) -> Entry:
        receipt = Receipt(messages, self._acknowledge, time)
        row = np.array(values)
        is_large = any(abs(value) >= _LARGE for value in values)  # few: NumPy would be slower
        x = wire.Doubles.of(row) if is_large else wire.to_floats(row.astype(np.float32))
        return observation_entry(stream, x, seq, time, receipt)

    def _leave_out(self, message: Message, reason: str) -> None:
        self._bad.note(f"left out: {message.topic}: {reason}")
        self._bury([message], reason)

    def _bury(self, messages: Sequence[Message], reason: str) -> None:
        if not (topic := self._settings.dead_letter):
            self._acknowledge(messages)
            return
        self._broker.publish(
            [dead_letter(topic, m, reason, partial(self._acknowledge, [m])) for m in messages]
        )

    def _acknowledge(self, messages: Sequence[Message]) -> None:
        self._broker.acknowledge([message.origin for message in messages])

    def _send(self, entries: list[Entry]) -> None:
        self._feed.check()
        for n in range(0, len(entries), _AT_ONCE):
            while not self.stopping.is_set():
                try:
                    self._feed.feed(entries[n : n + _AT_ONCE], _PATIENCE)
                    self._observations += len(entries[n : n + _AT_ONCE])
                    break
                except WorkerTimeoutError as error:
                    if self._presence.is_there:  # else it is said already
                        self._stalled.note(f"waiting for the worker: {error}")

    # --- from the worker, in the feed's thread ---

    def _on_predictions(self, told: list[Told]) -> None:
        self._predictions += len(told)
        outputs: list[Output] = []
        for each in told:
            found = self._publications.of(each)
            outputs += found
            if self._settings.lossless:
                self._hold(each.entry, bool(found))
        if outputs:
            self._broker.publish(outputs)

    def _hold(self, entry: Entry, has_outputs: bool) -> None:
        """Let a stream go on when the broker has the prediction: a kill then loses none."""
        if has_outputs:
            assert isinstance(entry.source, Receipt)
            entry.source.on_told = partial(self._feed.release, entry)
        else:
            self._feed.release(entry)

    def _on_confirmed(self, entries: list[Entry]) -> None:
        for entry in entries:
            assert isinstance(entry.source, Receipt)
            entry.source.settle()

    def _on_refused(self, entry: Entry, error: RemoteError) -> None:
        receipt = entry.source
        assert isinstance(receipt, Receipt)
        self._bad.note(f"left out: {error}")
        self._bury(receipt.messages, str(error))

    # --- the end ---

    def finish(self, seconds: float) -> None:
        """Let the worker confirm what it has; what it does not in time comes again."""
        try:
            self._feed.flush(seconds)
        except WorkerTimeoutError as error:
            _LOG.warning("%s", error)

    def close(self) -> None:
        """End the feed."""
        self._feed.end()
