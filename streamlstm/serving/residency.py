"""Keeps the streams that messages need in memory: restores them, and evicts others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from .. import wire
from ..engine.records import stream_from_key
from .counters import Counters
from .eviction import Eviction
from .native import layout
from .response import Publication, Response, done
from .stores.checkpointer import Checkpointer

CHUNK = 256  # events published between two turns of the loop: under a millisecond


class Residency:
    """Restores streams and evicts others, as far as there is a store, and publishes both.

    Parameters
    ----------
    checkpointer : Checkpointer or None
        Reads the store from which streams are restored.
    eviction : Eviction or None
        Evicts idle streams.
    counters : Counters
        Of the worker, which know whether anybody subscribes to values.

    Attributes
    ----------
    has_events : bool
        Whether :meth:`events` has more RESET events of streams that restarted.
    """

    def __init__(
        self, checkpointer: Checkpointer | None, eviction: Eviction | None, counters: Counters
    ) -> None:
        self.stored = None if checkpointer is None else checkpointer.stored
        self.eviction, self._counters = eviction, counters
        self._restarted: Iterator[wire.StreamId] = iter(())
        self.has_events = False

    @property
    def evicted(self) -> int:
        """Number of idle streams that were evicted from memory."""
        return 0 if self.eviction is None else self.eviction.evicted

    @property
    def returned(self) -> int:
        """Number of streams restored from the store because a message needed them."""
        return 0 if self.stored is None else self.stored.returned

    def load(self, streams: Sequence[wire.StreamId], publish: bool) -> None:
        """Make room for streams, and restore those of them that are in the store."""
        if self.eviction is not None:
            self.eviction.make_room(streams, publish)
        if self.stored is not None:
            self.stored.restore(streams)

    def with_evictions(self, response: Response) -> Response:
        """Publish first which streams were evicted to make room for a message."""
        evicted = self._evictions()
        if not evicted:
            return response
        return response._replace(publications=[*evicted, *response.publications])

    def publish_resets(self, streams: Sequence[wire.StreamId]) -> None:
        """Publish, in chunks, that these streams have restarted."""
        self._restarted = iter(streams)
        self.has_events = True

    def events(self) -> list[Publication]:
        """Return the next chunk of events: streams that were evicted, and that restarted."""
        events = self._evictions()
        if self.has_events:
            streams = list(islice(self._restarted, CHUNK))
            self.has_events = len(streams) == CHUNK
            for stream in streams:
                events += self._event(wire.Done(wire.Kind.RESET, stream, None))
        return events

    def _evictions(self) -> list[Publication]:
        if self.eviction is None or not self.eviction.evicted_keys:
            return []
        keys, recoverable = self.eviction.evicted_keys, self.eviction.recoverable
        self.eviction.evicted_keys = []
        events: list[Publication] = []
        for key in keys:
            events += self._event(wire.Done(wire.EVICTED, stream_from_key(key), recoverable))
        return events

    def changed(self, kind: wire.Kind, stream: wire.StreamId, publish: bool) -> Response:
        """Return the response that a stream was changed, which its subscribers receive too."""
        response = done(kind, stream, None)
        if not publish:
            return response
        return response._replace(publications=self._event(wire.Done(kind, stream, None)))

    def _event(self, event: wire.Done) -> list[Publication]:
        """Return an event for those who subscribe to its stream, and to values if some do."""
        assert event.stream is not None
        topic, frame = wire.topic(event.stream), wire.encode(event)
        events = [Publication(topic, frame)]
        if self._counters[layout.VALUE_TOPICS]:
            events.append(Publication(wire.VALUE_TOPIC + topic, frame))
        return events
