"""Feed: a replaying publisher whose observations may have numbers of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from ... import wire
from ...engine.prediction import Prediction
from ...errors import RemoteError
from ..failures import closed
from ..prediction_map import results_of
from .base import WouldBlock
from .failures import outbox_full
from .outbox import Entry
from .protocol import Callbacks
from .publisher import ReplayingPublisher


class Told(NamedTuple):
    """A prediction, and the observation that it is the answer to."""

    entry: Entry
    prediction: Prediction


OnPredictions: TypeAlias = Callable[[list[Told]], None]
OnConfirmed: TypeAlias = Callable[[list[Entry]], None]
OnRefused: TypeAlias = Callable[[Entry, RemoteError], None]


class Feed(ReplayingPublisher):
    """Sends observations that come from a broker, and says when the broker may forget them.

    One with a sparse number (:func:`streamlstm.sparse_seq`) keeps it, and is applied once however
    often it comes, also to another feed. One without a number gets the next of its stream: it is
    applied as often as it comes.

    All callbacks run in the feed's own thread, and must not wait for it.

    Parameters
    ----------
    on_predictions : callable
        Gets a list of :class:`Told`; a prediction again, with the same bits, only if its
        observation came again and is the last of its stream.
    on_confirmed : callable
        Gets entries that the worker has applied and, if it has a store, committed.
    on_refused : callable
        Gets an entry that the worker will never apply, and the error that says why.
    barrier_seconds : float
        Least time between two barriers.
    holds : bool
        Whether a stream waits after each of its predictions until :meth:`release`.
    options
        As for :class:`streamlstm.ReplayingPublisher`.
    """

    def __init__(
        self,
        on_predictions: OnPredictions,
        on_confirmed: OnConfirmed,
        on_refused: OnRefused,
        barrier_seconds: float,
        holds: bool,
        **options: Any,
    ) -> None:
        self._calls = (on_predictions, on_confirmed, on_refused)
        self._barrier_seconds, self._holds = barrier_seconds, holds
        super().__init__(**options)

    def feed(self, entries: Sequence[Entry], timeout: float) -> None:
        """Accept observations whose ``seq`` is sparse or 0, all of them or none.

        Raises
        ------
        WorkerTimeoutError, StreamLSTMError
            As :meth:`ReplayingPublisher.send`; after a timeout the same may be fed again.
        """
        self._wait(lambda: self._try_feed(entries), timeout, "feed")

    def check(self) -> None:
        """Raise the error that has stopped the feed, if one has."""
        with self._changed:
            self._sender.check()

    def _try_feed(self, entries: Sequence[Entry]) -> WouldBlock | None:
        if not self._accepting:
            raise closed("publisher")
        self._sender.check()
        if would_block := self._request_unknown({entry.stream for entry in entries}):
            return would_block
        outbox = self._outbox
        if outbox.rows + len(entries) > self._max_rows:
            self._sender.hurry()
            return WouldBlock(lambda timeout: outbox_full(self.endpoint, timeout, outbox.rows))
        for entry in entries:
            entry.seq = entry.seq or outbox.last_seqs[entry.stream] + 1
            if outbox.full is False:
                entry.x = bytes(entry.x)
            outbox.add(entry)
        self._sender.wake()
        return None

    def release(self, entry: Entry) -> None:
        """Say that the prediction of an observation is where it belongs: its stream goes on."""
        with self._changed:
            if not self._closed:
                entry.delivered = True
                self._outbox.release(entry)
                self._sender.wake()

    def end(self) -> None:
        """Close at once: what is not confirmed is forgotten here, and comes again elsewhere."""
        with self._changed:
            if not self._stop_accepting():
                return
        self._end()

    def _callbacks(self) -> Callbacks:
        _, confirmed, refused = self._calls
        return Callbacks(self._tell, confirmed, refused, self._barrier_seconds, self._holds)

    def _tell(self, entries: list[Entry], Y: Any, extra: dict[str, Any] | None) -> None:
        results, layout = results_of(Y, extra)
        told = [
            Told(entry, Prediction(result, layout))
            for entry, result in zip(entries, results, strict=True)
            if not entry.delivered
        ]
        if told:
            self._calls[0](told)


def observation_entry(
    stream: wire.StreamId, x: bytes, seq: int, time: float | None, source: object
) -> Entry:
    """Return an entry of a feed; ``x`` as :func:`streamlstm.wire.to_floats` makes it."""
    return Entry(wire.Step(stream, seq, x, time), source=source)
