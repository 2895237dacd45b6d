"""Which streams are in memory: those that are asked for come, others leave for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from .. import wire
from ..engine.dirty import stream_of
from .checkpointer import Keeper
from .eviction import Eviction
from .reply import Answer, Publication

PIECE = 256  # events that are told of between two turns of the loop: under a millisecond


class Presence:
    """Brings streams back and lets others go, as far as there is a store, and tells subscribers.

    Parameters
    ----------
    keeper : Keeper or None
        Brings streams back from the store.
    eviction : Eviction or None
        Lets idle streams leave memory.

    Attributes
    ----------
    has_news : bool
        Whether :meth:`news` has more to tell of streams that began anew.
    """

    def __init__(self, keeper: Keeper | None, eviction: Eviction | None) -> None:
        self.keeper, self.eviction = keeper, eviction
        self._begun: Iterator[wire.StreamId] = iter(())
        self.has_news = False

    @property
    def evicted(self) -> int:
        """How many streams have left memory because they were idle."""
        return 0 if self.eviction is None else self.eviction.evicted

    @property
    def returned(self) -> int:
        """How many streams came back from the store because they were asked for."""
        return 0 if self.keeper is None else self.keeper.returned

    def recall(self, streams: Sequence[wire.StreamId], publish: bool) -> None:
        """Have room for streams, and bring back those of them that are in the store."""
        if self.eviction is not None:
            self.eviction.make_room(streams, publish)
        if self.keeper is not None:
            self.keeper.recall(streams)

    def told(self, answer: Answer) -> Answer:
        """Let subscribers hear first of the streams that left to make room for a message."""
        left = self._departures()
        return answer._replace(publications=[*left, *answer.publications]) if left else answer

    def tell_begun(self, streams: Sequence[wire.StreamId]) -> None:
        """Let subscribers hear, piece by piece, that these streams have begun anew."""
        self._begun = iter(streams)
        self.has_news = True

    def news(self) -> list[Publication]:
        """Return what subscribers are to be told, a piece of it: who left, and who began anew."""
        news = self._departures()
        if self.has_news:
            begun = list(islice(self._begun, PIECE))
            self.has_news = len(begun) == PIECE
            news += [_event(wire.Done(wire.Kind.RESET, stream, None)) for stream in begun]
        return news

    def _departures(self) -> list[Publication]:
        if self.eviction is None or not self.eviction.left:
            return []
        keys, kept = self.eviction.left, self.eviction.keeps
        self.eviction.left = []
        return [_event(wire.Done(wire.EVICTED, stream_of(key), kept)) for key in keys]


def _event(happened: wire.Done) -> Publication:
    assert happened.stream is not None
    return Publication(wire.topic(happened.stream), wire.encode(happened))
