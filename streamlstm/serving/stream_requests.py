"""Executes requests on streams: RESET, LABEL, EXPORT, IMPORT, FORGET, LAST, CLAIM, LIST."""

from __future__ import annotations

from .. import wire
from ..engine.engine import Engine
from ..engine.records import store_key, stream_from_key
from ..engine.stream_producers import Standing
from ..errors import DamagedRecordError, ProtocolError
from .access.stream_quota import StreamQuota
from .residency import Residency
from .response import Response, done
from .sessions import Session


class StreamRequests:
    """Executes requests on streams in memory and in the store.

    Parameters
    ----------
    engine : Engine
    residency : Residency
    quota : StreamQuota or None
        Of streams in memory, for each client.
    """

    def __init__(self, engine: Engine, residency: Residency, quota: StreamQuota | None) -> None:
        self._engine, self._residency, self._quota = engine, residency, quota
        self._producers = engine.stream_producers()

    def reset(self, stream: wire.StreamId, publish: bool) -> Response:
        """Reset a stream."""
        self._residency.load([stream], publish)
        self._engine.reset(stream)
        return self._residency.changed(wire.Kind.RESET, stream, publish)

    def forget(self, stream: wire.StreamId, publish: bool) -> Response:
        """Delete a stream."""
        try:
            self._residency.load([stream], publish)
            self._engine.forget(stream)
        except DamagedRecordError:
            assert self._residency.stored is not None
            self._residency.stored.give_up(stream)
        return self._residency.changed(wire.Kind.FORGET, stream, publish)

    def learn(self, label: wire.Label, publish: bool) -> Response:
        """Let a stream learn from labels."""
        self._residency.load([label.stream], publish)
        self._engine.learn(label.stream, label.seq, wire.from_vector(label.y))
        return done(wire.Kind.LABEL, label.stream, None)

    def export_stream(self, stream: wire.StreamId, publish: bool) -> Response:
        """Return a stream's state."""
        self._residency.load([stream], publish)
        return done(wire.Kind.EXPORT, stream, self._engine.export_stream(stream))

    def import_stream(
        self, stream: wire.StreamId, blob: bytes, session: Session | None, publish: bool
    ) -> Response:
        """Replace a stream's state, as far as its client may bring the stream into memory."""
        quota = self._quota
        account = None if session is None else session.account
        if quota is not None and account is not None and not quota.admit(account, [stream])[0]:
            raise quota.error(account, stream)
        try:
            # What the store has of it is restored first, so that it is known not to be there only.
            self._residency.load([stream], publish)
            self._engine.import_stream(stream, blob)
        finally:
            if quota is not None:
                quota.assign()
        return self._residency.changed(wire.Kind.IMPORT, stream, publish)

    def last_seqs(self, streams: list[wire.StreamId]) -> Response:
        """Return last sequence numbers; streams that are in the store stay there."""
        seqs = self._engine.last_seqs(streams)
        if self._residency.stored is not None:
            stored = self._residency.stored.last_seqs(streams)
            seqs = [stored.get(store_key(s), q) for s, q in zip(streams, seqs, strict=True)]
        return done(wire.Kind.LAST, None, seqs)

    def claim(
        self, claim: wire.Claim, producer: int, session: Session | None, publish: bool
    ) -> Response:
        """Make streams those of a producer; return how each stood.

        A stream of the store is loaded only if its producer changes.
        """
        if not producer:
            raise ProtocolError(
                "CLAIM: envelope: expected the identity of a producer in its last frame, got none"
            )
        residency, streams = self._residency, claim.streams
        stored = {} if residency.stored is None else residency.stored.standings(streams)
        self._load_claimed(
            [
                stream_from_key(key)
                for key, found in stored.items()
                if found.producer != producer and found.is_claimed_by(producer, claim.before)
            ],
            streams,
            session,
            publish,
        )
        here = self._producers.claim(streams, producer, claim.before)
        found = stored | {store_key(stream): standing for stream, standing in here}
        standings = [found.get(store_key(stream), Standing(0, 0)) for stream in streams]
        full = self._engine.model.input_offsets is not None
        return Response(wire.encode(wire.Done(wire.Kind.CLAIM, None, standings, full)), [])

    def _load_claimed(
        self,
        wanted: list[wire.StreamId],
        streams: list[wire.StreamId],
        session: Session | None,
        publish: bool,
    ) -> None:
        """Load the wanted ones of these streams, if their client may have them in memory."""
        if not wanted:
            return
        quota, account = self._quota, None if session is None else session.account
        if quota is not None and account is not None:
            may = quota.admit(account, wanted)
            if not all(may):
                quota.revoke()
                raise quota.error(account, wanted[may.index(False)])
        try:
            here = [stream for stream in streams if stream in self._engine]
            self._residency.load([*here, *wanted], publish)
        finally:
            if quota is not None:
                quota.assign()

    def list_streams(self, prefix: str | None, after: wire.StreamId | None, count: int) -> Response:
        """List streams in memory and in the store, in one order."""
        count = min(count, wire.MAX_LISTED)
        if count == 0:
            return done(wire.Kind.LIST, None, [])
        listed = self._engine.list_streams(prefix, after, count)
        if self._residency.stored is not None:
            until = listed[-1][0] if len(listed) == count else None
            listed += self._residency.stored.list_page(prefix, after, count, until)
            listed.sort(key=lambda entry: wire.topic(entry[0]))
        return done(wire.Kind.LIST, None, listed[:count])
